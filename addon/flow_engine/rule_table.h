// Rules that share a pattern shape, an action program, a group and a priority.
#pragma once

#include <emmintrin.h>
#include <rte_flow.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "flow_engine/absence_filter.h"
#include "flow_engine/actions.h"
#include "flow_engine/age_horizons.h"
#include "flow_engine/flow_engine.h"
#include "flow_engine/hash_index.h"
#include "flow_engine/pattern.h"
#include "flow_engine/row_slab.h"

namespace sluice {

// What rules have in front of them, unless the engine's user keeps all that.
struct RuleHistory {
  static constexpr uint64_t kSequenceMask = (1ull << 48) - 1;

  uint32_t last_hit_seconds = 0;  // AGE
  uint32_t age_timeout = 0;       // seconds; 0 without AGE
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t table_and_sequence = 0;  // 16 bits of table, 48 of creation order

  uint16_t table() const { return static_cast<uint16_t>(table_and_sequence >> 48); }
  uint64_t sequence() const { return table_and_sequence & kSequenceMask; }
};
static_assert(sizeof(RuleHistory) == 32);

// One installed rule, followed by its masked key words, its ranges (low, high) and its packed operands. The
// slab's free list runs through the first word of what is gone.
struct FlowRule {
  uint32_t row_and_state = 0;
  uint32_t tag = 0;  // the engine's user's own

  static constexpr uint32_t kRowMask = RowSlab::kMostRows - 1;
  // One of these; none: the rule is gone.
  static constexpr uint32_t kStaged = 1u << 28;  // not yet in the table
  static constexpr uint32_t kLive = 2u << 28;
  static constexpr uint32_t kFailed = 3u << 28;  // never in the table: waits for its owner to destroy it
  static constexpr uint32_t kLifeMask = 3u << 28;
  // Beside them.
  static constexpr uint32_t kAged = 1u << 30;     // reported as aged and not hit since
  static constexpr uint32_t kRetired = 1u << 31;  // its destruction is under way

  uint32_t row() const { return row_and_state & kRowMask; }
  uint32_t life() const { return row_and_state & kLifeMask; }
  void set_life(uint32_t life) { row_and_state = row() | life; }
  bool live() const { return life() == kLive; }

  RuleHistory& history() { return reinterpret_cast<RuleHistory*>(this)[-1]; }
  const RuleHistory& history() const { return reinterpret_cast<const RuleHistory*>(this)[-1]; }
  uint64_t* key() { return reinterpret_cast<uint64_t*>(this + 1); }
  const uint64_t* key() const { return reinterpret_cast<const uint64_t*>(this + 1); }
};
static_assert(sizeof(FlowRule) == 8);
static_assert(FlowRule::kStaged == RowSlab::kMostRows);

struct RuleTable {
  RuleTable(const rte_flow_attr& attributes, const CompiledPattern& compiled, const ActionProgram& actions,
            bool has_histories, uint64_t seed, RowArena* arena);

  uint32_t rows = 0;
  uint16_t id = 0;
  bool templated = false;         // made by create_table; others come and go with their rules
  void* owner = nullptr;          // of the engine's user
  std::vector<RuleTable*> twins;  // of the same group, priority and shape, with other actions
  rte_flow_attr attr;
  CompiledPattern pattern;
  ActionProgram program;
  uint32_t rule_at;      // offset from the row's start, where there may be a history
  uint32_t operands_at;  // offset from the rule's start
  uint32_t row_bytes;
  uint64_t seed;
  RowSlab slab;
  AgeHorizons horizons;  // empty without AGE
  HashIndex index;
  // Compared one after the other, oldest first: all rules of a pattern with ranges, and those of a table that
  // never had more than a few. (A gateway's constant rules are one or two to a table: most packets meet a
  // dozen such tables and fit none, which two compared words tell sooner than a hash. See Group.)
  static constexpr size_t kFew = 3;
  std::vector<uint32_t> listed_rows;

  bool listed = true;  // what listed_rows holds is all there is

  // What the keys of all rules so far have alike, word by word: a packet whose key differs in it hits none of
  // them, and neither its hash nor the index is needed to tell. (Addresses of the underlay and of a pool,
  // ports of a service.) It only shrinks until the table is empty.
  struct alignas(16) Common {
    uint64_t value[2], mask[2];
  };
  Common common[kMaxKeyWords / 2] = {};

  // Of a large table that fills: what it does not have is told without the index. Null: there is none.
  std::unique_ptr<AbsenceFilter> filter;

  bool is_listed() const { return listed; }
  // So few that their group keeps copies of them.
  bool has_constant_rules() const { return listed && listed_rows.size() <= kFew; }
  uint32_t size() const { return rows; }
  FlowRule* rule(uint32_t row) const { return reinterpret_cast<FlowRule*>(slab.at(row) + rule_at); }
  bool has_histories() const { return rule_at != 0; }
  uint8_t* low(FlowRule* rule) const { return reinterpret_cast<uint8_t*>(rule->key() + pattern.shape.words); }
  uint8_t* high(FlowRule* rule) const { return low(rule) + pattern.shape.ranges * kMaxRangeBytes; }
  const uint8_t* low(const FlowRule* rule) const {
    return reinterpret_cast<const uint8_t*>(rule->key() + pattern.shape.words);
  }
  const uint8_t* high(const FlowRule* rule) const {
    return low(rule) + pattern.shape.ranges * kMaxRangeBytes;
  }
  uint8_t* operands(FlowRule* rule) const { return reinterpret_cast<uint8_t*>(rule) + operands_at; }

  // The rule that a packet hits, or null.
  FlowRule* lookup(const PacketView& view) const;
  // The same with hash_of(view) made before. Not for tables that are listed.
  FlowRule* lookup(const PacketView& view, uint32_t hash) const {
    const uint32_t row = index.find(hash, [&](uint32_t other) { return has_key_of(rule(other), view); });
    return row == 0 ? nullptr : rule(row);
  }
  bool hits(const FlowRule* rule, const PacketView& view) const;
  bool has_key_of(const FlowRule* rule, const PacketView& view) const {
    const PatternShape& shape = pattern.shape;
    uint64_t difference = 0;
    for (uint8_t i = 0; i < shape.words; ++i) difference |= shape.word[i].value_in(view) ^ rule->key()[i];
    return difference == 0;
  }
  // False: no rule has this key. Reads two words at once, behind the key too, whatever stands there.
  bool may_have(const uint64_t* key, uint8_t words) const {
    const auto* of = reinterpret_cast<const __m128i*>(common);
    const uint64_t* end = key + words;
    __m128i difference = _mm_setzero_si128();
    do {
      const __m128i two = _mm_loadu_si128(reinterpret_cast<const __m128i*>(key));
      difference = _mm_or_si128(difference, _mm_and_si128(_mm_xor_si128(two, of[0]), of[1]));
      key += 2;
      of += 2;
    } while (key < end);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(difference, _mm_setzero_si128())) == 0xffff;
  }
  FlowRule* find(const uint64_t* key, uint32_t hash) const;
  FlowRule* find_range(const uint64_t* key, const uint8_t* low, const uint8_t* high) const;
  // The same before insert(), which takes the room that was found in the index, if any.
  FlowRule* find(const uint64_t* key, uint32_t hash, uint32_t** room);
  bool insert(FlowRule* rule, uint32_t hash, uint32_t* room);
  // find() and insert() in one, of a table that is not listed.
  HashIndex::Added add(FlowRule* rule, uint32_t hash) {
    const uint64_t* key = rule->key();
    const auto added =
        index.add(hash, rule->row(), [&](uint32_t other) { return same_key(this->rule(other)->key(), key); });
    if (__builtin_expect(added != HashIndex::Added::kYes, 0)) return added;
    share_with(key);
    ++rows;
    if (!templated) remember(hash);
    return added;
  }
  // Whether no rule has the key, without a look at the index, and the index has room for another rule.
  bool lacks(const FlowRule* rule, uint32_t hash) const {
    return filter != nullptr && index.has_room_for(rule->row()) && !filter->may_have(hash);
  }
  // insert() in two steps, of a rule that lacks() is true for: the second looks at the index.
  void insert_unlinked(FlowRule* rule, uint32_t hash);
  void link(uint32_t row, uint32_t hash);
  void erase(FlowRule* rule, uint32_t hash);

  uint32_t hash_key(const uint64_t* key) const { return hash_key(key, pattern.shape.words); }
  // What hash_words() would make of it, two words at once.
  uint32_t hash_key(const uint64_t* key, size_t words) const {
    uint64_t h = seed;
    const uint64_t second = seed ^ kSecond;
    for (const uint64_t* const end = key + (words & ~size_t{1}); key != end; key += 2)
      h = fold(key[0] ^ kFirst ^ h, key[1] ^ second);
    if ((words & 1) != 0) h = fold(*key ^ h, seed ^ kOdd);
    return finish(h);
  }
  uint32_t hash_of(const PacketView& view) const {
    return hash_words(pattern.shape.words,
                      [this, &view](size_t i) { return pattern.shape.word[i].value_in(view); });
  }
  bool same_key(const uint64_t* a, const uint64_t* b) const {
    uint64_t difference = 0;
    for (uint8_t i = 0; i < pattern.shape.words; ++i) difference |= a[i] ^ b[i];
    return difference == 0;
  }

 private:
  void share_with(const uint64_t* key);
  void remember(uint32_t hash);

  static constexpr uint32_t kFiltered =
      1u << 14;  // a table of more rules has a filter, if rules come one by one

  // Full product folded to 64 bits: every bit of the result depends on every bit of both, and with a secret
  // seed nobody outside can choose packets that collide.
  static uint64_t fold(uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  template <typename Word>
  uint32_t hash_words(size_t words, Word&& word) const {
    uint64_t h = seed;
    size_t i = 0;
    for (; i + 1 < words; i += 2) h = fold(word(i) ^ kFirst ^ h, word(i + 1) ^ seed ^ kSecond);
    if (i < words) h = fold(word(i) ^ h, seed ^ kOdd);
    return finish(h);
  }
  static uint32_t finish(uint64_t h) {
    h = fold(h, 0x589965cc75374cc3ull);
    return static_cast<uint32_t>(h ^ h >> 32);
  }
  static constexpr uint64_t kFirst = 0xa0761d6478bd642full, kSecond = 0xe7037ed1a0b428dbull,
                            kOdd = 0x8ebc6af09c88c6e3ull;
};

inline void RuleTable::share_with(const uint64_t* key) {
  const uint8_t words = pattern.shape.words;
  if (rows == 0) {
    for (uint8_t i = 0; i < words; ++i) {
      common[i / 2].value[i % 2] = key[i];
      common[i / 2].mask[i % 2] = ~0ull;
    }
    return;
  }
  Common* of = common;
  for (const uint64_t* pairs_end = key + (words & ~1); key != pairs_end; key += 2, ++of) {
    const __m128i other = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(key)),
                                        _mm_load_si128(reinterpret_cast<const __m128i*>(of->value)));
    auto* mask = reinterpret_cast<__m128i*>(of->mask);
    _mm_store_si128(mask, _mm_andnot_si128(other, _mm_load_si128(mask)));
  }
  if ((words & 1) != 0) of->mask[0] &= ~(*key ^ of->value[0]);
}

}  // namespace sluice
