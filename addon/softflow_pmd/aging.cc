// Rules and handles whose AGE has run out: reported once until they are hit again, by
// rte_flow_get_aged_flows, and announced by RTE_ETH_EVENT_FLOW_AGED once until it is called.
#include <rte_alarm.h>

#include <cerrno>
#include <functional>

#include "flow_engine/flow_error.h"
#include "softflow_pmd/flow_rules.h"

namespace sluice::softflow {
namespace {

constexpr uint64_t kWatchPeriodUs = 1000000;  // AGE counts seconds
constexpr uint32_t kRowsTogether = 8192;      // under one change lock: some 100 us
constexpr int kAnyQueue = -1;

// Calls `visit(context)` for what has aged; true: that was the report. Stops early when `enough` says so.
template <typename Visit, typename Enough>
void each_aged(Device& device, int queue, Visit&& visit, Enough&& enough) {
  Domain& domain = Domain::get();
  const uint32_t now = domain.now_seconds();
  for (FlowEngine* engine : {&domain.transfer(), device.ingress.get()}) {
    FlowEngine::AgeCursor cursor;
    for (bool done = false; !done && !enough();) {
      const ChangeGuard changes(domain);
      done = engine->collect_aged(now, &cursor, kRowsTogether, [&](FlowRule* rule) {
        if (enough() || port_of(rule) != device.port_id) return false;
        if (queue != kAnyQueue && queue_of(rule) != queue) return false;
        return visit(engine->age_context(rule));
      });
    }
  }
  const ChangeGuard changes(domain);
  for (uint32_t row = 1; row <= device.flows.handles.high() && !enough(); ++row) {
    IndirectAction* handle = device.flows.handle(row);
    if (handle->kind != IndirectAction::Kind::kAge || __atomic_load_n(&handle->aged, __ATOMIC_RELAXED) != 0)
      continue;
    if (queue != kAnyQueue && handle->queue_id != queue) continue;
    if (!FlowEngine::has_aged(now, __atomic_load_n(&handle->last_hit_seconds, __ATOMIC_RELAXED),
                              handle->timeout_seconds)) {
      continue;
    }
    if (visit(handle->context)) __atomic_store_n(&handle->aged, 1, __ATOMIC_RELAXED);
  }
}

int collect(rte_eth_dev* dev, int queue, void** contexts, uint32_t room, rte_flow_error* error) {
  if (room != 0 && contexts == nullptr)
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "no room for contexts");
  Device& device = Device::of(dev);
  uint32_t found = 0;
  device.flows.aged_event_raised.store(false);  // before the scan: what ages during it is announced again
  if (room == 0) {                              // their number; they stay unreported
    each_aged(
        device, queue, [&](void*) { return ++found, false; }, [] { return false; });
  } else {
    each_aged(
        device, queue, [&](void* context) { return contexts[found++] = context, true; },
        [&] { return found == room; });
  }
  return static_cast<int>(found);
}

int get_aged_flows(rte_eth_dev* dev, void** contexts, uint32_t room, rte_flow_error* error) {
  return collect(dev, kAnyQueue, contexts, room, error);
}

// rte_flow_get_q_aged_flows: the queue counts only where RTE_FLOW_PORT_FLAG_STRICT_QUEUE was configured.
int get_q_aged_flows(rte_eth_dev* dev, uint32_t queue, void** contexts, uint32_t room,
                     rte_flow_error* error) {
  const FlowState& flows = Device::of(dev).flows;
  if ((flows.attr.flags & RTE_FLOW_PORT_FLAG_STRICT_QUEUE) == 0)
    return collect(dev, kAnyQueue, contexts, room, error);
  if (queue >= flows.queues.size())
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the port has no such flow queue");
  return collect(dev, static_cast<int>(queue), contexts, room, error);
}

// On EAL's interrupt thread, once a second.
void watch(void* argument) {
  auto& device = *static_cast<Device*>(argument);
  FlowState& flows = device.flows;
  // Who listens to no event pays nothing; with strict queues there is none (rte_flow_get_q_aged_flows).
  if (flows.ages != 0 && !flows.aged_event_raised.load() && !TAILQ_EMPTY(&device.eth_dev->link_intr_cbs) &&
      (flows.attr.flags & RTE_FLOW_PORT_FLAG_STRICT_QUEUE) == 0) {
    bool any = false;
    each_aged(
        device, kAnyQueue, [&](void*) { return any = true, false; }, [&] { return any; });
    if (any) {
      flows.aged_event_raised.store(true);
      rte_eth_dev_callback_process(device.eth_dev, RTE_ETH_EVENT_FLOW_AGED, nullptr);
    }
  }
  if (device.running.load(std::memory_order_acquire)) rte_eal_alarm_set(kWatchPeriodUs, watch, argument);
}

}  // namespace

void start_aging_watch(Device& device) { rte_eal_alarm_set(kWatchPeriodUs, watch, &device); }
void stop_aging_watch(Device& device) { rte_eal_alarm_cancel(watch, &device); }

void add_aging_operations(rte_flow_ops* ops) {
  ops->get_aged_flows = get_aged_flows;
  ops->get_q_aged_flows = get_q_aged_flows;
}

}  // namespace sluice::softflow
