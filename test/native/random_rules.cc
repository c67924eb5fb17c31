#include "random_rules.h"

#include <rte_ethdev.h>

#include <cstring>

#include "packet/wire.h"

namespace sluice::test {

// Few values, so that rules and packets meet.
static uint32_t address(Random& random) { return 0x0a000001 + static_cast<uint32_t>(random() % 3); }
static uint16_t port_number(Random& random) { return static_cast<uint16_t>(1000 + random() % 3); }
bool chance(Random& random, unsigned percent) { return random() % 100 < percent; }

static Bytes random_l4(Random& random, uint8_t protocol) {
  Bytes payload(random() % 12, 7);
  switch (protocol) {
    case 6: return tcp(port_number(random), port_number(random), payload, static_cast<uint8_t>(random() % 4));
    case 17: return udp(port_number(random), port_number(random), payload, chance(random, 70));
    case 58: return icmp_echo(chance(random, 50) ? 128 : 129, static_cast<uint16_t>(random() % 3), payload);
    case 1: return icmp_echo(chance(random, 50) ? 8 : 0, static_cast<uint16_t>(random() % 3), payload);
    default: return payload;
  }
}

static Bytes random_frame(Random& random, int depth) {
  std::vector<uint16_t> tags;
  while (chance(random, 20) && tags.size() < 3) tags.push_back(static_cast<uint16_t>(5 + random() % 2));
  if (chance(random, 4)) return arp();
  if (chance(random, 15)) {
    constexpr uint8_t kNext[] = {17, 6, 58, 59};
    uint8_t next = kNext[random() % 4];
    Bytes payload = random_l4(random, next);
    if (chance(random,
               20)) {  // a fragment header before it (RFC 8200 section 4.5): next, reserved, offset and M, id
      const Bytes extension = {next, 0, 0, static_cast<uint8_t>(chance(random, 50) ? 0x01 : 0x08),
                               0,    0, 0, 1};
      payload.insert(payload.begin(), extension.begin(), extension.end());
      next = 44;
    }
    Bytes packet = ipv6(next, payload, static_cast<uint8_t>(random() % 3));
    store_be32(packet.data(), 0x60000000 | static_cast<uint32_t>(random() % 0x10000000));
    return ethernet(kEtherTypeIpv6, packet, tags);
  }
  Ipv4 header;
  header.source = address(random);
  header.destination = address(random);
  header.ttl = static_cast<uint8_t>(random() % 4);
  header.tos = static_cast<uint8_t>(random());
  if (chance(random, 8)) header.fragment = chance(random, 50) ? 0x2000 : 0x0003;
  if (chance(random, 8)) header.options = Bytes(4 * (1 + random() % 3), 1);
  if (depth == 0 && chance(random, 60)) {
    header.fragment = 0;
    const Bytes inner = chance(random, 3) ? Bytes(random() % 14) : random_frame(random, 1);
    return ethernet(
        kEtherTypeIpv4,
        ipv4(header,
             udp(50000, 4789,
                 vxlan(100 + static_cast<uint32_t>(random() % 2), inner, chance(random, 3) ? 0 : 8), false)),
        tags);
  }
  constexpr uint8_t kProtocols[] = {17, 17, 6, 6, 1, 47};
  header.protocol = kProtocols[random() % 6];
  return ethernet(kEtherTypeIpv4, ipv4(header, random_l4(random, header.protocol)), tags);
}

// Damage, padding and truncation on top.
Bytes random_packet(Random& random) {
  Bytes frame = random_frame(random, 0);
  if (chance(random, 10)) frame.resize(frame.size() + random() % 20);
  if (chance(random, 10)) frame[random() % frame.size()] ^= static_cast<uint8_t>(1u << random() % 8);
  if (chance(random, 5)) frame.resize(random() % (frame.size() + 1));
  return frame;
}

void add_layer(Random& random, Rule* rule, bool inner, std::map<std::string, uint64_t>* reached, bool* vxlan,
               bool* udp_item) {
  // Sometimes the bottom is omitted.
  const bool with_eth = inner || chance(random, 80);
  if (with_eth) {
    if (chance(random, 15)) {
      rte_flow_item_eth spec = {}, mask = {};
      spec.has_vlan = random() % 2;
      mask.has_vlan = 1;
      rule->item(RTE_FLOW_ITEM_TYPE_ETH, spec, &mask);
      ++(*reached)["has_vlan"];
    } else if (chance(random, 15)) {
      rte_flow_item_eth spec = {};
      for (int i = 0; i < 6; ++i)
        spec.hdr.dst_addr.addr_bytes[i] = spec.hdr.src_addr.addr_bytes[i] = i == 0 ? 2 : 0;
      spec.hdr.dst_addr.addr_bytes[5] = 2;
      spec.hdr.src_addr.addr_bytes[5] = 1;
      rule->item(RTE_FLOW_ITEM_TYPE_ETH, spec);
    } else {
      rule->item(RTE_FLOW_ITEM_TYPE_ETH);
    }
    if (chance(random, 10)) return;
  }
  if (chance(random, 10)) rule->item(RTE_FLOW_ITEM_TYPE_VOID);
  for (int i = 0; i < 2 && chance(random, 20); ++i) {
    rte_flow_item_vlan spec = {};
    spec.hdr.vlan_tci = rte_cpu_to_be_16(static_cast<uint16_t>(5 + random() % 2));
    chance(random, 50) ? rule->item(RTE_FLOW_ITEM_TYPE_VLAN, spec) : rule->item(RTE_FLOW_ITEM_TYPE_VLAN);
  }
  const bool v6 = chance(random, 15);
  if (v6) {
    rte_flow_item_ipv6 spec = {}, mask = {};
    if (chance(random, 30)) {
      spec.has_frag_ext = random() % 2;
      mask.has_frag_ext = 1;
      ++(*reached)["has_frag_ext"];
      rule->item(RTE_FLOW_ITEM_TYPE_IPV6, spec, &mask);
    } else if (chance(random, 30)) {
      spec.hdr.src_addr[0] = 0x20;
      spec.hdr.src_addr[15] = 1;
      std::memset(mask.hdr.src_addr, 0xff, 16);
      rule->item(RTE_FLOW_ITEM_TYPE_IPV6, spec, &mask);
    } else {
      rule->item(RTE_FLOW_ITEM_TYPE_IPV6);
    }
  } else if (chance(random, 60)) {
    rte_flow_item_ipv4 spec = ipv4_spec(address(random), address(random)), mask = {}, last = {};
    if (chance(random, 50)) mask.hdr.src_addr = 0xffffffff;
    if (chance(random, 30))
      mask.hdr.dst_addr = rte_cpu_to_be_32(chance(random, 50) ? 0xffffffff : 0xfffffffe);
    if (chance(random, 20)) mask.hdr.time_to_live = 0xff;
    spec.hdr.time_to_live = static_cast<uint8_t>(random() % 3);
    if (chance(random, 20)) {
      last = spec;
      last.hdr.src_addr = rte_cpu_to_be_32(rte_be_to_cpu_32(spec.hdr.src_addr) + 1);
      last.hdr.time_to_live = 3;
      rule->item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask, &last);
    } else if (chance(random, 20)) {
      rule->item(RTE_FLOW_ITEM_TYPE_IPV4, spec);
    } else {
      rule->item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask);
    }
  } else {
    rule->item(RTE_FLOW_ITEM_TYPE_IPV4);
  }
  if (chance(random, 15)) return;
  const bool tunnel_next = !inner && chance(random, 60);
  switch (tunnel_next ? 0 : random() % 3) {
    case 0: {
      *udp_item = true;
      const rte_flow_item_udp spec = udp_spec(port_number(random), port_number(random));
      const rte_flow_item_udp last =
          udp_spec(static_cast<uint16_t>(rte_be_to_cpu_16(spec.hdr.src_port) + 1), 0);
      const rte_flow_item_udp mask = udp_spec(0xffff, 0);
      if (tunnel_next || chance(random, 30)) {
        rule->item(RTE_FLOW_ITEM_TYPE_UDP);
      } else if (chance(random, 30)) {
        rule->item(RTE_FLOW_ITEM_TYPE_UDP, spec, chance(random, 50) ? &mask : nullptr, &last);
      } else {
        rule->item(RTE_FLOW_ITEM_TYPE_UDP, spec, chance(random, 70) ? &mask : nullptr);
      }
      break;
    }
    case 1: {
      *udp_item = true;  // TCP serves SET_TP as well
      rte_flow_item_tcp spec = tcp_spec(port_number(random), port_number(random), 2),
                        mask = tcp_spec(0, 0xffff, 2);
      if (chance(random, 40)) {
        rule->item(RTE_FLOW_ITEM_TYPE_TCP);
      } else {
        rule->item(RTE_FLOW_ITEM_TYPE_TCP, spec, chance(random, 60) ? &mask : nullptr);
      }
      break;
    }
    default: {
      if (v6) {
        rte_flow_item_icmp6 echo = {};
        echo.type = chance(random, 50) ? 128 : 129;
        chance(random, 50) ? rule->item(RTE_FLOW_ITEM_TYPE_ICMP6)
                           : rule->item(RTE_FLOW_ITEM_TYPE_ICMP6, echo);
        return;
      }
      rte_flow_item_icmp spec = {};
      spec.hdr.icmp_type = chance(random, 50) ? 8 : 0;
      chance(random, 50) ? rule->item(RTE_FLOW_ITEM_TYPE_ICMP) : rule->item(RTE_FLOW_ITEM_TYPE_ICMP, spec);
      return;
    }
  }
  if (!tunnel_next) return;
  *vxlan = true;
  chance(random, 50)
      ? rule->item(RTE_FLOW_ITEM_TYPE_VXLAN)
      : rule->item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(100 + static_cast<uint32_t>(random() % 2)));
  if (chance(random, 70)) add_layer(random, rule, true, reached, vxlan, udp_item);
}

static void add_modify(Random& random, Rule* rule) {
  struct Field {
    rte_flow_field_id field;
    uint32_t width;
  };
  constexpr Field kFields[] = {
      {RTE_FLOW_FIELD_MAC_DST, 48},      {RTE_FLOW_FIELD_MAC_SRC, 48},      {RTE_FLOW_FIELD_VLAN_ID, 12},
      {RTE_FLOW_FIELD_IPV4_DSCP, 6},     {RTE_FLOW_FIELD_IPV4_TTL, 8},      {RTE_FLOW_FIELD_IPV4_SRC, 32},
      {RTE_FLOW_FIELD_IPV4_DST, 32},     {RTE_FLOW_FIELD_TCP_PORT_SRC, 16}, {RTE_FLOW_FIELD_TCP_PORT_DST, 16},
      {RTE_FLOW_FIELD_UDP_PORT_SRC, 16}, {RTE_FLOW_FIELD_UDP_PORT_DST, 16}, {RTE_FLOW_FIELD_IPV6_DSCP, 6},
      {RTE_FLOW_FIELD_IPV6_HOPLIMIT, 8}, {RTE_FLOW_FIELD_IPV6_SRC, 128},    {RTE_FLOW_FIELD_IPV6_DST, 128},
      {RTE_FLOW_FIELD_META, 32},         {RTE_FLOW_FIELD_MARK, 32},         {RTE_FLOW_FIELD_TAG, 32}};
  const Field field = kFields[random() % std::size(kFields)];
  rte_flow_action_modify_field conf = {};
  conf.operation = static_cast<rte_flow_modify_op>(random() % 3);
  conf.dst.field = field.field;
  conf.dst.level = static_cast<uint32_t>(random() % 3);
  conf.src.field = RTE_FLOW_FIELD_VALUE;
  for (uint8_t& byte : conf.src.value) byte = static_cast<uint8_t>(random() % 4);
  if (chance(random, 20)) {
    const void* value = rule->keep(conf.src.value, sizeof conf.src.value);
    conf.src.field = RTE_FLOW_FIELD_POINTER;
    conf.src.pvalue = const_cast<void*>(value);
  }
  conf.width = field.width;
  rule->action(RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, conf);
}

// One to three items that look at what rules have set.
void add_registers(Random& random, Rule* rule) {
  if (chance(random, 40))
    rule->item(RTE_FLOW_ITEM_TYPE_META, rte_flow_item_meta{static_cast<uint32_t>(random() % 2)});
  if (chance(random, 40)) {
    const rte_flow_item_mark mask = {1};
    rule->item(RTE_FLOW_ITEM_TYPE_MARK, rte_flow_item_mark{static_cast<uint32_t>(random() % 2)}, &mask);
  }
  if (chance(random, 40)) {
    rte_flow_item_tag tag = {};
    tag.data = static_cast<uint32_t>(random() % 2);
    tag.index = static_cast<uint8_t>(random() % 3);
    rule->item(RTE_FLOW_ITEM_TYPE_TAG, tag);
  }
}

static rte_flow_action_rss random_rss(Random& random, Rule* rule) {
  rte_flow_action_rss rss = {};
  uint8_t key[40];
  for (uint8_t& byte : key) byte = static_cast<uint8_t>(random());
  uint16_t queues[5];
  for (uint16_t& queue : queues) queue = static_cast<uint16_t>(random() % 4);
  constexpr uint64_t kTypes[] = {0, RTE_ETH_RSS_IP, RTE_ETH_RSS_TCP, RTE_ETH_RSS_UDP | RTE_ETH_RSS_IPV4};
  rss.level = static_cast<uint32_t>(random() % 3);
  rss.types = kTypes[random() % 4];
  rss.key_len = sizeof key;
  rss.key = static_cast<const uint8_t*>(rule->keep(key, sizeof key));
  rss.queue_num = static_cast<uint32_t>(1 + random() % 5);
  rss.queue = static_cast<const uint16_t*>(rule->keep(queues, sizeof queues));
  return rss;
}

// The bytes of a tunnel's headers, as testpmd writes them: only what varies is filled in.
static rte_flow_action_raw_encap random_raw_vxlan(Random& random, Rule* rule) {
  Bytes bytes(50);
  bytes[5] = static_cast<uint8_t>(random());
  store_be16(&bytes[12], kEtherTypeIpv4);
  store_be32(&bytes[26], static_cast<uint32_t>(random()));
  store_be32(&bytes[30], static_cast<uint32_t>(random()));
  store_be16(&bytes[34], static_cast<uint16_t>(random()));
  store_be16(&bytes[36], chance(random, 50) ? 4789 : 0);
  bytes[48] = static_cast<uint8_t>(random());
  rte_flow_action_raw_encap conf = {};
  conf.data = static_cast<uint8_t*>(rule->keep(bytes.data(), bytes.size()));
  conf.size = bytes.size();
  return conf;
}

void add_actions(Random& random, Rule* rule, bool vxlan, bool has_ports) {
  bool eth = false, v4 = false, v6 = false;
  for (size_t i = 0; i < rule->item_count(); ++i) {
    eth = eth || rule->items()[i].type == RTE_FLOW_ITEM_TYPE_ETH;
    v4 = v4 || rule->items()[i].type == RTE_FLOW_ITEM_TYPE_IPV4;
    v6 = v6 || rule->items()[i].type == RTE_FLOW_ITEM_TYPE_IPV6;
  }
  bool counted = false;
  int tunnels = vxlan ? 1 : 0;
  rte_flow_action_set_mac mac = {};
  for (uint8_t& byte : mac.mac_addr) byte = static_cast<uint8_t>(random());
  for (int n = static_cast<int>(random() % 7); n > 0; --n) {
    switch (random() % 26) {
      case 0:
        if (!counted) rule->action(RTE_FLOW_ACTION_TYPE_COUNT);
        counted = true;
        break;
      case 1:
        rule->action(RTE_FLOW_ACTION_TYPE_MARK, rte_flow_action_mark{static_cast<uint32_t>(random())});
        break;
      case 2:
      case 3:
        if (tunnels > 0) {
          rule->action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP);
          --tunnels;
        }
        break;
      case 4:
        add_vxlan_encap(*rule, static_cast<uint32_t>(random() % 1000), static_cast<uint32_t>(random()),
                        chance(random, 20));
        ++tunnels;
        break;
      case 5:
        if (eth) rule->action(RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, mac);
        break;
      case 6:
        if (eth) rule->action(RTE_FLOW_ACTION_TYPE_SET_MAC_DST, mac);
        break;
      case 7:
        if (v4)
          rule->action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC,
                       rte_flow_action_set_ipv4{rte_cpu_to_be_32(address(random))});
        break;
      case 8:
        if (v4)
          rule->action(RTE_FLOW_ACTION_TYPE_SET_IPV4_DST,
                       rte_flow_action_set_ipv4{static_cast<uint32_t>(random())});
        break;
      case 9:
        if (has_ports)
          rule->action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC,
                       rte_flow_action_set_tp{rte_cpu_to_be_16(port_number(random))});
        break;
      case 10:
        if (has_ports)
          rule->action(RTE_FLOW_ACTION_TYPE_SET_TP_DST,
                       rte_flow_action_set_tp{static_cast<uint16_t>(random())});
        break;
      case 11:
        if (v4 || v6) rule->action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
        break;
      case 12:
        if (v4 || v6)
          rule->action(RTE_FLOW_ACTION_TYPE_SET_TTL, rte_flow_action_set_ttl{static_cast<uint8_t>(random())});
        break;
      case 13:
        rule->action(RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN,
                     rte_flow_action_of_push_vlan{rte_cpu_to_be_16(0x88a8)});
        rule->action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID,
                     rte_flow_action_of_set_vlan_vid{rte_cpu_to_be_16(5)});
        break;
      case 14: rule->action(RTE_FLOW_ACTION_TYPE_OF_POP_VLAN); break;
      case 15:
        rule->action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP,
                     rte_flow_action_of_set_vlan_pcp{static_cast<uint8_t>(random() % 8)});
        break;
      case 16: rule->action(RTE_FLOW_ACTION_TYPE_FLAG); break;
      case 17:
        rule->action(
            RTE_FLOW_ACTION_TYPE_SET_META,
            rte_flow_action_set_meta{static_cast<uint32_t>(random() % 2), chance(random, 80) ? ~0u : 2});
        break;
      case 18: {
        rte_flow_action_set_tag tag = {};
        tag.data = static_cast<uint32_t>(random() % 2);
        tag.mask = chance(random, 80) ? ~0u : 2;
        tag.index = static_cast<uint8_t>(random() % 3);
        rule->action(RTE_FLOW_ACTION_TYPE_SET_TAG, tag);
        break;
      }
      case 19:
      case 20:
        if (v6) {
          rte_flow_action_set_ipv6 address6 = {};
          for (uint8_t& byte : address6.ipv6_addr) byte = static_cast<uint8_t>(random());
          rule->action(
              chance(random, 50) ? RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC : RTE_FLOW_ACTION_TYPE_SET_IPV6_DST,
              address6);
        }
        break;
      case 21:
        if (v4 || v6)
          rule->action(v4 ? RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP : RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP,
                       rte_flow_action_set_dscp{static_cast<uint8_t>(random() % 64)});
        break;
      case 22:
        rule->action(RTE_FLOW_ACTION_TYPE_RAW_ENCAP, random_raw_vxlan(random, rule));
        ++tunnels;
        break;
      case 23:
        if (tunnels > 0) {
          const rte_flow_action_raw_encap encap = random_raw_vxlan(random, rule);
          rule->action(RTE_FLOW_ACTION_TYPE_RAW_DECAP, rte_flow_action_raw_decap{encap.data, encap.size});
          --tunnels;
        }
        break;
      case 24:
        if (eth) {
          Bytes ethernet_bytes(chance(random, 30) ? 18 : 14, static_cast<uint8_t>(random()));
          store_be16(&ethernet_bytes[12], ethernet_bytes.size() == 18 ? kEtherTypeVlan : kEtherTypeIpv4);
          rule->action(RTE_FLOW_ACTION_TYPE_RAW_DECAP, rte_flow_action_raw_decap{nullptr, 14});
          rte_flow_action_raw_encap l2 = {};
          l2.data = static_cast<uint8_t*>(rule->keep(ethernet_bytes.data(), ethernet_bytes.size()));
          l2.size = ethernet_bytes.size();
          rule->action(RTE_FLOW_ACTION_TYPE_RAW_ENCAP, l2);
        }
        break;
      default: add_modify(random, rule); break;
    }
  }
  switch (random() % 8) {
    case 0: rule->action(RTE_FLOW_ACTION_TYPE_DROP); break;
    case 6: rule->action(RTE_FLOW_ACTION_TYPE_RSS, random_rss(random, rule)); break;
    case 1:
      rule->action(RTE_FLOW_ACTION_TYPE_QUEUE, rte_flow_action_queue{static_cast<uint16_t>(random() % 4)});
      break;
    case 2:
      rule->action(RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, port_spec(static_cast<uint16_t>(random() % 4)));
      break;
    case 3:
      rule->action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, port_spec(static_cast<uint16_t>(random() % 4)));
      break;
    case 4:
    case 5:
      rule->action(RTE_FLOW_ACTION_TYPE_JUMP,
                   rte_flow_action_jump{rule->attr.group + 1 + static_cast<uint32_t>(random() % 2) * 100});
      break;
    default: break;
  }
}

std::vector<std::unique_ptr<Rule>> family(Random& random) {
  std::vector<std::unique_ptr<Rule>> rules;
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0xffffffff);
  const auto group = static_cast<uint32_t>(random() % 2), priority = static_cast<uint32_t>(random() % 3);
  const bool jumps = chance(random, 40);
  for (uint32_t i = 0; i < 9; ++i) {
    auto rule = std::make_unique<Rule>();
    rule->attr.group = group;
    rule->attr.priority = priority;
    rule->item(RTE_FLOW_ITEM_TYPE_ETH)
        .item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(0x0a000001 + i % 3, 0x0a000001 + i / 3), &mask);
    rule->action(RTE_FLOW_ACTION_TYPE_COUNT);
    rule->action(RTE_FLOW_ACTION_TYPE_MARK, rte_flow_action_mark{static_cast<uint32_t>(random() % 4)});
    if (jumps) {
      rule->action(RTE_FLOW_ACTION_TYPE_JUMP, rte_flow_action_jump{group + 1});
    } else {
      rule->action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, port_spec(static_cast<uint16_t>(random() % 4)));
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace sluice::test
