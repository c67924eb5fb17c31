// What both ends of the made-up traffic agree on: which flows there are, and where each one was translated to.
//
// Flow i is UDP, from host i % hosts of one VPC, source port first_source_port + i / hosts, to one of `remotes` addresses
// outside. Its frames arrive at the gateway in VXLAN; replies arrive plain, at the endpoint the gateway chose.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "bench/latency.h"
#include "bench/zipf.h"

#define SLUICE_BENCH_API __attribute__((visibility("default")))

namespace sluice::bench {

enum class Side : uint8_t { kFabric = 0, kExternal = 1 };
inline constexpr Side other(Side side) { return side == Side::kFabric ? Side::kExternal : Side::kFabric; }

struct Scenario {
  uint32_t flows = 0;
  uint32_t hosts = 1;
  uint32_t private_base = 0;       // IPv4, host order
  uint16_t first_source_port = 1024;
  uint32_t remote_base = 0;
  uint32_t remotes = 1;
  uint16_t remote_port = 53;
  uint32_t pool_first = 0, pool_last = 0;  // external addresses the gateway may choose
  uint32_t vni = 0;
  uint16_t vxlan_port = 4789;
  uint32_t gateway_vtep = 0, host_vtep = 0;
  uint8_t gateway_mac[6] = {}, host_vtep_mac[6] = {}, host_mac[6] = {};  // underlay; host_mac: inner
  uint8_t external_mac[6] = {}, next_hop_mac[6] = {};
  uint32_t check_every = 1;        // frames whose checksums are computed whole
  // Frames come back as they were made: for the loop without a gateway.
  bool untranslated = false;

  uint32_t host_address(uint32_t flow) const { return private_base + flow % hosts; }
  uint16_t source_port(uint32_t flow) const { return static_cast<uint16_t>(first_source_port + flow / hosts); }
  uint32_t remote_address(uint32_t flow) const {
    return remote_base + static_cast<uint32_t>((uint64_t{flow * 0x9e3779b1u} * remotes) >> 32);
  }
};

// Where the gateway translated a flow's source to. Port 0: not seen yet.
struct Endpoint {
  uint32_t address = 0;
  uint16_t port = 0;
  uint16_t unused = 0;
};

enum class Pattern : uint8_t {
  kNone,
  kNew,     // flows first .. first+count-1, one packet each, at most `window` on their way
  kRandom,  // flows first .. first+count-1 drawn at random, as fast as they are taken
  kZipf,    // the same, but with Zipf's rates
};

// What a wire sends.
struct Program {
  Pattern pattern = Pattern::kNone;
  uint32_t first = 0;
  uint32_t count = 0;
  uint32_t window = 0;             // kNew; 0 = not bounded; of several queues each has its part
  double per_second = 0;           // kNew; 0 = as fast as the window lets
  uint64_t seed = 1;
  bool measure_latency = false;    // at the other end
  std::shared_ptr<const Zipf> zipf;  // kZipf
};

// What became of one flow's packets, by the Side they came from or went to.
struct FlowLedger {
  uint32_t emitted[2];
  uint32_t accepted[2];
  uint32_t disordered[2];  // of the accepted: not younger than one before, which is also what a second copy is
  uint64_t youngest[2];
};

inline constexpr uint16_t kMostQueues = 16;  // of a wire

// Of a wire's queue: written by the lcore that polls it, read by anyone.
struct alignas(64) WireCounters {
  std::atomic<uint64_t> emitted{0};
  std::atomic<uint64_t> accepted{0};       // arrived here as they should
  std::atomic<uint64_t> bad{0};            // wrong header, wrong endpoint, not one of ours
  std::atomic<uint64_t> bad_checksum{0};
  std::atomic<uint64_t> no_buffer{0};
  std::atomic<uint64_t> first_emit_tsc{0}; // of the present program
  std::atomic<uint64_t> last_accept_tsc{0};
  std::atomic<uint64_t> most_late{0};      // kNew with a rate: most packets that were due and not yet taken
  std::atomic<uint64_t> empty_polls{0};    // bursts that were asked for and brought nothing
  alignas(64) std::atomic<uint64_t> came_from[kMostQueues] = {};  // of the accepted, by the queue that made them
};

inline void add(std::atomic<uint64_t>& counter, uint64_t value) {
  counter.store(counter.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

struct Traffic {
  Scenario scenario;
  Endpoint* endpoints = nullptr;   // by flow
  uint16_t queues = 1;             // of each wire
  WireCounters counters[2][kMostQueues];  // by Side
  // A new program, taken by each queue's lcore at its next burst.
  std::atomic<const Program*> next_program[2][kMostQueues] = {};
  std::atomic<bool> measure_latency{false};
  FlowLedger* ledger = nullptr;    // by flow; null: none is kept
  Latency from_receive;            // from the burst that received the packet to the one that sent it
  Latency from_wire;               // from the time at which the packet was due: waiting in the wire counts
};

SLUICE_BENCH_API Traffic& traffic();
// For a program that sets none: the traffic of the benches, which comes back as it was made.
Scenario usual_scenario(uint32_t flows);
// Before any port starts. Forgets all endpoints.
SLUICE_BENCH_API void set_scenario(const Scenario& scenario);
SLUICE_BENCH_API void run_program(Side side, const Program& program);
SLUICE_BENCH_API void reset_counters();
// Gives every flow an endpoint, as if a gateway had.
SLUICE_BENCH_API void pretend_endpoints();
// Before any port starts: keeps account of each flow's packets. Without rates and latencies.
SLUICE_BENCH_API void keep_ledger();
// While nothing is on its way: those flows may come out from other endpoints than before.
SLUICE_BENCH_API void forget_endpoints(uint32_t first, uint32_t count);
// Flows that have an endpoint, and endpoints that more than one flow has.
SLUICE_BENCH_API void count_endpoints(uint64_t* known, uint64_t* shared);

}  // namespace sluice::bench
