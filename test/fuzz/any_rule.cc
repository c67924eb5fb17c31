#include "any_rule.h"

#include <rte_flow.h>

#include "flow_engine/items.h"
#include "packet/wire.h"

namespace fuzz {

using namespace sluice;
using namespace sluice::test;

namespace {

struct ItemKind {
  int type;
  size_t bytes;
};
constexpr ItemKind kItems[] = {
    {RTE_FLOW_ITEM_TYPE_VOID, 0},
    {RTE_FLOW_ITEM_TYPE_ETH, sizeof(rte_flow_item_eth)},
    {RTE_FLOW_ITEM_TYPE_VLAN, sizeof(rte_flow_item_vlan)},
    {RTE_FLOW_ITEM_TYPE_IPV4, sizeof(rte_flow_item_ipv4)},
    {RTE_FLOW_ITEM_TYPE_IPV6, sizeof(rte_flow_item_ipv6)},
    {RTE_FLOW_ITEM_TYPE_UDP, sizeof(rte_flow_item_udp)},
    {RTE_FLOW_ITEM_TYPE_TCP, sizeof(rte_flow_item_tcp)},
    {RTE_FLOW_ITEM_TYPE_ICMP, sizeof(rte_flow_item_icmp)},
    {RTE_FLOW_ITEM_TYPE_ICMP6, sizeof(rte_flow_item_icmp6)},
    {RTE_FLOW_ITEM_TYPE_VXLAN, sizeof(rte_flow_item_vxlan)},
    {RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, sizeof(rte_flow_item_ethdev)},
    {RTE_FLOW_ITEM_TYPE_INTEGRITY, sizeof(rte_flow_item_integrity)},
    {RTE_FLOW_ITEM_TYPE_META, sizeof(rte_flow_item_meta)},
    {RTE_FLOW_ITEM_TYPE_MARK, sizeof(rte_flow_item_mark)},
    {RTE_FLOW_ITEM_TYPE_TAG, sizeof(rte_flow_item_tag)},
    {RTE_FLOW_ITEM_TYPE_GRE, sizeof(rte_flow_item_gre)},
    {-7, 8},
};

struct ActionKind {
  int type;
  size_t bytes;
};
constexpr ActionKind kActions[] = {
    {RTE_FLOW_ACTION_TYPE_VOID, 0},
    {RTE_FLOW_ACTION_TYPE_COUNT, sizeof(rte_flow_action_count)},
    {RTE_FLOW_ACTION_TYPE_AGE, sizeof(rte_flow_action_age)},
    {RTE_FLOW_ACTION_TYPE_MARK, sizeof(rte_flow_action_mark)},
    {RTE_FLOW_ACTION_TYPE_FLAG, 0},
    {RTE_FLOW_ACTION_TYPE_SET_META, sizeof(rte_flow_action_set_meta)},
    {RTE_FLOW_ACTION_TYPE_SET_TAG, sizeof(rte_flow_action_set_tag)},
    {RTE_FLOW_ACTION_TYPE_JUMP, sizeof(rte_flow_action_jump)},
    {RTE_FLOW_ACTION_TYPE_QUEUE, sizeof(rte_flow_action_queue)},
    {RTE_FLOW_ACTION_TYPE_DROP, 0},
    {RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, sizeof(rte_flow_action_ethdev)},
    {RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, sizeof(rte_flow_action_ethdev)},
    {RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, sizeof(rte_flow_action_set_mac)},
    {RTE_FLOW_ACTION_TYPE_SET_MAC_DST, sizeof(rte_flow_action_set_mac)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, sizeof(rte_flow_action_set_ipv4)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV4_DST, sizeof(rte_flow_action_set_ipv4)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC, sizeof(rte_flow_action_set_ipv6)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV6_DST, sizeof(rte_flow_action_set_ipv6)},
    {RTE_FLOW_ACTION_TYPE_SET_TP_SRC, sizeof(rte_flow_action_set_tp)},
    {RTE_FLOW_ACTION_TYPE_SET_TP_DST, sizeof(rte_flow_action_set_tp)},
    {RTE_FLOW_ACTION_TYPE_SET_TTL, sizeof(rte_flow_action_set_ttl)},
    {RTE_FLOW_ACTION_TYPE_DEC_TTL, 0},
    {RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP, sizeof(rte_flow_action_set_dscp)},
    {RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP, sizeof(rte_flow_action_set_dscp)},
    {RTE_FLOW_ACTION_TYPE_VXLAN_DECAP, 0},
    {RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, sizeof(rte_flow_action_of_push_vlan)},
    {RTE_FLOW_ACTION_TYPE_OF_POP_VLAN, 0},
    {RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, sizeof(rte_flow_action_of_set_vlan_vid)},
    {RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, sizeof(rte_flow_action_of_set_vlan_pcp)},
    {kActionSetIcmpIdent, sizeof(rte_be16_t)},
    {RTE_FLOW_ACTION_TYPE_METER, sizeof(rte_flow_action_meter)},
    {-9, 8},
    // With pointers of their own.
    {RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP, 0},
    {RTE_FLOW_ACTION_TYPE_RAW_ENCAP, 0},
    {RTE_FLOW_ACTION_TYPE_RAW_DECAP, 0},
    {RTE_FLOW_ACTION_TYPE_RSS, 0},
    {RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, 0},
    {RTE_FLOW_ACTION_TYPE_INDIRECT, 0},
};

struct ModifyField {
  rte_flow_field_id field;
  uint32_t width;  // bits
};
constexpr ModifyField kModifyFields[] = {
    {RTE_FLOW_FIELD_MAC_DST, 48},      {RTE_FLOW_FIELD_MAC_SRC, 48},      {RTE_FLOW_FIELD_VLAN_ID, 12},
    {RTE_FLOW_FIELD_IPV4_DSCP, 6},     {RTE_FLOW_FIELD_IPV4_TTL, 8},      {RTE_FLOW_FIELD_IPV4_SRC, 32},
    {RTE_FLOW_FIELD_IPV4_DST, 32},     {RTE_FLOW_FIELD_TCP_PORT_SRC, 16}, {RTE_FLOW_FIELD_TCP_PORT_DST, 16},
    {RTE_FLOW_FIELD_UDP_PORT_SRC, 16}, {RTE_FLOW_FIELD_UDP_PORT_DST, 16}, {RTE_FLOW_FIELD_IPV6_DSCP, 6},
    {RTE_FLOW_FIELD_IPV6_HOPLIMIT, 8}, {RTE_FLOW_FIELD_IPV6_SRC, 128},    {RTE_FLOW_FIELD_IPV6_DST, 128},
    {RTE_FLOW_FIELD_TAG, 32},          {RTE_FLOW_FIELD_MARK, 32},         {RTE_FLOW_FIELD_META, 32},
};

// How a structure's bytes are made: most inputs would never meet a packet if every byte were its own.
void fill_structure(Input& in, uint8_t* out, size_t bytes, uint8_t way) {
  switch (way & 3) {
    case 0: std::memset(out, 0, bytes); break;
    case 1: std::memset(out, 0xff, bytes); break;
    case 2: in.fill(out, bytes); break;
    default: {  // a few bytes anywhere
      std::memset(out, 0, bytes);
      for (uint8_t count = in.byte() & 7; count != 0 && bytes != 0; --count) {
        const size_t at = in.byte() % bytes;
        out[at] = in.byte();
      }
    }
  }
}

// One header of a frame as an item: what of it the rule asks for is the input's choice.
void add_header_item(Input& in, Rule& rule, int type, size_t bytes, const uint8_t* header,
                     size_t header_bytes) {
  uint8_t spec[kRoom] = {}, mask[kRoom] = {}, last[kRoom] = {};
  std::memcpy(spec, header, header_bytes);
  std::memcpy(last, header, header_bytes);
  const uint8_t way = in.byte();
  switch (way & 7) {
    case 0: break;  // presence alone
    case 1: break;  // its default mask
    case 2: std::memset(mask, 0xff, header_bytes); break;
    case 3: mask[in.byte() % header_bytes] = 0xff; break;
    case 4: fill_structure(in, mask, header_bytes, 3); break;
    case 5: fill_structure(in, mask, bytes, 3); break;  // bits beside the header too
    default: {                                          // a range that begins or ends with what the frame has
      const size_t at = in.byte() % header_bytes;
      mask[at] = 0xff;
      ((way & 1) != 0 ? spec : last)[at] = in.byte();
    }
  }
  const uint8_t kind = way & 7;
  rule.raw_item(static_cast<rte_flow_item_type>(type), kind == 0 ? nullptr : spec, kind < 2 ? nullptr : mask,
                kind < 6 ? nullptr : last, bytes);
}

void add_layer(Input& in, Rule& rule, const uint8_t* frame, const LayerHeaders& layer) {
  if (layer.eth == kAbsent) return;
  add_header_item(in, rule, RTE_FLOW_ITEM_TYPE_ETH, sizeof(rte_flow_item_eth), frame + layer.eth,
                  kEthernetBytes);
  if (layer.vlan != kAbsent) {
    const uint16_t end = layer.l3 == kAbsent ? static_cast<uint16_t>(layer.vlan + kVlanBytes) : layer.l3;
    for (uint16_t at = layer.vlan; at + kVlanBytes <= end; at = static_cast<uint16_t>(at + kVlanBytes)) {
      add_header_item(in, rule, RTE_FLOW_ITEM_TYPE_VLAN, sizeof(rte_flow_item_vlan), frame + at, kVlanBytes);
    }
  }
  if (layer.l3 == kAbsent) return;
  const bool v4 = layer.l3_kind == L3::kIpv4;
  add_header_item(in, rule, v4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6,
                  v4 ? sizeof(rte_flow_item_ipv4) : sizeof(rte_flow_item_ipv6), frame + layer.l3,
                  v4 ? kIpv4Bytes : kIpv6Bytes);
  if (layer.l4 == kAbsent) return;
  const uint8_t* l4 = frame + layer.l4;
  switch (layer.protocol) {
    case kProtocolUdp:
      add_header_item(in, rule, RTE_FLOW_ITEM_TYPE_UDP, sizeof(rte_flow_item_udp), l4, kUdpBytes);
      break;
    case kProtocolTcp:
      add_header_item(in, rule, RTE_FLOW_ITEM_TYPE_TCP, sizeof(rte_flow_item_tcp), l4, kTcpBytes);
      break;
    case kProtocolIcmp:
      add_header_item(in, rule, RTE_FLOW_ITEM_TYPE_ICMP, sizeof(rte_flow_item_icmp), l4, kIcmpBytes);
      break;
    default: add_header_item(in, rule, RTE_FLOW_ITEM_TYPE_ICMP6, sizeof(rte_flow_item_icmp6), l4, 4);
  }
}

void add_action(Input& in, Rule& rule, Shared& shared) {
  const ActionKind kind = kActions[in.byte() % std::size(kActions)];
  const uint8_t way = in.byte();
  uint8_t room[kRoom] = {};
  fill_structure(in, room, kind.bytes, way);
  const bool with_conf = (way & 0xf0) != 0xf0;
  switch (kind.type) {
    case RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP: {
      if ((way & 0x0c) == 0) {
        add_vxlan_encap(rule, in.byte(), 0x0a000001u + in.byte(), (way & 1) != 0);
        return;
      }
      rte_flow_action_vxlan_encap conf = {};
      shared.definitions.push_back(std::make_unique<Rule>());
      const rte_flow_item* definition = any_items(in, *shared.definitions.back(), 7);
      if (with_conf) conf.definition = const_cast<rte_flow_item*>(definition);
      rule.action(kind.type, conf);
      return;
    }
    case RTE_FLOW_ACTION_TYPE_RAW_ENCAP:
    case RTE_FLOW_ACTION_TYPE_RAW_DECAP: {
      constexpr size_t kSizes[] = {14, 18, 50, 54, 20, 0, 34, 64};
      const size_t size = kSizes[way & 7];
      Bytes bytes(64);
      in.fill(bytes.data(), size);
      if (way & 8) {
        bytes[12] = size % 16 == 2 || size == 54 ? 0x81 : 8;
        bytes[13] = 0;
        std::fill(bytes.begin() + 14, bytes.end(), 0);
        if (size == 54) bytes[16] = 8;
      }
      uint8_t* data =
          (way & 0xc0) == 0xc0 ? nullptr : static_cast<uint8_t*>(rule.keep(bytes.data(), bytes.size()));
      if (kind.type == RTE_FLOW_ACTION_TYPE_RAW_ENCAP) {
        rte_flow_action_raw_encap conf = {};
        conf.data = data;
        conf.size = size;
        rule.action(kind.type, conf);
      } else {
        rte_flow_action_raw_decap conf = {};
        conf.data = data;
        conf.size = size;
        rule.action(kind.type, conf);
      }
      return;
    }
    case RTE_FLOW_ACTION_TYPE_RSS: {
      rte_flow_action_rss conf = {};
      uint16_t queues[128];
      in.fill(queues, sizeof queues);
      Bytes key(64);
      in.fill(key.data(), key.size());
      conf.func = static_cast<rte_eth_hash_function>(way & 3);
      conf.level = in.byte() & 3;
      conf.types = in.value<uint64_t>();
      conf.queue_num = in.byte() & 0x7f;
      conf.key_len = in.byte() & 0x3f;
      conf.queue = (way & 0x10) != 0 ? nullptr : static_cast<uint16_t*>(rule.keep(queues, sizeof queues));
      conf.key = (way & 0x20) != 0 ? nullptr : static_cast<uint8_t*>(rule.keep(key.data(), key.size()));
      rule.action(kind.type, conf);
      return;
    }
    case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD: {
      rte_flow_action_modify_field conf = {};
      conf.operation = static_cast<rte_flow_modify_op>(way & 3);
      const uint8_t field = in.byte(), level = in.byte();
      const ModifyField known = kModifyFields[field % std::size(kModifyFields)];
      conf.dst.field = (field & 0xe0) == 0xe0 ? static_cast<rte_flow_field_id>(field & 0x1f) : known.field;
      conf.dst.level = level & 7;
      conf.dst.offset = level == 0xff ? in.byte() : 0;
      conf.src.field = level == 0xfe       ? RTE_FLOW_FIELD_TAG
                       : (way & 0x20) != 0 ? RTE_FLOW_FIELD_POINTER
                                           : RTE_FLOW_FIELD_VALUE;
      conf.width = level == 0xfd ? in.byte() : known.width;
      uint8_t value[16];
      in.fill(value, sizeof value);
      if (conf.src.field == RTE_FLOW_FIELD_VALUE) {
        std::memcpy(conf.src.value, value, sizeof value);
      } else {
        conf.src.pvalue = (way & 0x40) != 0 ? nullptr : rule.keep(value, sizeof value);
      }
      rule.action(kind.type, conf);
      return;
    }
    case RTE_FLOW_ACTION_TYPE_INDIRECT: rule.raw_action(kind.type, nullptr, 0); break;
    default: rule.raw_action(kind.type, with_conf ? room : nullptr, kind.bytes); return;
  }
  // The handle itself is the conf, not a copy of it.
  const_cast<rte_flow_action*>(rule.actions())[rule.action_count() - 1].conf = &shared.handles[way & 3];
}

}  // namespace

size_t size_of(int type) {
  for (const ItemKind& kind : kItems) {
    if (kind.type == type) return kind.bytes;
  }
  return 0;
}

Shared::Shared() {
  for (IndirectAction& handle : handles) handle = IndirectAction{};
  handles[0].kind = handles[2].kind = IndirectAction::Kind::kCount;
  handles[1].kind = IndirectAction::Kind::kAge;
  handles[0].for_transfer = handles[1].for_transfer = true;
  handles[0].for_ingress = handles[1].for_ingress = handles[2].for_ingress = true;
}

void any_attributes(Input& in, Rule& rule) {
  const uint8_t bits = in.byte();
  rule.attr = {};
  rule.attr.group = (bits & 3) == 3 ? 70 : bits & 3;  // 64 and more are found another way
  rule.attr.priority = bits >> 2 & 1;
  rule.attr.transfer = (bits & 0x08) == 0;
  rule.attr.ingress = (bits & 0x10) != 0 || (bits & 0x0c) == 0x08;
  rule.attr.egress = (bits & 0xe0) == 0xe0;
}

const rte_flow_item* any_items(Input& in, Rule& rule, uint8_t most) {
  for (uint8_t count = in.byte() % (most + 1); count != 0; --count) {
    const ItemKind kind = kItems[in.byte() % std::size(kItems)];
    const uint8_t given = in.byte();
    uint8_t spec[kRoom] = {}, mask[kRoom] = {}, last[kRoom] = {};
    fill_structure(in, spec, kind.bytes, given);
    fill_structure(in, mask, kind.bytes, static_cast<uint8_t>(given >> 2));
    fill_structure(in, last, kind.bytes, static_cast<uint8_t>(given >> 4));
    const uint8_t has = given >> 6 == 3 ? in.byte() : given >> 6 == 2 ? 3 : given >> 6;
    rule.raw_item(RTE_FLOW_ITEM_TYPE_VOID, has & 1 ? spec : nullptr, has & 2 ? mask : nullptr,
                  has & 4 ? last : nullptr, kind.bytes);
    // As bytes: drivers' types are none of the enum's.
    std::memcpy(&rule.item_at(rule.item_count() - 1).type, &kind.type, sizeof kind.type);
  }
  // The last again and again: longer than anybody keeps.
  if (most > 3 && rule.item_count() != 0 && in.byte() >= 0xf0) {
    const rte_flow_item last = rule.item_at(rule.item_count() - 1);
    for (int i = 0; i < 48; ++i) {
      rule.raw_item(RTE_FLOW_ITEM_TYPE_VOID, last.spec, last.mask, last.last, size_of(type_of(last)));
      std::memcpy(&rule.item_at(rule.item_count() - 1).type, &last.type, sizeof last.type);
    }
  }
  return rule.items();
}

void items_of(Input& in, Rule& rule, const Bytes& frame) {
  ParsedPacket headers;
  parse(frame.data(), static_cast<uint32_t>(frame.size()), ParseOptions{}, &headers);
  rule.attr = {};
  const uint8_t way = in.byte();
  rule.attr.ingress = (way & 7) == 7;
  rule.attr.transfer = (way & 7) != 7;
  rule.attr.group = way >> 3 & 1;
  rule.attr.priority = way >> 4 & 3;
  if ((way & 0x40) != 0) any_items(in, rule, 3);  // what is known of a packet beside its headers, or nonsense
  Rule whole;
  add_layer(in, whole, frame.data(), headers.outer);
  if (headers.vxlan != kAbsent) {
    add_header_item(in, whole, RTE_FLOW_ITEM_TYPE_VXLAN, sizeof(rte_flow_item_vxlan),
                    frame.data() + headers.vxlan, kVxlanBytes);
    add_layer(in, whole, frame.data(), headers.inner);
  }
  // Lower layers may be left out, and upper ones.
  const size_t count = whole.item_count();
  size_t begin = 0, end = count;
  if ((way & 0x80) != 0 && count != 0) {
    begin = in.byte() % count;
    end = count - in.byte() % count;
  }
  for (size_t i = begin; i < end; ++i) {
    const rte_flow_item& item = whole.item_at(i);
    rule.raw_item(item.type, item.spec, item.mask, item.last, size_of(item.type));
  }
}

void any_actions(Input& in, Rule& rule, Shared& shared) {
  const uint8_t count = in.byte();
  for (int i = 0; count >= 0xf8 && i < 30; ++i) rule.action(RTE_FLOW_ACTION_TYPE_VOID);
  for (uint8_t left = count % 7; left != 0; --left) add_action(in, rule, shared);
  if (count >= 0xf0 && count < 0xf8 && rule.action_count() != 0) {
    const rte_flow_action last = rule.actions()[rule.action_count() - 1];
    for (int i = 0; i < 40; ++i) {
      rule.action(RTE_FLOW_ACTION_TYPE_VOID);
      const_cast<rte_flow_action*>(rule.actions())[rule.action_count() - 1] = last;
    }
  }
}

}  // namespace fuzz
