// Copies of packets that several slow paths have kept, in the order of their time.
#pragma once

#include <cstdint>
#include <vector>

#include "slow_path/clock.h"

namespace sluice {

class TapMerge {
 public:
  // Appends records of CaptureTap to `out`. `parts`: of each tap, what it has kept since the last time. A tap
  // that was asked after another one may tell of packets that are newer than what the other one tells next
  // time: what is newer than `until`, a moment before the first one was asked, waits.
  void merge(const std::vector<std::vector<uint8_t>>& parts, Nanoseconds until, std::vector<uint8_t>* out);
  // Drops what waits.
  void forget() { waiting_.clear(); }

 private:
  std::vector<std::vector<uint8_t>> waiting_;  // by tap
};

}  // namespace sluice
