// What a NIC does whose firmware has failed and come back by itself, or that has to be reset, for whoever
// tests that applications notice.
#include <cerrno>

#include "softflow_pmd/flow_rules.h"
#include "softflow_pmd/rte_pmd_softflow.h"

namespace sluice::softflow {

// As after a restart: the port goes on, and its rules are gone (no RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP).
void lose_rules_and_tell(Device& device) {
  {
    for (const auto& queue : device.flows.queues) submit(device, *queue);
    const ChangeGuard changes(Domain::get());
    const WriteGuard guard(Domain::get());
    flush_locked(device);
  }
  // Without the locks: who is told may ask for rules at once.
  rte_eth_dev_callback_process(device.eth_dev, RTE_ETH_EVENT_RECOVERY_SUCCESS, nullptr);
}

}  // namespace sluice::softflow

extern "C" __attribute__((visibility("default"))) int rte_pmd_softflow_recover(uint16_t port_id) {
  sluice::softflow::Device* device = sluice::softflow::Domain::get().device(port_id);
  if (device == nullptr) return -ENODEV;
  sluice::softflow::lose_rules_and_tell(*device);
  return 0;
}

extern "C" __attribute__((visibility("default"))) int rte_pmd_softflow_want_reset(uint16_t port_id) {
  sluice::softflow::Device* device = sluice::softflow::Domain::get().device(port_id);
  if (device == nullptr) return -ENODEV;
  device->wants_reset.store(true, std::memory_order_release);
  rte_eth_dev_callback_process(device->eth_dev, RTE_ETH_EVENT_INTR_RESET, nullptr);
  return 0;
}
