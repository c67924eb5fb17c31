// A session whose way changes while packets arrive: its NIC rule is replaced, and no packet falls between the
// old one and the new one. Another thread polls the NICs; what its rules do not finish reaches that thread.
#include <sched.h>

#include <atomic>
#include <thread>

#include "slow_path/slow_path.h"
#include "softflow_port.h"

namespace sluice::test {
namespace {

constexpr uint32_t kHost = 0x0a000007;  // 10.0.0.7
constexpr uint32_t kAnyPublic = 0xcb000000;
constexpr uint32_t kUpdates = 3000;
constexpr uint32_t kGeneration = 1;

TemplateSource::Patch patch(PatchTarget target, uint32_t index, uint32_t offset, size_t argument) {
  return {target, index, offset, 4, static_cast<uint32_t>(argument), true};
}

// ipv4 src = the flow's / count, age, ipv4 src := the flow's, out of port 1.
TemplateSource source_nat() {
  TemplateSource source;
  source.transfer = true;
  const auto bytes = [](std::initializer_list<uint8_t> list) { return TemplateSource::Bytes(list); };
  TemplateSource::Bytes spec(20), mask(20);
  std::fill_n(mask.begin() + 12, 4, 0xff);
  source.items = {{ItemType::kRepresentedPort, bytes({0, 0}), bytes({0xff, 0xff}), std::nullopt},
                  {ItemType::kEth, std::nullopt, std::nullopt, std::nullopt},
                  {ItemType::kIpv4, spec, mask, std::nullopt}};
  source.actions = {{ActionType::kCount, {}},
                    {ActionType::kAge, bytes({60, 0, 0, 0})},
                    {ActionType::kSetIpv4Source, bytes({0, 0, 0, 0})},
                    {ActionType::kRepresentedPort, bytes({1, 0})}};
  source.patches = {patch(PatchTarget::kItem, 2, 12, offsetof(FlowArguments, match_source_address)),
                    patch(PatchTarget::kAction, 2, 0, offsetof(FlowArguments, new_source_address))};
  return source;
}

// The same as two rules: the first ends with a jump to group 2, where the second finds its packets by their tag.
TemplateSource joined_nat() {
  TemplateSource first = source_nat();
  TemplateSource second;
  second.transfer = true;
  second.group = 2;
  second.items = {{ItemType::kTag, TemplateSource::Bytes(5), TemplateSource::Bytes(5, 0xff), std::nullopt},
                  {ItemType::kEth, std::nullopt, std::nullopt, std::nullopt}};
  second.actions = {first.actions.back()};
  TemplateSource::Patch tag = patch(PatchTarget::kItem, 0, 0, offsetof(FlowArguments, rule_tag));
  tag.big_endian = false;
  second.patches = {tag};
  first.actions.back() = {ActionType::kSetTag, {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0}};
  first.actions.push_back({ActionType::kJump, {2, 0, 0, 0}});
  tag.target = PatchTarget::kAction;
  tag.index = 3;
  first.patches.push_back(tag);
  first.second.push_back(second);
  return first;
}

// Both ports with the slow path that installs their rules; decisions are put into its ring.
class Gateway {
 public:
  Gateway(const std::string& arguments, bool queued, const TemplateSource& rule = source_nat())
      : inside(arguments, queued ? 1 : 0), outside(arguments, queued ? 1 : 0) {
    SlowPathOptions options;
    options.max_sessions = 4;
    options.max_held = 4;
    options.event_slots = options.decision_slots = 64;
    std::vector<GatewayPort> ports(2);
    ports[0].port_id = inside.id;
    ports[1].port_id = outside.id;
    for (GatewayPort& port : ports) port.queued_rules = queued ? kRules : 0;
    path.emplace(options, ports, environment().pool);
    software = static_cast<uint16_t>(path->register_software(source_nat()));
    nic = static_cast<uint16_t>(path->register_nic(0, rule));
  }

  void decide(DecisionType type, uint32_t version, uint16_t nic_template) {
    Decision decision = {};
    decision.type = static_cast<uint8_t>(type);
    decision.hold = kNoHold;
    decision.generation = kGeneration;
    decision.protocol = 17;
    decision.reverse_port = 1;
    decision.software_forward_template = software;
    decision.nic_forward_template = nic_template;
    decision.software_reverse_template = decision.nic_reverse_template = kNoTemplate;
    decision.forward_arguments.match_source_address = kHost;
    decision.forward_arguments.new_source_address = kAnyPublic + version;
    decision.forward_arguments.age_seconds = 60;
    auto* base = path->decisions_memory()->as<uint8_t>();
    std::memcpy(base + kRingHeaderBytes + (produced_ & 63) * kRingSlotBytes, &decision, sizeof decision);
    std::atomic_ref(*reinterpret_cast<uint32_t*>(base)).store(++produced_, std::memory_order_release);
    path->drain_decisions(UINT32_MAX);
  }
  SessionEvent query() {
    decide(DecisionType::kQuery, 0, kNoTemplate);
    const auto* base = path->events_memory()->as<uint8_t>();
    const uint32_t newest = *reinterpret_cast<const uint32_t*>(base) - 1;
    SessionEvent event;
    std::memcpy(&event, base + kRingHeaderBytes + (newest & 63) * kEventSlotBytes, sizeof event);
    return event;
  }
  RulePath forward_path() { return static_cast<RulePath>(path->sessions().at(0).row->forward_path); }

  static constexpr uint32_t kRules = 64;
  Port inside, outside;
  std::optional<SlowPath> path;
  uint16_t software = 0, nic = 0;

 private:
  uint32_t produced_ = 0;
};

// Packets of the flow, one after the other, and what has become of them.
struct Traffic {
  explicit Traffic(Gateway& gateway) : gateway(gateway), thread([this] { run(); }) {}
  ~Traffic() { stop(); }
  void stop() {
    done = true;
    if (thread.joinable()) thread.join();
  }
  // Until packets have met the rules as they are now.
  void meet() {
    const uint64_t before = rounds;
    while (rounds < before + 2) std::this_thread::yield();
  }
  void run() {
    // EAL has bound the thread that started it, and those that it starts, to one CPU.
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) CPU_SET(cpu, &all);
    sched_setaffinity(0, sizeof all, &all);
    uint32_t version = 0;
    while (!done) {
      sent += kBurst;
      missed += gateway.inside.receive(kHost & 0xff, kBurst);
      rte_mbuf* out[32];
      const uint16_t forwarded = rte_eth_rx_burst(gateway.outside.id, 0, out, 32);
      for (uint16_t i = 0; i < forwarded; ++i) {
        const uint32_t now = load_be32(rte_pktmbuf_mtod(out[i], const uint8_t*) + 14 + 12) - kAnyPublic;
        if (now < version) backwards++;
        version = now;
        rte_pktmbuf_free(out[i]);
      }
      left += forwarded;
      newest = version;
      rounds++;
    }
  }

  static constexpr uint16_t kBurst = 8;
  Gateway& gateway;
  std::atomic<bool> done{false};
  std::atomic<uint64_t> rounds{0};
  std::atomic<uint32_t> newest{0};
  uint64_t sent = 0, missed = 0, left = 0, backwards = 0;
  std::thread thread;
};

void update_under_traffic(const std::string& arguments, bool queued, const TemplateSource& rule = source_nat()) {
  Gateway gateway(arguments, queued, rule);
  gateway.decide(DecisionType::kSession, 1, gateway.nic);
  CHECK_EQ(gateway.forward_path(), RulePath::kOffloaded);
  Traffic traffic(gateway);
  traffic.meet();
  uint32_t version = 1;
  for (; version < kUpdates; ++version) {
    gateway.decide(DecisionType::kUpdate, version + 1, gateway.nic);
    CHECK_EQ(gateway.path->nic_rules(), 1u);
    if (version % 64 != 0) continue;
    traffic.meet();
    CHECK_EQ(traffic.newest.load(), version + 1);
  }
  traffic.stop();
  CHECK_EQ(gateway.forward_path(), RulePath::kOffloaded);
  CHECK(traffic.sent > 1000);
  CHECK_EQ(traffic.missed, 0u);
  CHECK_EQ(traffic.left, traffic.sent);
  CHECK_EQ(traffic.backwards, 0u);
  CHECK_EQ(gateway.inside.xstat("application_missed_packets"), 0u);
  // What hits a rule between its last query and its destruction no interface tells: some packets of each
  // update.
  const double counted = gateway.query().forward_packets;
  CHECK(counted <= static_cast<double>(traffic.sent) && counted > static_cast<double>(traffic.sent) / 2);
}

TEST(an_updated_rule_is_made_before_the_old_one_goes_through_a_flow_queue) { update_under_traffic("", true); }

TEST(an_updated_rule_is_made_before_the_old_one_goes_one_by_one) { update_under_traffic("", false); }

TEST(an_updated_rule_of_two_halves_is_made_before_the_old_one_goes) {
  update_under_traffic("", false, joined_nat());
}

TEST(both_halves_of_a_rule_come_and_go_together) {
  Gateway gateway("", false, joined_nat());
  gateway.decide(DecisionType::kSession, 1, gateway.nic);
  CHECK_EQ(gateway.forward_path(), RulePath::kOffloaded);
  CHECK_EQ(gateway.inside.xstat("rules"), 2u);
  CHECK_EQ(gateway.path->nic_rules(), 1u);
  CHECK_EQ(gateway.inside.receive(kHost & 0xff, 8), 0);
  gateway.decide(DecisionType::kUpdate, 2, gateway.nic);
  CHECK_EQ(gateway.inside.xstat("rules"), 2u);
  CHECK_EQ(gateway.query().forward_packets, 8.0);
  gateway.decide(DecisionType::kRemove, 0, kNoTemplate);
  CHECK_EQ(gateway.inside.xstat("rules"), 0u);
}

TEST(a_first_half_that_the_nic_refuses_takes_its_second_half_with_it) {
  Gateway gateway(",max_rules=1", false, joined_nat());
  gateway.decide(DecisionType::kSession, 1, gateway.nic);
  CHECK_EQ(gateway.forward_path(), RulePath::kFailed);
  CHECK_EQ(gateway.inside.xstat("rules"), 0u);
  CHECK_EQ(gateway.inside.receive(kHost & 0xff, 8), 8);
}

// What the tests above would see of an update that is a deletion and an insertion.
TEST(a_rule_that_is_deleted_and_inserted_leaves_a_gap) {
  Gateway gateway("", true);
  gateway.decide(DecisionType::kSession, 1, gateway.nic);
  Traffic traffic(gateway);
  traffic.meet();
  gateway.decide(DecisionType::kUpdate, 2, kNoTemplate);
  CHECK_EQ(gateway.forward_path(), RulePath::kSoftware);
  traffic.meet();
  gateway.decide(DecisionType::kOffload, 2, gateway.nic);
  traffic.meet();
  traffic.stop();
  CHECK_EQ(gateway.forward_path(), RulePath::kOffloaded);
  CHECK(traffic.missed > 0);
  CHECK_EQ(traffic.left + traffic.missed, traffic.sent);
}

// Completions come late: until then both rules are there, and the session may end, or change again.
TEST(a_rule_that_is_replaced_waits_for_the_completion_of_the_new_one) {
  Gateway gateway(",insert_latency=20000", true);
  gateway.decide(DecisionType::kSession, 1, gateway.nic);
  CHECK_EQ(gateway.forward_path(), RulePath::kPending);
  const auto settle = [&] {
    while (gateway.forward_path() == RulePath::kPending) gateway.path->drain_decisions(1);
  };
  settle();
  gateway.decide(DecisionType::kUpdate, 2, gateway.nic);
  CHECK_EQ(gateway.forward_path(), RulePath::kPending);
  CHECK_EQ(gateway.path->nic_rules(), 2u);
  CHECK_EQ(gateway.inside.receive(kHost & 0xff, 8), 0);
  gateway.decide(DecisionType::kUpdate, 3, gateway.nic);
  CHECK_EQ(gateway.path->nic_rules(), 2u);
  CHECK_EQ(gateway.inside.receive(kHost & 0xff, 8), 0);
  CHECK_EQ(gateway.query().forward_packets, 16.0);
  settle();
  CHECK_EQ(gateway.path->nic_rules(), 1u);
  CHECK_EQ(gateway.inside.receive(kHost & 0xff, 8), 0);
  CHECK_EQ(gateway.query().forward_packets, 24.0);
  gateway.decide(DecisionType::kUpdate, 4, gateway.nic);
  gateway.decide(DecisionType::kRemove, 0, kNoTemplate);
  CHECK_EQ(gateway.path->nic_rules(), 0u);
  gateway.path->drain_decisions(1);
  CHECK_EQ(gateway.inside.receive(kHost & 0xff, 8), 8);
}

// A NIC without room for two: the old rule goes first.
TEST(a_full_nic_has_the_old_rule_taken_out_first) {
  Gateway gateway(",max_rules=1", false);
  gateway.decide(DecisionType::kSession, 1, gateway.nic);
  CHECK_EQ(gateway.forward_path(), RulePath::kOffloaded);
  for (uint32_t version = 2; version < 6; ++version) {
    gateway.decide(DecisionType::kUpdate, version, gateway.nic);
    CHECK_EQ(gateway.forward_path(), RulePath::kOffloaded);
    CHECK_EQ(gateway.path->nic_rules(), 1u);
    CHECK_EQ(gateway.inside.receive(kHost & 0xff, 8), 0);
  }
  CHECK_EQ(gateway.query().forward_packets, 32.0);
}

}  // namespace
}  // namespace sluice::test
