#include "flow_engine/shape_memo.h"

#include "flow_engine/items.h"

namespace sluice {
namespace {

// What the signature begins each item and each action with.
uint64_t head_of(const rte_flow_item& item) {
  return static_cast<uint32_t>(type_of(item)) | uint64_t{item.spec != nullptr} << 32 |
         uint64_t{item.mask != nullptr} << 33;
}
uint64_t head_of(const rte_flow_action& action) {
  return static_cast<uint32_t>(type_of(action)) | uint64_t{action.conf != nullptr} << 32;
}

// The tunnel's UDP port is a value, and another one than the device's is refused. False: none is asked for.
bool asked_port(const rte_flow_item& vxlan, const rte_flow_item* before, uint16_t* port) {
  if (type_of(vxlan) != RTE_FLOW_ITEM_TYPE_VXLAN || before == nullptr ||
      type_of(*before) != RTE_FLOW_ITEM_TYPE_UDP || before->spec == nullptr) {
    return false;
  }
  const auto* mask = static_cast<const rte_flow_item_udp*>(before->mask);
  *port = static_cast<const rte_flow_item_udp*>(before->spec)->hdr.dst_port;
  if (mask != nullptr) *port &= mask->hdr.dst_port;
  return true;
}

// What of MODIFY_FIELD is not a value.
struct ModifyParts {
  uint32_t part[6];

  explicit ModifyParts(const rte_flow_action_modify_field& modify)
      : part{static_cast<uint32_t>(modify.operation),
             modify.width,
             static_cast<uint32_t>(modify.dst.field),
             modify.dst.level,
             modify.dst.offset,
             static_cast<uint32_t>(modify.src.field)} {}
};

// Goes along a signature and what may be the same.
class Comparer {
 public:
  explicit Comparer(const uint8_t* known) : at_(known) {}
  template <typename T>
  bool is(const T& value) {
    const bool same = std::memcmp(at_, &value, sizeof value) == 0;
    at_ += sizeof value;
    return same;
  }
  // As add_mask(): a type that is not known here is in no signature, so this is not come to.
  bool is_mask(int type, const void* mask) {
    const auto is_as = [this, mask]<typename Item>(const Item*) {
      return is(*static_cast<const Item*>(mask));
    };
    switch (type) {
      case RTE_FLOW_ITEM_TYPE_ETH: return is_as(static_cast<const rte_flow_item_eth*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_VLAN: return is_as(static_cast<const rte_flow_item_vlan*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_IPV4: return is_as(static_cast<const rte_flow_item_ipv4*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_IPV6: return is_as(static_cast<const rte_flow_item_ipv6*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_UDP: return is_as(static_cast<const rte_flow_item_udp*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_TCP: return is_as(static_cast<const rte_flow_item_tcp*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_ICMP: return is_as(static_cast<const rte_flow_item_icmp*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_VXLAN: return is_as(static_cast<const rte_flow_item_vxlan*>(nullptr));
      case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
        return is_as(static_cast<const rte_flow_item_ethdev*>(nullptr));
      default: return false;
    }
  }

 private:
  const uint8_t* at_;
};

}  // namespace

// Heads and masks are compared in their order, and what follows a head depends on nothing but it: at the
// first that differs this stops, and until then it is inside the signature.
bool RuleSignature::is_of(const rte_flow_attr& attr, const rte_flow_item* pattern) const {
  Comparer comparer(byte_);
  if (pattern == nullptr || !comparer.is(attr)) return false;
  const rte_flow_item* before = nullptr;
  for (const rte_flow_item* item = pattern;; ++item) {
    if (!comparer.is(head_of(*item))) return false;
    const int type = type_of(*item);
    if (type == RTE_FLOW_ITEM_TYPE_END) return true;
    if (type == RTE_FLOW_ITEM_TYPE_VOID) continue;
    if (item->last != nullptr || (item->mask != nullptr && !comparer.is_mask(type, item->mask))) return false;
    uint16_t port;
    if (asked_port(*item, before, &port) && !comparer.is(port)) return false;
    before = item;
  }
}

bool RuleSignature::is_of(const rte_flow_action* actions) const {
  if (actions == nullptr) return false;
  Comparer comparer(byte_);
  for (const rte_flow_action* action = actions;; ++action) {
    if (!comparer.is(head_of(*action))) return false;
    const int type = type_of(*action);
    if (type == RTE_FLOW_ACTION_TYPE_END) return true;
    if (type == RTE_FLOW_ACTION_TYPE_MODIFY_FIELD &&
        !comparer.is(ModifyParts(*static_cast<const rte_flow_action_modify_field*>(action->conf))))
      return false;
  }
}

// Types rather than lengths: each copy is a few moves then, a loop otherwise.
bool RuleSignature::add_mask(int type, const void* mask) {
  const auto add_as = [this, mask]<typename Item>(const Item*) {
    return mask == nullptr || add(static_cast<const Item*>(mask));
  };
  switch (type) {
    case RTE_FLOW_ITEM_TYPE_ETH: return add_as(static_cast<const rte_flow_item_eth*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_VLAN: return add_as(static_cast<const rte_flow_item_vlan*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_IPV4: return add_as(static_cast<const rte_flow_item_ipv4*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_IPV6: return add_as(static_cast<const rte_flow_item_ipv6*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_UDP: return add_as(static_cast<const rte_flow_item_udp*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_TCP: return add_as(static_cast<const rte_flow_item_tcp*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_ICMP: return add_as(static_cast<const rte_flow_item_icmp*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_VXLAN: return add_as(static_cast<const rte_flow_item_vxlan*>(nullptr));
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT:
      return add_as(static_cast<const rte_flow_item_ethdev*>(nullptr));
    default: return false;
  }
}

bool RuleSignature::read(const rte_flow_attr& attr, const rte_flow_item* pattern) {
  bytes_ = 0;
  if (pattern == nullptr || !add(&attr)) return false;
  const rte_flow_item* before = nullptr;
  for (const rte_flow_item* item = pattern;; ++item) {
    const int type = type_of(*item);
    const uint64_t head = head_of(*item);
    if (!add(&head)) return false;
    if (type == RTE_FLOW_ITEM_TYPE_END) return true;
    if (type == RTE_FLOW_ITEM_TYPE_VOID) continue;
    // Ranges are fields whose values differ, which the values tell.
    if (item->last != nullptr || !add_mask(type, item->mask)) return false;
    uint16_t port;
    if (asked_port(*item, before, &port) && !add(&port)) return false;
    before = item;
  }
}

bool RuleSignature::read(const rte_flow_action* actions) {
  bytes_ = 0;
  if (actions == nullptr) return false;
  for (const rte_flow_action* action = actions;; ++action) {
    const uint64_t head = head_of(*action);
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
        const ModifyParts parts(*static_cast<const rte_flow_action_modify_field*>(action->conf));
        if (!add(&parts)) return false;
        break;
      }
      default: return false;
    }
  }
}

}  // namespace sluice
