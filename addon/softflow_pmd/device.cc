// The ethdev operations of a softflow port, except rules and statistics.
#include "softflow_pmd/device.h"

#include <rte_errno.h>

#include <algorithm>
#include <cstdio>

#include "softflow_pmd/flow_rules.h"
#include "softflow_pmd/wire.h"

namespace sluice::softflow {
namespace {

int configure(rte_eth_dev*) { return 0; }

int start(rte_eth_dev* dev) {
  Device& device = Device::of(dev);
  if (const int code = start_wire(device)) {
    SOFTFLOW_LOG(ERR, "%s: its wire did not start: %s\n", device.data->name, rte_strerror(-code));
    stop_wire(device);
    return code;
  }
  for (uint16_t i = 0; i < dev->data->nb_rx_queues; ++i) device.rx[i].polls_wire = i < device.wire_rx_queues;
  for (uint16_t i = 0; i < dev->data->nb_tx_queues; ++i) device.tx[i].wire_queue = i;
  device.running.store(true, std::memory_order_release);
  start_aging_watch(device);
  dev->data->dev_link.link_status = RTE_ETH_LINK_UP;
  return 0;
}

// Rules stay (RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP); while the port is stopped nothing is forwarded to its wire.
int stop(rte_eth_dev* dev) {
  Device& device = Device::of(dev);
  device.running.store(false, std::memory_order_release);
  stop_aging_watch(device);
  {
    // Whoever forwards to this port does so under the read lock.
    const WriteGuard wait_for_readers(Domain::get());
  }
  stop_wire(device);
  dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
  dev->data->dev_started = 0;
  return 0;
}

void release_rx_queue(rte_eth_dev* dev, uint16_t id) {
  RxQueue& queue = Device::of(dev).rx[id];
  if (queue.ring == nullptr) return;
  void* mbuf = nullptr;
  while (rte_ring_sc_dequeue(queue.ring, &mbuf) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
  rte_ring_free(queue.ring);
  queue.ring = nullptr;
}

// The port is stopped. It is configured anew afterwards, queues and all.
int reset(rte_eth_dev* dev) {
  Device& device = Device::of(dev);
  remove_rules_of(device);
  device.wants_reset.store(false, std::memory_order_release);
  return 0;
}

int close(rte_eth_dev* dev) {
  if (rte_eal_process_type() != RTE_PROC_PRIMARY) return 0;
  Device& device = Device::of(dev);
  if (device.running.load()) stop(dev);
  remove_rules_of(device);
  Domain::get().remove(&device);
  for (uint16_t i = 0; i < kMaxRxQueues; ++i) release_rx_queue(dev, i);
  detach_wire(device);
  // Both are part of this object; ethdev would free them.
  dev->data->mac_addrs = nullptr;
  dev->data->dev_private = nullptr;
  delete &device;
  return 0;
}

int rx_queue_setup(rte_eth_dev* dev, uint16_t id, uint16_t, unsigned socket, const rte_eth_rxconf*,
                   rte_mempool* pool) {
  Device& device = Device::of(dev);
  release_rx_queue(dev, id);
  RxQueue& queue = device.rx[id];
  queue.device = &device;
  queue.id = id;
  queue.pool = pool;
  char name[RTE_RING_NAMESIZE];
  std::snprintf(name, sizeof name, "softflow%u_%u", device.port_id, id);
  queue.ring = rte_ring_create(name, kReceiveRingSlots, static_cast<int>(socket), RING_F_SC_DEQ);
  if (queue.ring == nullptr) return -rte_errno;
  dev->data->rx_queues[id] = &queue;
  return 0;
}

int tx_queue_setup(rte_eth_dev* dev, uint16_t id, uint16_t, unsigned, const rte_eth_txconf*) {
  Device& device = Device::of(dev);
  device.tx[id].device = &device;
  dev->data->tx_queues[id] = &device.tx[id];
  return 0;
}

int infos_get(rte_eth_dev* dev, rte_eth_dev_info* info) {
  Device& device = Device::of(dev);
  info->max_mac_addrs = 1;
  info->max_rx_queues = kMaxRxQueues;
  info->max_tx_queues = kMaxTxQueues;
  info->min_rx_bufsize = 0;
  info->min_mtu = RTE_ETHER_MIN_MTU;
  info->max_mtu = kMaxMtu;
  info->max_rx_pktlen = kMaxMtu + kFrameOverhead;
  // Declared so that programs which insist on it start (dpdk-test-flow-perf); the wire spreads packets over
  // queues.
  info->flow_type_rss_offloads = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
  info->dev_capa = RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP | RTE_ETH_DEV_CAPA_FLOW_SHARED_OBJECT_KEEP;
  info->default_rxportconf = {32, 512, 1};
  info->default_txportconf = {32, 512, 1};
  info->switch_info.name = device.data->name;
  info->switch_info.domain_id = Domain::get().switch_id();
  info->switch_info.port_id = device.port_id;
  return 0;
}

int link_update(rte_eth_dev* dev, int) {
  Device& device = Device::of(dev);
  rte_eth_link link = {};
  if (device.running.load() && rte_eth_link_get_nowait(device.wire, &link) != 0)
    link.link_status = RTE_ETH_LINK_UP;
  if (!device.running.load()) link.link_status = RTE_ETH_LINK_DOWN;
  return rte_eth_linkstatus_set(dev, &link);
}

// The wire does what it can; a virtual one receives everything anyway.
int on_wire(rte_eth_dev* dev, int (*operation)(uint16_t)) {
  const int code = operation(Device::of(dev).wire);
  return code == -ENOTSUP ? 0 : code;
}
int promiscuous_enable(rte_eth_dev* dev) { return on_wire(dev, rte_eth_promiscuous_enable); }
int promiscuous_disable(rte_eth_dev* dev) { return on_wire(dev, rte_eth_promiscuous_disable); }
int allmulticast_enable(rte_eth_dev* dev) { return on_wire(dev, rte_eth_allmulticast_enable); }
int allmulticast_disable(rte_eth_dev* dev) { return on_wire(dev, rte_eth_allmulticast_disable); }

// The port's MTU decides what its rules see; what the wire can carry is the wire's own limit.
int mtu_set(rte_eth_dev* dev, uint16_t mtu) {
  set_wire_mtu(Device::of(dev), mtu);
  return 0;
}

int mac_addr_set(rte_eth_dev* dev, rte_ether_addr* mac) {
  Device& device = Device::of(dev);
  device.mac = *mac;
  const int code = rte_eth_dev_default_mac_addr_set(device.wire, mac);
  return code == -ENOTSUP ? 0 : code;
}

const uint32_t* supported_ptypes(rte_eth_dev*) {
  static const uint32_t kNone[] = {RTE_PTYPE_UNKNOWN};
  return kNone;
}

constexpr eth_dev_ops make_operations() {
  eth_dev_ops ops = {};
  ops.dev_configure = configure;
  ops.dev_start = start;
  ops.dev_stop = stop;
  ops.dev_close = close;
  ops.dev_reset = reset;
  ops.link_update = link_update;
  ops.promiscuous_enable = promiscuous_enable;
  ops.promiscuous_disable = promiscuous_disable;
  ops.allmulticast_enable = allmulticast_enable;
  ops.allmulticast_disable = allmulticast_disable;
  ops.mac_addr_set = mac_addr_set;
  ops.mtu_set = mtu_set;
  ops.stats_get = statistics_get;
  ops.stats_reset = statistics_reset;
  ops.xstats_get = extended_statistics_get;
  ops.xstats_reset = statistics_reset;
  ops.xstats_get_names = extended_statistics_names;
  ops.dev_infos_get = infos_get;
  ops.dev_supported_ptypes_get = supported_ptypes;
  ops.rx_queue_setup = rx_queue_setup;
  ops.rx_queue_release = release_rx_queue;
  ops.tx_queue_setup = tx_queue_setup;
  ops.flow_ops_get = flow_ops_get;
  return ops;
}

}  // namespace

const eth_dev_ops kDeviceOps = make_operations();

}  // namespace sluice::softflow
