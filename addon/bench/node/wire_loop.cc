#include "bench/node/wire_loop.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "flow_engine/memory.h"
#include "slow_path/native_fault.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kBuffers = 8191;
constexpr uint16_t kDescriptors = 512;
constexpr uint16_t kMaxBurst = 64;
constexpr uint32_t kLine = 64;

[[noreturn]] void refuse(const std::string& device, int code) {
  throw NativeFault("PORT", device + ": " + rte_strerror(-code), -code);
}

}  // namespace

BenchPorts::BenchPorts(const std::vector<std::string>& devices, bool start) {
  pool_ = rte_pktmbuf_pool_create("bench_frames", kBuffers, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (pool_ == nullptr) throw NativeFault("MEMORY", "no packet buffers", rte_errno);
  for (const std::string& device : devices) {
    uint16_t id = 0;
    int code = rte_eth_dev_get_port_by_name(device.c_str(), &id);
    if (code != 0) refuse(device, code);
    const rte_eth_conf conf = {};
    if ((code = rte_eth_dev_configure(id, 1, 1, &conf)) != 0) refuse(device, code);
    ids_.push_back(id);
    if ((code = rte_eth_rx_queue_setup(id, 0, kDescriptors, 0, nullptr, pool_)) != 0) refuse(device, code);
    if ((code = rte_eth_tx_queue_setup(id, 0, kDescriptors, 0, nullptr)) != 0) refuse(device, code);
    if (start && (code = rte_eth_dev_start(id)) != 0) refuse(device, code);
  }
}

BenchPorts::~BenchPorts() {
  for (const uint16_t id : ids_) {
    rte_eth_dev_stop(id);
    rte_eth_dev_close(id);
  }
  rte_mempool_free(pool_);
}

LoopResult run_wire_loop(const BenchPorts& ports, double seconds, uint32_t burst, uint32_t lines,
                         uint64_t footprint_bytes) {
  LoopResult result;
  const size_t mate = ports.ids().size() / 2;
  rte_mbuf* frames[kMaxBurst];
  const auto most = static_cast<uint16_t>(burst > kMaxBurst ? kMaxBurst : burst);
  auto* memory = static_cast<uint8_t*>(allocate_zeroed(footprint_bytes));
  if (memory == nullptr) throw NativeFault("MEMORY", "no memory to touch", ENOMEM);
  for (uint64_t at = 0; at < footprint_bytes; at += 4096) memory[at] = 1;
  const uint64_t all_lines = footprint_bytes / kLine;
  uint64_t random = 1;
  std::vector<uint64_t> places(static_cast<size_t>(most) * lines);
  uint64_t sum = 0;
  const uint64_t begin = rte_rdtsc();
  const auto ticks = static_cast<uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
  uint64_t now = begin;
  while (now - begin < ticks) {
    for (size_t port = 0; port < ports.ids().size(); port++) {
      const uint16_t count = rte_eth_rx_burst(ports.ids()[port], 0, frames, most);
      if (count == 0) continue;
      const uint32_t touches = count * lines;
      for (uint32_t i = 0; i < touches; i++) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        places[i] = static_cast<uint64_t>(static_cast<unsigned __int128>(random) * all_lines >> 64) * kLine;
        rte_prefetch0(memory + places[i]);
      }
      for (uint32_t i = 0; i < touches; i++) sum += ++memory[places[i]];
      const uint16_t sent = rte_eth_tx_burst(ports.ids()[port ^ mate], 0, frames, count);
      if (sent < count) rte_pktmbuf_free_bulk(frames + sent, static_cast<unsigned>(count - sent));
      result.packets += sent;
    }
    now = rte_rdtsc();
  }
  result.seconds = static_cast<double>(now - begin) / static_cast<double>(rte_get_tsc_hz());
  asm volatile("" : : "r"(sum));
  release_zeroed(memory, footprint_bytes);
  return result;
}

}  // namespace sluice::bench
