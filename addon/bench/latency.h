// A histogram of durations with a relative error below 1/64. One writer.
#pragma once

#include <cstdint>

namespace sluice::bench {

class Latency {
 public:
  void record(uint64_t ticks) {
    counts_[bucket_of(ticks)]++;
    if (ticks > most_) most_ = ticks;
  }
  void reset() { *this = Latency{}; }

  // Calls `each(upper edge in ticks, durations)` for every bucket that holds some.
  template <typename Each>
  void for_each(Each each) const {
    for (uint32_t bucket = 0; bucket < kBuckets; bucket++) {
      if (counts_[bucket] != 0) each(upper_edge(bucket) < most_ ? upper_edge(bucket) : most_, counts_[bucket]);
    }
  }

 private:
  static constexpr uint32_t kBits = 6;
  static constexpr uint32_t kBuckets = (64 - kBits + 1) << kBits;

  static uint32_t bucket_of(uint64_t ticks) {
    if (ticks >> kBits == 0) return static_cast<uint32_t>(ticks);
    const auto shift = static_cast<uint32_t>(63 - __builtin_clzll(ticks)) - kBits;
    return ((shift + 1) << kBits) + static_cast<uint32_t>(ticks >> shift & ((1u << kBits) - 1));
  }
  static uint64_t upper_edge(uint32_t bucket) {
    if (bucket >> kBits == 0) return bucket;
    const uint32_t shift = (bucket >> kBits) - 1;
    return ((uint64_t{(bucket & ((1u << kBits) - 1)) | (1u << kBits)} + 1) << shift) - 1;
  }

  uint64_t counts_[kBuckets] = {};
  uint64_t most_ = 0;
};

}  // namespace sluice::bench
