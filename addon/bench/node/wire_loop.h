// The loop of a gateway without the gateway: what is received on one wire is sent on another.
#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::bench {

// Configures the ethdevs with one queue pair each and, when asked, starts them. Throws NativeFault PORT.
class BenchPorts {
 public:
  BenchPorts(const std::vector<std::string>& devices, bool start);
  ~BenchPorts();
  BenchPorts(const BenchPorts&) = delete;
  BenchPorts& operator=(const BenchPorts&) = delete;
  const std::vector<uint16_t>& ids() const { return ids_; }

 private:
  std::vector<uint16_t> ids_;
  rte_mempool* pool_ = nullptr;
};

struct LoopResult {
  uint64_t packets = 0;
  double seconds = 0;
};

// Moves packets both ways for so long: of two ports between them, of four between the first and the third and between
// the second and the fourth. Each packet touches `lines` cache lines at random places of memory of
// `footprint_bytes`, all of a burst at once: the least that any table of that size costs.
LoopResult run_wire_loop(const BenchPorts& ports, double seconds, uint32_t burst, uint32_t lines, uint64_t footprint_bytes);

}  // namespace sluice::bench
