#include "bench/node/paced_wakeups.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include <algorithm>

#include "slow_path/native_fault.h"

namespace sluice::bench {
namespace {

// Nothing was answered for so many seconds: what is on its way is lost.
constexpr uint64_t kPatienceSeconds = 5;

}  // namespace

PacedWakeups::PacedWakeups()
    : events_region_(std::make_shared<MemoryRegion>(ring_bytes(kEventSlots, kEventSlotBytes))),
      decisions_region_(std::make_shared<MemoryRegion>(ring_bytes(kDecisionSlots, kRingSlotBytes))),
      events_(events_region_, kEventSlots),
      decisions_(decisions_region_, kDecisionSlots) {}

void PacedWakeups::start(uint64_t count, double per_second, std::function<void()> ring) {
  lcore_ = rte_get_next_lcore(rte_lcore_id(), 1, 0);
  if (!finished_ || lcore_ >= RTE_MAX_LCORE) throw NativeFault("STATE", "no worker lcore is free");
  count_ = count;
  ticks_between_ = static_cast<double>(rte_get_tsc_hz()) / per_second;
  ring_ = std::move(ring);
  lost_ = 0;
  from_made_.reset();
  from_due_.reset();
  armed_ = false;
  finished_ = false;
  const int result = rte_eal_remote_launch(run, this, lcore_);
  if (result != 0) {
    finished_ = true;
    throw NativeFault("STATE", "the worker lcore is busy", -result);
  }
}

bool PacedWakeups::arm() {
  armed_.store(true, std::memory_order_seq_cst);
  if (events_.empty_for_consumer()) return false;
  armed_.store(false, std::memory_order_seq_cst);
  return true;
}

bool PacedWakeups::await(uint32_t microseconds) const {
  constexpr uint32_t kLooksBetweenClocks = 32;
  const uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1'000'000 * microseconds;
  do {
    for (uint32_t look = 0; look < kLooksBetweenClocks; look++) {
      if (!events_.empty_for_consumer()) return true;
      rte_pause();
    }
  } while (rte_rdtsc() < end);
  return false;
}

bool PacedWakeups::done() {
  if (!finished_.load(std::memory_order_acquire)) return false;
  rte_eal_wait_lcore(lcore_);
  ring_ = nullptr;
  return true;
}

int PacedWakeups::run(void* self) {
  static_cast<PacedWakeups*>(self)->loop();
  return 0;
}

// What a record is held under tells its stamp.
void PacedWakeups::make(uint64_t number, uint64_t now) {
  MissEvent event = {};
  event.type = static_cast<uint8_t>(EventType::kMiss);
  event.hold = static_cast<uint32_t>(pushed_ % kStamps);
  const auto due = began_ + static_cast<uint64_t>(static_cast<double>(number + 1) * ticks_between_);
  if (!events_.push(event, EventPriority::kMiss)) {
    lost_++;
    return;
  }
  stamps_[event.hold] = {now, due};
  pushed_++;
}

void PacedWakeups::loop() {
  const uint64_t patience = rte_get_tsc_hz() * kPatienceSeconds;
  began_ = rte_rdtsc();
  uint64_t made = 0, answered = 0, moved = began_;
  while (answered + lost_ < count_) {
    const uint32_t answers = decisions_.pop(answers_, kTogether);
    const uint64_t now = rte_rdtsc();
    for (uint32_t i = 0; i < answers; i++) {
      const Stamp& stamp = stamps_[answers_[i].hold % kStamps];
      from_made_.record(now - stamp.made);
      from_due_.record(now - stamp.due);
    }
    answered += answers;
    if (answers != 0) moved = now;
    const auto due = static_cast<uint64_t>(static_cast<double>(now - began_) / ticks_between_);
    const uint64_t wanted = std::min({due, count_, made + kTogether});
    while (made < wanted) make(made++, now);
    if (!events_.empty() && armed_.exchange(false, std::memory_order_seq_cst)) ring_();
    if (made == count_ && now - moved > patience) {
      lost_ = count_ - answered;
      break;
    }
  }
  finished_.store(true, std::memory_order_release);
}

}  // namespace sluice::bench
