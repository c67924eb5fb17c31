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
  bool has_constants() const { return constants_ != 0; }

  // The first of the constant rules that a packet hits, or null. No other of them comes before it.
  const Group::Constant* find_constant(const PacketView& view) const {
    const Comparison* comparisons = group_->comparisons.data();
    for (uint8_t i = 0; i < constants_; ++i) {
      const Group::Constant& constant = group_->constants[constant_[i]];
      uint16_t next = constant.first;
      while (next != constant.end && comparisons[next].holds(view)) ++next;
      if (next == constant.end) return &constant;
    }
    return nullptr;
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

  const Group* group_ = nullptr;
  uint64_t meta_;
  uint32_t presence_;
  uint32_t more_;  // tables from here on are not listed
  uint32_t like_before_;  // bit by table: its key is made of the same words as the key of the one listed before it
  uint8_t constants_, tables_;
  uint8_t constant_[Group::kMostConstants];
  uint16_t table_[kMostTables];
};

// One thread's.
class Shortlists {
 public:
  // Valid until the next call.
  const Shortlist& of(const Group* group, const PacketView& view) {
    const uint32_t kind = view.presence ^ static_cast<uint32_t>(view.meta) << 22 ^
                          static_cast<uint32_t>(reinterpret_cast<uintptr_t>(group) / sizeof(Group)) << 25;
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
