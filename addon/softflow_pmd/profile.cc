#include "softflow_pmd/profile.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "flow_engine/flow_error.h"
#include "flow_engine/items.h"
#include "generated/profiles.h"

namespace sluice::softflow {
namespace {

constexpr uint32_t kMaxDwords = 16;       // of one item
constexpr uint32_t kVxlanEncapBytes = 50;  // Ethernet, IPv4, UDP, VXLAN

int refuse(rte_flow_error* error, rte_flow_error_type type, const void* cause, const char* message) {
  return fail(error, ENOTSUP, type, cause, message);
}

int check_attributes(const Profile& profile, const rte_flow_attr& attr, rte_flow_error* error) {
  if ((attr.transfer != 0) != profile.transfer) {
    return refuse(error, RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER, &attr,
                  profile.transfer ? "this NIC's profile has rules of the transfer domain alone"
                                   : "this NIC's profile has no transfer domain");
  }
  if (attr.group != 0 && !profile.groups)
    return refuse(error, RTE_FLOW_ERROR_TYPE_ATTR_GROUP, &attr, "this NIC has group 0 alone");
  return 0;
}

// rte_flow.h's default masks, which it keeps from C++.
constexpr std::array<uint8_t, 40> mask_bytes(size_t first, size_t end) {
  std::array<uint8_t, 40> mask = {};
  for (size_t at = first; at < end; ++at) mask[at] = 0xff;
  return mask;
}
constexpr auto kAddressesOfEth = mask_bytes(0, 12);
constexpr std::array<uint8_t, 40> kVid = {0x0f, 0xff};
constexpr auto kAddressesOfIpv4 = mask_bytes(12, 20);
constexpr auto kPorts = mask_bytes(0, 4);
constexpr auto kTypeAndCode = mask_bytes(0, 2);
constexpr auto kVni = mask_bytes(4, 7);

const uint8_t* default_mask(rte_flow_item_type type) {
  switch (type) {
    case RTE_FLOW_ITEM_TYPE_ETH: return kAddressesOfEth.data();
    case RTE_FLOW_ITEM_TYPE_VLAN: return kVid.data();
    case RTE_FLOW_ITEM_TYPE_IPV4: return kAddressesOfIpv4.data();
    case RTE_FLOW_ITEM_TYPE_UDP:
    case RTE_FLOW_ITEM_TYPE_TCP: return kPorts.data();
    case RTE_FLOW_ITEM_TYPE_ICMP: return kTypeAndCode.data();
    case RTE_FLOW_ITEM_TYPE_VXLAN: return kVni.data();
    default: return nullptr;
  }
}

size_t bytes_of(rte_flow_item_type type) {
  switch (type) {
    case RTE_FLOW_ITEM_TYPE_ETH: return sizeof(rte_flow_item_eth::hdr);
    case RTE_FLOW_ITEM_TYPE_VLAN: return sizeof(rte_flow_item_vlan::hdr);
    case RTE_FLOW_ITEM_TYPE_IPV4: return sizeof(rte_flow_item_ipv4::hdr);
    case RTE_FLOW_ITEM_TYPE_IPV6: return sizeof(rte_flow_item_ipv6::hdr);
    case RTE_FLOW_ITEM_TYPE_UDP: return sizeof(rte_flow_item_udp::hdr);
    case RTE_FLOW_ITEM_TYPE_TCP: return sizeof(rte_flow_item_tcp::hdr);
    case RTE_FLOW_ITEM_TYPE_ICMP: return sizeof(rte_flow_item_icmp::hdr);
    case RTE_FLOW_ITEM_TYPE_VXLAN: return sizeof(rte_flow_item_vxlan::hdr);
    default: return 0;
  }
}

// The mask that applies, or null: presence only.
const uint8_t* mask_of(const rte_flow_item& item) {
  if (item.mask != nullptr) return static_cast<const uint8_t*>(item.mask);
  return item.spec == nullptr ? nullptr : default_mask(item.type);
}

int check_item(const Profile& profile, const ProfileItem& known, const rte_flow_item& item,
               rte_flow_error* error) {
  if (item.type == RTE_FLOW_ITEM_TYPE_INTEGRITY) {
    const auto* spec = static_cast<const rte_flow_item_integrity*>(item.spec);
    const auto* mask = static_cast<const rte_flow_item_integrity*>(item.mask);
    if (!profile.positive_integrity || spec == nullptr || mask == nullptr) return 0;
    if ((mask->l3_ok & ~spec->l3_ok) != 0 || (mask->ipv4_csum_ok & ~spec->ipv4_csum_ok) != 0) {
      return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, &item,
                    "INTEGRITY: this NIC matches only what is in order");
    }
    return 0;
  }
  if (item.last != nullptr)
    return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_LAST, &item, "this NIC matches no ranges");
  const uint8_t* mask = mask_of(item);
  const size_t bytes = bytes_of(item.type);
  for (size_t at = 0; mask != nullptr && at < bytes; ++at) {
    const bool allowed = std::any_of(known.fields.begin(), known.fields.end(), [at](const auto& field) {
      return at >= field.offset && at < field.offset + field.bytes;
    });
    if (mask[at] != 0 && !allowed)
      return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_MASK, &item, "this NIC cannot match that field");
  }
  return 0;
}

// Dwords of headers that the match looks at, as src/compiler/passes/budget.ts counts them.
uint32_t dwords_of(const rte_flow_item& item) {
  const uint8_t* mask = mask_of(item);
  const size_t bytes = mask == nullptr ? 0 : bytes_of(item.type);
  bool used[kMaxDwords] = {};
  for (size_t at = 0; at < bytes; ++at) used[at / 4] |= mask[at] != 0;
  return static_cast<uint32_t>(std::count(std::begin(used), std::end(used), true));
}

int check_pattern(const Profile& profile, const rte_flow_attr& attr, const rte_flow_item* pattern,
                  rte_flow_error* error) {
  uint32_t dwords = 1;  // what layers there are
  for (const rte_flow_item* item = pattern; item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
    if (item->type == RTE_FLOW_ITEM_TYPE_VOID) continue;
    const auto known = std::find_if(profile.items.begin(), profile.items.end(),
                                    [item](const auto& candidate) { return candidate.type == item->type; });
    if (known == profile.items.end())
      return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM, item, "this NIC cannot match that item");
    if (const int code = check_item(profile, *known, *item, error)) return code;
    const bool metadata =
        item->type == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT || item->type == RTE_FLOW_ITEM_TYPE_INTEGRITY;
    dwords += metadata ? 1 : dwords_of(*item);
  }
  const bool limited = profile.match_dwords != 0 && attr.group != profile.static_group;
  if (limited && dwords > profile.match_dwords)
    return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM, pattern, "the match takes more dwords than this NIC has");
  return 0;
}

constexpr uint8_t kSource = 1, kDestination = 2, kSourcePort = 4, kDestinationPort = 8;

struct Rewrite {
  uint8_t field = 0;  // of rewrite_sets
  uint32_t commands = 0;
};

Rewrite rewrite_of(rte_flow_field_id field, uint32_t width) {
  const uint32_t commands = (width + 31) / 32;
  switch (field) {
    case RTE_FLOW_FIELD_IPV4_SRC: return {kSource, commands};
    case RTE_FLOW_FIELD_IPV4_DST: return {kDestination, commands};
    case RTE_FLOW_FIELD_TCP_PORT_SRC:
    case RTE_FLOW_FIELD_UDP_PORT_SRC: return {kSourcePort, commands};
    case RTE_FLOW_FIELD_TCP_PORT_DST:
    case RTE_FLOW_FIELD_UDP_PORT_DST: return {kDestinationPort, commands};
    default: return {0, commands};
  }
}

Rewrite rewrite_of(const rte_flow_action& action) {
  switch (action.type) {
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC: return {kSource, 1};
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST: return {kDestination, 1};
    case RTE_FLOW_ACTION_TYPE_SET_TP_SRC: return {kSourcePort, 1};
    case RTE_FLOW_ACTION_TYPE_SET_TP_DST: return {kDestinationPort, 1};
    case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_MAC_DST: return {0, 2};
    case RTE_FLOW_ACTION_TYPE_DEC_TTL: return {0, 1};
    case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD: {
      const auto* conf = static_cast<const rte_flow_action_modify_field*>(action.conf);
      return conf == nullptr ? Rewrite{} : rewrite_of(conf->dst.field, conf->width);
    }
    default: return {};
  }
}

int check_modify(const Profile& profile, const rte_flow_action& action, rte_flow_error* error) {
  const auto* conf = static_cast<const rte_flow_action_modify_field*>(action.conf);
  if (conf == nullptr) return 0;
  const auto bad = [&](const char* message) {
    return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &action, message);
  };
  if (conf->dst.level > profile.level) return bad("MODIFY_FIELD: this NIC cannot write at that level");
  bool field = false;
  for (const ProfileField& known : profile.fields) {
    if (known.field != conf->dst.field) continue;
    if (known.operation == conf->operation) return 0;
    field = true;
  }
  return bad(field ? "MODIFY_FIELD: this NIC does not execute that operation as it is meant"
                   : "MODIFY_FIELD: this NIC cannot write that field");
}

int check_actions(const Profile& profile, const rte_flow_action* actions, rte_flow_error* error) {
  uint8_t rank = 0;
  uint8_t rewritten = 0;
  uint32_t commands = 0;
  const auto there = [actions](rte_flow_action_type type) {
    const rte_flow_action* action = actions;
    while (action->type != RTE_FLOW_ACTION_TYPE_END && action->type != type) ++action;
    return action->type == type ? action : nullptr;
  };
  for (const rte_flow_action* action = actions; action->type != RTE_FLOW_ACTION_TYPE_END; ++action) {
    if (action->type == RTE_FLOW_ACTION_TYPE_VOID) continue;
    const auto known =
        std::find_if(profile.actions.begin(), profile.actions.end(),
                     [action](const auto& candidate) { return candidate.type == action->type; });
    const auto bad = [&](const char* text) {
      return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION, action,
                    named_message(action_name(type_of(*action)), text));
    };
    if (known == profile.actions.end()) return bad("this NIC has no such action");
    if (known->rank != 0 && known->rank < rank) return bad("this NIC executes it before what the rule has first");
    rank = std::max(rank, known->rank);
    const Rewrite rewrite = rewrite_of(*action);
    rewritten |= rewrite.field;
    commands += rewrite.commands;
    if (profile.modify_commands != 0 && commands > profile.modify_commands)
      return bad("more rewrites than this NIC has commands for");
    if (action->type == RTE_FLOW_ACTION_TYPE_MODIFY_FIELD) {
      if (const int code = check_modify(profile, *action, error)) return code;
    }
    uint64_t pushed = action->type == RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP ? kVxlanEncapBytes : 0;
    if (action->type == RTE_FLOW_ACTION_TYPE_RAW_ENCAP && action->conf != nullptr)
      pushed = static_cast<const rte_flow_action_raw_encap*>(action->conf)->size;
    if (profile.encap_bytes != 0 && pushed > profile.encap_bytes)
      return bad("more bytes than this NIC can push");
  }
  for (const ProfilePair& pair : profile.exclusive) {
    const rte_flow_action* other = there(pair.other);
    if (other == nullptr || there(pair.one) == nullptr) continue;
    return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION, other,
                  named_message(action_name(type_of(*other)), "not in one rule with another of its actions"));
  }
  const auto& sets = profile.rewrite_sets;
  if (rewritten != 0 && !sets.empty() && std::find(sets.begin(), sets.end(), rewritten) == sets.end())
    return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION, actions, "this NIC cannot rewrite these fields together");
  return 0;
}

}  // namespace

const Profile* find_profile(const std::string& name) {
  for (const Profile& profile : profiles::kAll) {
    if (name == profile.name) return &profile;
  }
  return nullptr;
}

int check_profile(const Profile& profile, const rte_flow_attr& attr, const rte_flow_item* pattern,
                  const rte_flow_action* actions, rte_flow_error* error) {
  if (const int code = check_attributes(profile, attr, error)) return code;
  if (pattern != nullptr) {
    if (const int code = check_pattern(profile, attr, pattern, error)) return code;
  }
  return actions == nullptr ? 0 : check_actions(profile, actions, error);
}

}  // namespace sluice::softflow
