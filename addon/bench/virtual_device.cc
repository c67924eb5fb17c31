#include "bench/virtual_device.h"

#include <ethdev_vdev.h>

namespace sluice::bench {
namespace {

constexpr uint16_t kMaxMtu = 9600;

VirtualDevice& of(rte_eth_dev* dev) { return *static_cast<VirtualDevice*>(dev->data->dev_private); }

int succeed(rte_eth_dev*) { return 0; }

int start(rte_eth_dev* dev) {
  of(dev).started();
  dev->data->dev_link.link_status = RTE_ETH_LINK_UP;
  return 0;
}

int stop(rte_eth_dev* dev) {
  dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
  dev->data->dev_started = 0;
  return 0;
}

int close(rte_eth_dev* dev) {
  if (dev->data->dev_private == nullptr) return 0;
  delete &of(dev);
  // The address is part of the device; ethdev would free both.
  dev->data->mac_addrs = nullptr;
  dev->data->dev_private = nullptr;
  return 0;
}

int infos_get(rte_eth_dev* dev, rte_eth_dev_info* info) {
  info->max_mac_addrs = 1;
  info->max_rx_queues = info->max_tx_queues = of(dev).queues();
  info->min_mtu = RTE_ETHER_MIN_MTU;
  info->max_mtu = kMaxMtu;
  info->max_rx_pktlen = kMaxMtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
  // Declared for programs that insist on it (dpdk-test-flow-perf); a wire of several queues spreads what it makes.
  info->flow_type_rss_offloads = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
  info->default_rxportconf = {32, 512, 1};
  info->default_txportconf = {32, 512, 1};
  return 0;
}

int rx_queue_setup(rte_eth_dev* dev, uint16_t id, uint16_t, unsigned, const rte_eth_rxconf*, rte_mempool* pool) {
  of(dev).pool = pool;
  dev->data->rx_queues[id] = of(dev).queue(id);
  return 0;
}

int tx_queue_setup(rte_eth_dev* dev, uint16_t id, uint16_t, unsigned, const rte_eth_txconf*) {
  dev->data->tx_queues[id] = of(dev).queue(id);
  return 0;
}

int link_update(rte_eth_dev*, int) { return 0; }
int mtu_set(rte_eth_dev*, uint16_t) { return 0; }
int mac_addr_set(rte_eth_dev* dev, rte_ether_addr* mac) {
  of(dev).mac = *mac;
  return 0;
}
int stats_get(rte_eth_dev*, rte_eth_stats*) { return 0; }

}  // namespace

eth_dev_ops device_operations() {
  eth_dev_ops ops = {};
  ops.dev_configure = succeed;
  ops.dev_start = start;
  ops.dev_stop = stop;
  ops.dev_close = close;
  ops.dev_infos_get = infos_get;
  ops.link_update = link_update;
  ops.promiscuous_enable = succeed;
  ops.promiscuous_disable = succeed;
  ops.allmulticast_enable = succeed;
  ops.allmulticast_disable = succeed;
  ops.mac_addr_set = mac_addr_set;
  ops.mtu_set = mtu_set;
  ops.stats_get = stats_get;
  ops.stats_reset = succeed;
  ops.rx_queue_setup = rx_queue_setup;
  ops.tx_queue_setup = tx_queue_setup;
  return ops;
}

int add_device(rte_vdev_device* vdev, VirtualDevice* device, const eth_dev_ops* operations, eth_rx_burst_t receive,
               eth_tx_burst_t transmit) {
  rte_eth_dev* dev = rte_eth_vdev_allocate(vdev, 0);
  if (dev == nullptr) {
    delete device;
    return -ENOMEM;
  }
  dev->data->dev_private = device;
  dev->data->mac_addrs = &device->mac;
  dev->data->dev_link = {RTE_ETH_SPEED_NUM_100G, RTE_ETH_LINK_FULL_DUPLEX, RTE_ETH_LINK_FIXED, RTE_ETH_LINK_DOWN};
  dev->dev_ops = operations;
  dev->rx_pkt_burst = receive;
  dev->tx_pkt_burst = transmit;
  rte_eth_dev_probing_finish(dev);
  return 0;
}

int remove_device(rte_vdev_device* vdev) {
  rte_eth_dev* dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
  if (dev == nullptr) return 0;  // closed already
  close(dev);
  return rte_eth_dev_release_port(dev);
}

}  // namespace sluice::bench
