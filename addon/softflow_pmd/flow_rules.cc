#include "softflow_pmd/flow_rules.h"

#include <cerrno>

#include "flow_engine/flow_error.h"
#include "flow_engine/items.h"
#include "packet/wire.h"

namespace sluice::softflow {
namespace {

bool is_port_action(int type) {
  return type == RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR || type == RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT;
}

}  // namespace

uint32_t items_with_targets(const rte_flow_item* pattern) {
  uint32_t places = 0;
  for (uint32_t i = 0; i < 32 && type_of(pattern[i]) != RTE_FLOW_ITEM_TYPE_END; ++i) {
    if (type_of(pattern[i]) != RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT) continue;
    const auto* mask = static_cast<const rte_flow_item_ethdev*>(pattern[i].mask);
    if (mask != nullptr ? mask->port_id == UINT16_MAX : pattern[i].spec != nullptr) places |= 1u << i;
  }
  return places;
}

uint32_t actions_with_targets(const rte_flow_action* actions, const rte_flow_action* masks) {
  uint32_t places = 0;
  for (uint32_t i = 0; i < 32 && type_of(actions[i]) != RTE_FLOW_ACTION_TYPE_END; ++i) {
    const int type = type_of(actions[i]);
    const void* mask = masks[i].conf;
    if (type == RTE_FLOW_ACTION_TYPE_RSS) {
      if (mask == nullptr || static_cast<const rte_flow_action_rss*>(mask)->queue_num == 0) places |= 1u << i;
    } else if (is_port_action(type) || type == RTE_FLOW_ACTION_TYPE_QUEUE) {
      if (mask == nullptr || load_raw<uint16_t>(mask) == 0) places |= 1u << i;
    }
  }
  return places;
}

int check_targets(const Device& device, const rte_flow_item* pattern, const rte_flow_action* actions,
                  rte_flow_error* error, Places places) {
  const Domain& domain = Domain::get();
  for (uint32_t i = 0; pattern != nullptr && i < 32 && places.items >> i != 0 &&
                       type_of(pattern[i]) != RTE_FLOW_ITEM_TYPE_END;
       ++i) {
    const rte_flow_item& item = pattern[i];
    if ((places.items >> i & 1) == 0 || type_of(item) != RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT ||
        item.spec == nullptr)
      continue;
    const auto* mask = static_cast<const rte_flow_item_ethdev*>(item.mask);
    if (mask != nullptr && mask->port_id != UINT16_MAX) continue;
    if (domain.device(static_cast<const rte_flow_item_ethdev*>(item.spec)->port_id) == nullptr) {
      return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, &item,
                  "REPRESENTED_PORT: the ethdev is not a port of this switch");
    }
  }
  for (uint32_t i = 0; actions != nullptr && i < 32 && places.actions >> i != 0 &&
                       type_of(actions[i]) != RTE_FLOW_ACTION_TYPE_END;
       ++i) {
    const rte_flow_action& action = actions[i];
    if ((places.actions >> i & 1) == 0 || action.conf == nullptr) continue;
    if (is_port_action(type_of(action)) &&
        domain.device(static_cast<const rte_flow_action_ethdev*>(action.conf)->port_id) == nullptr) {
      return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &action,
                  named_message(action_name(type_of(action)), "the ethdev is not a port of this switch"));
    }
    if (type_of(action) == RTE_FLOW_ACTION_TYPE_RSS) {
      const auto* rss = static_cast<const rte_flow_action_rss*>(action.conf);
      for (uint32_t queue = 0; rss->queue != nullptr && queue < rss->queue_num; ++queue) {
        if (rss->queue[queue] < device.data->nb_rx_queues) continue;
        return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &action,
                    "RSS: the port has no such receive queue");
      }
    }
    if (type_of(action) == RTE_FLOW_ACTION_TYPE_QUEUE &&
        static_cast<const rte_flow_action_queue*>(action.conf)->index >= device.data->nb_rx_queues) {
      return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &action,
                  "QUEUE: the port has no such receive queue");
    }
  }
  return 0;
}

int check_room(const Device& device, rte_flow_error* error) {
  if (device.rules < device.arguments.max_rules) return 0;
  return fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the rule table is full (max_rules)");
}

bool is_to_fail(Device& device) {
  const uint32_t every = device.arguments.fail_every;
  return every != 0 && ++device.flows.creations % every == 0;
}

int refuse_on_purpose(rte_flow_error* error) {
  return fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
              "this creation fails on purpose (fail_every)");
}

void count_in(Device& device, FlowEngine& engine, FlowRule* rule) {
  ++device.rules;
  if (engine.counts(rule)) ++device.flows.counters;
  if (engine.ages(rule)) ++device.flows.ages;
}

void count_out(Device& device, FlowEngine& engine, const FlowRule* rule) {
  --device.rules;
  if (engine.counts(rule)) --device.flows.counters;
  if (engine.ages(rule)) --device.flows.ages;
  if (auto* table = static_cast<TemplateTable*>(engine.owner(rule))) --table->rules;
}

void flush_locked(Device& device) {
  for (FlowEngine* engine : {&Domain::get().transfer(), device.ingress.get()}) {
    engine->for_each(
        [&](FlowRule* rule) {
          if (port_of(rule) != device.port_id) return;
          count_out(device, *engine, rule);
          engine->destroy(rule);
        },
        true);
  }
}

}  // namespace sluice::softflow
