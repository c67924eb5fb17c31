// What a burst's look-ups skip, beside the slow ways: a screen beside its comparisons one by one, planned
// look-ups with a long memory beside match(), which plans nothing.
#include <algorithm>
#include <map>

#include "engine_fixture.h"
#include "flow_engine/absence_filter.h"
#include "flow_engine/screen.h"
#include "packet/wire.h"

namespace sluice::test {
namespace {

using Random = std::mt19937_64;

// As a group makes them: words of values or ranges, inside a mask.
Comparison random_comparison(Random& random) {
  Comparison comparison = {};
  comparison.slot = random() % 8 == 0   ? Slot::kRegisters
                    : random() % 3 == 0 ? Slot::kOuterEth
                                        : Slot::kOuterL3;
  comparison.offset = static_cast<int8_t>(random() % 3);
  const size_t first = random() % 8, bytes = 1 + random() % std::min<size_t>(4, 8 - first);
  uint8_t mask[8] = {};
  for (size_t i = 0; i < bytes; ++i)
    mask[first + i] = random() % 3 == 0 ? static_cast<uint8_t>(random()) : 0xff;
  comparison.mask = load_raw<uint64_t>(mask);
  const auto value = [&] {
    return __builtin_bswap64((random() % 2 == 0 ? random() : random() & 0x0101010101010101) &
                             comparison.mask);
  };
  const uint64_t one = value(), other = random() % 3 == 0 ? one : value();
  comparison.low = random() % 6 == 0 ? 0 : std::min(one, other);
  comparison.span = std::max(one, other) - comparison.low;
  return comparison;
}

TEST(a_screen_lets_everything_through_for_which_a_comparison_holds) {
  Random random(1);
  std::map<std::string, uint64_t> reached;
  for (int round = 0; round < 3000; ++round) {
    Screen screen;
    screen.clear();
    std::vector<Comparison> added;
    for (size_t n = 1 + random() % 6; n > 0; --n) {
      const Comparison comparison = random_comparison(random);
      const bool is_added = screen.add(comparison);
      ++reached[is_added ? "added" : "not added"];
      if (is_added) added.push_back(comparison);
    }
    for (int n = 0; n < 20; ++n) {
      Bytes frame = udp_frame();
      for (size_t i = kEthernetBytes; i < frame.size(); ++i) {
        if (random() % 2 == 0) frame[i] = static_cast<uint8_t>(random() % 2 == 0 ? random() : random() & 1);
      }
      ParsedPacket headers;
      headers.outer.eth = 0;
      headers.outer.l3 = kEthernetBytes;
      PacketView view = {};
      view.base[static_cast<size_t>(Slot::kOuterEth)] = frame.data();
      view.base[static_cast<size_t>(Slot::kOuterL3)] = frame.data() + kEthernetBytes;
      const bool holds =
          std::any_of(added.begin(), added.end(), [&](const Comparison& one) { return one.holds(view); });
      const bool may_hold = screen.may_hold(frame.data(), headers);
      if (holds && !may_hold) fail_check(__FILE__, __LINE__, "screened out: " + show(frame));
      ++reached[holds ? "holds" : may_hold ? "holds not, but may" : "screened out"];
    }
  }
  for (const char* name : {"added", "not added", "holds", "holds not, but may", "screened out"}) {
    if (reached[name] < 100) fail_check(__FILE__, __LINE__, std::string("hardly ever reached: ") + name);
  }
}

// Punts of a gateway: each alone is seen, and what none is for is told at one go.
TEST(a_screen_tells_a_usual_packet_from_all_punts) {
  const auto in_ipv4 = [](uint64_t mask, uint64_t low, uint64_t high, int8_t offset) {
    return Comparison{__builtin_bswap64(mask), low, high - low, Slot::kOuterL3, offset};
  };
  Screen screen;
  screen.clear();
  CHECK(screen.add(in_ipv4(0x3fff, 1, 0x3fff, 0)));                            // fragments
  CHECK(screen.add(in_ipv4(0xffull << 56, 0x46ull << 56, 0x4full << 56, 0)));  // options
  CHECK(screen.add(in_ipv4(0xfe, 0, 0, 1)));                                   // TTL 0 and 1
  const auto may_hold = [&](const Ipv4& header) {
    const Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {})));
    Mbuf mbuf(frame);
    return screen.may_hold(frame.data(), context_of(mbuf).headers);
  };
  Ipv4 usual;
  CHECK(!may_hold(usual));
  for (const uint16_t fragment : {0x2000, 0x0001, 0x1f00}) {
    Ipv4 header = usual;
    header.fragment = fragment;
    CHECK(may_hold(header));
  }
  Ipv4 with_options = usual, late = usual;
  with_options.options = {1, 1, 1, 1};
  late.ttl = 1;
  CHECK(may_hold(with_options));
  CHECK(may_hold(late));
  late.ttl = 2;
  CHECK(!may_hold(late));
}

// Eight tables of three keys, some of which share words and differ in what their keys have alike; rules come
// and go between bursts, one memory goes on.
TEST(planned_look_ups_find_what_unplanned_ones_find_while_rules_come_and_go) {
  Random random(7);
  std::map<std::string, uint64_t> reached;
  BurstMemory memory;
  for (int round = 0; round < 60; ++round) {
    Engine engine;
    std::vector<FlowRule*> rules;
    const auto add = [&] {
      const auto shape = static_cast<uint32_t>(random() % 8);
      Rule rule;
      rule.attr.group = shape % 4 == 3 ? 0 : 1;
      rule.attr.priority = random() % 8 == 0 ? 1 : 0;
      if (random() % 2 == 0)
        rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, port_spec(static_cast<uint16_t>(random() % 3)));
      rule.item(RTE_FLOW_ITEM_TYPE_ETH);
      const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0xffffffff);
      const auto host = static_cast<uint32_t>(kHost + random() % 6);
      rule.item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(host, shape < 4 ? kServer : kPublic), &mask);
      const auto port = static_cast<uint16_t>(shape % 2 == 0 ? 1000 : 1001);
      if (shape % 4 < 2) {
        const rte_flow_item_udp ports = udp_spec(0xffff, 0xffff);
        rule.item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(port, static_cast<uint16_t>(53 + random() % 3)), &ports);
      } else if (shape % 4 == 2) {
        rule.item(RTE_FLOW_ITEM_TYPE_TAG, rte_flow_item_tag{static_cast<uint32_t>(random() % 2), 1}, [] {
          static const rte_flow_item_tag whole = {UINT32_MAX, 0xff};
          return &whole;
        }());
      }
      rule.action(RTE_FLOW_ACTION_TYPE_COUNT);
      if (shape % 3 == 0) rule.action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
      if (rule.attr.group == 0) {
        rule.action(RTE_FLOW_ACTION_TYPE_JUMP, rte_flow_action_jump{1});
      } else {
        send_to(rule, static_cast<uint16_t>(shape));
      }
      if (FlowRule* added = engine.add(rule)) rules.push_back(added);
    };
    for (int n = 0; n < 12; ++n) {
      for (size_t more = random() % 30; more > 0; --more) add();
      for (size_t fewer = random() % 6; fewer > 0 && !rules.empty(); --fewer) {
        std::swap(rules[random() % rules.size()], rules.back());
        engine.engine.destroy(rules.back());
        rules.pop_back();
      }
      std::vector<std::unique_ptr<Mbuf>> mbufs;
      std::vector<PacketContext> contexts;
      for (int i = 0; i < 32; ++i) {
        Ipv4 header;
        header.source = static_cast<uint32_t>(kHost + random() % 7);
        header.destination = random() % 2 == 0 ? kServer : kPublic;
        const auto payload =
            udp(static_cast<uint16_t>(1000 + random() % 3), static_cast<uint16_t>(53 + random() % 4), {1});
        mbufs.push_back(std::make_unique<Mbuf>(ethernet(kEtherTypeIpv4, ipv4(header, payload))));
        // Of more kinds than a memory keeps.
        const auto port = static_cast<uint16_t>(random() % 2 == 0 ? random() % 4 : random() % 200);
        contexts.push_back(context_of(*mbufs.back(), port));
        contexts.back().tag[1] = static_cast<uint32_t>(random() % 3);
      }
      std::vector<PacketContext*> burst;
      std::vector<const FlowRule*> wanted;
      std::vector<uint64_t> before;
      for (PacketContext& context : contexts) {
        burst.push_back(&context);
        const FlowRule* rule = engine.engine.match(context, 0);
        if (rule != nullptr) rule = engine.engine.match(context, 1);  // no rule of group 0 changes a key
        ++reached[rule == nullptr                                ? "none"
                  : engine.engine.attributes(rule).priority == 0 ? "first"
                                                                 : "second priority"];
        wanted.push_back(rule);
      }
      std::map<const FlowRule*, uint64_t> expected;
      for (const FlowRule* rule : rules) expected[rule] = engine.engine.counters(rule).packets;
      for (const FlowRule* rule : wanted) {
        if (rule != nullptr) ++expected[rule];
      }
      std::vector<Verdict> got(burst.size());
      engine.engine.process_burst(burst.data(), burst.size(), got.data(), nullptr, &memory);
      for (size_t i = 0; i < wanted.size(); ++i) CHECK_EQ(got[i].fate == Fate::kMiss, wanted[i] == nullptr);
      for (const auto& [rule, packets] : expected) {
        if (engine.engine.attributes(rule).group == 1)
          CHECK_EQ(engine.engine.counters(rule).packets, packets);
      }
    }
  }
  for (const char* name : {"none", "first", "second priority"}) {
    if (reached[name] < 100) fail_check(__FILE__, __LINE__, std::string("hardly ever reached: ") + name);
  }
}

// Tables whose keys have no bit alike are told from each other by none: more of them fit a packet than look-ups
// are prepared for.
TEST(a_packet_that_eight_tables_fit_finds_its_rule_in_any_of_them) {
  constexpr uint32_t kTables = 8, kRules = 64;
  Random random(11);
  Engine engine;
  BurstMemory memory;
  struct Wanted {
    uint32_t source, destination;
    uint16_t port;
  };
  std::vector<Wanted> rules;
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0xffffffff);
  for (uint32_t priority = 0; priority < kTables; ++priority) {
    for (uint32_t i = 0; i < kRules; ++i) {
      rules.push_back({static_cast<uint32_t>(random()), static_cast<uint32_t>(random()),
                       static_cast<uint16_t>(priority * kRules + i)});
      Rule rule;
      rule.attr.priority = priority;
      rule.item(RTE_FLOW_ITEM_TYPE_ETH)
          .item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(rules.back().source, rules.back().destination), &mask);
      engine.must_add(send_to(rule, rules.back().port));
    }
  }
  for (const Wanted& wanted : rules) {
    Ipv4 header;
    header.source = wanted.source;
    header.destination = wanted.destination;
    Mbuf mbuf(ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {}))));
    PacketContext context = context_of(mbuf);
    PacketContext* burst[] = {&context};
    Verdict got;
    engine.engine.process_burst(burst, 1, &got, nullptr, &memory);
    CHECK_EQ(got.port_id, wanted.port);
  }
}

// A gateway's group 0: a punt, else on to the flows' rules. What is remembered of the way there is of one
// port, and more ports than are remembered take it.
TEST(packets_of_many_ports_come_to_their_own_rules_behind_a_jump) {
  constexpr uint16_t kPorts = 200;
  Random random(5);
  Engine engine;
  BurstMemory memory;
  Rule punt, jump;
  rte_flow_item_ipv4 last_hop = {}, ttl = {};
  last_hop.hdr.time_to_live = 1;
  ttl.hdr.time_to_live = 0xff;
  punt.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, last_hop, &ttl);
  engine.add(send_to(punt, 9999));
  jump.attr.priority = 1;
  jump.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_JUMP, rte_flow_action_jump{1});
  engine.add(jump);
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0xffffffff);
  for (uint16_t port = 0; port < kPorts; ++port) {
    Rule rule;
    rule.attr.group = 1;
    rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, port_spec(port))
        .item(RTE_FLOW_ITEM_TYPE_ETH)
        .item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kHost, kServer), &mask);
    engine.add(send_to(rule, static_cast<uint16_t>(1000 + port)));
  }
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::unique_ptr<Mbuf>> mbufs;
    std::vector<PacketContext> contexts;
    std::vector<PacketContext*> burst;
    for (int i = 0; i < 16; ++i) {
      Ipv4 header;
      header.source = kHost;
      header.destination = kServer;
      if (random() % 16 == 0) header.ttl = 1;
      mbufs.push_back(std::make_unique<Mbuf>(ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {})))));
      contexts.push_back(context_of(*mbufs.back(), static_cast<uint16_t>(random() % kPorts)));
    }
    for (PacketContext& context : contexts) burst.push_back(&context);
    std::vector<Verdict> got(burst.size());
    engine.engine.process_burst(burst.data(), burst.size(), got.data(), nullptr, &memory);
    for (size_t i = 0; i < burst.size(); ++i) {
      const bool is_punted = rte_pktmbuf_mtod(contexts[i].mbuf, uint8_t*)[kEthernetBytes + 8] == 1;
      CHECK_EQ(got[i].port_id, is_punted ? 9999 : 1000 + contexts[i].ingress_port_id);
    }
  }
}

// An index grows while rules are created: those that have yet to move are there all the same.
TEST(a_rule_is_refused_again_while_its_index_grows) {
  constexpr uint32_t kRules = 12000;  // below the size from which a table has a filter
  Random random(13);
  Engine engine;
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0);
  const auto rule_of = [&](uint32_t host) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(host, 0), &mask);
    return send_to(rule, static_cast<uint16_t>(host % 1000));
  };
  for (uint32_t host = 0; host < kRules; ++host) {
    CHECK(engine.add(rule_of(host)) != nullptr);
    for (int again = 0; again < 4; ++again)
      CHECK(engine.add(rule_of(static_cast<uint32_t>(random() % (host + 1)))) == nullptr);
  }
  CHECK_EQ(engine.engine.rules(), kRules);
}

// A large table tells by its filter what it has not, and writes its index later: nobody sees anything of it.
TEST(rules_of_a_large_table_are_hit_refused_and_gone_at_once) {
  Random random(11);
  std::map<std::string, uint64_t> reached;
  Engine engine;
  BurstMemory memory;
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0);
  const auto rule_of = [&](uint32_t host) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(host, 0), &mask);
    return send_to(rule, static_cast<uint16_t>(host % 1000));
  };
  const auto port_of = [&](uint32_t host) {
    Ipv4 header;
    header.source = host;
    Mbuf mbuf(ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {}))));
    PacketContext context = context_of(mbuf), *burst = &context;
    if (random() % 2 == 0) return engine.engine.process(context).port_id;
    Verdict verdict;
    engine.engine.process_burst(&burst, 1, &verdict, nullptr, &memory);
    return verdict.port_id;
  };
  std::map<uint32_t, FlowRule*> present;
  for (int step = 0; step < 60000; ++step) {
    const auto host =
        static_cast<uint32_t>(0x0a000001 + (step < 30000 ? static_cast<uint64_t>(step) : random() % 40000));
    const bool is_there = present.count(host) != 0;
    FlowRule* added = engine.add(rule_of(host));
    ++reached[added == nullptr ? "refused" : "added"];
    if ((added == nullptr) != is_there) fail_check(__FILE__, __LINE__, "host " + std::to_string(host));
    if (added != nullptr) present[host] = added;
    if (random() % 8 == 0) {
      ++reached["hit"];
      CHECK_EQ(port_of(host), static_cast<uint16_t>(host % 1000));
    }
    if (random() % 8 == 0) {
      ++reached["twice"];
      CHECK(engine.add(rule_of(host)) == nullptr);
    }
    if (random() % (step < 30000 ? 16 : 2) == 0) {
      const bool in_batch = random() % 2 == 0;
      ++reached[in_batch ? "gone in a batch" : "gone"];
      if (in_batch) {
        engine.engine.destroy(&present[host], 1);
      } else {
        engine.engine.destroy(present[host]);
      }
      present.erase(host);
      if (random() % 8 == 0) CHECK_EQ(port_of(host), 0);
    }
    CHECK_EQ(engine.engine.rules(), static_cast<uint32_t>(present.size()));
  }
  for (const auto& [host, rule] : present) {
    if (host % 16 == 0) CHECK_EQ(port_of(host), static_cast<uint16_t>(host % 1000));
  }
  for (const char* name : {"refused", "added", "hit", "twice", "gone", "gone in a batch"}) {
    if (reached[name] < 1000) fail_check(__FILE__, __LINE__, std::string("hardly ever reached: ") + name);
  }
}

// What was added is never denied; of what was not, most is, in each generation.
TEST(a_filter_of_absence_never_denies_what_it_was_given) {
  Random random(5);
  AbsenceFilter filter;
  std::vector<uint32_t> given;
  size_t doubtful = 0;
  constexpr size_t kKeys = 300000;  // a full generation, and most of the next
  for (size_t i = 0; i < kKeys; ++i) {
    const auto hash = static_cast<uint32_t>(random());
    if (filter.may_have(hash)) ++doubtful;
    CHECK(filter.add(hash));
    given.push_back(hash);
  }
  for (const uint32_t hash : given) CHECK(filter.may_have(hash));
  CHECK(doubtful < kKeys / 12);
  CHECK(filter.memory_bytes() < 2 * kKeys);
}

}  // namespace
}  // namespace sluice::test
