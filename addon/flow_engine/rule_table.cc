#include "flow_engine/rule_table.h"

#include <algorithm>
#include <cstring>

#include "packet/wire.h"

namespace sluice {
namespace {

uint32_t layout(const CompiledPattern& pattern) {
  return static_cast<uint32_t>(sizeof(FlowRule) + pattern.shape.words * sizeof(uint64_t) +
                               pattern.shape.ranges * 2 * kMaxRangeBytes);
}

}  // namespace

RuleTable::RuleTable(const rte_flow_attr& attributes, const CompiledPattern& compiled,
                     const ActionProgram& actions, bool has_histories, uint64_t secret, RowArena* arena)
    : attr(attributes),
      pattern(compiled),
      program(actions),
      rule_at(has_histories ? sizeof(RuleHistory) : 0),
      operands_at(layout(compiled)),
      row_bytes((rule_at + operands_at + actions.operand_bytes + 7) / 8 * 8),
      seed(secret),
      slab(row_bytes, arena) {}

FlowRule* RuleTable::find(const uint64_t* key, uint32_t hash) const {
  const uint32_t row =
      index.find(hash, [&](uint32_t candidate) { return same_key(rule(candidate)->key(), key); });
  return row == 0 ? nullptr : rule(row);
}

FlowRule* RuleTable::find(const uint64_t* key, uint32_t hash, uint32_t** room) {
  const uint32_t row = index.find(
      hash, [&](uint32_t candidate) { return same_key(rule(candidate)->key(), key); }, room);
  return row == 0 ? nullptr : rule(row);
}

FlowRule* RuleTable::find_range(const uint64_t* key, const uint8_t* from, const uint8_t* to) const {
  const size_t range_bytes = pattern.shape.ranges * kMaxRangeBytes;
  for (const uint32_t row : listed_rows) {
    FlowRule* candidate = rule(row);
    if (same_key(candidate->key(), key) && std::memcmp(low(candidate), from, range_bytes) == 0 &&
        std::memcmp(high(candidate), to, range_bytes) == 0) {
      return candidate;
    }
  }
  return nullptr;
}

bool RuleTable::hits(const FlowRule* candidate, const PacketView& view) const {
  const PatternShape& shape = pattern.shape;
  if (!has_key_of(candidate, view)) return false;
  const uint8_t* from = low(candidate);
  const uint8_t* to = high(candidate);
  for (uint8_t i = 0; i < shape.ranges; ++i) {
    const RangeField& range = shape.range[i];
    const RangeValue value = range.value_of(view.base[static_cast<size_t>(range.slot)] + range.offset);
    if (value < load_raw<RangeValue>(from + i * kMaxRangeBytes) ||
        value > load_raw<RangeValue>(to + i * kMaxRangeBytes)) {
      return false;
    }
  }
  return true;
}

FlowRule* RuleTable::lookup(const PacketView& view) const {
  if (is_listed()) {
    for (const uint32_t row : listed_rows) {
      if (hits(rule(row), view)) return rule(row);
    }
    return nullptr;
  }
  return lookup(view, hash_of(view));
}

bool RuleTable::insert(FlowRule* added, uint32_t hash, uint32_t* room) {
  const bool has_ranges = pattern.shape.ranges != 0;
  const bool is_in = room != nullptr && index.fill(room, hash, added->row());
  if (!has_ranges && !is_in &&
      !index.insert(hash, added->row(), [this](uint32_t row) { return hash_key(rule(row)->key()); })) {
    return false;
  }
  if (!has_ranges) share_with(added->key());
  ++rows;
  if (!listed) {
    if (!has_ranges && !templated) remember(hash);
    return true;
  }
  listed = has_ranges || rows <= kFew;
  if (listed) {
    listed_rows.push_back(added->row());
  } else {
    listed_rows.clear();
  }
  return true;
}

void RuleTable::insert_unlinked(FlowRule* added, uint32_t hash) {
  share_with(added->key());
  ++rows;
  remember(hash);
}

void RuleTable::link(uint32_t row, uint32_t hash) {
  index.insert(hash, row, [this](uint32_t other) { return hash_key(rule(other)->key()); });
}

// Rules of a table that come and go leave their keys in the filter: it goes before it is all of those.
void RuleTable::remember(uint32_t hash) {
  if (filter != nullptr) {
    if (!filter->add(hash) || filter->added() / 2 > rows) filter.reset();
  } else if (rows == kFiltered) {
    filter = std::make_unique<AbsenceFilter>();
    for (uint32_t row = 1; row <= slab.high(); ++row) {
      const FlowRule* present = rule(row);
      if (present->life() == FlowRule::kLive || present->life() == FlowRule::kStaged)
        filter->add(hash_key(present->key()));
    }
  }
}

void RuleTable::erase(FlowRule* removed, uint32_t hash) {
  --rows;
  if (listed) listed_rows.erase(std::find(listed_rows.begin(), listed_rows.end(), removed->row()));
  if (pattern.shape.ranges == 0) index.erase(hash, removed->row());
  if (rows == 0) filter.reset();
  if (rows == 0) listed = true;  // a table that shrinks to a few rules stays with its index
}

}  // namespace sluice
