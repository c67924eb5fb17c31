// What synchronous and asynchronous rules share: which engine, who owns a rule, what it may name.
#pragma once

#include "softflow_pmd/device.h"
#include "softflow_pmd/domain.h"

namespace sluice::softflow {

// A rule's tag: the port it was created through, its flow queue, and whether it is a transfer rule.
inline constexpr uint32_t kTransferTag = 1u << 31;
inline uint32_t queue_tag(uint32_t queue) { return queue << 16; }
inline uint32_t tag_of(const Device& device, bool transfer, uint16_t queue) {
  return device.port_id | queue_tag(queue) | (transfer ? kTransferTag : 0);
}
inline uint16_t port_of(const FlowRule* rule) { return static_cast<uint16_t>(FlowEngine::tag(rule)); }
inline uint16_t queue_of(const FlowRule* rule) { return FlowEngine::tag(rule) >> 16 & 0x7fff; }
inline bool is_transfer(const FlowRule* rule) { return (FlowEngine::tag(rule) & kTransferTag) != 0; }

// Transfer rules are the switch's, ingress rules the port's own.
inline FlowEngine& engine_for(Device& device, bool transfer) {
  return transfer ? Domain::get().transfer() : *device.ingress;
}
inline FlowEngine& engine_of(Device& device, const FlowRule* rule) {
  return engine_for(device, is_transfer(rule));
}

// Items and actions by their place in a list, one bit each; kMaxItems and kMaxActions are 32.
struct Places {
  uint32_t items = ~0u, actions = ~0u;
};
// Ports and queues that a rule names: the engine knows neither.
int check_targets(const Device& device, const rte_flow_item* pattern, const rte_flow_action* actions,
                  rte_flow_error* error);
// The same where it is known which items and actions name one.
int check_targets(const Device& device, const rte_flow_item* pattern, const rte_flow_action* actions,
                  rte_flow_error* error, Places places);
// The same for FlowEngine::create, as TargetCheck::check.
int check_places(const void* device, const rte_flow_item* pattern, const rte_flow_action* actions,
                 const TargetPlaces* places, rte_flow_error* error);
// Whether all that a rule names are ports that there are: check_places() has no more to look at then.
inline bool names_known_ports(const rte_flow_item* pattern, const TargetPlaces& places) {
  for (uint32_t left = places.items; left != 0; left &= left - 1) {
    const auto* spec = static_cast<const rte_flow_item_ethdev*>(pattern[__builtin_ctz(left)].spec);
    if (spec == nullptr || Domain::get().device(spec->port_id) == nullptr) return false;
  }
  return places.actions == 0;
}
// Where in a template a rule brings a port or a queue.
uint32_t items_with_targets(const rte_flow_item* pattern);
uint32_t actions_with_targets(const rte_flow_action* actions, const rte_flow_action* masks);

// -ENOSPC when the port has as many rules as max_rules allows.
int check_room(const Device& device, rte_flow_error* error);
// Whether this creation is the one that fail_every makes fail.
bool is_to_fail(Device& device);
int refuse_on_purpose(rte_flow_error* error);

// Keep the port's counts; both under the change lock.
void count_in(Device& device, FlowEngine& engine, FlowRule* rule);
void count_out(Device& device, FlowEngine& engine, const FlowRule* rule);

// Everything that was created through the port, finished or not. Under the change lock and the write lock.
void flush_locked(Device& device);

// flow_queues.cc: executes what is staged in a queue.
void submit(Device& device, FlowQueue& queue);
// Templates, tables and handles go; rules of tables with them. For a new rte_flow_configure, and at close.
void release_flow_state(Device& device);

// rte_flow_ops, by file.
void add_template_operations(rte_flow_ops* ops);
void add_queue_operations(rte_flow_ops* ops);
void add_indirect_operations(rte_flow_ops* ops);
void add_aging_operations(rte_flow_ops* ops);

// aging.cc: watches for aged rules while the port is started.
void start_aging_watch(Device& device);
void stop_aging_watch(Device& device);

// indirect.cc
void answer_age(uint32_t now_seconds, uint32_t last_hit_seconds, uint32_t timeout, rte_flow_query_age* out);
int destroy_handle_locked(Device& device, IndirectAction* handle, rte_flow_error* error);
int update_handle(IndirectAction* handle, const rte_flow_update_age& update, rte_flow_error* error);
int query_handle(IndirectAction* handle, void* data, rte_flow_error* error);
IndirectAction* create_handle_locked(Device& device, uint16_t queue, const rte_flow_indir_action_conf* conf,
                                     const rte_flow_action* action, rte_flow_error* error);

}  // namespace sluice::softflow
