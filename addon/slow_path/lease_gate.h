// Until when this gateway may speak: the end of its lease, told by JavaScript and obeyed where packets leave, so
// that it holds while JavaScript is stopped. Without high availability there is no end.
#pragma once

#include <atomic>

#include "slow_path/clock.h"

namespace sluice {

class LeaseGate {
 public:
  static constexpr Nanoseconds kForever = ~Nanoseconds{0};

  // Any thread. New sessions may end before transmission does: a gateway that hands over still serves the
  // sessions there are.
  void limit(Nanoseconds transmit_until, Nanoseconds admit_until) {
    admit_until_.store(admit_until, std::memory_order_relaxed);
    transmit_until_.store(transmit_until, std::memory_order_release);
  }

  bool transmits_at(Nanoseconds now) const { return now < transmit_until_.load(std::memory_order_acquire); }
  bool admits_at(Nanoseconds now) const { return now < admit_until_.load(std::memory_order_relaxed); }

  // Reads the clock anew (about 20 ns) unless there is no end: the lcore may have been stopped since its round
  // began.
  bool transmits() const {
    const Nanoseconds until = transmit_until_.load(std::memory_order_acquire);
    return until == kForever || monotonic_now() < until;
  }

 private:
  std::atomic<Nanoseconds> transmit_until_ = kForever;
  std::atomic<Nanoseconds> admit_until_ = kForever;
};

}  // namespace sluice
