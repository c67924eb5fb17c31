// Which of a group's rules and tables are left for packets of one kind: with the same headers, from the same port.
// Packets of a burst are of few kinds, so a list is made once and serves many.
#pragma once

#include <cstddef>
#include <cstdint>

#include "flow_engine/header_place.h"
#include "flow_engine/packet_view.h"
#include "flow_engine/rule_group.h"
#include "flow_engine/screen.h"

namespace sluice {

class Shortlist {
 public:
  // A key that one or more tables have.
  struct Key {
    const RuleTable* table;  // one of them
    uint64_t meta;           // the last word, if it is the meta word: the same for all packets of the kind
    uint8_t words, at;       // at: in Lookup::word
    uint8_t gathered;        // where the words in the frame begin, in gathered()
    bool is_in_frame;        // all words but the meta word; otherwise a view of the packet is needed
    bool has_meta;
  };
  struct Gathered {
    uint64_t mask = 0;
    HeaderPlace place;
  };
  // A table that a look-up is prepared for, and one word that mostly tells whether a packet may hit it.
  struct Planned {
    const RuleTable* table;
    const uint64_t* common;  // what the table's keys have alike in that word: value, and mask two behind
    Gathered tested;
    uint32_t priority;
    uint8_t key;    // of keys
    uint8_t place;  // among all tables that are visited
  };
  static constexpr size_t kKeyWords = kMaxKeyWords;  // of all keys together

  bool is_for(const Group* searched, const PacketView& view) const {
    return group_ == searched && presence_ == view.presence && meta_ == view.meta;
  }
  void make(const Group* searched, const PacketView& view);
  void forget() { group_ = nullptr; }
  // The first of the constant rules that a packet hits where none of the comparisons holds.
  const Group::Constant* otherwise() const { return otherwise_; }
  // False: no comparison of the constant rules holds.
  bool may_hold(const uint8_t* frame, const ParsedPacket& headers) const {
    return !is_screened_ || screen_.may_hold(frame, headers);
  }
  // All tables that a packet of the kind may hit are planned, and there are no constant rules.
  bool is_whole() const { return is_whole_; }
  // Tables that the packet may hit, a bit each, by one word of each.
  uint32_t possible(const uint8_t* frame, const ParsedPacket& headers) const {
    uint32_t bits = 0;
    for (uint8_t i = 0; i < planned_count_; ++i) {
      const Planned& planned = planned_[i];
      uint64_t word;
      std::memcpy(&word, planned.tested.place.in(frame, headers), sizeof word);
      const bool is_excluded = (((word & planned.tested.mask) ^ planned.common[0]) & planned.common[2]) != 0;
      bits |= static_cast<uint32_t>(!is_excluded) << i;
    }
    return bits;
  }
  const Key& key(size_t i) const { return key_[i]; }
  const Gathered* gathered() const { return gathered_; }
  const Planned& planned(size_t i) const { return planned_[i]; }
  size_t planned_count() const { return planned_count_; }
  // From now on the table is told by a word in which this key, which it has not, differs from what its keys share.
  void tell_by(const uint64_t* word, size_t planned);
  bool is_all_constant() const { return group_->all_constant; }
  const Group* group() const { return group_; }
  // The list of the group that packets jump to where no comparison holds, with the same headers; null: not known.
  Shortlist* next() const {
    return next_ != nullptr && next_->group_ == next_group_ && next_->presence_ == presence_ && next_->meta_ == meta_
               ? next_
               : nullptr;
  }
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
      if (!visit(group_->tables[table_[i]])) return;
    }
    for (size_t i = more_; i < group_->tables.size(); ++i) {
      const Group::Candidate& candidate = group_->tables[i];
      if (!candidate.copied && candidate.fits(view) && !visit(candidate)) return;
    }
  }

 private:
  friend class Shortlists;

  static constexpr size_t kMostTables = 32;  // bits of Lookup::excluded
  static constexpr size_t kMostChecks = 24;
  static constexpr size_t kMostPlanned = 8, kMostKeys = 4;

  // What the rules ask for, one behind the other: whichever does not hold, `left` further on the next rule begins.
  struct Check {
    Comparison comparison;
    uint8_t left;  // comparisons of this rule from here on
    uint8_t constant;
  };

  const Group::Constant* find_unchecked(const PacketView& view) const;
  void list_constants(const PacketView& view);
  void plan(const PacketView& view);
  bool plan(const Group::Candidate& candidate, uint8_t place, const PacketView& view);
  bool add_key(const RuleTable* table, const PacketView& view);

  const Group* group_ = nullptr;
  uint64_t meta_;
  uint32_t presence_;
  uint32_t more_;             // tables from here on are not listed
  Shortlist* next_;           // see next(); null or one of the same Shortlists, which may be for others by now
  const Group* next_group_;
  bool is_screened_, is_whole_;
  uint8_t keys_, planned_count_;
  uint8_t constants_, tables_, checks_;
  uint8_t unchecked_;  // constant rules from here on have no room among the checks
  const Group::Constant* otherwise_;  // the rule that asks for nothing more, or null; no other is looked for behind it
  Screen screen_;
  Key key_[kMostKeys];
  Planned planned_[kMostPlanned];
  Gathered gathered_[kKeyWords];
  uint8_t constant_[Group::kMostConstants];
  uint16_t table_[kMostTables];
  Check check_[kMostChecks];
};

// One thread's.
class Shortlists {
 public:
  // Valid until the next call.
  Shortlist& of(const Group* group, const PacketView& view) {
    const uint32_t kind = view.presence ^ static_cast<uint32_t>(view.meta) << 22 ^
                          static_cast<uint32_t>(reinterpret_cast<uintptr_t>(group) >> 4) << 25;
    const uint32_t place = kind * 0x9e3779b1u >> (32 - kKeptBits);
    if (lists_[place].is_for(group, view)) return lists_[place];
    // One of two places, so that two kinds do not push each other out burst by burst.
    Shortlist& other = lists_[place ^ 1];
    if (other.is_for(group, view)) return other;
    Shortlist& made = lists_[place].group_ == nullptr ? lists_[place] : other;
    made.make(group, view);
    return made;
  }
  // The same for packets that come from `before` because no comparison holds there.
  Shortlist& behind(Shortlist* before, const Group* group, const PacketView& view) {
    Shortlist& found = of(group, view);
    if (&found == before || group->matches_integrity) return found;
    before->next_ = &found;
    before->next_group_ = group;
    return found;
  }
  // Forgets all when tables or rules have changed since; `version` never comes twice, of whichever engine.
  void keep_up_with(uint64_t version) {
    if (version == version_) return;
    for (Shortlist& list : lists_) list.forget();
    version_ = version;
  }

 private:
  static constexpr uint32_t kKeptBits = 6;
  uint64_t version_ = 0;
  Shortlist lists_[1u << kKeptBits];
};

}  // namespace sluice
