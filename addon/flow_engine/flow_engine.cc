#include "flow_engine/flow_engine.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <new>
#include <unordered_map>
#include <vector>

#include "flow_engine/engine_state.h"
#include "flow_engine/flow_error.h"

namespace sluice {
namespace {

constexpr size_t kEmptyTablesKept = 256;

uint64_t secret() {
  uint64_t value = 0;
  if (getrandom(&value, sizeof value, 0) != sizeof value)
    value = reinterpret_cast<uintptr_t>(&value) * 0x9e3779b97f4a7c15ull;
  return value;
}

}  // namespace

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
                                        const rte_flow_action* actions, PatternMode mode,
                                        CompiledPattern* compiled, ActionProgram* program,
                                        rte_flow_error* error) const {
  if (const int code = check_attributes(attr, error)) return code;
  if (pattern == nullptr) return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_NUM, nullptr, "no pattern");
  if (actions == nullptr) return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_NUM, nullptr, "no actions");
  if (const int code = compile_pattern(attr, pattern, mode, options, compiled, error)) return code;
  return compile_actions(attr, actions, mode, compiled->content, options, program, error);
}

RuleTable* FlowEngine::Implementation::add_table(const rte_flow_attr& attr, const CompiledPattern& pattern,
                                                 const ActionProgram& program, rte_flow_error* error) {
  size_t id = 0;
  while (id < tables.size() && tables[id] != nullptr) ++id;
  if (id > UINT16_MAX) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "too many different rule shapes");
    return nullptr;
  }
  auto* table = new RuleTable(attr, pattern, program, seed);
  table->id = static_cast<uint16_t>(id);
  if (id == tables.size()) tables.push_back(nullptr);
  tables[id] = table;
  Group* group = group_to_change(attr.group);
  const auto at = std::upper_bound(
      group->tables.begin(), group->tables.end(), attr.priority,
      [](uint32_t priority, const RuleTable* other) { return priority < other->attr.priority; });
  group->tables.insert(at, table);
  group->matches_integrity = group->matches_integrity || pattern.shape.matches_integrity;
  return table;
}

void FlowEngine::Implementation::remove_table(RuleTable* table) {
  Group* group = group_to_change(table->attr.group);
  std::erase(group->tables, table);
  group->matches_integrity =
      std::any_of(group->tables.begin(), group->tables.end(),
                  [](const RuleTable* other) { return other->pattern.shape.matches_integrity; });
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

// A rule of the same key in the same group and priority, whatever its actions: -EEXIST, as rte_flow_create()
// may answer.
bool FlowEngine::Implementation::collides(const RuleTable* table, FlowRule* rule) const {
  const auto taken = [rule, table](const RuleTable* other) {
    return table->pattern.shape.ranges == 0
               ? other->find(rule->key()) != nullptr
               : other->find_range(rule->key(), table->low(rule), table->high(rule)) != nullptr;
  };
  if (taken(table)) return true;
  for (const RuleTable* other : group(table->attr.group)->tables) {
    if (other == table || other->attr.priority != table->attr.priority || other->size() == 0 ||
        !other->pattern.shape.equals(table->pattern.shape)) {
      continue;
    }
    if (taken(other)) return true;
  }
  return false;
}

FlowRule* FlowEngine::Implementation::add_rule(RuleTable* table, const PatternSources& sources,
                                               const rte_flow_item* pattern, const rte_flow_action* actions,
                                               uint32_t now_seconds, rte_flow_error* error) {
  if (rules >= options.max_rules) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the rule table is full (max_rules)");
    return nullptr;
  }
  const uint32_t row = table->slab.allocate();
  if (row == 0) {
    fail(error, ENOMEM, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "no memory for another rule");
    return nullptr;
  }
  FlowRule* rule = table->rule(row);
  *rule = FlowRule{};
  rule->row = row;
  rule->last_hit_seconds = now_seconds;
  rule->table_and_sequence =
      static_cast<uint64_t>(table->id) << 48 | (next_sequence & FlowRule::kSequenceMask);
  const bool was_empty = table->size() == 0;
  const PatternShape& shape = table->pattern.shape;
  bool done =
      gather_values(shape, sources, pattern, rule->key(), table->low(rule), table->high(rule), error) == 0;
  if (done && collides(table, rule)) {
    fail(error, EEXIST, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
         "a rule with this pattern exists in the group at this priority");
    done = false;
  }
  if (done) {
    done = encode_operands(table->program, actions, table->attr, options, &headers, table->operands(rule),
                           error) == 0;
    if (done && !table->insert(rule)) {
      release_operands(table->program, table->operands(rule), &headers);
      fail(error, ENOMEM, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "no memory for another rule");
      done = false;
    }
  }
  if (!done) {
    table->slab.free(row);
    return nullptr;
  }
  if (table->program.ages) {
    const auto* age = static_cast<const rte_flow_action_age*>(actions[table->program.age_action].conf);
    for (int i = 0; i < 3; ++i) rule->age_timeout[i] = static_cast<uint8_t>(age->timeout >> 8 * i);
  }
  rule->state = FlowRule::kLive;
  ++next_sequence;
  ++rules;
  if (was_empty && !table->templated) --empty_derived;
  return rule;
}

void FlowEngine::Implementation::remove_rule(FlowRule* rule) {
  RuleTable* table = tables[rule->table()];
  table->erase(rule);
  release_operands(table->program, table->operands(rule), &headers);
  rule->state = 0;
  table->slab.free(rule->row);
  --rules;
  if (table->size() == 0 && !table->templated && ++empty_derived > kEmptyTablesKept) drop_empty_tables();
}

FlowEngine::FlowEngine(const EngineOptions& options) : self_(std::make_unique<Implementation>(options, secret())) {}
FlowEngine::~FlowEngine() = default;

int FlowEngine::validate(const rte_flow_attr& attr, const rte_flow_item* pattern,
                         const rte_flow_action* actions, rte_flow_error* error) {
  CompiledPattern compiled;
  ActionProgram program;
  if (const int code =
          self_->compile(attr, pattern, actions, PatternMode::kRule, &compiled, &program, error)) {
    return code;
  }
  uint64_t words[kMaxKeyWords];
  uint8_t low[kMaxRanges * kMaxRangeBytes], high[kMaxRanges * kMaxRangeBytes];
  return gather_values(compiled.shape, compiled.sources, pattern, words, low, high, error);
}

FlowRule* FlowEngine::create(const rte_flow_attr& attr, const rte_flow_item* pattern,
                             const rte_flow_action* actions, uint32_t now_seconds, rte_flow_error* error) {
  CompiledPattern compiled;
  ActionProgram program;
  if (self_->compile(attr, pattern, actions, PatternMode::kRule, &compiled, &program, error) != 0)
    return nullptr;
  RuleTable* table = self_->derived_table(attr, compiled, program, error);
  if (table == nullptr) return nullptr;
  return self_->add_rule(table, compiled.sources, pattern, actions, now_seconds, error);
}

void FlowEngine::destroy(FlowRule* rule) { self_->remove_rule(rule); }

void FlowEngine::flush() {
  for_each([this](FlowRule* rule) { self_->remove_rule(rule); });
  self_->drop_empty_tables();
}

RuleTable* FlowEngine::create_table(const rte_flow_attr& attr, const rte_flow_item* pattern,
                                    const rte_flow_action* actions, rte_flow_error* error) {
  CompiledPattern compiled;
  ActionProgram program;
  if (self_->compile(attr, pattern, actions, PatternMode::kTemplate, &compiled, &program, error) != 0)
    return nullptr;
  RuleTable* table = self_->add_table(attr, compiled, program, error);
  if (table != nullptr) table->templated = true;
  return table;
}

void FlowEngine::destroy_table(RuleTable* table) { self_->remove_table(table); }

FlowRule* FlowEngine::create_row(RuleTable* table, const rte_flow_item* pattern,
                                 const rte_flow_action* actions, uint32_t now_seconds,
                                 rte_flow_error* error) {
  return self_->add_rule(table, table->pattern.sources, pattern, actions, now_seconds, error);
}

void* FlowEngine::age_context(const FlowRule* rule) const {
  auto* own = const_cast<FlowRule*>(rule);
  const RuleTable& table = *self_->tables[rule->table()];
  if (!table.program.ages) return own;
  void* context;
  std::memcpy(&context, table.operands(own) + table.program.age_operand, sizeof context);
  return context == nullptr ? own : context;
}

uint32_t FlowEngine::age_timeout(const FlowRule* rule) const { return rule->timeout(); }

bool FlowEngine::counts(const FlowRule* rule) const { return self_->tables[rule->table()]->program.counts; }

const rte_flow_attr& FlowEngine::attributes(const FlowRule* rule) const {
  return self_->tables[rule->table()]->attr;
}

RuleCounters FlowEngine::counters(const FlowRule* rule) const {
  return RuleCounters{__atomic_load_n(&rule->packets, __ATOMIC_RELAXED),
                      __atomic_load_n(&rule->bytes, __ATOMIC_RELAXED),
                      __atomic_load_n(&rule->last_hit_seconds, __ATOMIC_RELAXED)};
}

void FlowEngine::reset_counters(FlowRule* rule) {
  __atomic_store_n(&rule->packets, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&rule->bytes, 0, __ATOMIC_RELAXED);
}

uint32_t FlowEngine::rules() const { return self_->rules; }

uint64_t FlowEngine::memory_bytes() const {
  uint64_t bytes = 0;
  for (const RuleTable* table : self_->tables) {
    if (table != nullptr)
      bytes += sizeof(RuleTable) + table->slab.memory_bytes() + table->index.memory_bytes();
  }
  return bytes;
}

void FlowEngine::for_each(const std::function<void(FlowRule*)>& visit) {
  for (size_t id = 0; id < self_->tables.size(); ++id) {
    for (uint32_t row = 1; self_->tables[id] != nullptr && row <= self_->tables[id]->slab.high(); ++row) {
      FlowRule* rule = self_->tables[id]->rule(row);
      if (rule->live()) visit(rule);
    }
  }
}

void FlowEngine::collect_aged(uint32_t now_seconds, const std::function<bool(FlowRule*)>& visit) {
  for_each([&](FlowRule* rule) {
    const uint32_t timeout = age_timeout(rule);
    if (timeout == 0 || (__atomic_load_n(&rule->state, __ATOMIC_RELAXED) & FlowRule::kAged) != 0) return;
    const uint32_t last_hit = __atomic_load_n(&rule->last_hit_seconds, __ATOMIC_RELAXED);
    // A hit may carry a clock a little ahead of the caller's.
    if (static_cast<int32_t>(now_seconds - last_hit) < 0 || now_seconds - last_hit < timeout) return;
    if (visit(rule)) rule->state |= FlowRule::kAged;
  });
}

void FlowEngine::set_tag(FlowRule* rule, uint32_t tag) { rule->tag = tag; }
uint32_t FlowEngine::tag(const FlowRule* rule) { return rule->tag; }

void FlowEngine::dump(const FlowRule* rule, FILE* file) const {
  const RuleTable& table = *self_->tables[rule->table()];
  std::fprintf(file, "rule %" PRIu64 " group %u priority %u %s key", rule->sequence(), table.attr.group,
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
