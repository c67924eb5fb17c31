// The empty wake-up: an lcore rings JavaScript as a gateway's does, and JavaScript answers without having done anything.
// What first packets wait for at least, on these threads and in this process.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "bench/latency.h"

namespace sluice::bench {

class Wakeups {
 public:
  // From now on the worker lcore rings `count` times, so often a second at most, each time after the last answer.
  // Throws NativeFault STATE when there is no free worker lcore.
  void start(uint64_t count, double per_second, std::function<void()> ring);
  void answer() { answered_.fetch_add(1, std::memory_order_release); }
  // Whether all have been answered; the lcore is free again then.
  bool done();
  // From the ring to the answer, as the lcore saw it.
  const Latency& latency() const { return latency_; }

 private:
  static int run(void* self);
  void loop();

  uint64_t count_ = 0;
  double per_second_ = 1;
  std::function<void()> ring_;
  std::atomic<uint64_t> answered_{0};
  std::atomic<bool> finished_{true};
  unsigned lcore_ = 0;
  Latency latency_;
};

}  // namespace sluice::bench
