// A port of the gateway and the frames on their way out of it.
#pragma once

#include <rte_mbuf.h>
#include <rte_spinlock.h>

#include <string>

#include "generated/records.h"

namespace sluice {

struct PortOptions {
  PortRole role = PortRole::kFabric;
  std::string device;  // ethdev name
  uint8_t mac[6] = {};
  uint32_t address = 0;  // own IPv4 address; fabric: the VTEP
  uint32_t mtu = 1500;
  int vlan = -1;  // −1 = untagged
};

class SharedTables;

struct GatewayPort {
  static constexpr uint16_t kTransmitBurst = 32;
  static constexpr uint16_t kNoQueue = UINT16_MAX;

  PortOptions options;
  uint16_t port_id = 0;
  uint32_t queued_rules = 0;                         // that its flow queues may install; 0: it has none
  uint16_t receive_queues = 1, transmit_queues = 1;  // that it has
  uint16_t receive_queue = 0;  // kNoQueue: other shards receive for this one
  uint16_t transmit_queue = 0;
  rte_spinlock_t* transmit_lock = nullptr;  // of a queue that several shards have; null: it is this one's
  uint16_t flow_queue = 0;
  SharedTables* shared_tables = nullptr;  // of the flow queues of several shards
  bool down = false;          // being reset: nothing comes, nothing goes
  uint64_t received_bytes = 0;
  uint64_t received = 0;     // by the application
  uint64_t transmitted = 0;  // by the application
  rte_mbuf* waiting[kTransmitBurst] = {};
  uint16_t waiting_count = 0;

  bool is_fabric() const { return options.role == PortRole::kFabric; }
};

}  // namespace sluice
