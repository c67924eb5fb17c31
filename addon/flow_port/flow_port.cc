#include "flow_port/flow_port.h"

#include <rte_errno.h>

#include "slow_path/native_fault.h"

namespace sluice {
namespace {

FlowFailure describe(const RuleTemplate& rule, const rte_flow_error& error) {
  FlowFailure failure;
  failure.error = rte_errno != 0 ? -rte_errno : -EINVAL;
  failure.rte_type = static_cast<int>(error.type);
  failure.cause_index = rule.cause_index(error);
  failure.message = error.message != nullptr ? error.message : rte_strerror(-failure.error);
  return failure;
}

}  // namespace

rte_flow* FlowPort::install(RuleTemplate& rule, const FlowArguments& arguments, void* age_context,
                            FlowFailure* failure) {
  rule.fill(arguments, age_context);
  rte_flow_error error = {};
  rte_flow* flow = rte_flow_create(port_id_, &rule.attr(), rule.items(), rule.actions(), &error);
  if (flow == nullptr) {
    *failure = describe(rule, error);
  } else {
    rules_++;
  }
  return flow;
}

void FlowPort::destroy(rte_flow* flow) {
  rte_flow_error error = {};
  // A driver that cannot destroy its own rule leaves nothing to do here: flush() at close is the last resort.
  if (rte_flow_destroy(port_id_, flow, &error) == 0) rules_--;
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
