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

int check_port(const rte_flow_item& item, rte_flow_error* error) {
  const auto* spec = static_cast<const rte_flow_item_ethdev*>(item.spec);
  const auto* mask = static_cast<const rte_flow_item_ethdev*>(item.mask);
  if (spec == nullptr || (mask != nullptr && mask->port_id != UINT16_MAX)) return 0;
  if (Domain::get().device(spec->port_id) != nullptr) return 0;
  return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, &item,
              "REPRESENTED_PORT: the ethdev is not a port of this switch");
}

int check_target(const Device& device, const rte_flow_action& action, rte_flow_error* error) {
  const auto refuse = [&](const char* text) {
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &action,
                named_message(action_name(type_of(action)), text));
  };
  const auto has_queue = [&](uint16_t queue) { return queue < device.data->nb_rx_queues; };
  constexpr const char* kNoQueue = "the port has no such receive queue";
  switch (type_of(action)) {
    case RTE_FLOW_ACTION_TYPE_RSS: {
      const auto* rss = static_cast<const rte_flow_action_rss*>(action.conf);
      for (uint32_t queue = 0; rss->queue != nullptr && queue < rss->queue_num; ++queue) {
        if (!has_queue(rss->queue[queue])) return refuse(kNoQueue);
      }
      return 0;
    }
    case RTE_FLOW_ACTION_TYPE_QUEUE:
      return has_queue(static_cast<const rte_flow_action_queue*>(action.conf)->index) ? 0 : refuse(kNoQueue);
    default:
      return Domain::get().device(static_cast<const rte_flow_action_ethdev*>(action.conf)->port_id) != nullptr
                 ? 0
                 : refuse("the ethdev is not a port of this switch");
  }
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
  for (uint32_t left = pattern == nullptr ? 0 : places.items; left != 0; left >>= 1, ++pattern) {
    const int type = type_of(*pattern);
    if (type == RTE_FLOW_ITEM_TYPE_END) break;
    if (type != RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT || (left & 1) == 0) continue;
    if (const int code = check_port(*pattern, error)) return code;
  }
  for (uint32_t left = actions == nullptr ? 0 : places.actions; left != 0; left >>= 1, ++actions) {
    const int type = type_of(*actions);
    if (type == RTE_FLOW_ACTION_TYPE_END) break;
    if (!names_target(type) || (left & 1) == 0 || actions->conf == nullptr) continue;
    if (const int code = check_target(device, *actions, error)) return code;
  }
  return 0;
}

int check_targets(const Device& device, const rte_flow_item* pattern, const rte_flow_action* actions,
                  rte_flow_error* error) {
  for (; pattern != nullptr && type_of(*pattern) != RTE_FLOW_ITEM_TYPE_END; ++pattern) {
    if (type_of(*pattern) != RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT) continue;
    if (const int code = check_port(*pattern, error)) return code;
  }
  for (; actions != nullptr && type_of(*actions) != RTE_FLOW_ACTION_TYPE_END; ++actions) {
    if (!names_target(type_of(*actions)) || actions->conf == nullptr) continue;
    if (const int code = check_target(device, *actions, error)) return code;
  }
  return 0;
}

int check_places(const void* device, const rte_flow_item* pattern, const rte_flow_action* actions,
                 const TargetPlaces* places, rte_flow_error* error) {
  const auto& its = *static_cast<const Device*>(device);
  if (places == nullptr) return check_targets(its, pattern, actions, error);
  for (uint32_t left = places->items; left != 0; left &= left - 1) {
    if (const int code = check_port(pattern[__builtin_ctz(left)], error)) return code;
  }
  for (uint32_t left = places->actions; left != 0; left &= left - 1) {
    const rte_flow_action& action = actions[__builtin_ctz(left)];
    if (action.conf == nullptr) continue;
    if (const int code = check_target(its, action, error)) return code;
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
