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
    // The table's rules are copied: `rows` of them, of `each` comparisons.
    bool copied = false;
    uint8_t rows = 0, each = 0;
    uint16_t first_rule = 0, first_comparison = 0;
    RuleTable* table = nullptr;

    bool fits(const PacketView& view) const { return (view.presence & required_mask) == required_value; }
  };

  void add(RuleTable* table);
  void remove(const RuleTable* table);
  // To be called when the rules of a listed table have changed.
  void copy_constant_rules();

  FlowRule* find_copied(const Candidate& candidate, const PacketView& view) const {
    const Comparison* comparison = comparisons.data() + candidate.first_comparison;
    for (uint8_t row = 0; row < candidate.rows; ++row, comparison += candidate.each) {
      uint8_t held = 0;
      while (held < candidate.each && comparison[held].holds(view)) ++held;
      if (held == candidate.each) return copied_rules[candidate.first_rule + row];
    }
    return nullptr;
  }

  std::vector<Candidate> tables;  // by priority, then by creation
  bool matches_integrity = false;
  bool constant = false;  // all rules are copied: a look-up waits for no memory

 private:
  bool copy(Candidate* candidate);
  bool has_copies = false;

  // A group of more tables is one of an application that makes a shape a rule: copying them all with every
  // change would cost more than it saves.
  static constexpr size_t kMostTablesCopied = 64;
  std::vector<Comparison> comparisons;
  std::vector<FlowRule*> copied_rules;
};

}  // namespace sluice
