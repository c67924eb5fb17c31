#include "slow_path/port_events.h"

namespace sluice {
namespace {

constexpr rte_eth_event_type kWatched[] = {RTE_ETH_EVENT_RECOVERY_SUCCESS, RTE_ETH_EVENT_INTR_RESET};

}  // namespace

void PortEvents::watch(uint16_t port_id, uint32_t index) {
  rte_eth_dev_info info = {};
  if (rte_eth_dev_info_get(port_id, &info) != 0) return;
  if (ports_.size() <= index) {
    ports_.resize(index + 1, RTE_MAX_ETHPORTS);
    keeps_.resize(index + 1);
  }
  ports_[index] = port_id;
  keeps_[index] = (info.dev_capa & RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP) != 0;
  for (const rte_eth_event_type type : kWatched) rte_eth_dev_callback_register(port_id, type, on_event, this);
}

void PortEvents::forget() {
  for (const uint16_t port_id : ports_) {
    if (port_id == RTE_MAX_ETHPORTS) continue;
    for (const rte_eth_event_type type : kWatched)
      rte_eth_dev_callback_unregister(port_id, type, on_event, this);
  }
  ports_.clear();
}

int PortEvents::on_event(uint16_t port_id, rte_eth_event_type type, void* self, void*) {
  auto* events = static_cast<PortEvents*>(self);
  auto& bits = type == RTE_ETH_EVENT_INTR_RESET ? events->resets_ : events->recovered_;
  for (size_t index = 0; index < events->ports_.size(); index++) {
    if (events->ports_[index] == port_id) bits.fetch_or(uint64_t{1} << index, std::memory_order_acq_rel);
  }
  return 0;
}

}  // namespace sluice
