// rte_flow on a softflow port. Transfer rules go to the engine that all ports share, ingress rules to the
// port's own.
#include <cerrno>
#include <vector>

#include "flow_engine/flow_error.h"
#include "flow_engine/items.h"
#include "softflow_pmd/device.h"
#include "softflow_pmd/domain.h"

namespace sluice::softflow {
namespace {

constexpr uint32_t kTransferTag = 1u << 31;

uint32_t tag_of(const Device& device, const rte_flow_attr& attr) {
  return device.port_id | (attr.transfer ? kTransferTag : 0);
}
bool is_transfer(const FlowRule* rule) { return (FlowEngine::tag(rule) & kTransferTag) != 0; }

FlowEngine& engine_for(Device& device, bool transfer) {
  return transfer ? Domain::get().transfer() : *device.ingress;
}
FlowRule* rule_of(rte_flow* flow) { return reinterpret_cast<FlowRule*>(flow); }

// Ports and queues that a rule names: the engine knows neither.
int check_targets(const Device& device, const rte_flow_item* pattern, const rte_flow_action* actions,
                  rte_flow_error* error) {
  const Domain& domain = Domain::get();
  for (const rte_flow_item* item = pattern; item != nullptr && type_of(*item) != RTE_FLOW_ITEM_TYPE_END;
       ++item) {
    if (type_of(*item) != RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT || item->spec == nullptr) continue;
    const auto* mask = static_cast<const rte_flow_item_ethdev*>(item->mask);
    if (mask != nullptr && mask->port_id != UINT16_MAX) continue;
    if (domain.device(static_cast<const rte_flow_item_ethdev*>(item->spec)->port_id) == nullptr) {
      return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, item,
                  "REPRESENTED_PORT: the ethdev is not a port of this switch");
    }
  }
  for (const rte_flow_action* action = actions;
       action != nullptr && type_of(*action) != RTE_FLOW_ACTION_TYPE_END; ++action) {
    if (action->conf == nullptr) continue;
    if (type_of(*action) == RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR ||
        type_of(*action) == RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT) {
      if (domain.device(static_cast<const rte_flow_action_ethdev*>(action->conf)->port_id) == nullptr) {
        return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, action,
                    named_message(action_name(type_of(*action)), "the ethdev is not a port of this switch"));
      }
    }
    if (type_of(*action) == RTE_FLOW_ACTION_TYPE_QUEUE &&
        static_cast<const rte_flow_action_queue*>(action->conf)->index >= device.data->nb_rx_queues) {
      return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, action,
                  "QUEUE: the port has no such receive queue");
    }
  }
  return 0;
}

int validate(rte_eth_dev* dev, const rte_flow_attr* attr, const rte_flow_item* pattern,
             const rte_flow_action* actions, rte_flow_error* error) {
  Device& device = Device::of(dev);
  if (const int code = engine_for(device, attr->transfer).validate(*attr, pattern, actions, error))
    return code;
  return check_targets(device, pattern, actions, error);
}

rte_flow* create(rte_eth_dev* dev, const rte_flow_attr* attr, const rte_flow_item* pattern,
                 const rte_flow_action* actions, rte_flow_error* error) {
  Device& device = Device::of(dev);
  const uint32_t now = Domain::get().now_seconds();
  const WriteGuard guard(Domain::get());
  if (device.rules >= device.arguments.max_rules) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the rule table is full (max_rules)");
    return nullptr;
  }
  if (check_targets(device, pattern, actions, error) != 0) return nullptr;
  FlowRule* rule = engine_for(device, attr->transfer).create(*attr, pattern, actions, now, error);
  if (rule == nullptr) return nullptr;
  FlowEngine::set_tag(rule, tag_of(device, *attr));
  ++device.rules;
  return reinterpret_cast<rte_flow*>(rule);
}

int destroy(rte_eth_dev* dev, rte_flow* flow, rte_flow_error*) {
  Device& device = Device::of(dev);
  const WriteGuard guard(Domain::get());
  FlowRule* rule = rule_of(flow);
  engine_for(device, is_transfer(rule)).destroy(rule);
  --device.rules;
  return 0;
}

// A port flushes what was created through it, not the transfer rules of others.
void flush_locked(Device& device) {
  device.ingress->flush();
  FlowEngine& transfer = Domain::get().transfer();
  transfer.for_each([&](FlowRule* rule) {
    if (FlowEngine::tag(rule) == (device.port_id | kTransferTag)) transfer.destroy(rule);
  });
  device.rules = 0;
}

int flush(rte_eth_dev* dev, rte_flow_error*) {
  const WriteGuard guard(Domain::get());
  flush_locked(Device::of(dev));
  return 0;
}

int query(rte_eth_dev* dev, rte_flow* flow, const rte_flow_action* actions, void* data,
          rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowRule* rule = rule_of(flow);
  FlowEngine& engine = engine_for(device, is_transfer(rule));
  const uint32_t now = Domain::get().now_seconds();
  const WriteGuard guard(Domain::get());
  for (const rte_flow_action* action = actions; type_of(*action) != RTE_FLOW_ACTION_TYPE_END; ++action) {
    const RuleCounters counters = engine.counters(rule);
    if (type_of(*action) == RTE_FLOW_ACTION_TYPE_VOID) continue;
    if (type_of(*action) == RTE_FLOW_ACTION_TYPE_COUNT) {
      if (!engine.counts(rule)) {
        return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION, action, "COUNT: the rule has no such action");
      }
      auto* out = static_cast<rte_flow_query_count*>(data);
      out->hits_set = 1;
      out->bytes_set = 1;
      out->hits = counters.packets;
      out->bytes = counters.bytes;
      if (out->reset) engine.reset_counters(rule);
    } else if (type_of(*action) == RTE_FLOW_ACTION_TYPE_AGE) {
      const uint32_t timeout = engine.age_timeout(rule);
      if (timeout == 0)
        return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION, action, "AGE: the rule has no such action");
      auto* out = static_cast<rte_flow_query_age*>(data);
      const uint32_t idle = now > counters.last_hit_seconds ? now - counters.last_hit_seconds : 0;
      out->aged = idle >= timeout;
      out->sec_since_last_hit_valid = 1;
      out->sec_since_last_hit = idle & 0xffffff;
    } else {
      return fail(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION, action,
                  named_message(action_name(type_of(*action)), "cannot be queried"));
    }
  }
  return 0;
}

int dump(rte_eth_dev* dev, rte_flow* flow, FILE* file, rte_flow_error*) {
  Device& device = Device::of(dev);
  const WriteGuard guard(Domain::get());
  if (flow != nullptr) {
    FlowRule* rule = rule_of(flow);
    engine_for(device, is_transfer(rule)).dump(rule, file);
    return 0;
  }
  for (FlowEngine* engine : {&Domain::get().transfer(), device.ingress.get()}) {
    engine->for_each([&](FlowRule* rule) {
      if ((FlowEngine::tag(rule) & UINT16_MAX) == device.port_id) engine->dump(rule, file);
    });
  }
  return 0;
}

// rte_flow_get_aged_flows: with room for no context, their number.
int get_aged_flows(rte_eth_dev* dev, void** contexts, uint32_t room, rte_flow_error* error) {
  if (room != 0 && contexts == nullptr) {
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "no room for contexts");
  }
  Device& device = Device::of(dev);
  const uint32_t now = Domain::get().now_seconds();
  const WriteGuard guard(Domain::get());
  uint32_t found = 0;
  for (FlowEngine* engine : {&Domain::get().transfer(), device.ingress.get()}) {
    engine->collect_aged(now, [&](FlowRule* rule) {
      if ((FlowEngine::tag(rule) & UINT16_MAX) != device.port_id) return false;
      if (room == 0) return ++found, false;
      if (found == room) return false;
      contexts[found++] = engine->age_context(rule);
      return true;
    });
  }
  return static_cast<int>(found);
}

constexpr rte_flow_ops make_operations() {
  rte_flow_ops ops = {};
  ops.validate = validate;
  ops.create = create;
  ops.destroy = destroy;
  ops.flush = flush;
  ops.query = query;
  ops.dev_dump = dump;
  ops.get_aged_flows = get_aged_flows;
  return ops;
}

}  // namespace

const rte_flow_ops kFlowOps = make_operations();

int flow_ops_get(rte_eth_dev*, const rte_flow_ops** ops) {
  *ops = &kFlowOps;
  return 0;
}

void remove_rules_of(Device& device) {
  const WriteGuard guard(Domain::get());
  flush_locked(device);
}

}  // namespace sluice::softflow
