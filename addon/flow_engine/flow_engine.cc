#include "flow_engine/flow_engine.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <new>
#include <unordered_map>
#include <vector>

#include "flow_engine/engine_state.h"
#include "flow_engine/flow_error.h"
#include "flow_engine/memory.h"
#include "flow_engine/memory_limit.h"

namespace sluice {
namespace {

// What tables have from the start, at most: entries of an index, and the part of the machine's memory that the
// rows of all tables are. An application's `nb_flows` may be more than it will ever need.
constexpr uint32_t kReservedEntries = 1u << 22;
constexpr uint64_t kReservedPart = 16;

uint64_t secret() {
  uint64_t value = 0;
  if (getrandom(&value, sizeof value, 0) != sizeof value)
    value = reinterpret_cast<uintptr_t>(&value) * 0x9e3779b97f4a7c15ull;
  return value;
}

}  // namespace

uint64_t FlowEngine::Implementation::next_version() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

int FlowEngine::Implementation::check_attributes(const rte_flow_attr& attr, rte_flow_error* error) const {
  if (attr.transfer && (attr.ingress || attr.egress)) {
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER, &attr,
                "transfer: ingress and egress must not be set with it");
  }
  if (attr.egress)
    return fail(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_EGRESS, &attr, "egress rules are not supported");
  if (!attr.transfer && !attr.ingress) {
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ATTR, &attr, "one of ingress and transfer must be set");
  }
  return 0;
}

int FlowEngine::Implementation::compile(const rte_flow_attr& attr, const rte_flow_item* pattern,
                                        const rte_flow_action* actions, const rte_flow_action* masks,
                                        PatternMode mode, CompiledPattern* compiled, ActionProgram* program,
                                        rte_flow_error* error) const {
  if (const int code = check_attributes(attr, error)) return code;
  if (pattern == nullptr) return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_NUM, nullptr, "no pattern");
  if (actions == nullptr) return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_NUM, nullptr, "no actions");
  if (const int code = compile_pattern(attr, pattern, mode, options, compiled, error)) return code;
  return compile_actions(attr, actions, masks, mode, compiled->content, options, program, error);
}

RuleTable* FlowEngine::Implementation::add_table(const rte_flow_attr& attr, const CompiledPattern& pattern,
                                                 const ActionProgram& program, rte_flow_error* error) {
  size_t id = 0;
  while (id < tables.size() && tables[id] != nullptr) ++id;
  if (id > UINT16_MAX) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "too many different rule shapes");
    return nullptr;
  }
  auto* table = new RuleTable(attr, pattern, program, options.keeper == nullptr, seed, &arena);
  table->id = static_cast<uint16_t>(id);
  if (id == tables.size()) tables.push_back(nullptr);
  tables[id] = table;
  Group* group = group_to_change(attr.group);
  group->knows_order = options.keeper == nullptr;
  for (const Group::Candidate& candidate : group->tables) {
    RuleTable* other = candidate.table;
    if (candidate.priority != attr.priority || !other->pattern.shape.equals(pattern.shape)) continue;
    other->twins.push_back(table);
    table->twins.push_back(other);
  }
  group->add(table);
  version = next_version();
  return table;
}

void FlowEngine::Implementation::remove_table(RuleTable* table) {
  Group* group = group_to_change(table->attr.group);
  group->remove(table);
  version = next_version();
  for (RuleTable* other : table->twins) std::erase(other->twins, table);
  release_constants(table->program, &shared);
  memo.forget(table);
  if (group->tables.empty() && table->attr.group >= kSmallGroups) large_groups.erase(table->attr.group);
  tables[table->id] = nullptr;
  delete table;
}

uint64_t derived_key(const rte_flow_attr& attr, const CompiledPattern& pattern,
                     const ActionProgram& program) {
  uint64_t key = pattern.shape.hash() * 31 + program.hash();
  key = key * 31 + attr.group;
  return key * 31 + attr.priority * 2 + attr.transfer;
}

RuleTable* FlowEngine::Implementation::derived_table(const rte_flow_attr& attr,
                                                     const CompiledPattern& pattern,
                                                     const ActionProgram& program, rte_flow_error* error) {
  const uint64_t key = derived_key(attr, pattern, program);
  const auto [begin, end] = derived.equal_range(key);
  for (auto at = begin; at != end; ++at) {
    RuleTable* table = at->second;
    if (table->attr.group == attr.group && table->attr.priority == attr.priority &&
        table->attr.transfer == attr.transfer && table->pattern.shape.equals(pattern.shape) &&
        table->program.equals(program)) {
      return table;
    }
  }
  RuleTable* table = add_table(attr, pattern, program, error);
  if (table == nullptr) return nullptr;
  derived.emplace(key, table);
  ++empty_derived;
  return table;
}

// Tables of rules that are gone are kept for the next of their kind, but not without limit.
void FlowEngine::Implementation::drop_empty_tables() {
  for (auto at = derived.begin(); at != derived.end();) {
    if (at->second->size() != 0) {
      ++at;
      continue;
    }
    remove_table(at->second);
    at = derived.erase(at);
  }
  empty_derived = 0;
}

FlowEngine::FlowEngine(const EngineOptions& options)
    : self_(std::make_unique<Implementation>(options, secret())) {}
FlowEngine::~FlowEngine() = default;

int FlowEngine::validate(const rte_flow_attr& attr, const rte_flow_item* pattern,
                         const rte_flow_action* actions, rte_flow_error* error) {
  CompiledPattern compiled;
  ActionProgram program;
  if (const int code =
          self_->compile(attr, pattern, actions, nullptr, PatternMode::kRule, &compiled, &program, error)) {
    return code;
  }
  uint64_t words[kMaxKeyWords];
  uint8_t low[kMaxRanges * kMaxRangeBytes], high[kMaxRanges * kMaxRangeBytes];
  if (const int code = gather_values(compiled.shape, compiled.sources, pattern, words, low, high, error))
    return code;
  uint8_t operands[kMaxActions * kMaxOperandBytes];
  return encode_operands(program, actions, attr, self_->options, nullptr, operands, error);
}

FlowRule* FlowEngine::create(const rte_flow_attr& attr, const rte_flow_item* pattern,
                             const rte_flow_action* actions, uint32_t now_seconds, rte_flow_error* error,
                             const TargetCheck* targets) {
  if (ShapeMemo::Known* similar = self_->memo.find(attr, pattern)) {
    // The key first: the index bucket is on its way while the actions are read.
    Implementation::Key key;
    const RuleTable* likely = similar->table;
    const PatternShape& key_shape = likely->pattern.shape;
    if (gather_words(key_shape, similar->sources, pattern, key.word, error) != 0) return nullptr;
    key.hash = likely->hash_key(key.word, key_shape.words);
    likely->index.prefetch(key.hash);
    if (likely->filter != nullptr) likely->filter->prefetch(key.hash);
    if (const ShapeMemo::Known* known = self_->memo.find(similar, actions)) {
      if (targets != nullptr && (known->targets.items | known->targets.actions) != 0 &&
          targets->check(targets->user, pattern, actions, &known->targets, error) != 0)
        return nullptr;
      return self_->add_rule(known->table, key, actions, now_seconds, error);
    }
  }
  if (targets != nullptr && targets->check(targets->user, pattern, actions, nullptr, error) != 0)
    return nullptr;
  CompiledPattern compiled;
  ActionProgram program;
  if (self_->compile(attr, pattern, actions, nullptr, PatternMode::kRule, &compiled, &program, error) != 0)
    return nullptr;
  RuleTable* table = self_->derived_table(attr, compiled, program, error);
  if (table == nullptr) return nullptr;
  RuleSignature shape, list;
  if (shape.read(attr, pattern) && list.read(actions)) {
    self_->memo.keep(shape, list, compiled.sources, places_of_targets(pattern, actions), table);
  }
  return self_->add_rule(table, compiled.sources, pattern, actions, now_seconds, error);
}

bool FlowEngine::has_unlinked() const { return self_->unlinked_count != 0; }
void FlowEngine::link() { self_->link(); }

void FlowEngine::destroy(FlowRule* rule) { self_->remove(self_->table_of(rule), rule); }
void FlowEngine::destroy(FlowRule* const* rules, size_t count) { self_->remove(rules, count); }
void FlowEngine::destroy(RuleTable* table, FlowRule* rule) { self_->remove(table, rule); }
void FlowEngine::destroy(RuleTable* const* tables, FlowRule* const* rules, size_t count) {
  self_->remove(tables, rules, count);
}

void FlowEngine::flush() {
  self_->each_row([this](RuleTable* table, FlowRule* rule) {
    if (rule->life() != 0) self_->remove(table, rule);
  });
  self_->drop_empty_tables();
}

RuleTable* FlowEngine::create_table(const rte_flow_attr& attr, const rte_flow_item* pattern,
                                    const rte_flow_action* actions, const rte_flow_action* masks,
                                    rte_flow_error* error) {
  CompiledPattern compiled;
  ActionProgram program;
  if (self_->compile(attr, pattern, actions, masks, PatternMode::kTemplate, &compiled, &program, error) != 0)
    return nullptr;
  if (encode_constants(&program, actions, attr, self_->options, &self_->shared, error) != 0) return nullptr;
  RuleTable* table = self_->add_table(attr, compiled, program, error);
  if (table == nullptr) {
    release_constants(program, &self_->shared);
  } else {
    table->templated = true;
    if (self_->options.rows_of_table != 0) table->index.expect(self_->options.rows_of_table);
  }
  return table;
}

int FlowEngine::validate_template(const rte_flow_attr& attr, const rte_flow_item* pattern,
                                  const rte_flow_action* actions, const rte_flow_action* masks,
                                  rte_flow_error* error) const {
  if (const int code = self_->check_attributes(attr, error)) return code;
  CompiledPattern compiled;
  compiled.content = PatternContent::any();
  if (pattern != nullptr) {
    return compile_pattern(attr, pattern, PatternMode::kTemplate, self_->options, &compiled, error);
  }
  ActionProgram program;
  return compile_actions(attr, actions, masks, PatternMode::kTemplate, compiled.content, self_->options,
                         &program, error);
}

bool FlowEngine::reserve(RuleTable* table, uint32_t rows) {
  const uint64_t bytes = uint64_t{rows} * table->row_bytes;
  self_->expected_bytes += bytes;
  self_->most_expected_bytes = std::max(self_->most_expected_bytes, bytes);
  // Pages are cleared in this order, and those of an index are touched first.
  if (table->pattern.shape.ranges == 0 && !table->index.reserve(std::min(rows, kReservedEntries)))
    return false;
  return self_->arena.reserve(std::min(
      {self_->expected_bytes, 2 * self_->most_expected_bytes, memory_limit() / kReservedPart}));
}

bool FlowEngine::reserve(uint64_t row_bytes) { return self_->arena.reserve(row_bytes); }

void FlowEngine::destroy_table(RuleTable* table) { self_->remove_table(table); }

void FlowEngine::set_owner(RuleTable* table, void* owner) { table->owner = owner; }
void* FlowEngine::owner(const FlowRule* rule) const { return self_->table_of(rule)->owner; }

FlowRule* FlowEngine::create_row(RuleTable* table, const rte_flow_item* pattern,
                                 const rte_flow_action* actions, uint32_t now_seconds,
                                 rte_flow_error* error) {
  return self_->add_rule(table, table->pattern.sources, pattern, actions, now_seconds, error);
}

FlowRule* FlowEngine::stage_row(RuleTable* table, const rte_flow_item* pattern,
                                const rte_flow_action* actions, rte_flow_error* error) {
  return self_->stage(table, pattern, actions, error);
}

bool FlowEngine::has_types(const RuleTable* table, const rte_flow_item* pattern,
                           const rte_flow_action* actions) {
  const PatternSources& sources = table->pattern.sources;
  const ActionProgram& program = table->program;
  return first_other(pattern, sources.type, sources.items) == nullptr &&
         first_other(actions, program.type, program.actions) == nullptr;
}

FlowRule* FlowEngine::stage_typed_row(RuleTable* table, const rte_flow_item* pattern,
                                      const rte_flow_action* actions, uint32_t* hash, rte_flow_error* error) {
  return self_->stage_typed(table, pattern, actions, hash, error);
}

int FlowEngine::commit_row(FlowRule* row, uint32_t hash, uint32_t now_seconds) {
  return self_->commit(row, hash, now_seconds);
}

void FlowEngine::commit_rows(FlowRule* const* rows, size_t count, uint32_t now_seconds, int* codes) {
  self_->commit(rows, count, now_seconds, codes);
}

void FlowEngine::commit_rows(RuleTable* const* tables, FlowRule* const* rows, size_t count,
                             uint32_t now_seconds, int* codes) {
  self_->commit(tables, rows, count, now_seconds, codes);
}

void* FlowEngine::age_context(const FlowRule* rule) const {
  auto* own = const_cast<FlowRule*>(rule);
  const RuleTable& table = *self_->table_of(rule);
  if (!table.program.ages) return own;
  const Op& age = table.program.op[table.program.age_op];
  const uint8_t* operands = age.constant ? table.program.constants.data() : table.operands(own);
  void* context;
  std::memcpy(&context, operands + age.operand, sizeof context);
  return context == nullptr ? own : context;
}

uint32_t FlowEngine::age_timeout(const FlowRule* rule) const {
  return self_->options.keeper == nullptr ? rule->history().age_timeout : 0;
}

bool FlowEngine::counts(const FlowRule* rule) const { return self_->table_of(rule)->program.counts; }

const rte_flow_attr& FlowEngine::attributes(const FlowRule* rule) const {
  return self_->table_of(rule)->attr;
}

RuleCounters FlowEngine::counters(const FlowRule* rule) const {
  if (self_->options.keeper != nullptr) return {};
  const RuleHistory& history = rule->history();
  return RuleCounters{__atomic_load_n(&history.packets, __ATOMIC_RELAXED),
                      __atomic_load_n(&history.bytes, __ATOMIC_RELAXED),
                      __atomic_load_n(&history.last_hit_seconds, __ATOMIC_RELAXED)};
}

RuleCounters FlowEngine::take_counters(FlowRule* rule) {
  const RuleCounters taken = counters(rule);
  if (self_->options.keeper == nullptr) rule->history().packets = rule->history().bytes = 0;
  return taken;
}

void FlowEngine::set_shared(bool shared) { self_->is_shared = shared; }

uint32_t FlowEngine::rules() const { return self_->rules; }

uint64_t FlowEngine::memory_bytes() const {
  uint64_t bytes = self_->shared.headers.memory_bytes() + self_->shared.spreads.memory_bytes();
  for (const RuleTable* table : self_->tables) {
    if (table != nullptr)
      bytes += sizeof(RuleTable) + table->slab.memory_bytes() + table->index.memory_bytes() +
               table->horizons.memory_bytes() +
               (table->filter != nullptr ? table->filter->memory_bytes() : 0);
  }
  return bytes;
}

void FlowEngine::for_each(const std::function<void(FlowRule*)>& visit, bool unfinished) {
  self_->each_row([&](const RuleTable*, FlowRule* rule) {
    if (unfinished ? rule->life() != 0 : rule->live()) visit(rule);
  });
}

bool FlowEngine::visit(AgeCursor* cursor, uint32_t rows, const std::function<void(FlowRule*)>& visit) {
  return self_->each_row(cursor, rows, [&](const RuleTable*, FlowRule* rule) {
    if (rule->live()) visit(rule);
  });
}

bool FlowEngine::ages(const FlowRule* rule) const { return self_->table_of(rule)->program.ages; }

bool FlowEngine::is_live(const FlowRule* rule) { return rule->live(); }
bool FlowEngine::is_finished(const FlowRule* rule) {
  const uint32_t state = rule->row_and_state & (FlowRule::kLifeMask | FlowRule::kRetired);
  return state == FlowRule::kLive || state == FlowRule::kFailed;
}
void FlowEngine::retire(FlowRule* rule) {
  __atomic_fetch_or(&rule->row_and_state, FlowRule::kRetired, __ATOMIC_RELAXED);
}
void FlowEngine::abandon(FlowRule* staged) { staged->set_life(FlowRule::kFailed); }
bool FlowEngine::counts(const RuleTable* table) { return table->program.counts; }
bool FlowEngine::ages(const RuleTable* table) { return table->program.ages; }

FlowRule* FlowEngine::rule(const RuleTable* table, uint32_t row) { return table->rule(row); }
uint32_t FlowEngine::row(const FlowRule* rule) { return rule->row(); }

void FlowEngine::set_tag(FlowRule* rule, uint32_t tag) { rule->tag = tag; }
uint32_t FlowEngine::tag(const FlowRule* rule) { return rule->tag; }

void FlowEngine::dump(const FlowRule* rule, FILE* file) const {
  const RuleTable& table = *self_->table_of(rule);
  std::fprintf(file, "rule %" PRIu64 " group %u priority %u %s key",
               table.has_histories() ? rule->history().sequence() : rule->row(), table.attr.group,
               table.attr.priority, table.attr.transfer ? "transfer" : "ingress");
  for (uint8_t i = 0; i < table.pattern.shape.words; ++i) {
    std::fprintf(file, " %016" PRIx64 "/%016" PRIx64, __builtin_bswap64(rule->key()[i]),
                 __builtin_bswap64(table.pattern.shape.word[i].mask));
  }
  std::fprintf(file, " actions");
  for (uint8_t i = 0; i < table.program.actions; ++i)
    std::fprintf(file, " %s", action_name(table.program.type[i]));
  const RuleCounters now = counters(rule);
  std::fprintf(file, " packets %" PRIu64 " bytes %" PRIu64 "\n", now.packets, now.bytes);
}

}  // namespace sluice
