#include "bench/node/machine_bounds.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_prefetch.h>

#include <atomic>
#include <cerrno>
#include <memory>

#include "flow_engine/memory.h"
#include "slow_path/native_fault.h"
#include "slow_path/rings.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kLine = 64;
constexpr uint32_t kAtOnce = 32;
constexpr uint32_t kBetweenLooks = 4096;  // touches between looks at the clock
constexpr uint32_t kSlots = 8192;         // as the gateway's event ring

uint64_t ticks_of(double seconds) { return static_cast<uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz())); }
double seconds_of(uint64_t ticks) { return static_cast<double>(ticks) / static_cast<double>(rte_get_tsc_hz()); }

uint64_t place(uint64_t random, uint64_t lines) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random) * lines >> 64) * kLine;
}

struct alignas(kLine) Flag {
  std::atomic<uint64_t> value{0};
};

struct Exchange {
  std::unique_ptr<EventRing> ring;
  std::atomic<bool> stop{false};
  Flag ping, pong;
};

int produce(void* argument) {
  auto& exchange = *static_cast<Exchange*>(argument);
  SessionEvent record = {};
  while (!exchange.stop.load(std::memory_order_relaxed)) {
    if (exchange.ring->push(record, EventPriority::kCompletion)) record.row++;
  }
  return 0;
}

int answer(void* argument) {
  auto& exchange = *static_cast<Exchange*>(argument);
  uint64_t seen = 0;
  while (!exchange.stop.load(std::memory_order_relaxed)) {
    const uint64_t ping = exchange.ping.value.load(std::memory_order_acquire);
    if (ping != seen) exchange.pong.value.store(seen = ping, std::memory_order_release);
  }
  return 0;
}

unsigned launch(lcore_function_t* work, Exchange* exchange) {
  const unsigned lcore = rte_get_next_lcore(rte_lcore_id(), 1, 0);
  if (lcore >= RTE_MAX_LCORE) throw NativeFault("STATE", "EAL has no worker lcore");
  const int result = rte_eal_remote_launch(work, exchange, lcore);
  if (result != 0) throw NativeFault("STATE", "the worker lcore is busy", -result);
  return lcore;
}

}  // namespace

double random_touches(uint64_t bytes, double seconds, bool chained) {
  auto* memory = static_cast<uint8_t*>(allocate_zeroed(bytes));
  if (memory == nullptr) throw NativeFault("MEMORY", "no memory to touch", ENOMEM);
  for (uint64_t at = 0; at < bytes; at += 4096) memory[at] = 1;
  const uint64_t lines = bytes / kLine;
  uint64_t random = 1, touched = 0, before = 0, sum = 0;
  uint64_t places[kAtOnce];
  const uint64_t begin = rte_rdtsc(), ticks = ticks_of(seconds);
  uint64_t now = begin;
  while (now - begin < ticks) {
    for (uint32_t i = 0; i < kBetweenLooks; i += kAtOnce) {
      for (uint64_t& at : places) {
        // Chained, the place depends on what was read before: nothing can be fetched ahead.
        random = random * 6364136223846793005ull + 1442695040888963407ull + before;
        at = place(random, lines);
        if (chained) {
          before = memory[at];
        } else {
          rte_prefetch0(memory + at);
        }
      }
      for (uint32_t at = 0; !chained && at < kAtOnce; at++) sum += ++memory[places[at]];
    }
    touched += kBetweenLooks;
    now = rte_rdtsc();
  }
  asm volatile("" : : "r"(sum + before));
  release_zeroed(memory, bytes);
  return static_cast<double>(touched) / seconds_of(now - begin);
}

HandOver ring_hand_over(double seconds) {
  HandOver result;
  Exchange exchange;
  const auto region = std::make_shared<MemoryRegion>(ring_bytes(kSlots, kEventSlotBytes));
  exchange.ring = std::make_unique<EventRing>(region, kSlots);
  auto* base = region->as<uint8_t>();
  std::atomic_ref produced(*reinterpret_cast<uint32_t*>(base));
  std::atomic_ref consumed_by_us(*reinterpret_cast<uint32_t*>(base + kRingHeaderBytes / 2));
  unsigned lcore = launch(produce, &exchange);
  uint32_t consumed = 0;
  uint64_t sum = 0, records = 0;
  const uint64_t ticks = ticks_of(seconds);
  uint64_t begin = rte_rdtsc(), now = begin;
  while (now - begin < ticks) {
    // As JavaScript does: all that is there, and the index after each.
    for (const uint32_t end = produced.load(std::memory_order_acquire); consumed != end; records++) {
      const auto* slot = base + kRingHeaderBytes + static_cast<size_t>(consumed & (kSlots - 1)) * kEventSlotBytes;
      for (uint32_t at = 0; at < kEventSlotBytes; at += 8) sum += *reinterpret_cast<const uint64_t*>(slot + at);
      consumed_by_us.store(++consumed, std::memory_order_release);
    }
    now = rte_rdtsc();
  }
  asm volatile("" : : "r"(sum));
  result.records_per_second = static_cast<double>(records) / seconds_of(now - begin);
  exchange.stop = true;
  rte_eal_wait_lcore(lcore);

  exchange.stop = false;
  lcore = launch(answer, &exchange);
  uint64_t trips = 0;
  begin = now = rte_rdtsc();
  while (now - begin < ticks) {
    exchange.ping.value.store(++trips, std::memory_order_release);
    while (exchange.pong.value.load(std::memory_order_acquire) != trips) {
    }
    now = rte_rdtsc();
  }
  result.round_trip_nanos = seconds_of(now - begin) * 1e9 / static_cast<double>(trips);
  exchange.stop = true;
  rte_eal_wait_lcore(lcore);
  return result;
}

}  // namespace sluice::bench
