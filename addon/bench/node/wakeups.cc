#include "bench/node/wakeups.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "slow_path/native_fault.h"

namespace sluice::bench {

void Wakeups::start(uint64_t count, double per_second, std::function<void()> ring) {
  lcore_ = rte_get_next_lcore(rte_lcore_id(), 1, 0);
  if (!finished_ || lcore_ >= RTE_MAX_LCORE) throw NativeFault("STATE", "no worker lcore is free");
  count_ = count;
  per_second_ = per_second;
  ring_ = std::move(ring);
  answered_ = 0;
  latency_.reset();
  finished_ = false;
  const int result = rte_eal_remote_launch(run, this, lcore_);
  if (result != 0) {
    finished_ = true;
    throw NativeFault("STATE", "the worker lcore is busy", -result);
  }
}

bool Wakeups::done() {
  if (!finished_.load(std::memory_order_acquire)) return false;
  rte_eal_wait_lcore(lcore_);
  ring_ = nullptr;
  return true;
}

int Wakeups::run(void* self) {
  static_cast<Wakeups*>(self)->loop();
  return 0;
}

void Wakeups::loop() {
  const auto gap = static_cast<uint64_t>(static_cast<double>(rte_get_tsc_hz()) / per_second_);
  uint64_t due = rte_rdtsc() + gap;
  for (uint64_t i = 0; i < count_; i++) {
    uint64_t now;
    while ((now = rte_rdtsc()) < due) {
    }
    ring_();
    while (answered_.load(std::memory_order_acquire) <= i) {
    }
    const uint64_t end = rte_rdtsc();
    latency_.record(end - now);
    due = end > due + gap ? end : due + gap;
  }
  finished_.store(true, std::memory_order_release);
}

}  // namespace sluice::bench
