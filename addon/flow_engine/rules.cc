// A rule's life: staged (its row is written), committed (packets hit it), removed.
#include <rte_prefetch.h>

#include <algorithm>
#include <cerrno>

#include "flow_engine/engine_state.h"
#include "flow_engine/flow_error.h"

namespace sluice {
namespace {

// As many rows as are worked on together: their index buckets are asked for first, then changed.
constexpr size_t kTogether = 32;

int refuse_commit(int code, rte_flow_error* error) {
  if (code == -EEXIST) {
    return fail(error, EEXIST, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
                "a rule with this pattern exists in the group at this priority");
  }
  return fail(error, ENOMEM, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "no memory for another rule");
}

}  // namespace

// A rule of the same key in the same group and priority, whatever its actions: -EEXIST, as rte_flow_create()
// may answer. Tables of one shape have the same words and the same seed, hence the same hash.
// `room`: of the table's index, for insert().
inline bool FlowEngine::Implementation::collides(RuleTable* table, FlowRule* rule, uint32_t hash,
                                                 uint32_t** room) const {
  *room = nullptr;
  const bool has_ranges = table->pattern.shape.ranges != 0;
  const auto has_range = [&](const RuleTable* other) {
    return other->find_range(rule->key(), table->low(rule), table->high(rule)) != nullptr;
  };
  if (has_ranges ? has_range(table) : table->find(rule->key(), hash, room) != nullptr) return true;
  for (const RuleTable* other : table->twins) {
    if (other->size() != 0 && (has_ranges ? has_range(other) : other->find(rule->key(), hash) != nullptr))
      return true;
  }
  return false;
}

// A row's number, 0 when there is no room.
inline uint32_t FlowEngine::Implementation::take_row(RuleTable* table, rte_flow_error* error) {
  if (rules >= options.max_rules) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the rule table is full (max_rules)");
    return 0;
  }
  const uint32_t row = table->slab.allocate();
  if (row == 0) refuse_commit(-ENOMEM, error);
  return row;
}

inline __attribute__((always_inline)) FlowRule* FlowEngine::Implementation::allocate_row(
    RuleTable* table, rte_flow_error* error) {
  const uint32_t row = take_row(table, error);
  if (row == 0) return nullptr;
  FlowRule* rule = table->rule(row);
  if (__builtin_expect(table->has_histories(), 1)) {
    rule->history() = RuleHistory{};
    rule->history().table_and_sequence = uint64_t{table->id} << 48;
  }
  rule->row_and_state = row | FlowRule::kStaged;
  rule->tag = 0;
  return rule;
}

// Staged, as the image is.
FlowRule* FlowEngine::Implementation::copy_row(RuleTable* table, const uint64_t* image, rte_flow_error* error) {
  const uint32_t row = take_row(table, error);
  if (row == 0) return nullptr;
  FlowRule* rule = table->rule(row);
  auto* words = reinterpret_cast<uint64_t*>(rule);
  for (uint32_t i = 0; i < (table->row_bytes - table->rule_at) / sizeof(uint64_t); ++i) words[i] = image[i];
  if (table->has_histories()) {
    rule->history() = RuleHistory{};
    rule->history().table_and_sequence = uint64_t{table->id} << 48;
  }
  rule->row_and_state = row | FlowRule::kStaged;
  ++rules;
  return rule;
}

// A row that never became a rule.
void FlowEngine::Implementation::give_back(RuleTable* table, FlowRule* rule) {
  const uint32_t row = rule->row();
  rule->row_and_state = 0;
  table->slab.free(row);
}

// With its key, of items that are of the table's types.
inline __attribute__((always_inline)) FlowRule* FlowEngine::Implementation::allocate_row(
    RuleTable* table, const PatternSources& sources, const rte_flow_item* pattern, rte_flow_error* error) {
  FlowRule* rule = allocate_row(table, error);
  if (rule == nullptr) return nullptr;
  const PatternShape& shape = table->pattern.shape;
  const int code = __builtin_expect(shape.ranges == 0, 1)
                       ? gather_words(shape, sources, pattern, rule->key(), error)
                       : gather_typed_values(shape, sources, pattern, rule->key(), table->low(rule),
                                             table->high(rule), error);
  if (__builtin_expect(code == 0, 1)) return rule;
  give_back(table, rule);
  return nullptr;
}

// The row is staged then, or given back.
inline __attribute__((always_inline)) bool FlowEngine::Implementation::fill_row(
    RuleTable* table, FlowRule* rule, const rte_flow_action* actions, rte_flow_error* error) {
  const ActionProgram& program = table->program;
  if (encode_operands(program, actions, table->attr, options, &shared, table->operands(rule), error) != 0) {
    give_back(table, rule);
    return false;
  }
  if (program.ages) {
    uint32_t timeout = program.age_timeout;
    if (timeout == 0)
      timeout = static_cast<const rte_flow_action_age*>(actions[program.age_action].conf)->timeout;
    rule->history().age_timeout = timeout;
    table->horizons.cover(rule->row());
  }
  ++rules;
  return true;
}

FlowRule* FlowEngine::Implementation::stage(RuleTable* table, const rte_flow_item* pattern,
                                            const rte_flow_action* actions, rte_flow_error* error) {
  if (check_types(table->program, actions, error) != 0 ||
      check_types(table->pattern.sources, pattern, error) != 0)
    return nullptr;
  FlowRule* rule = allocate_row(table, table->pattern.sources, pattern, error);
  return rule != nullptr && fill_row(table, rule, actions, error) ? rule : nullptr;
}

// The index bucket is asked for, so that it has come when the row is committed.
FlowRule* FlowEngine::Implementation::stage_typed(RuleTable* table, const rte_flow_item* pattern,
                                                  const rte_flow_action* actions, uint32_t* hash,
                                                  rte_flow_error* error) {
  FlowRule* rule = allocate_row(table, table->pattern.sources, pattern, error);
  if (rule == nullptr) return nullptr;
  *hash = table->hash_key(rule->key());
  table->index.prefetch(*hash);
  return fill_row(table, rule, actions, error) ? rule : nullptr;
}

// 0, -EEXIST or -ENOMEM.
inline int FlowEngine::Implementation::settle(RuleTable* table, FlowRule* rule, uint32_t hash,
                                              uint32_t now_seconds) {
  if (__builtin_expect(table->is_listed() || !table->twins.empty() || table->filter != nullptr, 0))
    return settle_any(table, rule, hash, now_seconds);
  // Then it has rules, none of which its group has copied, and no ranges.
  link();
  switch (table->add(rule, hash)) {
    case HashIndex::Added::kYes: make_live(table, rule, now_seconds); return 0;
    case HashIndex::Added::kIsThere: rule->set_life(FlowRule::kFailed); return -EEXIST;
    case HashIndex::Added::kUnknown: break;
  }
  return settle_any(table, rule, hash, now_seconds);
}

int FlowEngine::Implementation::settle_any(RuleTable* table, FlowRule* rule, uint32_t hash,
                                           uint32_t now_seconds) {
  if (table->twins.empty() && table->lacks(rule, hash)) {
    table->insert_unlinked(rule, hash);
    make_live(table, rule, now_seconds);
    if (unlinked_count == kUnlinked) link_first();
    unlinked[(unlinked_first + unlinked_count++) % kUnlinked] = {table, rule->row(), hash};
    return 0;
  }
  link();
  const bool was_empty = table->size() == 0;
  const bool was_constant = table->has_constant_rules();
  uint32_t* room;
  const int code = collides(table, rule, hash, &room) ? -EEXIST
                   : table->insert(rule, hash, room)  ? 0
                                                      : -ENOMEM;
  if (code != 0) {
    rule->set_life(FlowRule::kFailed);
    return code;
  }
  if (was_empty && !table->templated) --empty_derived;
  make_live(table, rule, now_seconds);
  if (was_constant) rules_changed(*table);
  return 0;
}

inline void FlowEngine::Implementation::make_live(RuleTable* table, FlowRule* rule,
                                                  uint32_t now_seconds) {
  rule->row_and_state += FlowRule::kLive - FlowRule::kStaged;
  if (!table->has_histories()) return;
  RuleHistory& history = rule->history();
  history.table_and_sequence |= next_sequence++ & RuleHistory::kSequenceMask;
  history.last_hit_seconds = now_seconds;
  if (!table->program.ages) return;
  note_age_clock(now_seconds);
  table->horizons.lower(rule->row(), AgeHorizons::after_hit(now_seconds, history.age_timeout));
}

inline void FlowEngine::Implementation::link_first() {
  const Unlinked& first = unlinked[unlinked_first];
  first.table->link(first.row, first.hash);
  unlinked_first = (unlinked_first + 1) % kUnlinked;
  --unlinked_count;
}

void FlowEngine::Implementation::link_all() {
  while (unlinked_count != 0) link_first();
}

// `table_at(i)`: of the rule at that place.
template <typename TableOf>
inline __attribute__((always_inline)) void FlowEngine::Implementation::commit_all(
    TableOf&& table_at, FlowRule* const* staged, size_t count, uint32_t now_seconds, int* codes) {
  RuleTable* of[kTogether];
  uint32_t hash[kTogether];
  for (size_t begin = 0; begin < count; begin += kTogether) {
    const size_t together = std::min(kTogether, count - begin);
    for (size_t i = 0; i < together; ++i) {
      of[i] = table_at(begin + i);
      hash[i] = of[i]->hash_key(staged[begin + i]->key());
      of[i]->index.prefetch(hash[i]);
      for (const RuleTable* other : of[i]->twins) other->index.prefetch(hash[i]);
    }
    for (size_t i = 0; i < together; ++i)
      codes[begin + i] = settle(of[i], staged[begin + i], hash[i], now_seconds);
  }
}

void FlowEngine::Implementation::commit(FlowRule* const* staged, size_t count, uint32_t now_seconds,
                                        int* codes) {
  commit_all([&](size_t i) { return table_of(staged[i]); }, staged, count, now_seconds, codes);
}

void FlowEngine::Implementation::commit(RuleTable* const* of, FlowRule* const* staged, size_t count,
                                        uint32_t now_seconds, int* codes) {
  commit_all([&](size_t i) { return of[i]; }, staged, count, now_seconds, codes);
}

int FlowEngine::Implementation::commit(FlowRule* staged, uint32_t hash, uint32_t now_seconds) {
  return settle(table_of(staged), staged, hash, now_seconds);
}

void FlowEngine::Implementation::rules_changed(const RuleTable& table) {
  group_to_change(table.attr.group)->copy_constant_rules();
  version = next_version();
}

// What the index bucket is waited for with: it has been asked for.
FlowRule* FlowEngine::Implementation::fill_and_settle(RuleTable* table, FlowRule* rule, uint32_t hash,
                                                      const rte_flow_action* actions, uint32_t now_seconds,
                                                      rte_flow_error* error) {
  if (!fill_row(table, rule, actions, error)) return nullptr;
  // A table that has a filter is the usual one here, and settle() would find it out first.
  const int code = table->filter != nullptr ? settle_any(table, rule, hash, now_seconds)
                                            : settle(table, rule, hash, now_seconds);
  if (code == 0) return rule;
  remove(table, rule);
  refuse_commit(code, error);
  return nullptr;
}

FlowRule* FlowEngine::Implementation::add_rule(RuleTable* table, const PatternSources& sources,
                                               const rte_flow_item* pattern, const rte_flow_action* actions,
                                               uint32_t now_seconds, rte_flow_error* error) {
  if (check_types(table->program, actions, error) != 0 || check_types(sources, pattern, error) != 0)
    return nullptr;
  FlowRule* rule = allocate_row(table, sources, pattern, error);
  if (rule == nullptr) return nullptr;
  const uint32_t hash = table->hash_key(rule->key());
  table->index.prefetch(hash);
  return fill_and_settle(table, rule, hash, actions, now_seconds, error);
}

FlowRule* FlowEngine::Implementation::add_rule(RuleTable* table, const Key& key,
                                               const rte_flow_action* actions, uint32_t now_seconds,
                                               rte_flow_error* error) {
  FlowRule* rule = allocate_row(table, error);
  if (rule == nullptr) return nullptr;
  for (uint8_t i = 0; i < table->pattern.shape.words; ++i) rule->key()[i] = key.word[i];
  return fill_and_settle(table, rule, key.hash, actions, now_seconds, error);
}

// While no entry of an index is yet to be written.
inline __attribute__((always_inline)) void FlowEngine::Implementation::take_out(RuleTable* table,
                                                                                FlowRule* rule,
                                                                                uint32_t hash) {
  const bool was_live = rule->live();
  if (was_live) {
    table->erase(rule, hash);
    if (table->has_constant_rules()) rules_changed(*table);
  }
  release_operands(table->program, table->operands(rule), &shared);
  give_back(table, rule);
  --rules;
  if (was_live && table->size() == 0 && !table->templated) ++empty_derived;
}

void FlowEngine::Implementation::remove(RuleTable* table, FlowRule* rule) {
  link();
  take_out(table, rule, table->hash_key(rule->key()));
  if (empty_derived > kEmptyTablesKept) drop_empty_tables();
}

template <typename TableOf>
inline __attribute__((always_inline)) void FlowEngine::Implementation::remove_all(TableOf&& table_at,
                                                                                  FlowRule* const* gone,
                                                                                  size_t count) {
  link();
  RuleTable* of[kTogether];
  uint32_t hash[kTogether];
  for (size_t begin = 0; begin < count; begin += kTogether) {
    const size_t together = std::min(kTogether, count - begin);
    for (size_t i = 0; i < together; ++i) {
      of[i] = table_at(begin + i);
      hash[i] = of[i]->hash_key(gone[begin + i]->key());
      of[i]->index.prefetch(hash[i]);
    }
    for (size_t i = 0; i < together; ++i) take_out(of[i], gone[begin + i], hash[i]);
  }
  if (empty_derived > kEmptyTablesKept) drop_empty_tables();
}

void FlowEngine::Implementation::remove(FlowRule* const* gone, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const auto* rule = reinterpret_cast<const uint8_t*>(gone[i]);
    rte_prefetch0(rule - sizeof(RuleHistory));
    rte_prefetch0(rule + 64);
  }
  remove_all([&](size_t i) { return table_of(gone[i]); }, gone, count);
}

void FlowEngine::Implementation::remove(RuleTable* const* of, FlowRule* const* gone, size_t count) {
  remove_all([&](size_t i) { return of[i]; }, gone, count);
}

}  // namespace sluice
