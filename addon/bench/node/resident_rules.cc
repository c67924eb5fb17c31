#include "bench/node/resident_rules.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>

#include <cstring>
#include <ctime>
#include <string>

#include "bench/shapes.h"
#include "packet/wire.h"
#include "slow_path/native_fault.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kAgeSeconds = 300;
constexpr uint16_t kMaxBurst = 64;

// One rule under construction: a structure for each item and action, filled in anew for each flow.
struct RuleBuilder {
  rte_flow_attr attr = {};
  rte_flow_item items[12];
  rte_flow_action actions[14];
  size_t item_count = 0, action_count = 0;

  void item(rte_flow_item_type type, const void* spec = nullptr, const void* mask = nullptr, const void* last = nullptr) {
    items[item_count++] = {type, spec, last, mask};
  }
  void action(rte_flow_action_type type, const void* conf = nullptr) { actions[action_count++] = {type, conf}; }
  void create(uint16_t port) {
    item(RTE_FLOW_ITEM_TYPE_END);
    action(RTE_FLOW_ACTION_TYPE_END);
    rte_flow_error error = {};
    if (rte_flow_create(port, &attr, items, actions, &error) == nullptr)
      throw NativeFault("RULE", error.message == nullptr ? "refused" : error.message, -rte_errno);
  }
};

// The punts of a gateway, which no packet here hits, and the way into group 1.
void install_constant_rules(uint16_t from) {
  const rte_flow_item_ethdev port = {from}, whole_port = {UINT16_MAX};
  const rte_flow_action_ethdev self = {from};
  for (int layer = 0; layer < 2; layer++) {
    for (int punt = 0; punt < 3; punt++) {
      RuleBuilder rule;
      rule.attr.transfer = 1;
      rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, &port, &whole_port);
      rte_flow_item_ipv4 spec = {}, mask = {}, last = {};
      if (punt == 0) {
        spec.hdr.fragment_offset = RTE_BE16(1), last.hdr.fragment_offset = mask.hdr.fragment_offset = RTE_BE16(0x3fff);
      } else if (punt == 1) {
        spec.hdr.version_ihl = 0x46, last.hdr.version_ihl = 0x4f, mask.hdr.version_ihl = 0xff;
      } else {
        mask.hdr.time_to_live = 0xfe;
      }
      rule.item(RTE_FLOW_ITEM_TYPE_ETH);
      if (layer == 1) {
        for (const auto type : {RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP, RTE_FLOW_ITEM_TYPE_VXLAN, RTE_FLOW_ITEM_TYPE_ETH})
          rule.item(type);
      }
      rule.item(RTE_FLOW_ITEM_TYPE_IPV4, &spec, &mask, punt < 2 ? &last : nullptr);
      rule.action(RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, &self);
      rule.create(from);
    }
  }
  RuleBuilder way;
  const rte_flow_action_jump jump = {1};
  way.attr.transfer = 1;
  way.attr.priority = 1;
  way.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, &port, &whole_port);
  way.item(RTE_FLOW_ITEM_TYPE_ETH);
  way.action(RTE_FLOW_ACTION_TYPE_JUMP, &jump);
  way.create(from);
}

// What VXLAN_ENCAP is given.
struct EncapDefinition {
  rte_flow_item_eth eth = {};
  rte_flow_item_ipv4 ip = {};
  rte_flow_item_udp udp = {};
  rte_flow_item_vxlan vxlan = {};
  rte_flow_item items[5];

  EncapDefinition() {
    eth.hdr.dst_addr = {{2, 0, 0, 0, 0, 0x21}};
    eth.hdr.src_addr = {{2, 0, 0, 0, 0, 0x22}};
    ip.hdr.src_addr = RTE_BE32(kShapeTunnelEnd);
    ip.hdr.dst_addr = RTE_BE32(kShapePeerEnd);
    vxlan.hdr.vx_vni = RTE_BE32(kShapeOtherVni << 8);
    items[0] = {RTE_FLOW_ITEM_TYPE_ETH, &eth, nullptr, nullptr};
    items[1] = {RTE_FLOW_ITEM_TYPE_IPV4, &ip, nullptr, nullptr};
    items[2] = {RTE_FLOW_ITEM_TYPE_UDP, &udp, nullptr, nullptr};
    items[3] = {RTE_FLOW_ITEM_TYPE_VXLAN, &vxlan, nullptr, nullptr};
    items[4] = {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr};
  }
};

void install(uint16_t from, uint16_t to, const ShapeFlow& flow, EncapDefinition* definition) {
  RuleBuilder rule;
  rule.attr.transfer = 1;
  rule.attr.group = 1;
  const rte_flow_item_ethdev port = {from}, whole_port = {UINT16_MAX};
  const rte_flow_action_ethdev out = {to};
  rte_flow_item_vxlan vni = {}, vni_mask = {};
  vni.hdr.vx_vni = RTE_BE32(kShapeVni << 8);
  vni_mask.hdr.vx_vni = RTE_BE32(0xffffff00);
  rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, &port, &whole_port);
  if (flow.from_tunnel) {
    for (const auto type : {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP}) rule.item(type);
    rule.item(RTE_FLOW_ITEM_TYPE_VXLAN, &vni, &vni_mask);
  }
  rte_flow_item_ipv4 ip = {};
  ip.hdr.src_addr = rte_cpu_to_be_32(flow.source);
  ip.hdr.dst_addr = rte_cpu_to_be_32(flow.destination);
  rte_flow_item_udp ports = {};  // TCP's begins with the same two fields
  rte_flow_item_tcp tcp = {};
  ports.hdr.src_port = tcp.hdr.src_port = rte_cpu_to_be_16(flow.source_port);
  ports.hdr.dst_port = tcp.hdr.dst_port = rte_cpu_to_be_16(flow.destination_port);
  rule.item(RTE_FLOW_ITEM_TYPE_ETH);
  rule.item(RTE_FLOW_ITEM_TYPE_IPV4, &ip);  // the default masks: addresses, ports
  if (flow.protocol == kProtocolUdp) rule.item(RTE_FLOW_ITEM_TYPE_UDP, &ports);
  if (flow.protocol == kProtocolTcp) rule.item(RTE_FLOW_ITEM_TYPE_TCP, &tcp);
  if (flow.protocol == kProtocolIcmp) rule.item(RTE_FLOW_ITEM_TYPE_ICMP);

  rte_flow_action_age age = {};
  age.timeout = kAgeSeconds;
  rte_flow_action_set_mac macs[2];
  std::memcpy(macs, kShapeMacs, sizeof macs);
  const rte_flow_action_set_ipv4 source = {rte_cpu_to_be_32(flow.new_source)};
  const rte_flow_action_set_ipv4 destination = {rte_cpu_to_be_32(flow.new_destination)};
  const rte_flow_action_set_tp source_port = {rte_cpu_to_be_16(flow.new_source_port)};
  const rte_flow_action_set_tp destination_port = {rte_cpu_to_be_16(flow.new_destination_port)};
  const rte_flow_action_vxlan_encap encap = {definition->items};
  rule.action(RTE_FLOW_ACTION_TYPE_COUNT);
  rule.action(RTE_FLOW_ACTION_TYPE_AGE, &age);
  if (flow.from_tunnel) rule.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP);
  rule.action(RTE_FLOW_ACTION_TYPE_SET_MAC_DST, &macs[0]);
  rule.action(RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, &macs[1]);
  if (flow.new_source != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, &source);
  if (flow.new_destination != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_DST, &destination);
  if (flow.protocol != kProtocolIcmp) {
    if (flow.new_source != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, &source_port);
    if (flow.new_destination != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_DST, &destination_port);
  }
  rule.action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
  if (flow.into_tunnel) rule.action(RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP, &encap);
  rule.action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, &out);
  rule.create(from);
}

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

ResidentResult run_with_shapes(double seconds, uint32_t flows, const std::function<void()>& round) {
  ShapeTraffic& traffic = shape_traffic();
  traffic.flows = flows;
  traffic.emitted = traffic.arrived = traffic.checked = traffic.wrong = 0;
  const double hertz = static_cast<double>(rte_get_tsc_hz());
  const uint64_t begin = rte_rdtsc(), ticks = static_cast<uint64_t>(seconds * hertz);
  const double cpu_begin = cpu_seconds();
  while (rte_rdtsc() - begin < ticks) round();
  ResidentResult result;
  result.cpu_seconds = cpu_seconds() - cpu_begin;
  result.seconds = static_cast<double>(rte_rdtsc() - begin) / hertz;
  traffic.flows = 0;
  result.packets = traffic.arrived;
  result.emitted = traffic.emitted;
  result.checked = traffic.checked;
  result.wrong = traffic.wrong;
  return result;
}

void install_resident_rules(uint16_t from, uint16_t to, uint32_t count) {
  install_constant_rules(from);
  EncapDefinition definition;
  for (uint32_t number = 0; number < count; number++) install(from, to, shape_flow(number), &definition);
}

ResidentResult run_resident_rules(uint16_t port, double seconds, uint32_t burst, uint32_t flows) {
  rte_mbuf* frames[kMaxBurst];
  const auto most = static_cast<uint16_t>(burst > kMaxBurst ? kMaxBurst : burst);
  return run_with_shapes(seconds, flows, [&] {
    const uint16_t missed = rte_eth_rx_burst(port, 0, frames, most);
    if (missed != 0) rte_pktmbuf_free_bulk(frames, missed);  // emitted, never arrived
  });
}

}  // namespace sluice::bench
