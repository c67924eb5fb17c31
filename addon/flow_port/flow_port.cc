#include "flow_port/flow_port.h"

#include <rte_errno.h>

#include <algorithm>

#include "slow_path/native_fault.h"

namespace sluice {
namespace {

constexpr uint32_t kFlowQueue = 0;
constexpr rte_flow_op_attr kPostponed = {1};

FlowFailure describe(const RuleTemplate& rule, const rte_flow_error& error) {
  FlowFailure failure;
  failure.error = rte_errno != 0 ? -rte_errno : -EINVAL;
  failure.rte_type = static_cast<int>(error.type);
  failure.cause_index = rule.cause_index(error);
  failure.message = error.message != nullptr ? error.message : rte_strerror(-failure.error);
  return failure;
}

// Template table for rules of this template, or null when the driver will not have it.
rte_flow_template_table* make_table(uint16_t port_id, const RuleTemplate& rule, uint32_t rules) {
  rte_flow_error error = {};
  rte_flow_pattern_template_attr pattern_attr = {};
  pattern_attr.relaxed_matching = 1;
  pattern_attr.ingress = rule.attr().ingress;
  pattern_attr.transfer = rule.attr().transfer;
  rte_flow_pattern_template* pattern =
      rte_flow_pattern_template_create(port_id, &pattern_attr, rule.items(), &error);
  if (pattern == nullptr) return nullptr;
  rte_flow_actions_template_attr actions_attr = {};
  actions_attr.ingress = rule.attr().ingress;
  actions_attr.transfer = rule.attr().transfer;
  rte_flow_actions_template* actions =
      rte_flow_actions_template_create(port_id, &actions_attr, rule.actions(), rule.action_masks(), &error);
  if (actions != nullptr) {
    rte_flow_template_table_attr attr = {};
    attr.flow_attr = rule.attr();
    attr.nb_flows = rules;
    rte_flow_template_table* table =
        rte_flow_template_table_create(port_id, &attr, &pattern, 1, &actions, 1, &error);
    if (table != nullptr) return table;
    rte_flow_actions_template_destroy(port_id, actions, &error);
  }
  rte_flow_pattern_template_destroy(port_id, pattern, &error);
  return nullptr;
}

}  // namespace

uint32_t open_flow_queue(uint16_t port_id, uint32_t rules) {
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
  const rte_flow_queue_attr* queues[] = {&queue_attr};
  return rte_flow_configure(port_id, &port_attr, 1, queues, &error) == 0 ? rules : 0;
}

PortTemplate FlowPort::make_template(const TemplateSource& source, const std::vector<uint16_t>& port_ids) {
  PortTemplate made;
  made.rule = std::make_unique<RuleTemplate>(source, port_ids);
  if (queued_rules_ != 0) made.table = make_table(port_id_, *made.rule, queued_rules_);
  return made;
}

FlowPort::Installation FlowPort::install(PortTemplate& from, const FlowArguments& arguments, void* context,
                                         rte_flow** flow, FlowFailure* failure) {
  RuleTemplate& rule = *from.rule;
  rule.fill(arguments, context);
  rte_flow_error error = {};
  *flow = from.table == nullptr
              ? rte_flow_create(port_id_, &rule.attr(), rule.items(), rule.actions(), &error)
              : rte_flow_async_create(port_id_, kFlowQueue, &kPostponed, from.table, rule.items(), 0,
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

void FlowPort::destroy(const PortTemplate& from, rte_flow* flow) {
  rte_flow_error error = {};
  // A driver that cannot destroy its own rule leaves nothing to do here: flush() at close is the last resort.
  if (from.table == nullptr) {
    if (rte_flow_destroy(port_id_, flow, &error) == 0) rules_--;
  } else if (rte_flow_async_destroy(port_id_, kFlowQueue, &kPostponed, flow, nullptr, &error) == 0) {
    rules_--;
    under_way_++;
  }
}

void FlowPort::push() {
  rte_flow_error error = {};
  rte_flow_push(port_id_, kFlowQueue, &error);
}

int FlowPort::pull(rte_flow_op_result* results) {
  rte_flow_error error = {};
  const int pulled = rte_flow_pull(port_id_, kFlowQueue, results, kBatch, &error);
  if (pulled <= 0) return 0;
  under_way_ -= std::min(under_way_, static_cast<uint32_t>(pulled));
  return pulled;
}

FlowHits FlowPort::query(rte_flow* flow, const RuleTemplate& rule) {
  FlowHits hits;
  rte_flow_error error = {};
  for (const rte_flow_action* action = rule.actions(); action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
    const rte_flow_action asked[] = {*action, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    if (action->type == RTE_FLOW_ACTION_TYPE_COUNT) {
      rte_flow_query_count count = {};
      if (rte_flow_query(port_id_, flow, asked, &count, &error) != 0) continue;
      if (count.hits_set) hits.packets = count.hits;
      if (count.bytes_set) hits.bytes = count.bytes;
    } else if (action->type == RTE_FLOW_ACTION_TYPE_AGE) {
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

void FlowPort::probe(const TemplateSource& source, const std::vector<uint16_t>& port_ids) {
  if (queued_rules_ != 0) return;  // a template table is made, or refused, before there are rules
  RuleTemplate rule(source, port_ids);
  FlowArguments nobody = {};  // addresses 0.0.0.0
  nobody.age_seconds = 60;
  rule.fill(nobody, nullptr);
  rte_flow_error error = {};
  rte_flow* flow = rte_flow_create(port_id_, &rule.attr(), rule.items(), rule.actions(), &error);
  if (flow == nullptr) {
    const FlowFailure failure = describe(rule, error);
    NativeFault fault("RULE", failure.message, -failure.error);
    fault.rte_type = failure.rte_type;
    fault.cause_index = failure.cause_index;
    throw fault;
  }
  query(flow, rule);
  rte_flow_destroy(port_id_, flow, &error);
}

void FlowPort::install_static(const TemplateSource& source, const std::vector<uint16_t>& port_ids) {
  StaticRule constant;
  constant.rule = std::make_unique<RuleTemplate>(source, port_ids);
  const rte_flow_action* action = constant.rule->actions();
  for (; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
    constant.jumps |= action->type == RTE_FLOW_ACTION_TYPE_JUMP;
  }
  rte_flow_error error = {};
  if (jumps_open_ || !constant.jumps) constant.flow = create(*constant.rule, &error);
  if (constant.flow == nullptr && (jumps_open_ || !constant.jumps)) {
    const FlowFailure failure = describe(*constant.rule, error);
    NativeFault fault("RULE", failure.message, -failure.error);
    fault.rte_type = failure.rte_type;
    fault.cause_index = failure.cause_index;
    throw fault;
  }
  static_rules_.push_back(std::move(constant));
}

bool FlowPort::open_jumps(bool open) {
  jumps_open_ = open;
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

}  // namespace sluice
