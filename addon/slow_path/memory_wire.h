// In-memory wires: ethdev ports over two rings, for replays and benches. EAL and its ports belong to the
// process, and so do these.
#pragma once

#include <rte_ring.h>

#include <string>
#include <vector>

namespace sluice {

struct MemoryWire {
  std::string device;  // ethdev name, "net_ring_NAME"
  rte_ring* to_gateway = nullptr;
  rte_ring* from_gateway = nullptr;
};

// Creates one wire a name. Throws NativeFault PORT or MEMORY.
std::vector<std::string> create_memory_wires(const std::vector<std::string>& names);

// The wire of that ethdev, null when it is not one.
const MemoryWire* find_memory_wire(const std::string& device);

// Remembers which wire a device was probed on ("net_softflow0,wire=net_ring_fabric"), so that it is found by
// the device's name too.
void note_wire_of(const std::string& devargs);

}  // namespace sluice
