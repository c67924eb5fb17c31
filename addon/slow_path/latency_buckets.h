// How long first packets waited for their decision, by bounds that Prometheus shows. One writer.
#pragma once

#include <cstdint>

#include "slow_path/clock.h"

namespace sluice {

struct LatencyBuckets {
  // Microseconds; what is longer than the last is in the bucket after it.
  static constexpr uint32_t kBounds[] = {10,   20,   50,    100,   200,   500,    1000,
                                         2000, 5000, 10000, 20000, 50000, 100000, 1000000};
  static constexpr uint32_t kCount = sizeof kBounds / sizeof kBounds[0] + 1;

  uint64_t packets[kCount] = {};
  uint64_t nanoseconds = 0;  // of all together

  void add(Nanoseconds duration) {
    uint32_t bucket = 0;
    while (bucket + 1 < kCount && duration > kBounds[bucket] * 1000ull) bucket++;
    packets[bucket]++;
    nanoseconds += duration;
  }
};

}  // namespace sluice
