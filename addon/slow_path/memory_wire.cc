#include "slow_path/memory_wire.h"

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include <map>

#include "slow_path/native_fault.h"

namespace sluice {
namespace {

constexpr uint32_t kRingFrames = 8192;

// Leaked on purpose: the ports outlive every destructor.
std::map<std::string, MemoryWire>& wires() {
  static auto* all = new std::map<std::string, MemoryWire>;
  return *all;
}

std::map<std::string, std::string>& wire_of_device() {
  static auto* all = new std::map<std::string, std::string>;
  return *all;
}

rte_ring* make_ring(const std::string& name) {
  rte_ring* ring = rte_ring_create(name.c_str(), kRingFrames, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr)
    throw NativeFault("MEMORY", "ring " + name + ": " + rte_strerror(rte_errno), rte_errno);
  return ring;
}

}  // namespace

std::vector<std::string> create_memory_wires(const std::vector<std::string>& names) {
  std::vector<std::string> devices;
  for (const std::string& name : names) {
    MemoryWire wire;
    wire.to_gateway = make_ring("sluice_in_" + name);
    wire.from_gateway = make_ring("sluice_out_" + name);
    const int port_id = rte_eth_from_rings(name.c_str(), &wire.to_gateway, 1, &wire.from_gateway, 1, 0);
    if (port_id < 0)
      throw NativeFault("PORT", "memory wire " + name + ": " + rte_strerror(rte_errno), rte_errno);
    char device[RTE_ETH_NAME_MAX_LEN] = {};
    rte_eth_dev_get_name_by_port(static_cast<uint16_t>(port_id), device);
    wire.device = device;
    devices.push_back(wire.device);
    wires()[wire.device] = wire;
  }
  return devices;
}

const MemoryWire* find_memory_wire(const std::string& device) {
  const auto alias = wire_of_device().find(device);
  const auto wire = wires().find(alias == wire_of_device().end() ? device : alias->second);
  return wire == wires().end() ? nullptr : &wire->second;
}

void note_wire_of(const std::string& devargs) {
  constexpr char kKey[] = ",wire=";
  const size_t at = devargs.find(kKey);
  if (at == std::string::npos) return;
  const size_t begin = at + sizeof kKey - 1;
  const std::string wire = devargs.substr(begin, devargs.find_first_of(",:", begin) - begin);
  wire_of_device()[devargs.substr(0, devargs.find(','))] = wire;
}

}  // namespace sluice
