#include "flow_engine/rule_table.h"

#include <algorithm>
#include <cstring>

#include "packet/wire.h"

namespace sluice {
namespace {

// Full product folded to 64 bits: every bit of the result depends on every bit of both, and with a secret
// seed nobody outside can choose packets that collide.
uint64_t fold(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint32_t layout(const CompiledPattern& pattern) {
  return static_cast<uint32_t>(sizeof(FlowRule) + pattern.shape.words * sizeof(uint64_t) +
                               pattern.shape.ranges * 2 * kMaxRangeBytes);
}

}  // namespace

RuleTable::RuleTable(const rte_flow_attr& attributes, const CompiledPattern& compiled,
                     const ActionProgram& actions, uint64_t secret)
    : attr(attributes),
      pattern(compiled),
      program(actions),
      operands_at(layout(compiled)),
      row_bytes((layout(compiled) + actions.operand_bytes + 7) / 8 * 8),
      seed(secret),
      slab(row_bytes) {}

uint32_t RuleTable::hash_key(const uint64_t* key) const {
  uint64_t h = seed;
  uint8_t i = 0;
  const uint8_t words = pattern.shape.words;
  for (; i + 1 < words; i += 2)
    h = fold(key[i] ^ 0xa0761d6478bd642full ^ h, key[i + 1] ^ seed ^ 0xe7037ed1a0b428dbull);
  if (i < words) h = fold(key[i] ^ h, seed ^ 0x8ebc6af09c88c6e3ull);
  h = fold(h, 0x589965cc75374cc3ull);
  return static_cast<uint32_t>(h ^ h >> 32);
}

void RuleTable::gather_key(const PacketView& view, uint64_t* key) const {
  for (uint8_t i = 0; i < pattern.shape.words; ++i) {
    const KeyWord& word = pattern.shape.word[i];
    if (word.slot == Slot::kMeta) {
      key[i] = view.meta & word.mask;
    } else {
      key[i] = load_raw<uint64_t>(view.base[static_cast<size_t>(word.slot)] + word.offset) & word.mask;
    }
  }
}

FlowRule* RuleTable::find(const uint64_t* key) const {
  const size_t bytes = pattern.shape.words * sizeof(uint64_t);
  const uint32_t row = index.find(hash_key(key), [&](uint32_t candidate) {
    return std::memcmp(rule(candidate)->key(), key, bytes) == 0;
  });
  return row == 0 ? nullptr : rule(row);
}

FlowRule* RuleTable::find_range(const uint64_t* key, const uint8_t* from, const uint8_t* to) const {
  const size_t key_bytes = pattern.shape.words * sizeof(uint64_t);
  const size_t range_bytes = pattern.shape.ranges * kMaxRangeBytes;
  for (const uint32_t row : range_rows) {
    FlowRule* candidate = rule(row);
    if (std::memcmp(candidate->key(), key, key_bytes) == 0 &&
        std::memcmp(low(candidate), from, range_bytes) == 0 &&
        std::memcmp(high(candidate), to, range_bytes) == 0) {
      return candidate;
    }
  }
  return nullptr;
}

FlowRule* RuleTable::lookup(const PacketView& view) const {
  uint64_t key[kMaxKeyWords];
  gather_key(view, key);
  const PatternShape& shape = pattern.shape;
  if (shape.ranges == 0) return find(key);
  // Big-endian fields compare as bytes; both ends of a range were masked when the rule was made.
  uint8_t values[kMaxRanges][kMaxRangeBytes];
  for (uint8_t i = 0; i < shape.ranges; ++i) {
    const RangeField& range = shape.range[i];
    const uint8_t* field = view.base[static_cast<size_t>(range.slot)] + range.offset;
    for (uint8_t at = 0; at < range.length; ++at) values[i][at] = field[at] & range.mask[at];
  }
  for (const uint32_t row : range_rows) {
    FlowRule* candidate = rule(row);
    if (std::memcmp(candidate->key(), key, shape.words * sizeof(uint64_t)) != 0) continue;
    bool inside = true;
    for (uint8_t i = 0; i < shape.ranges && inside; ++i) {
      const size_t length = shape.range[i].length;
      inside = std::memcmp(values[i], low(candidate) + i * kMaxRangeBytes, length) >= 0 &&
               std::memcmp(values[i], high(candidate) + i * kMaxRangeBytes, length) <= 0;
    }
    if (inside) return candidate;
  }
  return nullptr;
}

bool RuleTable::insert(FlowRule* added) {
  if (pattern.shape.ranges != 0) {
    range_rows.push_back(added->row);
    return true;
  }
  return index.insert(hash_key(added->key()), added->row,
                      [this](uint32_t row) { return hash_key(rule(row)->key()); });
}

void RuleTable::erase(FlowRule* removed) {
  if (pattern.shape.ranges != 0) {
    range_rows.erase(std::find(range_rows.begin(), range_rows.end(), removed->row));
  } else {
    index.erase(hash_key(removed->key()), removed->row);
  }
}

}  // namespace sluice
