#include "softflow_pmd/wire.h"

#include <rte_dev.h>

#include <algorithm>
#include <cstring>

namespace sluice::softflow {
namespace {

// rte_eth_dev_owner_set: a driver that uses another port says so, and applications leave that port alone.
int own(Device& device) {
  rte_eth_dev_owner owner = {};
  if (const int code = rte_eth_dev_owner_new(&owner.id)) return code;
  std::snprintf(owner.name, sizeof owner.name, "%s", device.data->name);
  if (const int code = rte_eth_dev_owner_set(device.wire, &owner)) return code;
  device.wire_owner = owner.id;
  return 0;
}

int probe(const DeviceArguments& arguments) {
  const int code = rte_eal_hotplug_add("vdev", arguments.wire_name.c_str(), arguments.wire_arguments.c_str());
  if (code != -EEXIST) return code;
  // Left over from a softflow device that was removed; its ethdev was closed then.
  rte_eal_hotplug_remove("vdev", arguments.wire_name.c_str());
  return rte_eal_hotplug_add("vdev", arguments.wire_name.c_str(), arguments.wire_arguments.c_str());
}

// As ethdev checks it. A driver that states no largest MTU may still state a largest frame, and a smaller one
// than it carries (net_af_packet): such a wire keeps its own MTU.
bool accepts_mtu(const rte_eth_dev_info& info, uint16_t mtu) {
  if (mtu < info.min_mtu || mtu > info.max_mtu) return false;
  const bool states_overhead = info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu;
  const uint32_t overhead =
      states_overhead ? info.max_rx_pktlen - info.max_mtu : uint32_t{RTE_ETHER_HDR_LEN} + RTE_ETHER_CRC_LEN;
  return mtu + overhead <= info.max_rx_pktlen;
}

}  // namespace

int attach_wire(Device& device) {
  const DeviceArguments& arguments = device.arguments;
  uint16_t port = RTE_MAX_ETHPORTS;
  if (rte_eth_dev_get_port_by_name(arguments.wire_name.c_str(), &port) != 0) {
    if (const int code = probe(arguments)) {
      SOFTFLOW_LOG(ERR, "%s: wire %s could not be probed with \"%s\": %s\n", device.data->name,
                   arguments.wire_name.c_str(), arguments.wire_arguments.c_str(), rte_strerror(-code));
      return code;
    }
    if (rte_eth_dev_get_port_by_name(arguments.wire_name.c_str(), &port) != 0) {
      SOFTFLOW_LOG(ERR, "%s: wire %s is no Ethernet device\n", device.data->name,
                   arguments.wire_name.c_str());
      return -ENODEV;
    }
    device.wire_probed = true;
  } else if (!arguments.wire_arguments.empty()) {
    SOFTFLOW_LOG(ERR, "%s: wire %s exists already, so its arguments cannot be applied\n", device.data->name,
                 arguments.wire_name.c_str());
    return -EEXIST;
  }
  device.wire = port;
  if (port == device.port_id) {
    SOFTFLOW_LOG(ERR, "%s: cannot be its own wire\n", device.data->name);
    device.wire = RTE_MAX_ETHPORTS;
    return -EINVAL;
  }
  if (const int code = own(device)) {
    SOFTFLOW_LOG(ERR, "%s: wire %s is in use by another owner\n", device.data->name,
                 arguments.wire_name.c_str());
    detach_wire(device);
    return code;
  }
  return 0;
}

void detach_wire(Device& device) {
  const uint16_t wire = device.wire;
  device.wire = RTE_MAX_ETHPORTS;
  if (wire == RTE_MAX_ETHPORTS || !rte_eth_dev_is_valid_port(wire)) return;
  if (device.wire_owner != 0) rte_eth_dev_owner_unset(wire, device.wire_owner);
  // Its bus device stays: this may run while the bus is walking its devices to remove them all.
  if (device.wire_probed) rte_eth_dev_close(wire);
}

int start_wire(Device& device) {
  const uint16_t wire = device.wire;
  rte_eth_dev_data* data = rte_eth_devices[wire].data;
  const uint16_t wanted = device.data->nb_rx_queues;
  if (data->dev_started) {  // by its maker, who configured it as wanted
    device.wire_rx_queues = data->nb_rx_queues;
    device.wire_tx_queues = std::min<uint16_t>(data->nb_tx_queues, kMaxWireQueues);
    return 0;
  }
  rte_eth_dev_info info = {};
  if (const int code = rte_eth_dev_info_get(wire, &info)) return code;
  device.wire_rx_queues = std::min<uint16_t>(wanted, std::max<uint16_t>(info.max_rx_queues, 1));
  const uint16_t lcores = static_cast<uint16_t>(std::max<unsigned>(rte_lcore_count(), 1));
  device.wire_tx_queues = std::min<uint16_t>(std::min<uint16_t>(info.max_tx_queues, kMaxWireQueues), lcores);
  if (info.min_mtu != 0) device.wire_tx_queues = std::max<uint16_t>(device.wire_tx_queues, 1);
  // Virtual wires have exactly the queues their arguments name; net_pcap accepts no fewer.
  if (std::strcmp(info.driver_name, "net_pcap") == 0) {
    device.wire_rx_queues = info.max_rx_queues;
    device.wire_tx_queues = info.max_tx_queues;
    if (device.wire_rx_queues > wanted) {
      SOFTFLOW_LOG(ERR, "%s: the wire has %u receive queues, the port %u\n", device.data->name,
                   device.wire_rx_queues, wanted);
      return -EINVAL;
    }
  }
  rte_eth_conf conf = {};
  if (accepts_mtu(info, device.data->mtu)) conf.rxmode.mtu = device.data->mtu;
  int code = rte_eth_dev_configure(wire, device.wire_rx_queues, device.wire_tx_queues, &conf);
  if (code != 0) return code;
  rte_mempool* pool = nullptr;
  for (uint16_t i = 0; i < wanted && pool == nullptr; ++i) pool = device.rx[i].pool;
  uint16_t rx_descriptors = 512, tx_descriptors = 512;
  code = rte_eth_dev_adjust_nb_rx_tx_desc(wire, &rx_descriptors, &tx_descriptors);
  if (code != 0) return code;
  const int socket = rte_eth_dev_socket_id(wire);
  const unsigned node = socket < 0 ? 0 : static_cast<unsigned>(socket);
  for (uint16_t i = 0; i < device.wire_rx_queues; ++i) {
    rte_mempool* own = device.rx[i].pool == nullptr ? pool : device.rx[i].pool;
    if ((code = rte_eth_rx_queue_setup(wire, i, rx_descriptors, node, nullptr, own)) != 0) return code;
  }
  for (uint16_t i = 0; i < device.wire_tx_queues; ++i) {
    if ((code = rte_eth_tx_queue_setup(wire, i, tx_descriptors, node, nullptr)) != 0) return code;
  }
  if ((code = rte_eth_dev_start(wire)) != 0) return code;
  device.wire_started = true;
  return 0;
}

void set_wire_mtu(const Device& device, uint16_t mtu) {
  if (rte_eth_devices[device.wire].data->dev_configured == 0) return;  // start_wire does it
  rte_eth_dev_info info = {};
  if (rte_eth_dev_info_get(device.wire, &info) == 0 && accepts_mtu(info, mtu))
    rte_eth_dev_set_mtu(device.wire, mtu);
}

void stop_wire(Device& device) {
  if (!device.wire_started) return;
  device.wire_started = false;
  if (rte_eth_dev_is_valid_port(device.wire)) rte_eth_dev_stop(device.wire);
}

}  // namespace sluice::softflow
