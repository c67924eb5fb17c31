// The virtual device driver "net_softflow": making and removing its ports.
#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>

#include <new>

#include "softflow_pmd/device.h"
#include "softflow_pmd/domain.h"
#include "softflow_pmd/wire.h"

namespace sluice::softflow {
namespace {

int probe(rte_vdev_device* vdev) {
  const char* name = rte_vdev_device_name(vdev);
  if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
    SOFTFLOW_LOG(ERR, "%s: secondary processes are not supported\n", name);
    return -ENOTSUP;
  }
  DeviceArguments arguments;
  const char* text = rte_vdev_device_args(vdev);
  if (const std::string wrong = parse_device_arguments(text == nullptr ? "" : text, &arguments);
      !wrong.empty()) {
    SOFTFLOW_LOG(ERR, "%s: %s\n", name, wrong.c_str());
    return -EINVAL;
  }
  // The own port first, then the wire: so the port that applications use has the lower id.
  rte_eth_dev* dev = rte_eth_vdev_allocate(vdev, 0);
  if (dev == nullptr) return -ENOMEM;
  auto* device = new (std::nothrow) Device(arguments);
  if (device == nullptr) {
    rte_eth_dev_release_port(dev);
    return -ENOMEM;
  }
  device->eth_dev = dev;
  device->data = dev->data;
  device->port_id = dev->data->port_id;
  dev->data->dev_private = device;
  const auto give_up = [&](int code) {
    dev->data->mac_addrs = nullptr;
    dev->data->dev_private = nullptr;
    detach_wire(*device);
    delete device;
    rte_eth_dev_release_port(dev);
    return code;
  };
  if (const int code = attach_wire(*device)) return give_up(code);
  if (rte_eth_macaddr_get(device->wire, &device->mac) != 0 || rte_is_zero_ether_addr(&device->mac)) {
    rte_eth_random_addr(device->mac.addr_bytes);
  }
  dev->data->mac_addrs = &device->mac;
  dev->data->dev_link = {RTE_ETH_SPEED_NUM_10G, RTE_ETH_LINK_FULL_DUPLEX, RTE_ETH_LINK_FIXED,
                         RTE_ETH_LINK_DOWN};
  // rte_flow calls take the domain's lock themselves.
  dev->data->dev_flags |= RTE_ETH_DEV_FLOW_OPS_THREAD_SAFE | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
  dev->dev_ops = &kDeviceOps;
  dev->rx_pkt_burst = receive_burst;
  dev->tx_pkt_burst = transmit_burst;
  if (!Domain::get().add(device)) {
    SOFTFLOW_LOG(ERR, "%s: vxlan_port: differs from that of the softflow devices there are\n", name);
    return give_up(-EINVAL);
  }
  rte_eth_dev_probing_finish(dev);
  return 0;
}

int remove(rte_vdev_device* vdev) {
  rte_eth_dev* dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
  if (dev == nullptr) return 0;  // closed already
  kDeviceOps.dev_close(dev);
  return rte_eth_dev_release_port(dev);
}

rte_vdev_driver driver = {};

}  // namespace
}  // namespace sluice::softflow

namespace sluice::softflow {
int softflow_logtype;

namespace {
RTE_INIT(register_softflow) {
  softflow_logtype = rte_log_register_type_and_pick_level("pmd.net.softflow", RTE_LOG_NOTICE);
  driver.probe = probe;
  driver.remove = remove;
  driver.driver.name = "net_softflow";
  rte_vdev_register(&driver);
}
}  // namespace
}  // namespace sluice::softflow

RTE_PMD_EXPORT_NAME(net_softflow, __COUNTER__);
RTE_PMD_REGISTER_PARAM_STRING(
    net_softflow,
    "wire=<device>[:<key>=<value>]... vxlan_port=<port> ordered=<0|1> max_rules=<n> "
    "fail_every=<n> insert_latency=<us> profile=<nic>");
