// A softflow port: an ethdev that executes rte_flow rules on what arrives on its wire, another ethdev.
#pragma once

#include <ethdev_driver.h>
#include <rte_flow_driver.h>
#include <rte_log.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "flow_engine/flow_engine.h"
#include "softflow_pmd/devargs.h"
#include "softflow_pmd/flow_state.h"

namespace sluice::softflow {

inline constexpr uint16_t kMaxRxQueues = 16;
inline constexpr uint16_t kMaxTxQueues = 128;  // of the application
inline constexpr uint16_t kMaxWireQueues = 128;
inline constexpr uint16_t kMaxMtu = 9600;
inline constexpr uint16_t kFrameOverhead = RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
inline constexpr uint32_t kReceiveRingSlots = 1024;

enum class NicDrop : uint8_t {
  kRule,          // DROP
  kNoHeadroom,    // encapsulation
  kTooLong,       // encapsulation
  kNoInnerFrame,  // decapsulation
  kNoPort,        // the port that a rule sends to is gone or stopped
  kWireFull,      // the wire did not take what a rule sent
  kRingFull,      // another queue's or port's receive ring
};
inline constexpr size_t kNicDrops = 7;

// One writer, the lcore that polls the queue.
struct alignas(64) RxCounters {
  uint64_t wire_packets = 0, wire_bytes = 0;
  uint64_t packets = 0, bytes = 0;  // to the application
  uint64_t missed = 0;              // of these, by no rule's decision
  uint64_t bypassed = 0;            // of these, past all rules: longer than the MTU, or not one segment
  uint64_t forwarded_packets = 0, forwarded_bytes = 0;  // finished by the NIC alone
  uint64_t dropped[kNicDrops] = {};
  GroupCounters transfer,
      ingress;  // look-ups; of ingress rules, those of any port that this queue delivered to
};

struct Device;

struct RxQueue {
  Device* device = nullptr;
  uint16_t id = 0;
  bool polls_wire = false;  // the wire may have fewer queues
  rte_mempool* pool = nullptr;
  rte_ring* ring = nullptr;  // from other queues and other ports
  RxCounters counters;
  BurstMemory transfer_memory, ingress_memory;
};

struct alignas(64) TxQueue {
  Device* device = nullptr;
  uint16_t wire_queue = 0;
  uint64_t packets = 0, bytes = 0, refused = 0;
};

// A transmit queue of the wire. Softflow ports forward to each other's wires from whatever lcore received the
// packet, beside the application's own sending: every burst takes the queue's lock. Queues are given out by
// receive queue and by application queue, so with as many wire queues as lcores the locks are never
// contended.
struct alignas(64) WireQueue {
  rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
};

struct Device {
  explicit Device(const DeviceArguments& device_arguments) : arguments(device_arguments) {}

  DeviceArguments arguments;
  rte_eth_dev* eth_dev = nullptr;
  rte_eth_dev_data* data = nullptr;
  uint16_t port_id = 0;
  rte_ether_addr mac = {};

  uint16_t wire = RTE_MAX_ETHPORTS;
  bool wire_probed = false;   // by this device, which then closes it
  bool wire_started = false;  // by this device, which then stops it
  uint64_t wire_owner = 0;
  uint16_t wire_tx_queues = 0;
  uint16_t wire_rx_queues = 0;
  std::atomic<bool> running{false};
  std::atomic<bool> wants_reset{false};  // nothing comes or goes before rte_eth_dev_reset
  WireQueue wire_queue[kMaxWireQueues];

  std::unique_ptr<FlowEngine> ingress;  // rules of this port; transfer rules are the domain's
  uint32_t rules = 0;                   // created through this port, of both kinds
  FlowState flows;

  RxQueue rx[kMaxRxQueues];
  TxQueue tx[kMaxTxQueues];
  // Sent on this port's wire by rules of any port.
  std::atomic<uint64_t> nic_sent_packets{0}, nic_sent_bytes{0};

  static Device& of(rte_eth_dev* dev) { return *static_cast<Device*>(dev->data->dev_private); }
};

// datapath.cc
uint16_t receive_burst(void* queue, rte_mbuf** packets, uint16_t count);
uint16_t transmit_burst(void* queue, rte_mbuf** packets, uint16_t count);
// Sends on the wire, from any lcore. Returns how many it took.
uint16_t send_on_wire(Device& device, uint16_t queue_hint, rte_mbuf** packets, uint16_t count);

// device.cc, flow_ops.cc, statistics.cc
extern const eth_dev_ops kDeviceOps;
extern const rte_flow_ops kFlowOps;
int statistics_get(rte_eth_dev* dev, rte_eth_stats* stats);
int statistics_reset(rte_eth_dev* dev);
int extended_statistics_get(rte_eth_dev* dev, rte_eth_xstat* stats, unsigned count);
int extended_statistics_names(rte_eth_dev* dev, rte_eth_xstat_name* names, unsigned count);
int flow_ops_get(rte_eth_dev* dev, const rte_flow_ops** ops);
void remove_rules_of(Device& device);  // and all else that was made through its flow API

extern int softflow_logtype;
#define SOFTFLOW_LOG(level, ...) \
  rte_log(RTE_LOG_##level, ::sluice::softflow::softflow_logtype, "softflow: " __VA_ARGS__)

}  // namespace sluice::softflow
