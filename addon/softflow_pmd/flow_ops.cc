// rte_flow on a softflow port. Transfer rules go to the engine that all ports share, ingress rules to the
// port's own.
#include <rte_cycles.h>

#include <cerrno>

#include "flow_engine/flow_error.h"
#include "flow_engine/items.h"
#include "softflow_pmd/flow_rules.h"

namespace sluice::softflow {
namespace {

FlowRule* rule_of(rte_flow* flow) { return reinterpret_cast<FlowRule*>(flow); }

// Busy, as a call into a slow NIC is.
void take_the_time_of(const Device& device) {
  if (device.arguments.insert_latency_us != 0) rte_delay_us_block(device.arguments.insert_latency_us);
}

// What the NIC of the profile refuses comes before what this device does.
int check_sync(const Device& device, const rte_flow_attr* attr, const rte_flow_item* pattern,
               const rte_flow_action* actions, rte_flow_error* error) {
  const Profile* profile = device.arguments.profile;
  if (profile == nullptr) return 0;
  if (!profile->synchronous) {
    return fail(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
                "this NIC's driver makes rules through template tables alone");
  }
  return check_profile(*profile, *attr, pattern, actions, error);
}

int validate(rte_eth_dev* dev, const rte_flow_attr* attr, const rte_flow_item* pattern,
             const rte_flow_action* actions, rte_flow_error* error) {
  Device& device = Device::of(dev);
  if (const int code = check_sync(device, attr, pattern, actions, error)) return code;
  if (const int code = engine_for(device, attr->transfer).validate(*attr, pattern, actions, error))
    return code;
  return check_targets(device, pattern, actions, error);
}

rte_flow* create(rte_eth_dev* dev, const rte_flow_attr* attr, const rte_flow_item* pattern,
                 const rte_flow_action* actions, rte_flow_error* error) {
  Device& device = Device::of(dev);
  Domain& domain = Domain::get();
  const uint32_t now = domain.now_seconds();
  take_the_time_of(device);
  if (check_sync(device, attr, pattern, actions, error) != 0) return nullptr;
  const ChangeGuard changes(domain);
  if (check_room(device, error) != 0) return nullptr;
  if (device.arguments.fail_every != 0) {
    // Only creations that might succeed are counted.
    if (check_targets(device, pattern, actions, error) != 0) return nullptr;
    if (is_to_fail(device)) {
      refuse_on_purpose(error);
      return nullptr;
    }
  }
  FlowEngine& engine = attr->transfer ? domain.transfer() : *device.ingress;
  const WriteGuard guard(domain);
  const TargetCheck targets = {check_places, &device};
  FlowRule* rule = engine.create(*attr, pattern, actions, now, error, &targets);
  if (rule == nullptr) return nullptr;
  domain.note_created(engine);
  FlowEngine::set_tag(rule, tag_of(device, attr->transfer, kNoFlowQueue));
  count_in(device, engine, rule);
  return reinterpret_cast<rte_flow*>(rule);
}

int destroy(rte_eth_dev* dev, rte_flow* flow, rte_flow_error* error) {
  Device& device = Device::of(dev);
  const ChangeGuard changes(Domain::get());
  FlowRule* rule = rule_of(flow);
  if (!FlowEngine::is_finished(rule)) {
    return fail(error, EBUSY, RTE_FLOW_ERROR_TYPE_HANDLE, flow,
                "the rule's creation or destruction is still in a flow queue");
  }
  FlowEngine& engine = engine_of(device, rule);
  count_out(device, engine, rule);
  const WriteGuard guard(Domain::get());
  engine.destroy(rule);
  return 0;
}

// A port flushes what was created through it, not the transfer rules of others. What its flow queues hold is
// executed first, so that nothing appears afterwards.
int flush(rte_eth_dev* dev, rte_flow_error*) {
  Device& device = Device::of(dev);
  for (const auto& queue : device.flows.queues) submit(device, *queue);
  const ChangeGuard changes(Domain::get());
  const WriteGuard guard(Domain::get());
  flush_locked(device);
  return 0;
}

int query(rte_eth_dev* dev, rte_flow* flow, const rte_flow_action* actions, void* data,
          rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowRule* rule = rule_of(flow);
  const ChangeGuard changes(Domain::get());
  FlowEngine& engine = engine_of(device, rule);
  const auto refuse = [error](const rte_flow_action* action, int code, const char* text) {
    return fail(error, code, RTE_FLOW_ERROR_TYPE_ACTION, action,
                named_message(action_name(type_of(*action)), text));
  };
  for (const rte_flow_action* action = actions; type_of(*action) != RTE_FLOW_ACTION_TYPE_END; ++action) {
    switch (type_of(*action)) {
      case RTE_FLOW_ACTION_TYPE_VOID: break;
      case RTE_FLOW_ACTION_TYPE_COUNT: {
        if (!engine.counts(rule)) return refuse(action, EINVAL, "the rule has no such action of its own");
        auto* out = static_cast<rte_flow_query_count*>(data);
        RuleCounters counters;
        if (out->reset) {
          const WriteGuard guard(Domain::get());
          counters = engine.take_counters(rule);
        } else {
          counters = engine.counters(rule);
        }
        out->hits_set = 1;
        out->bytes_set = 1;
        out->hits = counters.packets;
        out->bytes = counters.bytes;
        break;
      }
      case RTE_FLOW_ACTION_TYPE_AGE:
        if (!engine.ages(rule)) return refuse(action, EINVAL, "the rule has no such action of its own");
        answer_age(Domain::get().now_seconds(), engine.counters(rule).last_hit_seconds,
                   engine.age_timeout(rule), static_cast<rte_flow_query_age*>(data));
        break;
      default: return refuse(action, ENOTSUP, "cannot be queried");
    }
  }
  return 0;
}

int dump(rte_eth_dev* dev, rte_flow* flow, FILE* file, rte_flow_error*) {
  Device& device = Device::of(dev);
  const ChangeGuard changes(Domain::get());
  if (flow != nullptr) {
    FlowRule* rule = rule_of(flow);
    engine_of(device, rule).dump(rule, file);
    return 0;
  }
  for (FlowEngine* engine : {&Domain::get().transfer(), device.ingress.get()}) {
    engine->for_each([&](FlowRule* rule) {
      if (port_of(rule) == device.port_id) engine->dump(rule, file);
    });
  }
  return 0;
}

rte_flow_ops make_operations() {
  rte_flow_ops ops = {};
  ops.validate = validate;
  ops.create = create;
  ops.destroy = destroy;
  ops.flush = flush;
  ops.query = query;
  ops.dev_dump = dump;
  add_aging_operations(&ops);
  add_template_operations(&ops);
  add_queue_operations(&ops);
  add_indirect_operations(&ops);
  return ops;
}

}  // namespace

const rte_flow_ops kFlowOps = make_operations();

int flow_ops_get(rte_eth_dev*, const rte_flow_ops** ops) {
  *ops = &kFlowOps;
  return 0;
}

void remove_rules_of(Device& device) {
  release_flow_state(device);
  const ChangeGuard changes(Domain::get());
  const WriteGuard guard(Domain::get());
  flush_locked(device);
}

}  // namespace sluice::softflow
