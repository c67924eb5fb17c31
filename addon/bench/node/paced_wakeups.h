// Empty wake-ups at the pace of first packets: records through an event ring of the gateway's own kind, answers through a
// decision ring, and nothing decided between. They come whether or not anybody keeps up, so that a thread that stands still
// is met by as many of them as it would be met by packets.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "bench/latency.h"
#include "slow_path/rings.h"

namespace sluice::bench {

class PacedWakeups {
 public:
  PacedWakeups();

  // From now on the worker lcore makes `count` records, evenly paced. `ring` is called by it when records wait and JavaScript
  // has armed the doorbell. Throws NativeFault STATE when there is no free worker lcore.
  void start(uint64_t count, double per_second, std::function<void()> ring);
  // As Dataplane has it.
  bool arm();
  bool await(uint32_t microseconds) const;
  // Whether all have been answered, or no more are; the lcore is free again then.
  bool done();

  const SharedRegion& events_memory() const { return events_region_; }
  const SharedRegion& decisions_memory() const { return decisions_region_; }
  // From when the lcore made the record, or from when it was due, to when it had the answer.
  const Latency& from_made() const { return from_made_; }
  const Latency& from_due() const { return from_due_; }
  // Records that the ring had no room for, and those never answered.
  uint64_t lost() const { return lost_; }

  // As the live gateway has them.
  static constexpr uint32_t kEventSlots = 8192;
  static constexpr uint32_t kDecisionSlots = 16384;

 private:
  static constexpr uint32_t kTogether = 32;
  // More than can be in both rings.
  static constexpr uint32_t kStamps = 32768;

  struct Stamp {
    uint64_t made, due;
  };

  static int run(void* self);
  void loop();
  void make(uint64_t number, uint64_t now);

  SharedRegion events_region_, decisions_region_;
  EventRing events_;
  DecisionRing decisions_;
  Stamp stamps_[kStamps] = {};
  Decision answers_[kTogether];
  uint64_t count_ = 0;
  double ticks_between_ = 0;
  uint64_t began_ = 0;
  uint64_t pushed_ = 0;
  uint64_t lost_ = 0;
  std::function<void()> ring_;
  std::atomic<bool> armed_{false};
  std::atomic<bool> finished_{true};
  unsigned lcore_ = 0;
  Latency from_made_, from_due_;
};

}  // namespace sluice::bench
