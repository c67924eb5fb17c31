// Indirect actions: COUNT and AGE that live on their own, and that any number of rules share.
#include <cerrno>

#include "flow_engine/flow_error.h"
#include "flow_engine/items.h"
#include "softflow_pmd/flow_rules.h"

namespace sluice::softflow {
namespace {

using Kind = IndirectAction::Kind;

int check_handle(const Device& device, const IndirectAction* handle, rte_flow_error* error) {
  if (handle != nullptr && handle->kind != Kind::kGone && handle->port_id == device.port_id) return 0;
  return fail(error, ENOENT, RTE_FLOW_ERROR_TYPE_HANDLE, handle, "the port has no such indirect action");
}

rte_flow_action_handle* create(rte_eth_dev* dev, const rte_flow_indir_action_conf* conf,
                               const rte_flow_action* action, rte_flow_error* error) {
  const ChangeGuard changes(Domain::get());
  return reinterpret_cast<rte_flow_action_handle*>(
      create_handle_locked(Device::of(dev), kNoFlowQueue, conf, action, error));
}

int destroy(rte_eth_dev* dev, rte_flow_action_handle* handle, rte_flow_error* error) {
  const ChangeGuard changes(Domain::get());
  return destroy_handle_locked(Device::of(dev), reinterpret_cast<IndirectAction*>(handle), error);
}

int update(rte_eth_dev* dev, rte_flow_action_handle* handle, const void* update, rte_flow_error* error) {
  auto* action = reinterpret_cast<IndirectAction*>(handle);
  const ChangeGuard changes(Domain::get());
  if (const int code = check_handle(Device::of(dev), action, error)) return code;
  if (update == nullptr)
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, nullptr, "no update is given");
  return update_handle(action, *static_cast<const rte_flow_update_age*>(update), error);
}

int query(rte_eth_dev* dev, const rte_flow_action_handle* handle, void* data, rte_flow_error* error) {
  auto* action = reinterpret_cast<IndirectAction*>(const_cast<rte_flow_action_handle*>(handle));
  const ChangeGuard changes(Domain::get());
  if (const int code = check_handle(Device::of(dev), action, error)) return code;
  const WriteGuard guard(Domain::get());
  return query_handle(action, data, error);
}

}  // namespace

void answer_age(uint32_t now_seconds, uint32_t last_hit_seconds, uint32_t timeout, rte_flow_query_age* out) {
  const uint32_t idle = now_seconds > last_hit_seconds ? now_seconds - last_hit_seconds : 0;
  out->aged = idle >= timeout;
  out->sec_since_last_hit_valid = 1;
  out->sec_since_last_hit = idle & 0xffffff;
}

IndirectAction* create_handle_locked(Device& device, uint16_t queue, const rte_flow_indir_action_conf* conf,
                                     const rte_flow_action* action, rte_flow_error* error) {
  FlowState& flows = device.flows;
  const auto refuse = [&](int code, rte_flow_error_type type, const char* text) -> IndirectAction* {
    fail(error, code, type, action, named_message(action_name(type_of(*action)), text));
    return nullptr;
  };
  const bool count = type_of(*action) == RTE_FLOW_ACTION_TYPE_COUNT;
  if (!count && type_of(*action) != RTE_FLOW_ACTION_TYPE_AGE)
    return refuse(ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION, "is not supported as an indirect action");
  if (conf == nullptr || (!conf->ingress && !conf->transfer))
    return refuse(conf != nullptr && conf->egress ? ENOTSUP : EINVAL, RTE_FLOW_ERROR_TYPE_ACTION,
                  "an indirect action must be valid for ingress or transfer rules");
  const auto* age = static_cast<const rte_flow_action_age*>(action->conf);
  if (!count) {
    if (age == nullptr) return refuse(EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, "needs a configuration");
    if (age->reserved != 0)
      return refuse(EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, "reserved bits must be zero");
    if (age->timeout == 0)
      return refuse(EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, "the timeout must not be zero");
  }
  if (flows.configured && count && flows.counters >= flows.attr.nb_counters)
    return refuse(ENOSPC, RTE_FLOW_ERROR_TYPE_ACTION,
                  "all counters that rte_flow_configure asked for are in use (nb_counters)");
  if (flows.configured && !count && flows.ages >= flows.attr.nb_aging_objects)
    return refuse(ENOSPC, RTE_FLOW_ERROR_TYPE_ACTION,
                  "all aging objects that rte_flow_configure asked for are in use (nb_aging_objects)");
  const uint32_t row = flows.handles.allocate();
  if (row == 0) return refuse(ENOMEM, RTE_FLOW_ERROR_TYPE_ACTION, "no memory for another one");
  IndirectAction* made = flows.handle(row);
  *made = IndirectAction{};
  made->row = row;
  made->kind = count ? Kind::kCount : Kind::kAge;
  made->for_ingress = conf->ingress;
  made->for_transfer = conf->transfer;
  made->port_id = device.port_id;
  made->queue_id = queue;
  made->last_hit_seconds = Domain::get().now_seconds();
  if (!count) {
    made->timeout_seconds = age->timeout;
    made->context = age->context != nullptr ? age->context : made;
  }
  ++(count ? flows.counters : flows.ages);
  ++flows.live_handles;
  return made;
}

int destroy_handle_locked(Device& device, IndirectAction* handle, rte_flow_error* error) {
  if (const int code = check_handle(device, handle, error)) return code;
  if (handle->references != 0) {
    return fail(error, EBUSY, RTE_FLOW_ERROR_TYPE_HANDLE, handle,
                "rules or template tables use the indirect action");
  }
  FlowState& flows = device.flows;
  --(handle->kind == Kind::kCount ? flows.counters : flows.ages);
  --flows.live_handles;
  handle->kind = Kind::kGone;
  flows.handles.free(handle->row);
  return 0;
}

int update_handle(IndirectAction* handle, const rte_flow_update_age& update, rte_flow_error* error) {
  if (handle->kind != Kind::kAge) {
    return fail(error, ENOTSUP, RTE_FLOW_ERROR_TYPE_HANDLE, handle, "only AGE can be updated");
  }
  if (update.timeout_valid && update.timeout == 0) {
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &update, "AGE: the timeout must not be zero");
  }
  if (update.timeout_valid) handle->timeout_seconds = update.timeout;
  if (update.touch) {
    __atomic_store_n(&handle->last_hit_seconds, Domain::get().now_seconds(), __ATOMIC_RELAXED);
    __atomic_store_n(&handle->aged, 0, __ATOMIC_RELAXED);
  }
  return 0;
}

int query_handle(IndirectAction* handle, void* data, rte_flow_error* error) {
  if (data == nullptr)
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "no room for the answer");
  if (handle->kind == Kind::kCount) {
    auto* out = static_cast<rte_flow_query_count*>(data);
    out->hits_set = 1;
    out->bytes_set = 1;
    out->hits = handle->packets;
    out->bytes = handle->bytes;
    if (out->reset) handle->packets = handle->bytes = 0;
    return 0;
  }
  if (handle->kind != Kind::kAge)
    return fail(error, ENOENT, RTE_FLOW_ERROR_TYPE_HANDLE, handle, "the port has no such indirect action");
  answer_age(Domain::get().now_seconds(), __atomic_load_n(&handle->last_hit_seconds, __ATOMIC_RELAXED),
             handle->timeout_seconds, static_cast<rte_flow_query_age*>(data));
  return 0;
}

void add_indirect_operations(rte_flow_ops* ops) {
  ops->action_handle_create = create;
  ops->action_handle_destroy = destroy;
  ops->action_handle_update = update;
  ops->action_handle_query = query;
}

}  // namespace sluice::softflow
