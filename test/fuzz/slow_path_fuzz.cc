// The slow path against a hostile wire and a hostile decision maker: any frames on both ports, and for every
// miss a decision picked by the input: sessions, answers, retries, and records of random bytes. Nothing may
// crash, leak a packet buffer or lose count of one.
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <string>

#include "input.h"
#include "packet/checksum.h"
#include "slow_path/eal.h"
#include "slow_path/memory_wire.h"
#include "slow_path/slow_path.h"

namespace {

using namespace sluice;

constexpr uint32_t kEventSlots = 64, kDecisionSlots = 256;

using fuzz::demand;
using Bytes = fuzz::Input;

struct World {
  std::vector<std::string> devices;
  std::vector<uint16_t> port_ids;
  std::vector<const MemoryWire*> wires;
  rte_mempool* pool = nullptr;
};

World& world() {
  static World* only = nullptr;
  if (only != nullptr) return *only;
  only = new World;
  start_eal({"fuzz", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry", "-l", "0",
             "--file-prefix", "sluice-fuzz-" + std::to_string(getpid()), "--log-level", "*:error"});
  only->devices = create_memory_wires({"a", "b"});
  only->pool =
      rte_pktmbuf_pool_create("frames", 2047, 0, 0, 2048 + 256 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
  for (const std::string& device : only->devices) {
    uint16_t id = 0;
    rte_eth_dev_get_port_by_name(device.c_str(), &id);
    rte_eth_conf conf = {};
    rte_eth_dev_configure(id, 1, 1, &conf);
    rte_eth_rx_queue_setup(id, 0, 64, 0, nullptr, only->pool);
    rte_eth_tx_queue_setup(id, 0, 64, 0, nullptr);
    rte_eth_dev_start(id);
    only->port_ids.push_back(id);
    only->wires.push_back(find_memory_wire(device));
  }
  return *only;
}

TemplateSource::Bytes zeros(size_t count) { return TemplateSource::Bytes(count, 0); }
TemplateSource::Bytes ones_at(size_t size, size_t at, size_t count) {
  TemplateSource::Bytes bytes(size, 0);
  std::fill_n(bytes.begin() + static_cast<long>(at), count, 0xff);
  return bytes;
}

TemplateSource::Patch item(uint32_t index, uint32_t offset, uint32_t width, size_t argument) {
  return {PatchTarget::kItem, index, offset, width, static_cast<uint32_t>(argument), true};
}
TemplateSource::Patch action(uint32_t index, uint32_t offset, uint32_t width, size_t argument,
                             bool big_endian = true) {
  return {PatchTarget::kAction, index, offset, width, static_cast<uint32_t>(argument), big_endian};
}

ItemType l4_item(uint8_t protocol) {
  return protocol == 6 ? ItemType::kTcp : protocol == 17 ? ItemType::kUdp : ItemType::kIcmp;
}

// VXLAN in, plain out: the shape of vpc-to-external.
TemplateSource forward_template(uint8_t protocol) {
  TemplateSource source;
  source.transfer = true;
  const size_t l4 = protocol == 6 ? 20 : 8;
  source.items = {{ItemType::kRepresentedPort, TemplateSource::Bytes{0, 0}, ones_at(2, 0, 2), {}},
                  {ItemType::kEth, {}, {}, {}},
                  {ItemType::kIpv4, {}, {}, {}},
                  {ItemType::kUdp, {}, {}, {}},
                  {ItemType::kVxlan, zeros(8), ones_at(8, 4, 3), {}},
                  {ItemType::kEth, {}, {}, {}},
                  {ItemType::kIpv4, zeros(20), ones_at(20, 12, 8), {}},
                  {l4_item(protocol), zeros(l4), protocol == 1 ? ones_at(8, 4, 2) : ones_at(l4, 0, 4), {}}};
  source.patches = {item(4, 4, 3, offsetof(FlowArguments, match_vni)),
                    item(6, 12, 4, offsetof(FlowArguments, match_source_address)),
                    item(6, 16, 4, offsetof(FlowArguments, match_destination_address)),
                    action(2, 0, 4, offsetof(FlowArguments, new_source_address))};
  source.actions = {{ActionType::kAge, {10, 0, 0, 0}},
                    {ActionType::kVxlanDecap, {}},
                    {ActionType::kSetIpv4Source, zeros(4)},
                    {ActionType::kDecTtl, {}},
                    {ActionType::kSetMacDestination, {2, 0, 0, 0, 0, 9}}};
  if (protocol == 1) {
    source.patches.push_back(item(7, 4, 2, offsetof(FlowArguments, match_source_port)));
    source.patches.push_back(action(5, 0, 2, offsetof(FlowArguments, new_source_port)));
    source.actions.push_back({ActionType::kSetIcmpIdent, zeros(2)});
  } else {
    source.patches.push_back(item(7, 0, 2, offsetof(FlowArguments, match_source_port)));
    source.patches.push_back(item(7, 2, 2, offsetof(FlowArguments, match_destination_port)));
    source.patches.push_back(action(5, 0, 2, offsetof(FlowArguments, new_source_port)));
    source.actions.push_back({ActionType::kSetTpSource, zeros(2)});
  }
  source.actions.push_back({ActionType::kRepresentedPort, {1, 0}});
  return source;
}

// Plain in, VXLAN out.
TemplateSource reverse_template(uint8_t protocol) {
  TemplateSource source;
  source.transfer = true;
  const size_t l4 = protocol == 6 ? 20 : 8;
  source.items = {{ItemType::kRepresentedPort, TemplateSource::Bytes{1, 0}, ones_at(2, 0, 2), {}},
                  {ItemType::kEth, {}, {}, {}},
                  {ItemType::kIpv4, zeros(20), ones_at(20, 12, 8), {}},
                  {l4_item(protocol), zeros(l4), protocol == 1 ? ones_at(8, 4, 2) : ones_at(l4, 0, 4), {}}};
  TemplateSource::Bytes envelope = zeros(50);
  envelope[12] = 8;
  envelope[14] = 0x45;
  envelope[22] = 64;
  envelope[23] = 17;
  store_be16(envelope.data() + 36, 4789);
  envelope[42] = 8;
  source.actions = {{ActionType::kAge, {10, 0, 0, 0}},
                    {ActionType::kSetIpv4Destination, zeros(4)},
                    {ActionType::kDecTtl, {}}};
  source.patches = {item(2, 12, 4, offsetof(FlowArguments, match_source_address)),
                    item(2, 16, 4, offsetof(FlowArguments, match_destination_address)),
                    action(1, 0, 4, offsetof(FlowArguments, new_destination_address))};
  if (protocol == 1) {
    source.patches.push_back(item(3, 4, 2, offsetof(FlowArguments, match_source_port)));
    source.patches.push_back(action(3, 0, 2, offsetof(FlowArguments, new_destination_port)));
    source.actions.push_back({ActionType::kSetIcmpIdent, zeros(2)});
  } else {
    source.patches.push_back(item(3, 0, 2, offsetof(FlowArguments, match_source_port)));
    source.patches.push_back(item(3, 2, 2, offsetof(FlowArguments, match_destination_port)));
    source.patches.push_back(action(3, 0, 2, offsetof(FlowArguments, new_destination_port)));
    source.actions.push_back({ActionType::kSetTpDestination, zeros(2)});
  }
  source.patches.push_back(action(4, 46, 3, offsetof(FlowArguments, new_vni)));
  source.actions.push_back({ActionType::kVxlanEncap, envelope});
  source.actions.push_back({ActionType::kRepresentedPort, {0, 0}});
  return source;
}

class Run {
 public:
  explicit Run(Bytes input) : input_(input), path_(options(), ports(), world().pool) {
    for (const uint8_t protocol : {6, 17, 1}) {
      path_.register_software(forward_template(protocol));
      path_.register_software(reverse_template(protocol));
    }
    events_ = path_.events_memory()->as<uint8_t>();
    decisions_ = path_.decisions_memory()->as<uint8_t>();
    std::memset(path_.vnis_memory()->as<uint8_t>(), 0xff, 64);  // VNIs below 512 lead somewhere
  }

  void go() {
    while (input_.left > 0) {
      step();
      path_.drain_decisions(UINT32_MAX);
      path_.flush_transmit();
      collect();
      answer();
    }
    path_.drain_decisions(UINT32_MAX);
    path_.drop_fragments();
    path_.flush_transmit();
    collect();
  }

  void finish() {
    const uint32_t held = path_.held();
    uint64_t dropped = 0;
    for (size_t reason = 0; reason < kDropReasonCount; reason++) dropped += path_.drops()[reason];
    // Fragmentation and answers send more than came; nothing that came is forgotten.
    demand(received_ <= sent_ + dropped + held, "every packet is sent, dropped or held");
    path_.shut_down();
    demand(rte_mempool_avail_count(world().pool) == world().pool->size, "no packet buffer is lost");
  }

 private:
  static SlowPathOptions options() {
    SlowPathOptions options;
    options.vtep = 0xac1e0001;
    const uint8_t mac[] = {2, 0, 0, 0, 0, 1};
    std::copy_n(mac, 6, options.underlay_mac);
    options.max_sessions = 64;
    options.max_held = 100;
    options.event_slots = kEventSlots;
    options.decision_slots = kDecisionSlots;
    options.replay = true;
    return options;
  }

  static std::vector<GatewayPort> ports() {
    std::vector<GatewayPort> ports(2);
    for (uint8_t i = 0; i < 2; i++) {
      ports[i].port_id = world().port_ids[i];
      ports[i].options.role = i == 0 ? PortRole::kFabric : PortRole::kExternal;
      ports[i].options.device = world().devices[i];
      ports[i].options.mac[0] = 2;
      ports[i].options.mac[5] = static_cast<uint8_t>(1 + i);
      ports[i].options.mtu = i == 0 ? 1550 : 1000;  // the way out is narrower than the way in
    }
    return ports;
  }

  // Repairs what random bytes almost never get right, so that the input reaches the code behind the checks.
  void repair(uint8_t* frame, uint32_t length, uint8_t how) {
    ParsedPacket packet;
    ParseOptions options;
    options.l4_of_first_fragment = true;
    parse(frame, length, options, &packet);
    const auto fix = [&](const LayerHeaders& layer) {
      if (layer.l3_kind != L3::kIpv4) return;
      uint8_t* ip = frame + layer.l3;
      store_raw<uint16_t>(ip + kIpv4Checksum, 0);
      store_raw(ip + kIpv4Checksum, static_cast<uint16_t>(~checksum_sum(ip, (ip[0] & 15u) * 4)));
      if (layer.protocol != kProtocolIcmp || layer.l4 == kAbsent || layer.fragment) return;
      uint8_t* icmp = frame + layer.l4;
      store_raw<uint16_t>(icmp + kIcmpChecksum, 0);
      store_raw(icmp + kIcmpChecksum, static_cast<uint16_t>(~checksum_sum(icmp, layer.l3_end - layer.l4)));
    };
    if ((how & 1) != 0 && packet.has_inner) fix(packet.inner);
    if ((how & 2) != 0) fix(packet.outer);
  }

  void step() {
    const uint8_t what = input_.byte();
    if (what == 0xff) return path_.advance(path_.now() + input_.byte() * kNanosecondsPerSecond / 4);
    const uint8_t port = what & 1;
    uint8_t size[2];
    input_.fill(size, 2);
    const uint32_t length = std::min<uint32_t>(load_be16(size) % 2200, 2000);
    rte_mbuf* frame = rte_pktmbuf_alloc(world().pool);
    demand(frame != nullptr, "packet buffers are bounded by what is held");
    auto* bytes = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(frame, static_cast<uint16_t>(length)));
    // Most frames have the headers that lead inside; the input changes what it likes of them.
    static constexpr uint8_t kFabricStart[] = {
        2,  0,  0, 0, 0,    1,    2, 0,    0,    0,    1, 1, 8,    0, 0x45, 0,    0, 0, 0, 0, 0, 0,
        64, 17, 0, 0, 0xac, 0x1e, 0, 0x0b, 0xac, 0x1e, 0, 1, 0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0, 8, 0,
        0,  0,  0, 0, 100,  0,    2, 0,    0,    0,    0, 1, 2,    0, 0,    0,    2, 2, 8, 0};
    static constexpr uint8_t kPlainStart[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 9, 9, 8, 0};
    uint32_t at = 0;
    if ((what & 2) != 0) {
      const bool fabric = port == 0;
      const uint32_t start = fabric ? sizeof kFabricStart : sizeof kPlainStart;
      at = std::min(start, length);
      std::memcpy(bytes, fabric ? kFabricStart : kPlainStart, at);
      if (fabric && length >= 42) {
        store_be16(bytes + 16, static_cast<uint16_t>(length - 14));
        store_be16(bytes + 38, static_cast<uint16_t>(length - 34));
      }
    }
    const uint32_t given = std::min<uint32_t>(length - at, 120);
    input_.fill(bytes + at, given);
    std::memset(bytes + at + given, 0x5a, length - at - given);
    if ((what & 4) != 0 && length >= at + 20) {
      bytes[at] = static_cast<uint8_t>(0x45 + (bytes[at] & 1));
      store_be16(bytes + at + 2, static_cast<uint16_t>(length - at));
    }
    if ((what & 8) != 0) repair(bytes, length, 3);
    const FrameFields& fields = FrameFields::instance();
    fields.stamp(frame) = path_.now() + 1000;
    fields.wire_length(frame) = length;
    received_++;
    path_.receive(frame, port);
  }

  void collect() {
    for (const MemoryWire* wire : world().wires) {
      void* frame = nullptr;
      while (rte_ring_dequeue(wire->from_gateway, &frame) == 0) {
        sent_++;
        rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
      }
    }
  }

  void push(const Decision& decision) {
    auto* produced = reinterpret_cast<uint32_t*>(decisions_);
    std::memcpy(decisions_ + kRingHeaderBytes + (*produced & (kDecisionSlots - 1)) * sizeof decision,
                &decision, sizeof decision);
    ++*produced;
  }

  void answer() {
    auto* consumed = reinterpret_cast<uint32_t*>(events_ + 64);
    const uint32_t produced = *reinterpret_cast<uint32_t*>(events_);
    for (; *consumed != produced; ++*consumed) {
      MissEvent event;
      std::memcpy(&event, events_ + kRingHeaderBytes + (*consumed & (kEventSlots - 1)) * sizeof event,
                  sizeof event);
      if (event.type == static_cast<uint8_t>(EventType::kMiss)) decide(event);
    }
  }

  void decide(const MissEvent& event) {
    const uint8_t how = input_.byte();
    Decision decision = {};
    decision.hold = event.hold;
    decision.reason = static_cast<uint8_t>(1 + how % (kDropReasonCount - 1));
    decision.nic_forward_template = decision.nic_reverse_template = kNoTemplate;
    decision.egress_vni = kNoVni;
    decision.egress_port = 1;
    switch (how % 12) {
      case 0: decision.type = static_cast<uint8_t>(DecisionType::kDrop); break;
      case 1: decision.type = static_cast<uint8_t>(DecisionType::kRetry); break;
      case 2:
      case 3:
        decision.type = static_cast<uint8_t>(DecisionType::kIcmpError);
        decision.icmp_type = 3;
        if (how % 12 == 3) {
          decision.egress_vni = 100;
          decision.egress_port = 0;
        }
        break;
      case 4: decision.type = static_cast<uint8_t>(DecisionType::kEchoReply); break;
      case 5: decision.type = static_cast<uint8_t>(DecisionType::kArpReply); break;
      case 6: return;  // forgotten
      case 7: {
        remove_some();
        decision.type = static_cast<uint8_t>(DecisionType::kDrop);
        break;
      }
      default: session(event, &decision); break;
    }
    push(decision);
  }

  void remove_some() {
    Decision decision = {};
    const uint8_t what = input_.byte();
    decision.type = static_cast<uint8_t>((what & 1) != 0 ? DecisionType::kRemove : DecisionType::kQuery);
    decision.row = input_.byte() % 64u;
    if ((what & 6) == 6) {
      // Of rows that are there, that are free, and that are none.
      decision.type = static_cast<uint8_t>(DecisionType::kRefresh);
      decision.rows = what;
      push(decision);
      return;
    }
    if (path_.sessions().at(decision.row).row->generation == 0) return;
    decision.generation = path_.sessions().at(decision.row).row->generation;
    push(decision);
  }

  void session(const MissEvent& event, Decision* decision) {
    uint32_t row = 0;
    while (row < 64 && (path_.sessions().at(row).row->generation != 0 || used_[row])) row++;
    const uint8_t protocol = event.protocol;
    const bool known = protocol == 6 || protocol == 17 || protocol == 1;
    decision->type = static_cast<uint8_t>(DecisionType::kDrop);
    if (row == 64 || !known || event.kind != static_cast<uint8_t>(MissKind::kIpv4) || event.vni == kNoVni)
      return;
    used_[row] = true;
    const auto shape = static_cast<uint16_t>(protocol == 6 ? 0 : protocol == 17 ? 2 : 4);
    decision->type = static_cast<uint8_t>(DecisionType::kSession);
    decision->row = row;
    decision->generation = ++generation_;
    decision->software_forward_template = shape;
    decision->software_reverse_template = shape + 1;
    decision->protocol = protocol;
    decision->flags = protocol == 6 ? kSessionFlagTcp : 0;
    decision->tcp_state = static_cast<uint8_t>(protocol == 6 ? TcpState::kSynForward : TcpState::kNone);
    decision->forward_port = 0;
    decision->reverse_port = 1;
    decision->offload_after_packets = 2;
    FlowArguments& forward = decision->forward_arguments;
    forward.match_vni = event.vni;
    forward.match_source_address = event.source_address;
    forward.match_destination_address = forward.new_destination_address = event.destination_address;
    forward.match_source_port = event.source_port;
    forward.match_destination_port = forward.new_destination_port = event.destination_port;
    forward.new_source_address = 0xcb007110;
    forward.new_source_port = static_cast<uint16_t>(protocol == 1 ? 5000 + row : 2000 + row);
    if (protocol == 1) forward.new_destination_port = forward.new_source_port;
    FlowArguments& reverse = decision->reverse_arguments;
    reverse.match_source_address = event.destination_address;
    reverse.match_destination_address = forward.new_source_address;
    reverse.match_source_port = protocol == 1 ? forward.new_source_port : event.destination_port;
    reverse.match_destination_port = forward.new_source_port;
    reverse.new_source_address = event.destination_address;
    reverse.new_destination_address = event.source_address;
    reverse.new_source_port = event.destination_port;
    reverse.new_destination_port = event.source_port;
    reverse.new_vni = event.vni;
  }

  Bytes input_;
  SlowPath path_;
  uint8_t* events_;
  uint8_t* decisions_;
  uint32_t generation_ = 0;
  bool used_[64] = {};
  uint64_t received_ = 0;
  uint64_t sent_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Run run({data, size});
  run.go();
  run.finish();
  return 0;
}
