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

uint32_t jump_of(const RuleTable& table, FlowRule* rule) {
  const Op& op = table.program.op[0];
  if (table.program.ops != 1 || op.kind != OpKind::kJump) return 0;
  return load_raw<uint32_t>((op.constant ? table.program.constants.data() : table.operands(rule)) + op.operand);
}

}  // namespace

void Group::add(RuleTable* table) {
  const PatternShape& shape = table->pattern.shape;
  const uint32_t priority = table->attr.priority;
  // Behind the last of its shape, if there is one: a packet's key and hash serve all of them.
  const auto twin = std::find_if(tables.rbegin(), tables.rend(), [&](const Candidate& other) {
    return other.priority == priority && other.table->pattern.shape.equals(shape);
  });
  const auto at = twin != tables.rend()
                      ? twin.base()
                      : std::upper_bound(tables.begin(), tables.end(), priority, [](uint32_t wanted, const Candidate& other) {
                          return wanted < other.priority;
                        });
  tables.insert(at, {shape.required_mask, shape.required_value, priority, false, table});
  matches_integrity = matches_integrity || shape.matches_integrity;
  copy_constant_rules();
}

void Group::remove(const RuleTable* table) {
  std::erase_if(tables, [table](const Candidate& other) { return other.table == table; });
  matches_integrity = std::any_of(tables.begin(), tables.end(), [](const Candidate& other) {
    return other.table->pattern.shape.matches_integrity;
  });
  copy_constant_rules();
}

bool Group::can_copy(const RuleTable& table) const {
  const PatternShape& shape = table.pattern.shape;
  return table.has_constant_rules() &&
         std::none_of(shape.range, shape.range + shape.ranges,
                      [](const RangeField& field) { return field.length > sizeof(uint64_t); });
}

void Group::copy(const RuleTable& table) {
  const PatternShape& shape = table.pattern.shape;
  for (const uint32_t row : table.listed_rows) {
    FlowRule* rule = table.rule(row);
    Constant constant{shape.required_mask,  shape.required_value, 0, 0, table.attr.priority, 0, 0,
                      jump_of(table, rule), rule};
    constant.first = static_cast<uint16_t>(comparisons.size());
    for (uint8_t i = 0; i < shape.words; ++i) {
      if (shape.word[i].slot == Slot::kMeta) {
        constant.meta_mask = shape.word[i].mask;
        constant.meta_value = rule->key()[i];
      } else {
        comparisons.push_back(exact(shape.word[i], rule->key()[i]));
      }
    }
    for (uint8_t i = 0; i < shape.ranges; ++i) {
      comparisons.push_back(between(shape.range[i], load_raw<RangeValue>(table.low(rule) + i * kMaxRangeBytes),
                                    load_raw<RangeValue>(table.high(rule) + i * kMaxRangeBytes)));
    }
    constant.end = static_cast<uint16_t>(comparisons.size());
    constants.push_back(constant);
  }
}

void Group::copy_constant_rules() {
  const bool few = tables.size() <= kMostTablesCopied;
  if (!few && !has_copies_) return;
  constants.clear();
  comparisons.clear();
  all_constant = has_copies_ = few;
  for (Candidate& candidate : tables) {
    candidate.copied = few && can_copy(*candidate.table);
    all_constant = all_constant && candidate.copied;
    if (candidate.copied) copy(*candidate.table);
  }
  std::stable_sort(constants.begin(), constants.end(), [this](const Constant& a, const Constant& b) {
    return a.priority != b.priority ? a.priority < b.priority : knows_order && comes_first(a.rule, b.rule);
  });
}

}  // namespace sluice
