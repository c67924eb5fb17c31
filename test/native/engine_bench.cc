// How fast the engine alone is on one core: rows inserted, deleted, and packets matched and rewritten, a second of
// CPU time. Not a test:
//   build/native/test/native/engine_bench [rules]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "packet/wire.h"
#include "support.h"

namespace sluice::test {
namespace {

// CPU time: what others take of the core does not count.
double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}
double seconds_since(double start) { return cpu_seconds() - start; }

// Packets of flows drawn at random, `burst` at a time; writing the frames anew is part of the rate.
void forward(FlowEngine& engine, const Bytes& frame, uint32_t flows, size_t burst) {
  std::vector<std::unique_ptr<Mbuf>> mbufs;
  for (size_t i = 0; i < burst; ++i) mbufs.push_back(std::make_unique<Mbuf>(frame));
  const uint16_t offset = mbufs[0]->get()->data_off;
  std::vector<PacketContext> contexts(burst);
  std::vector<PacketContext*> pointers;
  for (PacketContext& context : contexts) pointers.push_back(&context);
  std::vector<Verdict> verdicts(burst);
  std::mt19937 random(1);
  constexpr uint32_t kPackets = 4000000;
  uint64_t hits = 0;
  const auto start = cpu_seconds();
  for (uint32_t i = 0; i < kPackets; i += static_cast<uint32_t>(burst)) {
    for (size_t at = 0; at < burst; ++at) {
      rte_mbuf* mbuf = mbufs[at]->get();
      mbuf->data_off = offset;
      mbuf->data_len = static_cast<uint16_t>(frame.size());
      mbuf->pkt_len = static_cast<uint32_t>(frame.size());
      uint8_t* bytes = rte_pktmbuf_mtod(mbuf, uint8_t*);
      std::memcpy(bytes, frame.data(), frame.size());
      store_be32(bytes + 76, static_cast<uint32_t>(random() % flows));
      contexts[at] = context_of(*mbufs[at]);
    }
    if (burst == 1) {
      verdicts[0] = engine.process(contexts[0]);
    } else {
      engine.process_burst(pointers.data(), burst, verdicts.data());
    }
    for (const Verdict& verdict : verdicts) hits += verdict.fate == Fate::kRepresentedPort;
  }
  std::printf("forward %8.2f Mpps over %u flows (%llu hits), bursts of %zu\n",
              kPackets / seconds_since(start) / 1e6, flows, static_cast<unsigned long long>(hits), burst);
}

// As a gateway has them: constant rules that no packet here hits, each of another form, before the way into
// group 1.
void add_constant_rules(FlowEngine& engine) {
  rte_flow_error error = {};
  const auto add = [&](Rule& rule, uint32_t priority) {
    rule.attr.priority = priority;
    engine.create(rule.attr, rule.items(), rule.actions(), 0, &error);
  };
  for (int i = 0; i < 8; ++i) {
    Rule rule;
    rte_flow_item_ipv4 ip = ipv4_spec(0, 0), mask = ipv4_spec(0, 0);
    rule.item(RTE_FLOW_ITEM_TYPE_ETH);
    if (i % 2 == 1)
      rule.item(RTE_FLOW_ITEM_TYPE_IPV4)
          .item(RTE_FLOW_ITEM_TYPE_UDP)
          .item(RTE_FLOW_ITEM_TYPE_VXLAN)
          .item(RTE_FLOW_ITEM_TYPE_ETH);
    switch (i / 2) {
      case 0: mask.hdr.time_to_live = 0xfe; break;
      case 1: ip.hdr.version_ihl = 0x46, mask.hdr.version_ihl = 0xff; break;
      case 2: ip.hdr.fragment_offset = 1, mask.hdr.fragment_offset = 0xff3f; break;
      default: ip.hdr.type_of_service = 3, mask.hdr.type_of_service = 3; break;
    }
    rule.item(RTE_FLOW_ITEM_TYPE_IPV4, ip, &mask)
        .action(RTE_FLOW_ACTION_TYPE_QUEUE, rte_flow_action_queue{0});
    add(rule, 0);
  }
  Rule jump;
  jump.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_JUMP, rte_flow_action_jump{1});
  add(jump, 1);
}

void measure(uint32_t rules) {
  EngineOptions options;
  options.max_rules = rules + 16;
  FlowEngine engine(options);
  add_constant_rules(engine);
  Rule shape;
  shape.attr.group = 1;
  const rte_flow_item_ipv4 ip_mask = ipv4_spec(0xffffffff, 0xffffffff);
  const rte_flow_item_udp port_mask = udp_spec(0xffff, 0xffff);
  const rte_flow_item_vxlan vni_mask = vxlan_spec(0xffffff);
  shape.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_UDP);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_VXLAN, nullptr, &vni_mask, nullptr, sizeof vni_mask)
      .item(RTE_FLOW_ITEM_TYPE_ETH);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_IPV4, nullptr, &ip_mask, nullptr, sizeof ip_mask);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_UDP, nullptr, &port_mask, nullptr, sizeof port_mask);
  rte_flow_action_age age = {};
  age.timeout = 300;
  shape.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP)
      .action(RTE_FLOW_ACTION_TYPE_COUNT)
      .action(RTE_FLOW_ACTION_TYPE_AGE, age);
  shape.action(RTE_FLOW_ACTION_TYPE_SET_MAC_DST, rte_flow_action_set_mac{});
  shape.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{1});
  shape.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{2})
      .action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
  shape.action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, port_spec(1));
  rte_flow_error error = {};
  RuleTable* table = engine.create_table(shape.attr, shape.items(), shape.actions(), &error);

  rte_flow_item_vxlan vni = vxlan_spec(100);
  rte_flow_item_ipv4 ip = ipv4_spec(0, 0x08080808);
  rte_flow_item_udp ports = udp_spec(1000, 53);
  rte_flow_item items[8] = {};
  for (size_t at = 0; at < 8; ++at) items[at].type = shape.items()[at].type;
  items[3].spec = &vni;
  items[5].spec = &ip;
  items[6].spec = &ports;
  std::vector<FlowRule*> rows(rules);
  auto start = cpu_seconds();
  for (uint32_t i = 0; i < rules; ++i) {
    ip.hdr.src_addr = rte_cpu_to_be_32(i);
    rows[i] = engine.create_row(table, items, shape.actions(), 0, &error);
  }
  std::printf("insert  %8.2f M rows/s\n", rules / seconds_since(start) / 1e6);
  std::printf("memory  %8.1f bytes a row\n", static_cast<double>(engine.memory_bytes()) / rules);

  Ipv4 header;
  header.destination = 0x08080808;
  const Bytes frame = tunnel(100, ethernet(kEtherTypeIpv4, ipv4(header, udp(1000, 53, Bytes(22)))));
  for (const uint32_t flows : {1000u, rules}) {
    if (flows > rules) continue;
    forward(engine, frame, flows, 1);
    forward(engine, frame, flows, 32);
  }
  start = cpu_seconds();
  for (FlowRule* row : rows) engine.destroy(row);
  std::printf("delete  %8.2f M rows/s\n", rules / seconds_since(start) / 1e6);
}

}  // namespace
}  // namespace sluice::test

int main(int argc, char** argv) {
  sluice::test::measure(argc > 1 ? static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 0)) : 1000000);
  return 0;
}
