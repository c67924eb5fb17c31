#include "flow_engine/rule_group.h"

#include <algorithm>

#include "packet/wire.h"

namespace sluice {
namespace {

Comparison exact(const KeyWord& word, uint64_t value) {
  return {word.mask, __builtin_bswap64(value), 0, word.slot, word.offset};
}

// A field of up to eight bytes, in the eight bytes that end where it ends, or begin where its header begins.
Comparison between(const RangeField& field, RangeValue low, RangeValue high) {
  const int end = field.offset + field.length;
  const bool tag = field.slot == Slot::kOuterVlan || field.slot == Slot::kOuterVlan2 ||
                   field.slot == Slot::kInnerVlan || field.slot == Slot::kInnerVlan2;
  const int start = end >= 8 || tag ? end - 8 : 0;
  const int behind = 8 * (start + 8 - end);  // bits
  uint8_t mask[8] = {};
  std::memcpy(mask + (field.offset - start), field.mask, field.length);
  return {load_raw<uint64_t>(mask), static_cast<uint64_t>(low) << behind,
          static_cast<uint64_t>(high - low) << behind, field.slot, static_cast<int8_t>(start)};
}

}  // namespace

void Group::add(RuleTable* table) {
  const auto at = std::upper_bound(
      tables.begin(), tables.end(), table->attr.priority,
      [](uint32_t priority, const Candidate& other) { return priority < other.priority; });
  Candidate candidate;
  candidate.required_mask = table->pattern.shape.required_mask;
  candidate.required_value = table->pattern.shape.required_value;
  candidate.priority = table->attr.priority;
  candidate.table = table;
  tables.insert(at, candidate);
  matches_integrity = matches_integrity || table->pattern.shape.matches_integrity;
  copy_constant_rules();
}

void Group::remove(const RuleTable* table) {
  std::erase_if(tables, [table](const Candidate& other) { return other.table == table; });
  matches_integrity = std::any_of(tables.begin(), tables.end(), [](const Candidate& other) {
    return other.table->pattern.shape.matches_integrity;
  });
  copy_constant_rules();
}

bool Group::copy(Candidate* candidate) {
  const RuleTable& table = *candidate->table;
  const PatternShape& shape = table.pattern.shape;
  const auto too_long = [](const RangeField& field) { return field.length > 8; };
  if (!table.is_listed() || table.listed_rows.size() > RuleTable::kFew ||
      std::any_of(shape.range, shape.range + shape.ranges, too_long)) {
    return false;
  }
  candidate->rows = static_cast<uint8_t>(table.listed_rows.size());
  candidate->each = static_cast<uint8_t>(shape.words + shape.ranges);
  candidate->first_rule = static_cast<uint16_t>(copied_rules.size());
  candidate->first_comparison = static_cast<uint16_t>(comparisons.size());
  for (const uint32_t row : table.listed_rows) {
    FlowRule* rule = table.rule(row);
    copied_rules.push_back(rule);
    for (uint8_t i = 0; i < shape.words; ++i) comparisons.push_back(exact(shape.word[i], rule->key()[i]));
    for (uint8_t i = 0; i < shape.ranges; ++i) {
      comparisons.push_back(between(shape.range[i], load_raw<RangeValue>(table.low(rule) + i * kMaxRangeBytes),
                                    load_raw<RangeValue>(table.high(rule) + i * kMaxRangeBytes)));
    }
  }
  return true;
}

void Group::copy_constant_rules() {
  const bool few = tables.size() <= kMostTablesCopied;
  if (!few && !has_copies) return;
  comparisons.clear();
  copied_rules.clear();
  constant = has_copies = few;
  for (Candidate& candidate : tables) {
    candidate.copied = few && copy(&candidate);
    constant = constant && candidate.copied;
  }
}

}  // namespace sluice
