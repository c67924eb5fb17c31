#include "slow_path/lane.h"

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <unistd.h>

#include <algorithm>

#include "slow_path/eal.h"

namespace sluice {
namespace {

constexpr uint32_t kDecisionsPerRound = 256;
constexpr uint32_t kSpinMicroseconds = 1000;  // how long an idle lcore spins before it begins to sleep
// Then it sleeps between looks, the longer the longer nothing has come: what comes waits as long at most.
constexpr uint32_t kShortSleepMicroseconds = 30;
constexpr uint32_t kLongSleepMicroseconds = 250;
constexpr uint32_t kLongestSleepMicroseconds = 500;
constexpr Nanoseconds kLongQuiet = 20'000'000, kLongestQuiet = 500'000'000;

uint32_t sleep_after(Nanoseconds quiet) {
  if (quiet <= kLongQuiet) return kShortSleepMicroseconds;
  return quiet <= kLongestQuiet ? kLongSleepMicroseconds : kLongestSleepMicroseconds;
}

// The lcore of the lane with that number: EAL's worker lcores in their order.
unsigned lcore_of(uint16_t index) {
  unsigned lcore = rte_get_next_lcore(UINT_MAX, 1, 0);
  for (uint16_t i = 0; i < index && lcore < RTE_MAX_LCORE; i++) lcore = rte_get_next_lcore(lcore, 1, 0);
  return lcore;
}

}  // namespace

Lane::Lane(std::unique_ptr<SlowPath> path, uint16_t index,
           const std::vector<NicStatisticsReader>& nic_statistics)
    : path_(std::move(path)), index_(index), nic_statistics_(nic_statistics) {}

Lane::~Lane() { stop(); }

uint32_t Lane::round(uint32_t burst) {
  rte_mbuf* frames[SlowPath::kMaxBurst];
  SlowPath& path = *path_;
  if (!path.is_replay()) {
    const uint32_t second = whole_seconds(path.now());
    path.advance(monotonic_now());
    // One clock for hits in software and in the NIC: whole seconds begin at the same instant.
    if (index_ == 0 && whole_seconds(path.now()) != second) set_softflow_clock(whole_seconds(path.now()));
    path.follow_lease();
  }
  path.drain_decisions(kDecisionsPerRound);
  uint32_t received = path.take_handed_over();
  for (uint8_t index = 0; index < path.ports().size(); index++) {
    const GatewayPort& port = path.ports()[index];
    if (port.down || port.receive_queue == GatewayPort::kNoQueue) continue;
    const uint16_t count =
        rte_eth_rx_burst(port.port_id, port.receive_queue, frames, static_cast<uint16_t>(burst));
    path.receive_burst(frames, count, index);
    received += count;
  }
  path.flush_transmit();
  return received;
}

bool Lane::start(uint32_t burst, bool precedence, std::function<void()> doorbell) {
  const std::lock_guard guard(asking_);
  if (running_) throw NativeFault("STATE", "started already");
  lcore_ = lcore_of(index_);
  if (lcore_ >= RTE_MAX_LCORE)
    throw NativeFault("STATE", "EAL has no worker lcore for shard " + std::to_string(index_) + ": give it " +
                                   std::to_string(index_ + 2) + " with -l or --lcores");
  burst_ = std::clamp(burst, 1u, SlowPath::kMaxBurst);
  doorbell_ = std::move(doorbell);
  stopping_ = false;
  has_precedence_ = precedence && engine_.adopt_this_thread();
  const int result = rte_eal_remote_launch(lcore_main, this, lcore_);
  if (result != 0) {
    engine_.release();
    throw NativeFault("STATE", "lcore " + std::to_string(lcore_) + " is busy", -result);
  }
  running_ = true;
  return has_precedence_;
}

void Lane::stop() {
  const std::lock_guard guard(asking_);
  if (!running_) return;
  stopping_ = true;
  rte_eal_wait_lcore(lcore_);
  engine_.release();
  running_ = false;
  doorbell_ = nullptr;
}

int Lane::lcore_main(void* self) {
  static_cast<Lane*>(self)->loop();
  return 0;
}

void Lane::loop() {
  Nanoseconds quiet_since = monotonic_now();
  Nanoseconds nic_asked = quiet_since;
  uint64_t nic_finished = 0;
  if (has_precedence_) own_.adopt_this_thread();
  while (!stopping_.load(std::memory_order_relaxed)) {
    const bool decided = !path_->decisions().empty();
    const uint32_t received = round(burst_);
    rounds_.store(rounds_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (task_.load(std::memory_order_acquire) != nullptr) run_posted_task();
    if (!path_->events().empty() && armed_.exchange(false, std::memory_order_seq_cst)) doorbell_();
    engine_.end_turn(path_->now());
    own_.end_turn(path_->now());
    engine_.follow(path_->events().consumed(), path_->events().waiting(), path_->now());
    if (received > 0 || decided) {
      quiet_since = path_->now();
    } else if (const Nanoseconds now = path_->now(); now - quiet_since > kSpinMicroseconds * 1000ULL) {
      // A software NIC works inside the receive call: what it finishes alone never shows up as received.
      if (now - nic_asked > kSpinMicroseconds * 1000ULL) {
        nic_asked = now;
        const uint64_t finished = nic_finished_packets();
        if (finished != nic_finished) {
          nic_finished = finished;
          quiet_since = now;
          continue;
        }
      }
      rest(sleep_after(now - quiet_since));
    }
  }
  own_.release();
  if (task_.load(std::memory_order_acquire) != nullptr) run_posted_task();
}

void Lane::rest(uint32_t microseconds) {
  rests_.store(true, std::memory_order_relaxed);
  usleep(microseconds);
  rests_.store(false, std::memory_order_relaxed);
}

uint64_t Lane::nic_finished_packets() const {
  uint64_t finished = 0;
  const std::vector<GatewayPort>& ports = path_->ports();
  for (size_t port = 0; port < nic_statistics_.size(); port++) {
    if (!ports[port].down) finished += nic_statistics_[port].read().finished;
  }
  return finished;
}

bool Lane::arm_doorbell() {
  SlowPath& path = *path_;
  if (!running_) return !path.events().empty_for_consumer();
  engine_.end_turn(monotonic_now());
  armed_.store(true, std::memory_order_seq_cst);
  // Events that came before the lcore could see the bell armed ring nothing: JavaScript must look again. The
  // lcore rings at the end of its next round in any case, and a bell for nothing is harmless.
  if (path.events().empty_for_consumer()) return false;
  armed_.store(false, std::memory_order_seq_cst);
  return true;
}

bool Lane::await_events(uint32_t microseconds) {
  constexpr uint32_t kLooksBetweenClocks = 32;
  const auto& events = path_->events();
  if (!running_) return !events.empty_for_consumer();
  Nanoseconds now = monotonic_now();
  engine_.end_turn(now);  // if the lcore cannot
  const Nanoseconds end = now + microseconds * 1000ULL;
  do {
    for (uint32_t look = 0; look < kLooksBetweenClocks; look++) {
      if (!events.empty_for_consumer()) return true;
      rte_pause();
    }
    now = monotonic_now();
    own_.follow(rounds(), rests_.load(std::memory_order_relaxed) ? 0 : 1, now);
  } while (now < end);
  return false;
}

void Lane::run(const std::function<void()>& task) {
  const std::lock_guard guard(asking_);
  if (!running_) return task();
  task_fault_ = nullptr;
  task_.store(&task, std::memory_order_release);
  while (task_.load(std::memory_order_acquire) != nullptr) usleep(10);
  if (task_fault_) std::rethrow_exception(task_fault_);
}

void Lane::run_posted_task() {
  try {
    (*task_.load(std::memory_order_acquire))();
  } catch (...) {
    task_fault_ = std::current_exception();
  }
  task_.store(nullptr, std::memory_order_release);
}

}  // namespace sluice
