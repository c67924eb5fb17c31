// The gateway's clock: nanoseconds in 64 bits. CLOCK_MONOTONIC in live use, the capture's time in a replay.
#pragma once

#include <ctime>

#include <cstdint>

namespace sluice {

using Nanoseconds = uint64_t;
inline constexpr Nanoseconds kNanosecondsPerSecond = 1'000'000'000;

inline Nanoseconds make_time(uint32_t seconds, uint32_t nanoseconds) {
  return seconds * kNanosecondsPerSecond + nanoseconds;
}
inline uint32_t whole_seconds(Nanoseconds time) {
  return static_cast<uint32_t>(time / kNanosecondsPerSecond);
}
inline uint32_t second_fraction(Nanoseconds time) {
  return static_cast<uint32_t>(time % kNanosecondsPerSecond);
}

inline Nanoseconds monotonic_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return make_time(static_cast<uint32_t>(now.tv_sec), static_cast<uint32_t>(now.tv_nsec));
}

}  // namespace sluice
