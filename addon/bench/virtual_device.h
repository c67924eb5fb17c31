// What the drivers of the benches have in common: an ethdev that is always up, of one queue pair unless it says more.
#pragma once

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>

namespace sluice::bench {

struct VirtualDevice {
  virtual ~VirtualDevice() = default;
  virtual void started() {}
  virtual uint16_t queues() const { return 1; }
  // What bursts of a queue are given.
  virtual void* queue(uint16_t) { return this; }

  rte_mempool* pool = nullptr;
  rte_ether_addr mac = {};
};

// Every operation a program needs to start the device and read its empty statistics.
eth_dev_ops device_operations();
// Takes over the device. 0 or -errno.
int add_device(rte_vdev_device* vdev, VirtualDevice* device, const eth_dev_ops* operations, eth_rx_burst_t receive,
               eth_tx_burst_t transmit);
int remove_device(rte_vdev_device* vdev);

}  // namespace sluice::bench
