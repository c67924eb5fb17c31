// Flow queues: operations are staged, executed at a push, and their results taken by a pull. A queue belongs
// to one thread, as rte_flow demands; what queues share is under the domain's locks.
#include <rte_cycles.h>
#include <rte_prefetch.h>

#include <cerrno>

#include "flow_engine/flow_error.h"
#include "softflow_pmd/flow_rules.h"

namespace sluice::softflow {
namespace {

// Operations executed under one write lock: bounds how long receive bursts on other lcores wait.
constexpr uint32_t kTogether = 64;

uint32_t slots_for(uint32_t size) {
  uint32_t slots = 1;
  while (slots < size) slots *= 2;
  return slots;
}

inline FlowQueue* queue_for(Device& device, uint32_t id, rte_flow_error* error) {
  if (id < device.flows.queues.size()) return device.flows.queues[id].get();
  fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the port has no such flow queue");
  return nullptr;
}

// The queue with room for one more operation, or null.
inline __attribute__((always_inline)) FlowQueue* queue_with_room(Device& device, uint32_t id,
                                                                 rte_flow_error* error) {
  FlowQueue* queue = queue_for(device, id, error);
  if (queue == nullptr || !queue->is_full()) return queue;
  fail(error, EAGAIN, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
       "the flow queue is full: pull its completions, then try again");
  return nullptr;
}

// The operation at the queue's tail is whole.
void enqueued(Device& device, FlowQueue& queue, const rte_flow_op_attr* attr) {
  ++queue.tail;
  if (__builtin_expect(attr == nullptr || !attr->postpone, 0)) submit(device, queue);
}

void enqueue(Device& device, FlowQueue& queue, const rte_flow_op_attr* attr, const Operation& operation) {
  queue.at(queue.tail) = operation;
  enqueued(device, queue, attr);
}

// A run of rules of one engine that go together, for their cache misses to overlap.
class Destructions {
 public:
  explicit Destructions(Device& device) : device_(device) {}
  ~Destructions() { execute(); }
  Destructions(const Destructions&) = delete;
  Destructions& operator=(const Destructions&) = delete;
  void add(FlowRule* rule, FlowEngine* engine) {
    if (engine != engine_) execute();
    engine_ = engine;
    rule_[count_++] = rule;
  }
  // Before operations of another kind, which may depend on them.
  void execute() {
    if (count_ == 0) return;
    for (uint32_t i = 0; i < count_; ++i) count_out(device_, *engine_, rule_[i]);
    engine_->destroy(rule_, count_);
    count_ = 0;
  }

 private:
  Device& device_;
  FlowEngine* engine_ = nullptr;
  uint32_t count_ = 0;
  FlowRule* rule_[kTogether];
};

void execute_handle(Device& device, Operation& operation) {
  rte_flow_error error;
  switch (operation.kind) {
    case Operation::Kind::kDestroyHandle:
      operation.failed = destroy_handle_locked(device, operation.handle, &error) != 0;
      return;
    case Operation::Kind::kUpdateHandle:
      operation.failed = update_handle(operation.handle, operation.update, &error) != 0;
      return;
    case Operation::Kind::kQueryHandle:
      operation.failed = query_handle(operation.handle, operation.data, &error) != 0;
      return;
    default: return;  // created when it was asked for
  }
}

void execute(Device& device, FlowQueue& queue, uint32_t end) {
  const uint32_t latency_us = device.arguments.insert_latency_us;
  const uint64_t ready_at =
      latency_us == 0 ? 0 : rte_get_tsc_cycles() + rte_get_tsc_hz() / 1000000 * latency_us;
  const uint32_t now_seconds = Domain::get().now_seconds();
  Destructions gone(device);
  for (uint32_t at = queue.submitted; at != end; ++at) {
    Operation& operation = queue.at(at);
    if (operation.kind == Operation::Kind::kCreateRule) {
      gone.execute();
      operation.ready_at = ready_at;
      if (__builtin_expect(operation.failed, 0)) {
        FlowEngine::abandon(operation.rule);
      } else {
        operation.failed =
            engine_of(device, operation.rule).commit_row(operation.rule, operation.hash, now_seconds) != 0;
      }
    } else if (operation.kind == Operation::Kind::kDestroyRule) {
      // Twice destroyed, or not yet pushed: an application's mistake that must not cost another rule its row.
      operation.failed =
          !FlowEngine::is_finished(operation.rule) || port_of(operation.rule) != device.port_id;
      if (operation.failed) continue;
      FlowEngine::retire(operation.rule);
      gone.add(operation.rule, &engine_of(device, operation.rule));
    } else {
      gone.execute();
      execute_handle(device, operation);
    }
  }
  queue.submitted = end;
}

// No memory for the rule, or what it brings is not what its table wants. Null: refused.
inline FlowRule* stage(Device& device, TemplateTable& table, const TemplateTable::Rows& rows,
                       const rte_flow_item pattern[], const rte_flow_action actions[], bool has_types,
                       uint32_t* hash, rte_flow_error* error) {
  if (check_room(device, error) != 0) return nullptr;
  if (__builtin_expect(table.rules >= table.limit, 0)) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the template table is full (nb_flows)");
    return nullptr;
  }
  FlowState& flows = device.flows;
  if (rows.counts && __builtin_expect(flows.counters >= flows.attr.nb_counters, 0)) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
         "COUNT: all counters that rte_flow_configure asked for are in use (nb_counters)");
    return nullptr;
  }
  if (rows.ages && __builtin_expect(flows.ages >= flows.attr.nb_aging_objects, 0)) {
    fail(error, ENOSPC, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr,
         "AGE: all aging objects that rte_flow_configure asked for are in use (nb_aging_objects)");
    return nullptr;
  }
  FlowEngine& engine = *table.engine;
  // Without the types it is refused, and this says why.
  FlowRule* rule = __builtin_expect(has_types, 1)
                       ? engine.stage_typed_row(rows.table, pattern, actions, hash, error)
                       : engine.stage_row(rows.table, pattern, actions, error);
  if (__builtin_expect(rule == nullptr, 0)) return nullptr;
  ++table.rules;
  ++device.rules;
  flows.counters += rows.counts;
  flows.ages += rows.ages;
  return rule;
}

rte_flow* async_create(rte_eth_dev* dev, uint32_t queue_id, const rte_flow_op_attr* attr,
                       rte_flow_template_table* table_handle, const rte_flow_item pattern[],
                       uint8_t pattern_index, const rte_flow_action actions[], uint8_t actions_index,
                       void* user_data, rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowQueue* queue = queue_with_room(device, queue_id, error);
  if (queue == nullptr) return nullptr;
  auto& table = *reinterpret_cast<TemplateTable*>(table_handle);
  if (pattern_index >= table.pattern_count || actions_index >= table.actions_count) {
    fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the table has no template of this index");
    return nullptr;
  }
  const TemplateTable::Rows& rows = table.of(pattern_index, actions_index);
  // Of items and actions in their places it is known which name a port or a queue.
  const bool has_types = FlowEngine::has_types(rows.table, pattern, actions);
  if (__builtin_expect(has_types, 1)) {
    if (__builtin_expect(!names_known_ports(pattern, rows.targets), 0) &&
        check_places(&device, pattern, actions, &rows.targets, error) != 0)
      return nullptr;
  } else if (check_targets(device, pattern, actions, error, {rows.targets.items, rows.targets.actions}) !=
             0) {
    return nullptr;
  }
  Operation& operation = queue->at(queue->tail);
  FlowRule* rule;
  {
    const ChangeGuard changes(Domain::get());
    rule = stage(device, table, rows, pattern, actions, has_types, &operation.hash, error);
    if (__builtin_expect(rule == nullptr, 0)) return nullptr;
    FlowEngine::set_tag(rule, table.tag | queue_tag(queue_id));
    operation.failed = is_to_fail(device);
  }
  operation.kind = Operation::Kind::kCreateRule;
  operation.rule = rule;
  operation.user_data = user_data;
  enqueued(device, *queue, attr);
  return reinterpret_cast<rte_flow*>(rule);
}

int async_destroy(rte_eth_dev* dev, uint32_t queue_id, const rte_flow_op_attr* attr, rte_flow* flow,
                  void* user_data, rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowQueue* queue = queue_with_room(device, queue_id, error);
  if (queue == nullptr) return -rte_errno;
  auto* rule = reinterpret_cast<FlowRule*>(flow);
  rte_prefetch0(rule);  // read at the push, by when it has come
  rte_prefetch0(reinterpret_cast<const uint8_t*>(rule) + 64);
  Operation& operation = queue->at(queue->tail);
  operation.kind = Operation::Kind::kDestroyRule;
  operation.ready_at = 0;
  operation.rule = rule;
  operation.user_data = user_data;
  enqueued(device, *queue, attr);
  return 0;
}

int push(rte_eth_dev* dev, uint32_t queue_id, rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowQueue* queue = queue_for(device, queue_id, error);
  if (queue == nullptr) return -rte_errno;
  submit(device, *queue);
  return 0;
}

int pull(rte_eth_dev* dev, uint32_t queue_id, rte_flow_op_result results[], uint16_t room,
         rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowQueue* queue = queue_for(device, queue_id, error);
  if (queue == nullptr) return -rte_errno;
  uint64_t now = 0;
  uint16_t pulled = 0;
  for (; pulled < room && queue->head != queue->submitted; ++pulled, ++queue->head) {
    const Operation& operation = queue->at(queue->head);
    if (operation.ready_at != 0) {
      if (operation.ready_at > now) now = rte_get_tsc_cycles();
      if (operation.ready_at > now) break;
    }
    results[pulled].status = operation.failed ? RTE_FLOW_OP_ERROR : RTE_FLOW_OP_SUCCESS;
    results[pulled].user_data = operation.user_data;
  }
  return pulled;
}

rte_flow_action_handle* async_handle_create(rte_eth_dev* dev, uint32_t queue_id, const rte_flow_op_attr* attr,
                                            const rte_flow_indir_action_conf* conf,
                                            const rte_flow_action* action, void* user_data,
                                            rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowQueue* queue = queue_with_room(device, queue_id, error);
  if (queue == nullptr) return nullptr;
  Operation operation = {};
  {
    const ChangeGuard changes(Domain::get());
    operation.handle = create_handle_locked(device, static_cast<uint16_t>(queue_id), conf, action, error);
  }
  if (operation.handle == nullptr) return nullptr;
  operation.kind = Operation::Kind::kCreateHandle;
  operation.user_data = user_data;
  enqueue(device, *queue, attr, operation);
  return reinterpret_cast<rte_flow_action_handle*>(operation.handle);
}

int enqueue_handle(rte_eth_dev* dev, uint32_t queue_id, const rte_flow_op_attr* attr, Operation operation,
                   rte_flow_error* error) {
  Device& device = Device::of(dev);
  FlowQueue* queue = queue_with_room(device, queue_id, error);
  if (queue == nullptr) return -rte_errno;
  enqueue(device, *queue, attr, operation);
  return 0;
}

Operation operation_on(Operation::Kind kind, const rte_flow_action_handle* handle, void* user_data) {
  Operation operation = {};
  operation.kind = kind;
  operation.handle = reinterpret_cast<IndirectAction*>(const_cast<rte_flow_action_handle*>(handle));
  operation.user_data = user_data;
  return operation;
}

int async_handle_destroy(rte_eth_dev* dev, uint32_t queue, const rte_flow_op_attr* attr,
                         rte_flow_action_handle* handle, void* user_data, rte_flow_error* error) {
  return enqueue_handle(dev, queue, attr, operation_on(Operation::Kind::kDestroyHandle, handle, user_data),
                        error);
}

int async_handle_update(rte_eth_dev* dev, uint32_t queue, const rte_flow_op_attr* attr,
                        rte_flow_action_handle* handle, const void* update, void* user_data,
                        rte_flow_error* error) {
  if (update == nullptr)
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, nullptr, "no update is given");
  Operation operation = operation_on(Operation::Kind::kUpdateHandle, handle, user_data);
  operation.update = *static_cast<const rte_flow_update_age*>(update);
  return enqueue_handle(dev, queue, attr, operation, error);
}

int async_handle_query(rte_eth_dev* dev, uint32_t queue, const rte_flow_op_attr* attr,
                       const rte_flow_action_handle* handle, void* data, void* user_data,
                       rte_flow_error* error) {
  Operation operation = operation_on(Operation::Kind::kQueryHandle, handle, user_data);
  operation.data = data;
  return enqueue_handle(dev, queue, attr, operation, error);
}

}  // namespace

FlowQueue::FlowQueue(uint32_t queue_size)
    : size(queue_size), mask(slots_for(queue_size) - 1), slots(new Operation[slots_for(queue_size)]) {}

void submit(Device& device, FlowQueue& queue) {
  while (queue.submitted != queue.tail) {
    const uint32_t left = queue.tail - queue.submitted;
    const ChangeGuard changes(Domain::get());
    const WriteGuard guard(Domain::get());
    execute(device, queue, queue.submitted + (left < kTogether ? left : kTogether));
  }
}

void add_queue_operations(rte_flow_ops* ops) {
  ops->async_create = async_create;
  ops->async_destroy = async_destroy;
  ops->push = push;
  ops->pull = pull;
  ops->async_action_handle_create = async_handle_create;
  ops->async_action_handle_destroy = async_handle_destroy;
  ops->async_action_handle_update = async_handle_update;
  ops->async_action_handle_query = async_handle_query;
}

}  // namespace sluice::softflow
