// Templates and tables of rte_flow. They are changed by one thread while none uses them, as rte_flow demands;
// the engine's tables, which receive bursts read, under the domain's locks.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "flow_engine/flow_error.h"
#include "flow_engine/items.h"
#include "softflow_pmd/flow_rules.h"

namespace sluice::softflow {
namespace {

int info_get(rte_eth_dev* dev, rte_flow_port_info* port, rte_flow_queue_info* queue, rte_flow_error*) {
  const Device& device = Device::of(dev);
  if (port != nullptr) {
    *port = {};
    port->max_nb_queues = kMaxFlowQueues;
    port->max_nb_counters = device.arguments.max_rules;
    port->max_nb_aging_objects = device.arguments.max_rules;
    port->supported_flags = RTE_FLOW_PORT_FLAG_STRICT_QUEUE;
  }
  if (queue != nullptr) queue->max_size = kMaxFlowQueueSize;
  return 0;
}

int refuse_port_attr(rte_flow_error* error, const char* message, int code = EINVAL) {
  return fail(error, code, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, message);
}

int configure(rte_eth_dev* dev, const rte_flow_port_attr* port, uint16_t queues,
              const rte_flow_queue_attr* queue[], rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowState& flows = device.flows;
  if (device.arguments.profile != nullptr && !device.arguments.profile->templates)
    return refuse_port_attr(error, "this NIC's driver has no template tables", ENOTSUP);
  if (queues == 0 || queues > kMaxFlowQueues)
    return refuse_port_attr(error, "the number of flow queues must be 1 to 64");
  if (port->nb_meters != 0) return refuse_port_attr(error, "meters are not supported (nb_meters)", ENOTSUP);
  if (port->nb_conn_tracks != 0)
    return refuse_port_attr(error, "connection tracking is not supported (nb_conn_tracks)", ENOTSUP);
  if ((port->flags & ~RTE_FLOW_PORT_FLAG_STRICT_QUEUE) != 0)
    return refuse_port_attr(error, "a port flag is not supported (flags)", ENOTSUP);
  if (port->nb_counters > device.arguments.max_rules)
    return refuse_port_attr(error, "more counters than max_rules (nb_counters)");
  if (port->nb_aging_objects > device.arguments.max_rules)
    return refuse_port_attr(error, "more aging objects than max_rules (nb_aging_objects)");
  for (uint16_t i = 0; i < queues; ++i) {
    if (queue[i] != nullptr && queue[i]->size > kMaxFlowQueueSize)
      return refuse_port_attr(error, "a flow queue holds at most 65536 operations (size)");
  }
  for (const auto& used : flows.queues) {
    if (!used->is_empty())
      return refuse_port_attr(error, "a flow queue still holds operations: push and pull them first", EBUSY);
  }
  release_flow_state(device);
  flows.attr = *port;
  for (uint16_t i = 0; i < queues; ++i) {
    const uint32_t size = queue[i] == nullptr || queue[i]->size == 0 ? kDefaultFlowQueueSize : queue[i]->size;
    flows.queues.push_back(std::make_unique<FlowQueue>(size));
  }
  flows.configured = true;
  return 0;
}

// rte_flow_conv() copies an array with all it points to. Handles of INDIRECT are kept as they are.
template <typename Entry>
std::unique_ptr<uint64_t[]> copy(rte_flow_conv_op operation, const Entry* source, rte_flow_error* error) {
  const int bytes = rte_flow_conv(operation, nullptr, 0, source, error);
  if (bytes < 0) return nullptr;
  auto memory = std::make_unique<uint64_t[]>(static_cast<size_t>(bytes) / 8 + 1);
  if (rte_flow_conv(operation, memory.get(), static_cast<size_t>(bytes), source, error) < 0) return nullptr;
  return memory;
}

std::unique_ptr<uint64_t[]> copy_actions(const rte_flow_action* source, rte_flow_error* error) {
  std::vector<rte_flow_action> plain;
  for (const rte_flow_action* action = source;; ++action) {
    plain.push_back(*action);
    if (type_of(*action) == RTE_FLOW_ACTION_TYPE_INDIRECT) plain.back().conf = nullptr;
    if (type_of(*action) == RTE_FLOW_ACTION_TYPE_END) break;
  }
  auto memory = copy(RTE_FLOW_CONV_OP_ACTIONS, plain.data(), error);
  if (memory == nullptr) return nullptr;
  auto* copied = reinterpret_cast<rte_flow_action*>(memory.get());
  for (size_t i = 0; i < plain.size(); ++i) {
    if (type_of(plain[i]) == RTE_FLOW_ACTION_TYPE_INDIRECT) copied[i].conf = source[i].conf;
    if (type_of(plain[i]) != RTE_FLOW_ACTION_TYPE_MODIFY_FIELD || copied[i].conf == nullptr) continue;
    // What a pointer leads to is the application's: its value is kept instead.
    auto* modify = static_cast<rte_flow_action_modify_field*>(const_cast<void*>(copied[i].conf));
    if (modify->src.field != RTE_FLOW_FIELD_POINTER || modify->src.pvalue == nullptr) continue;
    const void* value = modify->src.pvalue;
    modify->src.field = RTE_FLOW_FIELD_VALUE;
    std::memcpy(modify->src.value, value,
                std::min<size_t>((modify->width + 7) / 8, sizeof modify->src.value));
  }
  return memory;
}

// The directions that a template is made for, as attributes of rules.
template <typename TemplateAttr>
std::vector<rte_flow_attr> directions_of(const TemplateAttr& attr) {
  std::vector<rte_flow_attr> directions;
  rte_flow_attr one = {};
  if (attr.transfer) {
    one.transfer = 1;
    directions.push_back(one);
  }
  one = {};
  if (attr.ingress) {
    one.ingress = 1;
    directions.push_back(one);
  }
  one = {};
  if (attr.egress || directions.empty()) {
    one.egress = attr.egress;
    directions.push_back(one);
  }
  return directions;
}

// An error in the attributes is in those that the application gave.
std::nullptr_t refuse_template(rte_flow_error* error, const rte_flow_attr& direction, const void* attr) {
  if (error != nullptr && error->cause == &direction) error->cause = attr;
  return nullptr;
}

template <typename TemplateAttr>
bool covers(const TemplateAttr& attr, const rte_flow_attr& table) {
  return table.transfer ? attr.transfer : attr.ingress;
}

template <typename Held, typename Handle>
auto find_in(std::vector<std::unique_ptr<Held>>& held, const Handle* handle) {
  return std::find_if(held.begin(), held.end(), [handle](const auto& candidate) {
    return reinterpret_cast<const Handle*>(candidate.get()) == handle;
  });
}

rte_flow_pattern_template* pattern_template_create(rte_eth_dev* dev,
                                                   const rte_flow_pattern_template_attr* attr,
                                                   const rte_flow_item pattern[], rte_flow_error* error) {
  Device& device = Device::of(dev);
  for (const rte_flow_attr& direction : directions_of(*attr)) {
    if (device.ingress->validate_template(direction, pattern, nullptr, nullptr, error) != 0)
      return refuse_template(error, direction, attr);
  }
  auto made = std::make_unique<PatternTemplate>();
  made->attr = *attr;
  made->memory = copy(RTE_FLOW_CONV_OP_PATTERN, pattern, error);
  if (made->memory == nullptr) return nullptr;
  made->items = reinterpret_cast<const rte_flow_item*>(made->memory.get());
  made->targets = items_with_targets(made->items);
  device.flows.pattern_templates.push_back(std::move(made));
  return reinterpret_cast<rte_flow_pattern_template*>(device.flows.pattern_templates.back().get());
}

template <typename Held, typename Handle>
int destroy_template(std::vector<std::unique_ptr<Held>>& held, const Handle* handle, rte_flow_error* error) {
  const auto at = find_in(held, handle);
  if (at == held.end())
    return fail(error, ENOENT, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the port has no such template");
  if ((*at)->tables != 0)
    return fail(error, EBUSY, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "a template table uses the template");
  held.erase(at);
  return 0;
}

int pattern_template_destroy(rte_eth_dev* dev, rte_flow_pattern_template* handle, rte_flow_error* error) {
  return destroy_template(Device::of(dev).flows.pattern_templates, handle, error);
}

rte_flow_actions_template* actions_template_create(rte_eth_dev* dev,
                                                   const rte_flow_actions_template_attr* attr,
                                                   const rte_flow_action actions[],
                                                   const rte_flow_action masks[], rte_flow_error* error) {
  Device& device = Device::of(dev);
  for (const rte_flow_attr& direction : directions_of(*attr)) {
    if (device.ingress->validate_template(direction, nullptr, actions, masks, error) != 0)
      return refuse_template(error, direction, attr);
  }
  auto made = std::make_unique<ActionsTemplate>();
  made->attr = *attr;
  made->memory = copy_actions(actions, error);
  made->masks_memory = copy_actions(masks, error);
  if (made->memory == nullptr || made->masks_memory == nullptr) return nullptr;
  made->actions = reinterpret_cast<rte_flow_action*>(made->memory.get());
  made->masks = reinterpret_cast<rte_flow_action*>(made->masks_memory.get());
  made->targets = actions_with_targets(made->actions, made->masks);
  device.flows.actions_templates.push_back(std::move(made));
  return reinterpret_cast<rte_flow_actions_template*>(device.flows.actions_templates.back().get());
}

int actions_template_destroy(rte_eth_dev* dev, rte_flow_actions_template* handle, rte_flow_error* error) {
  return destroy_template(Device::of(dev).flows.actions_templates, handle, error);
}

void drop_tables(Device& device, TemplateTable& table) {
  const WriteGuard guard(Domain::get());
  FlowEngine& engine = engine_for(device, table.attr.transfer);
  for (const TemplateTable::Rows& rows : table.rows) engine.destroy_table(rows.table);
  table.rows.clear();
}

int make_tables(Device& device, TemplateTable& table, rte_flow_error* error) {
  FlowEngine& engine = engine_for(device, table.attr.transfer);
  const auto pairs = static_cast<uint32_t>(table.patterns.size() * table.actions.size());
  for (const PatternTemplate* pattern : table.patterns) {
    for (const ActionsTemplate* actions : table.actions) {
      RuleTable* rows;
      {
        const WriteGuard guard(Domain::get());
        rows = engine.create_table(table.attr, pattern->items, actions->actions, actions->masks, error);
      }
      if (rows == nullptr) return -rte_errno;
      FlowEngine::set_owner(rows, &table);
      table.rows.push_back(
          {rows, {pattern->targets, actions->targets}, FlowEngine::counts(rows), FlowEngine::ages(rows)});
      // Receive bursts pass by a table without rules, so they need not wait for the pages to be cleared.
      if (!engine.reserve(rows, table.limit / pairs))
        return fail(error, ENOMEM, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
                    "no memory for the table's rules");
    }
  }
  return 0;
}

// A template alone does not say in which group its rules will stand.
int check_profile_of(const Device& device, const TemplateTable& table, rte_flow_error* error) {
  const Profile* profile = device.arguments.profile;
  if (profile == nullptr) return 0;
  for (const PatternTemplate* pattern : table.patterns) {
    if (const int code = check_profile(*profile, table.attr, pattern->items, nullptr, error)) return code;
  }
  for (const ActionsTemplate* actions : table.actions) {
    if (const int code = check_profile(*profile, table.attr, nullptr, actions->actions, error)) return code;
  }
  return 0;
}

rte_flow_template_table* template_table_create(rte_eth_dev* dev, const rte_flow_template_table_attr* attr,
                                               rte_flow_pattern_template* patterns[], uint8_t pattern_count,
                                               rte_flow_actions_template* actions[], uint8_t actions_count,
                                               rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowState& flows = device.flows;
  const auto refuse = [error](const char* message, int code = EINVAL) -> rte_flow_template_table* {
    fail(error, code, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, message);
    return nullptr;
  };
  if (attr->nb_flows == 0) return refuse("a template table holds at least one rule (nb_flows)");
  if (attr->nb_flows > device.arguments.max_rules)
    return refuse("more rules than max_rules (nb_flows)", ENOSPC);
  if (pattern_count == 0 || actions_count == 0)
    return refuse("a template table needs a template of either kind");
  auto made = std::make_unique<TemplateTable>();
  made->attr = attr->flow_attr;
  made->limit = attr->nb_flows;
  made->engine = &engine_for(device, made->attr.transfer);
  made->tag = tag_of(device, made->attr.transfer, 0);
  made->pattern_count = pattern_count;
  made->actions_count = actions_count;
  for (uint8_t i = 0; i < pattern_count; ++i) {
    const auto at = find_in(flows.pattern_templates, patterns[i]);
    if (at == flows.pattern_templates.end()) return refuse("the port has no such pattern template", ENOENT);
    if (!covers((*at)->attr, made->attr)) return refuse("a pattern template was made for another direction");
    made->patterns.push_back(at->get());
  }
  for (uint8_t i = 0; i < actions_count; ++i) {
    const auto at = find_in(flows.actions_templates, actions[i]);
    if (at == flows.actions_templates.end()) return refuse("the port has no such actions template", ENOENT);
    if (!covers((*at)->attr, made->attr)) return refuse("an actions template was made for another direction");
    // Ports and queues that the template itself names.
    if (check_targets(device, nullptr, (*at)->actions, error, {0, ~(*at)->targets}) != 0) return nullptr;
    made->actions.push_back(at->get());
  }
  if (check_profile_of(device, *made, error) != 0) return nullptr;
  const ChangeGuard changes(Domain::get());
  if (const int code = make_tables(device, *made, error)) {
    drop_tables(device, *made);
    rte_errno = -code;
    return nullptr;
  }
  for (PatternTemplate* used : made->patterns) ++used->tables;
  for (ActionsTemplate* used : made->actions) ++used->tables;
  flows.tables.push_back(std::move(made));
  return reinterpret_cast<rte_flow_template_table*>(flows.tables.back().get());
}

int template_table_destroy(rte_eth_dev* dev, rte_flow_template_table* handle, rte_flow_error* error) {
  Device& device = Device::of(dev);
  auto& tables = device.flows.tables;
  const auto at = find_in(tables, handle);
  if (at == tables.end())
    return fail(error, ENOENT, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
                "the port has no such template table");
  const ChangeGuard changes(Domain::get());
  TemplateTable& table = **at;
  if (table.rules != 0) {
    return fail(error, EBUSY, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
                "the template table has rules: destroy them first, failed ones too");
  }
  drop_tables(device, table);
  for (PatternTemplate* used : table.patterns) --used->tables;
  for (ActionsTemplate* used : table.actions) --used->tables;
  tables.erase(at);
  return 0;
}

}  // namespace

void release_flow_state(Device& device) {
  FlowState& flows = device.flows;
  for (const auto& queue : flows.queues) submit(device, *queue);
  const ChangeGuard changes(Domain::get());
  {
    const WriteGuard guard(Domain::get());
    for (FlowEngine* engine : {&Domain::get().transfer(), device.ingress.get()}) {
      engine->for_each(
          [&](FlowRule* rule) {
            if (port_of(rule) != device.port_id || engine->owner(rule) == nullptr) return;
            count_out(device, *engine, rule);
            engine->destroy(rule);
          },
          true);
    }
  }
  for (const auto& table : flows.tables) drop_tables(device, *table);
  flows.tables.clear();
  flows.pattern_templates.clear();
  flows.actions_templates.clear();
  flows.queues.clear();
  flows.attr = {};
  flows.configured = false;
}

void add_template_operations(rte_flow_ops* ops) {
  ops->info_get = info_get;
  ops->configure = configure;
  ops->pattern_template_create = pattern_template_create;
  ops->pattern_template_destroy = pattern_template_destroy;
  ops->actions_template_create = actions_template_create;
  ops->actions_template_destroy = actions_template_destroy;
  ops->template_table_create = template_table_create;
  ops->template_table_destroy = template_table_destroy;
}

}  // namespace sluice::softflow
