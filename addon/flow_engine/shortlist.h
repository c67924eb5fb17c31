// Which of a group's rules and tables are left for packets of one kind: with the same headers, from the same port.
// Packets of a burst are of few kinds, so a list is made once and serves many.
#pragma once

#include <cstddef>
#include <cstdint>

#include "flow_engine/packet_view.h"
#include "flow_engine/rule_group.h"

namespace sluice {

class Shortlist {
 public:
  bool is_for(const Group* searched, const PacketView& view) const {
    return group_ == searched && presence_ == view.presence && meta_ == view.meta;
  }
  void make(const Group* searched, const PacketView& view);
  void forget() { group_ = nullptr; }
  bool has_constants() const { return constants_ != 0 || otherwise_ != nullptr; }

  // The first of the constant rules that a packet hits, or null. No other of them comes before it.
  const Group::Constant* find_constant(const PacketView& view) const {
    const Check* check = check_;
    for (const Check* end = check_ + checks_; check != end;) {
      if (!check->comparison.holds(view)) {
        check += check->left;
      } else if (check->left == 1) {
        return &group_->constants[check->constant];
      } else {
        ++check;
      }
    }
    return unchecked_ == constants_ ? otherwise_ : find_unchecked(view);
  }
  // Calls `visit` for the tables that are not copied, in their order, until it returns false.
  template <typename Visit>
  void for_each_table(const PacketView& view, Visit&& visit) const {
    for (uint8_t i = 0; i < tables_; ++i) {
      if (!visit(group_->tables[table_[i]], (like_before_ >> i & 1) != 0)) return;
    }
    for (size_t i = more_; i < group_->tables.size(); ++i) {
      const Group::Candidate& candidate = group_->tables[i];
      if (!candidate.copied && candidate.fits(view) && !visit(candidate, false)) return;
    }
  }

 private:
  static constexpr size_t kMostTables = 32;  // bits of like_before_
  static constexpr size_t kMostChecks = 24;

  // What the rules ask for, one behind the other: whichever does not hold, `left` further on the next rule begins.
  struct Check {
    Comparison comparison;
    uint8_t left;  // comparisons of this rule from here on
    uint8_t constant;
  };

  const Group::Constant* find_unchecked(const PacketView& view) const;

  const Group* group_ = nullptr;
  uint64_t meta_;
  uint32_t presence_;
  uint32_t more_;  // tables from here on are not listed
  uint32_t like_before_;  // bit by table: its key is made of the same words as the key of the one listed before it
  uint8_t constants_, tables_, checks_;
  uint8_t unchecked_;  // constant rules from here on have no room among the checks
  const Group::Constant* otherwise_;  // the rule that asks for nothing more, or null; no other is looked for behind it
  uint8_t constant_[Group::kMostConstants];
  uint16_t table_[kMostTables];
  Check check_[kMostChecks];
};

// One thread's.
class Shortlists {
 public:
  // Valid until the next call.
  const Shortlist& of(const Group* group, const PacketView& view) {
    const uint32_t kind = view.presence ^ static_cast<uint32_t>(view.meta) << 22 ^
                          static_cast<uint32_t>(reinterpret_cast<uintptr_t>(group) >> 4) << 25;
    Shortlist& kept = lists_[kind * 0x9e3779b1u >> (32 - kKeptBits)];
    if (!kept.is_for(group, view)) kept.make(group, view);
    return kept;
  }
  // Forgets all when tables or rules have changed since; `version` never comes twice, of whichever engine.
  void keep_up_with(uint64_t version) {
    if (version == version_) return;
    for (Shortlist& list : lists_) list.forget();
    version_ = version;
  }

 private:
  static constexpr uint32_t kKeptBits = 5;
  uint64_t version_ = 0;
  Shortlist lists_[1u << kKeptBits];
};

}  // namespace sluice
