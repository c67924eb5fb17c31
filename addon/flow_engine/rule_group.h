// The tables of one group, in the order in which a packet meets them, and copies of what their constant rules
// ask of a packet.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "flow_engine/packet_view.h"
#include "flow_engine/rule_table.h"

namespace sluice {

// One condition of a rule: the masked bytes, read as a big-endian number, are low to low + span. An exact match
// is a range of one number.
struct Comparison {
  uint64_t mask;  // over the eight bytes as they stand in memory
  uint64_t low, span;
  Slot slot;
  int8_t offset;  // as in KeyWord

  bool holds(const PacketView& view) const {
    uint64_t value;
    std::memcpy(&value, view.base[static_cast<size_t>(slot)] + offset, sizeof value);
    return __builtin_bswap64(value & mask) - low <= span;
  }
};

struct Group {
  // What tells whether a packet may hit a table at all, beside each other: most packets fit few of a group's
  // tables, and the others' own memory is not touched.
  struct Candidate {
    uint32_t required_mask, required_value;  // as in PatternShape
    uint32_t priority;
    bool copied;  // its rules are in `constants`
    RuleTable* table;

    bool fits(const PacketView& view) const { return (view.presence & required_mask) == required_value; }
  };

  // A copied rule. Headers and what is known beside the bytes, the port above all, come first: they tell most
  // rules from each other, and are the same for many packets (see Shortlist).
  struct Constant {
    uint32_t required_mask, required_value;
    uint64_t meta_mask, meta_value;
    uint32_t priority;
    uint16_t first, end;  // of `comparisons`
    uint32_t jump;        // the rule does nothing but jump to this group; 0: it does something else
    FlowRule* rule;

    bool may_match(const PacketView& view) const {
      return (((view.presence & required_mask) ^ required_value) | ((view.meta & meta_mask) ^ meta_value)) == 0;
    }
  };

  // Whether a packet that hits both, at one priority, belongs to `a`, which was found first.
  bool comes_first(const FlowRule* a, const FlowRule* b) const {
    return !knows_order || a->history().sequence() < b->history().sequence();
  }

  void add(RuleTable* table);
  void remove(const RuleTable* table);
  // To be called when the rules of a listed table have changed.
  void copy_constant_rules();

  // A group of more tables is one of an application that makes a shape a rule: copying them all with every
  // change would cost more than it saves.
  static constexpr size_t kMostTablesCopied = 64;
  static constexpr size_t kMostConstants = kMostTablesCopied * RuleTable::kFew;
  static_assert(kMostConstants <= UINT8_MAX);

  std::vector<Candidate> tables;  // by priority, those of one shape beside each other
  std::vector<Constant> constants;  // by priority, then by the rules' creation
  std::vector<Comparison> comparisons;
  bool matches_integrity = false;
  bool knows_order = true;    // in which rules were created
  bool all_constant = false;  // all rules are copied: a look-up waits for no memory

 private:
  bool can_copy(const RuleTable& table) const;
  void copy(const RuleTable& table);

  bool has_copies_ = false;
};

}  // namespace sluice
