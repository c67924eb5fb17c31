// How fast the engine alone is on one core: rows inserted, deleted, and packets matched and rewritten. Not a
// test:
//   build/native/test/native/engine_bench [rules]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "packet/wire.h"
#include "support.h"

namespace sluice::test {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void measure(uint32_t rules) {
  EngineOptions options;
  options.max_rules = rules;
  FlowEngine engine(options);
  Rule shape;
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
  auto start = std::chrono::steady_clock::now();
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
    Mbuf mbuf(frame);
    std::mt19937 random(1);
    constexpr uint32_t kPackets = 4000000;
    const uint16_t offset = mbuf.get()->data_off;
    uint64_t hits = 0;
    start = std::chrono::steady_clock::now();
    for (uint32_t i = 0; i < kPackets; ++i) {
      mbuf.get()->data_off = offset;
      mbuf.get()->data_len = static_cast<uint16_t>(frame.size());
      mbuf.get()->pkt_len = static_cast<uint32_t>(frame.size());
      uint8_t* bytes = rte_pktmbuf_mtod(mbuf.get(), uint8_t*);
      std::memcpy(bytes, frame.data(), frame.size());
      store_be32(bytes + 76, static_cast<uint32_t>(random() % flows));
      PacketContext context = context_of(mbuf);
      hits += engine.process(context).fate == Fate::kRepresentedPort;
    }
    std::printf("forward %8.2f Mpps over %u flows (%llu hits), one packet at a time\n",
                kPackets / seconds_since(start) / 1e6, flows, static_cast<unsigned long long>(hits));
  }
  start = std::chrono::steady_clock::now();
  for (FlowRule* row : rows) engine.destroy(row);
  std::printf("delete  %8.2f M rows/s\n", rules / seconds_since(start) / 1e6);
}

}  // namespace
}  // namespace sluice::test

int main(int argc, char** argv) {
  sluice::test::measure(argc > 1 ? static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 0)) : 1000000);
  return 0;
}
