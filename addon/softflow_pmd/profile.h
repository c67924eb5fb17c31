// What a NIC's driver refuses, so that net_softflow can refuse it too (device argument profile=NAME). The
// tables are generated from schemas/targets.
#pragma once

#include <rte_flow.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sluice::softflow {

struct ProfileItem {
  struct Field {  // of the rte_flow_item_* structure
    size_t offset, bytes;
  };
  rte_flow_item_type type;
  std::span<const Field> fields;  // that can be matched, under any mask
};

struct ProfileAction {
  rte_flow_action_type type;
  uint8_t rank;  // in the driver's order, from 1; 0: anywhere
};

// What MODIFY_FIELD can do.
struct ProfileField {
  rte_flow_field_id field;
  rte_flow_modify_op operation;
};

// Actions that cannot stand in one rule.
struct ProfilePair {
  rte_flow_action_type one, other;
};

struct Profile {
  const char* name;
  std::span<const ProfileItem> items;
  std::span<const ProfileAction> actions;
  std::span<const ProfileField> fields;
  std::span<const ProfilePair> exclusive;
  std::span<const uint8_t> rewrite_sets;  // bits: IPv4 source, destination, L4 source, destination; empty: any
  bool synchronous, templates, transfer, groups;
  bool positive_integrity;  // INTEGRITY matches only what is in order
  uint32_t static_group;    // whose rules have no match budget
  uint32_t level;           // highest of MODIFY_FIELD's destination
  uint32_t match_dwords, modify_commands, encap_bytes;  // 0: no limit
};

// Null when there is no profile of that name.
const Profile* find_profile(const std::string& name);

// What the NIC of the profile would refuse, or 0. Pattern or actions may be null: a template of the other
// kind is checked.
int check_profile(const Profile& profile, const rte_flow_attr& attr, const rte_flow_item* pattern,
                  const rte_flow_action* actions, rte_flow_error* error);

}  // namespace sluice::softflow
