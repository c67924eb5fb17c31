// What ports tell of themselves, in whatever thread of DPDK's or a driver's, until somebody asks.
#pragma once

#include <rte_ethdev.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace sluice {

// A NIC that failed and has recovered by itself goes on as after a restart: its rules are gone, unless the
// driver says that they stay then (rte_ethdev.h, RTE_ETH_EVENT_RECOVERY_SUCCESS). One that cannot, such as a
// virtual function whose physical one was reset, asks for rte_eth_dev_reset() (RTE_ETH_EVENT_INTR_RESET) and
// does nothing until then. Neither copied nor moved: callbacks point to it.
class PortEvents {
 public:
  PortEvents() = default;
  ~PortEvents() { forget(); }
  PortEvents(const PortEvents&) = delete;
  PortEvents& operator=(const PortEvents&) = delete;

  // `index`: by which take() tells of the port, less than 64.
  void watch(uint16_t port_id, uint32_t index);
  void forget();
  // Bits of the ports that have recovered since the last time.
  uint64_t take() { return recovered_.exchange(0, std::memory_order_acq_rel); }
  // Of those that have asked to be reset since the last time.
  uint64_t take_resets() { return resets_.exchange(0, std::memory_order_acq_rel); }

  // Of a port's driver: rules outlive a restart.
  bool keeps_rules(uint32_t index) const { return index < keeps_.size() && keeps_[index]; }

 private:
  static int on_event(uint16_t port_id, rte_eth_event_type type, void* self, void* details);

  std::vector<uint16_t> ports_;  // by index
  std::vector<bool> keeps_;      // by index
  std::atomic<uint64_t> recovered_ = 0;
  std::atomic<uint64_t> resets_ = 0;
};

}  // namespace sluice
