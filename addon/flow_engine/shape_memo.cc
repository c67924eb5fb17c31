#include "flow_engine/shape_memo.h"

#include "flow_engine/items.h"

namespace sluice {
namespace {

// How many bytes of a mask are looked at; 0: of the item nothing is known here.
size_t mask_bytes(int type) {
  switch (type) {
    case RTE_FLOW_ITEM_TYPE_ETH: return sizeof(rte_flow_item_eth);
    case RTE_FLOW_ITEM_TYPE_VLAN: return sizeof(rte_flow_item_vlan);
    case RTE_FLOW_ITEM_TYPE_IPV4: return sizeof(rte_flow_item_ipv4);
    case RTE_FLOW_ITEM_TYPE_IPV6: return sizeof(rte_flow_item_ipv6);
    case RTE_FLOW_ITEM_TYPE_UDP: return sizeof(rte_flow_item_udp);
    case RTE_FLOW_ITEM_TYPE_TCP: return sizeof(rte_flow_item_tcp);
    case RTE_FLOW_ITEM_TYPE_ICMP: return sizeof(rte_flow_item_icmp);
    case RTE_FLOW_ITEM_TYPE_VXLAN: return sizeof(rte_flow_item_vxlan);
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT: return sizeof(rte_flow_item_ethdev);
    default: return 0;
  }
}

}  // namespace

bool RuleSignature::read(const rte_flow_attr& attr, const rte_flow_item* pattern,
                         const rte_flow_action* actions) {
  bytes_ = 0;
  return pattern != nullptr && actions != nullptr && add(&attr) && read_items(pattern) &&
         read_actions(actions);
}

bool RuleSignature::read_items(const rte_flow_item* pattern) {
  const rte_flow_item* before = nullptr;
  for (const rte_flow_item* item = pattern;; ++item) {
    const int type = type_of(*item);
    const struct {
      int32_t type;
      uint8_t has_spec, has_mask, unused[2];
    } head = {type, item->spec != nullptr, item->mask != nullptr, {}};
    if (!add(&head)) return false;
    if (type == RTE_FLOW_ITEM_TYPE_END) return true;
    if (type == RTE_FLOW_ITEM_TYPE_VOID) continue;
    const size_t bytes = mask_bytes(type);
    // Ranges are fields whose values differ, which the values tell.
    if (bytes == 0 || item->last != nullptr || bytes > kMostBytes - bytes_) return false;
    if (item->mask != nullptr) {
      std::memcpy(byte_ + bytes_, item->mask, bytes);
      bytes_ += bytes;
    }
    // The tunnel's UDP port is a value, and another one than the device's is refused.
    if (type == RTE_FLOW_ITEM_TYPE_VXLAN && before != nullptr && type_of(*before) == RTE_FLOW_ITEM_TYPE_UDP &&
        before->spec != nullptr) {
      const auto* mask = static_cast<const rte_flow_item_udp*>(before->mask);
      const uint16_t port = static_cast<const rte_flow_item_udp*>(before->spec)->hdr.dst_port;
      const auto asked = static_cast<uint16_t>(mask == nullptr ? port : port & mask->hdr.dst_port);
      if (!add(&asked)) return false;
    }
    before = item;
  }
}

bool RuleSignature::read_actions(const rte_flow_action* actions) {
  for (const rte_flow_action* action = actions;; ++action) {
    const struct {
      int32_t type;
      uint32_t has_conf;
    } head = {type_of(*action), action->conf != nullptr};
    if (!add(&head)) return false;
    switch (type_of(*action)) {
      case RTE_FLOW_ACTION_TYPE_END: return true;
      case RTE_FLOW_ACTION_TYPE_VOID:
      case RTE_FLOW_ACTION_TYPE_COUNT:
      case RTE_FLOW_ACTION_TYPE_AGE:
      case RTE_FLOW_ACTION_TYPE_MARK:
      case RTE_FLOW_ACTION_TYPE_FLAG:
      case RTE_FLOW_ACTION_TYPE_JUMP:
      case RTE_FLOW_ACTION_TYPE_QUEUE:
      case RTE_FLOW_ACTION_TYPE_DROP:
      case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
      case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
      case RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP:
      case RTE_FLOW_ACTION_TYPE_VXLAN_DECAP:
      case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_MAC_DST:
      case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST:
      case RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_IPV6_DST:
      case RTE_FLOW_ACTION_TYPE_SET_TP_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_TP_DST:
      case RTE_FLOW_ACTION_TYPE_SET_TTL:
      case RTE_FLOW_ACTION_TYPE_DEC_TTL: break;
      case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD: {
        if (action->conf == nullptr) return false;
        const auto& modify = *static_cast<const rte_flow_action_modify_field*>(action->conf);
        const uint32_t parts[] = {static_cast<uint32_t>(modify.operation),
                                  modify.width,
                                  static_cast<uint32_t>(modify.dst.field),
                                  modify.dst.level,
                                  modify.dst.offset,
                                  static_cast<uint32_t>(modify.src.field)};
        if (!add(&parts)) return false;
        break;
      }
      default: return false;
    }
  }
}

}  // namespace sluice
