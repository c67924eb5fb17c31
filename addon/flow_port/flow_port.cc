#include "flow_port/flow_port.h"

#include <rte_errno.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "slow_path/native_fault.h"

namespace sluice {
namespace {

constexpr rte_flow_op_attr kPostponed = {1};

FlowFailure describe(const RuleTemplate& rule, const rte_flow_error& error) {
  FlowFailure failure;
  failure.error = rte_errno != 0 ? -rte_errno : -EINVAL;
  failure.rte_type = static_cast<int>(error.type);
  failure.cause_index = rule.cause_index(error);
  failure.message = error.message != nullptr ? error.message : rte_strerror(-failure.error);
  return failure;
}

// A template table and what it is made of.
struct MadeTable {
  rte_flow_pattern_template* pattern = nullptr;
  rte_flow_actions_template* actions = nullptr;
  rte_flow_template_table* table = nullptr;  // null: the driver will not have it, and the others are none
};

void destroy_table(uint16_t port_id, const MadeTable& made) {
  rte_flow_error error = {};
  if (made.table != nullptr) rte_flow_template_table_destroy(port_id, made.table, &error);
  if (made.actions != nullptr) rte_flow_actions_template_destroy(port_id, made.actions, &error);
  if (made.pattern != nullptr) rte_flow_pattern_template_destroy(port_id, made.pattern, &error);
}

// Template table for rules of this template. Null when the driver will not have it: `error` says why.
MadeTable make_table(uint16_t port_id, const RuleTemplate& rule, uint32_t rules, rte_flow_error* error) {
  MadeTable made;
  rte_flow_pattern_template_attr pattern_attr = {};
  pattern_attr.relaxed_matching = 1;
  pattern_attr.ingress = rule.attr().ingress;
  pattern_attr.transfer = rule.attr().transfer;
  made.pattern = rte_flow_pattern_template_create(port_id, &pattern_attr, rule.items(), error);
  if (made.pattern == nullptr) return {};
  rte_flow_actions_template_attr actions_attr = {};
  actions_attr.ingress = rule.attr().ingress;
  actions_attr.transfer = rule.attr().transfer;
  made.actions =
      rte_flow_actions_template_create(port_id, &actions_attr, rule.actions(), rule.action_masks(), error);
  if (made.actions != nullptr) {
    rte_flow_template_table_attr attr = {};
    attr.flow_attr = rule.attr();
    attr.nb_flows = rules;
    made.table = rte_flow_template_table_create(port_id, &attr, &made.pattern, 1, &made.actions, 1, error);
    if (made.table != nullptr) return made;
  }
  const int reason = rte_errno;
  destroy_table(port_id, made);
  rte_errno = reason;
  return {};
}

[[noreturn]] void refuse_rule(const FlowFailure& failure) {
  NativeFault fault("RULE", failure.message, -failure.error);
  fault.rte_type = failure.rte_type;
  fault.cause_index = failure.cause_index;
  throw fault;
}

}  // namespace

uint32_t open_flow_queues(uint16_t port_id, uint16_t queues, uint32_t rules) {
  rte_flow_port_info info = {};
  rte_flow_queue_info queue = {};
  rte_flow_error error = {};
  if (rte_flow_info_get(port_id, &info, &queue, &error) != 0) return 0;
  // Each rule counts and ages. 0: the driver sets no limit.
  for (const uint32_t most : {info.max_nb_counters, info.max_nb_aging_objects}) {
    if (most != 0 && most < rules) rules = most;
  }
  rte_flow_port_attr port_attr = {};
  port_attr.nb_counters = rules;
  port_attr.nb_aging_objects = rules;
  rte_flow_queue_attr queue_attr = {};
  queue_attr.size = FlowPort::kQueueSize;
  if (queue.max_size != 0 && queue.max_size < queue_attr.size) return 0;
  if (info.max_nb_queues != 0 && info.max_nb_queues < queues) return 0;
  std::vector<const rte_flow_queue_attr*> attributes(queues, &queue_attr);
  return rte_flow_configure(port_id, &port_attr, queues, attributes.data(), &error) == 0 ? rules : 0;
}

rte_flow_template_table* SharedTables::table_of(uint16_t port_id, const TemplateSource& source,
                                                const RuleTemplate& rule, uint32_t rules,
                                                rte_flow_error* error) {
  const std::lock_guard guard(mutex_);
  for (const auto& [of, table] : tables_) {
    if (of == source) return table;
  }
  rte_flow_template_table* table = make_table(port_id, rule, rules, error).table;
  if (table != nullptr) tables_.emplace_back(source, table);
  return table;
}

void SharedTables::forget() {
  const std::lock_guard guard(mutex_);
  tables_.clear();
}

rte_flow_template_table* FlowPort::table_of(const TemplateSource& source, const RuleTemplate& rule) {
  rte_flow_error error = {};
  return tables_ != nullptr ? tables_->table_of(port_id_, source, rule, queued_rules_, &error)
                            : make_table(port_id_, rule, queued_rules_, &error).table;
}

PortTemplate FlowPort::make_template(const TemplateSource& source, const std::vector<uint16_t>& port_ids) {
  PortTemplate made;
  made.rule = std::make_unique<RuleTemplate>(source, port_ids);
  if (!source.second.empty()) {
    made.second = std::make_unique<RuleTemplate>(source.second.front(), port_ids);
    return made;
  }
  if (open_ && queued_rules_ != 0) made.table = table_of(source, *made.rule);
  return made;
}

void FlowPort::remake_table(PortTemplate& made, const TemplateSource& source) {
  const bool queued = made.second == nullptr && queued_rules_ != 0;
  made.table = queued ? table_of(source, *made.rule) : nullptr;
}

FlowFailure FlowPort::closed_failure() const {
  FlowFailure failure;
  failure.error = -EAGAIN;
  failure.rte_type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
  failure.message = "the port is being reset";
  return failure;
}

FlowPort::Installation FlowPort::install(PortTemplate& from, const FlowArguments& arguments, void* context,
                                         rte_flow** flow, FlowFailure* failure) {
  if (!open_) {
    *flow = nullptr;
    *failure = closed_failure();
    return Installation::kFailed;
  }
  RuleTemplate& rule = *from.rule;
  rule.fill(arguments, context);
  rte_flow_error error = {};
  *flow = from.table == nullptr
              ? rte_flow_create(port_id_, &rule.attr(), rule.items(), rule.actions(), &error)
              : rte_flow_async_create(port_id_, queue_, &kPostponed, from.table, rule.items(), 0,
                                      rule.actions(), 0, context, &error);
  if (*flow == nullptr) {
    *failure = describe(rule, error);
    return Installation::kFailed;
  }
  rules_++;
  if (from.table == nullptr) return Installation::kDone;
  under_way_++;
  return Installation::kUnderWay;
}

rte_flow* FlowPort::install_second(const PortTemplate& from, const FlowArguments& arguments,
                                   FlowFailure* failure) {
  if (!open_) {
    *failure = closed_failure();
    return nullptr;
  }
  from.second->fill(arguments, nullptr);
  rte_flow_error error = {};
  rte_flow* flow = create(*from.second, &error);
  if (flow == nullptr) *failure = describe(*from.second, error);
  return flow;
}

void FlowPort::destroy_second(rte_flow* flow) {
  rte_flow_error error = {};
  rte_flow_destroy(port_id_, flow, &error);
}

void FlowPort::destroy(const PortTemplate& from, rte_flow* flow) {
  rte_flow_error error = {};
  // A driver that cannot destroy its own rule leaves nothing to do here: flush() at close is the last resort.
  if (from.table == nullptr) {
    if (rte_flow_destroy(port_id_, flow, &error) == 0) rules_--;
  } else if (rte_flow_async_destroy(port_id_, queue_, &kPostponed, flow, nullptr, &error) == 0) {
    rules_--;
    under_way_++;
  }
}

void FlowPort::push() {
  rte_flow_error error = {};
  rte_flow_push(port_id_, queue_, &error);
}

int FlowPort::pull(rte_flow_op_result* results) {
  rte_flow_error error = {};
  const int pulled = rte_flow_pull(port_id_, queue_, results, kBatch, &error);
  if (pulled <= 0) return 0;
  under_way_ -= std::min(under_way_, static_cast<uint32_t>(pulled));
  return pulled;
}

FlowHits FlowPort::query(rte_flow* flow, const RuleTemplate& rule, uint64_t hits_seen) {
  FlowHits hits;
  rte_flow_error error = {};
  for (const rte_flow_action* action = rule.actions(); action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
    const rte_flow_action asked[] = {*action, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    if (action->type == RTE_FLOW_ACTION_TYPE_COUNT) {
      rte_flow_query_count count = {};
      if (rte_flow_query(port_id_, flow, asked, &count, &error) != 0) continue;
      hits.hits_known = count.hits_set;
      if (count.hits_set) hits.packets = count.hits;
      if (count.bytes_set) hits.bytes = count.bytes;
    } else if (action->type == RTE_FLOW_ACTION_TYPE_AGE) {
      if (hits.hits_known && hits.packets == hits_seen) continue;
      rte_flow_query_age age = {};
      if (rte_flow_query(port_id_, flow, asked, &age, &error) != 0) continue;
      hits.idle_known = age.sec_since_last_hit_valid;
      hits.idle_seconds = age.sec_since_last_hit;
    }
  }
  return hits;
}

rte_flow* FlowPort::create(RuleTemplate& rule, rte_flow_error* error) {
  return rte_flow_create(port_id_, &rule.attr(), rule.items(), rule.actions(), error);
}

ProbeResult FlowPort::probe(const TemplateSource& source, const std::vector<uint16_t>& port_ids) {
  if (!open_) refuse_rule(closed_failure());
  RuleTemplate rule(source, port_ids);
  FlowArguments nobody = {};  // addresses 0.0.0.0
  nobody.age_seconds = 60;
  rule.fill(nobody, nullptr);
  if (!source.second.empty()) {
    RuleTemplate second(source.second.front(), port_ids);
    second.fill(nobody, nullptr);
    const bool destroyed = probe_one_by_one(second).destroyed;
    ProbeResult first = probe_one_by_one(rule);
    first.destroyed &= destroyed;
    return first;
  }
  if (queued_rules_ == 0) return probe_one_by_one(rule);
  rte_flow_error error = {};
  const MadeTable made = make_table(port_id_, rule, 1, &error);
  // As make_template() does: what is no template may still be a rule.
  if (made.table == nullptr) return probe_one_by_one(rule);
  ProbeResult result;
  result.queued = true;
  try {
    if (under_way_ == 0) result = probe_queued(rule, made.table);
  } catch (...) {
    destroy_table(port_id_, made);
    throw;
  }
  destroy_table(port_id_, made);
  return result;
}

ProbeResult FlowPort::probe_one_by_one(RuleTemplate& rule) {
  rte_flow_error error = {};
  rte_flow* flow = create(rule, &error);
  if (flow == nullptr) refuse_rule(describe(rule, error));
  const FlowHits hits = query(flow, rule);
  ProbeResult result;
  result.counted = hits.hits_known;
  result.aged = hits.idle_known;
  result.destroyed = rte_flow_destroy(port_id_, flow, &error) == 0;
  return result;
}

ProbeResult FlowPort::probe_queued(RuleTemplate& rule, rte_flow_template_table* table) {
  rte_flow_error error = {};
  const rte_flow_op_attr at_once = {};
  rte_flow* flow = rte_flow_async_create(port_id_, queue_, &at_once, table, rule.items(), 0,
                                         rule.actions(), 0, nullptr, &error);
  if (flow == nullptr) refuse_rule(describe(rule, error));
  ProbeResult result;
  result.queued = true;
  const bool created = finish_probed_operation();
  if (created) {
    const FlowHits hits = query(flow, rule);
    result.counted = hits.hits_known;
    result.aged = hits.idle_known;
  }
  // Also of a rule that was not made: its handle is to be given back.
  result.destroyed = rte_flow_async_destroy(port_id_, queue_, &at_once, flow, nullptr, &error) == 0 &&
                     finish_probed_operation();
  if (!created) {
    FlowFailure failure;
    failure.error = -EIO;
    failure.rte_type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
    failure.message = "the flow queue did not complete the rule";
    refuse_rule(failure);
  }
  return result;
}

// Whether the one operation that is in the queue ends well, within a second.
bool FlowPort::finish_probed_operation() {
  under_way_++;
  push();
  for (int waits = 0; waits < 10'000; waits++) {
    rte_flow_op_result result[kBatch];
    if (pull(result) > 0) return result[0].status == RTE_FLOW_OP_SUCCESS;
    usleep(100);
  }
  under_way_ = 0;
  return false;
}

void FlowPort::install_static(const TemplateSource& source, const std::vector<uint16_t>& port_ids) {
  if (!open_) refuse_rule(closed_failure());
  StaticRule constant;
  constant.rule = std::make_unique<RuleTemplate>(source, port_ids);
  const rte_flow_action* action = constant.rule->actions();
  for (; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
    constant.jumps |= action->type == RTE_FLOW_ACTION_TYPE_JUMP;
  }
  rte_flow_error error = {};
  if (jumps_open_ || !constant.jumps) constant.flow = create(*constant.rule, &error);
  if (constant.flow == nullptr && (jumps_open_ || !constant.jumps)) {
    refuse_rule(describe(*constant.rule, error));
  }
  static_rules_.push_back(std::move(constant));
}

bool FlowPort::open_jumps(bool open) {
  jumps_open_ = open;
  if (!open_) return true;  // it leads nothing anywhere
  bool done = true;
  rte_flow_error error = {};
  for (StaticRule& constant : static_rules_) {
    if (!constant.jumps || (constant.flow != nullptr) == open) continue;
    if (open) {
      constant.flow = create(*constant.rule, &error);
      done &= constant.flow != nullptr;
    } else if (rte_flow_destroy(port_id_, constant.flow, &error) == 0) {
      constant.flow = nullptr;
    } else {
      done = false;
    }
  }
  return done;
}

void FlowPort::constant_rules(std::vector<RuleHandle>* out) const {
  for (const StaticRule& constant : static_rules_) {
    if (constant.flow != nullptr) out->push_back({constant.flow, nullptr});
  }
}

bool FlowPort::is_constant(const rte_flow* flow) const {
  return std::any_of(static_rules_.begin(), static_rules_.end(),
                     [flow](const StaticRule& constant) { return constant.flow == flow; });
}

bool FlowPort::remake_constant(const rte_flow* flow) {
  rte_flow_error error = {};
  for (StaticRule& constant : static_rules_) {
    if (constant.flow != flow) continue;
    rte_flow* made = create(*constant.rule, &error);
    if (made == nullptr) return false;
    constant.flow = made;
    return true;
  }
  return false;
}

bool FlowPort::destroy_foreign(rte_flow* flow) {
  if (!open_) return false;
  rte_flow_error error = {};
  return rte_flow_destroy(port_id_, flow, &error) == 0;
}

void FlowPort::flush() {
  complete([](void*, bool) {});
  rte_flow_error error = {};
  if (rte_flow_flush(port_id_, &error) != 0) {
    for (const StaticRule& constant : static_rules_) {
      if (constant.flow != nullptr) rte_flow_destroy(port_id_, constant.flow, &error);
    }
  }
  static_rules_.clear();
  rules_ = 0;
}

void FlowPort::close() {
  for (StaticRule& constant : static_rules_) constant.flow = nullptr;
  if (tables_ != nullptr) tables_->forget();
  rules_ = 0;
  under_way_ = 0;
  queued_rules_ = 0;
  open_ = false;
}

void FlowPort::reopen(uint32_t queued_rules) {
  rte_flow_error error = {};
  for (StaticRule& constant : static_rules_) {
    if (constant.flow != nullptr || (constant.jumps && !jumps_open_)) continue;
    constant.flow = create(*constant.rule, &error);
    if (constant.flow == nullptr) refuse_rule(describe(*constant.rule, error));
  }
  queued_rules_ = queued_rules;
  open_ = true;
}

}  // namespace sluice
