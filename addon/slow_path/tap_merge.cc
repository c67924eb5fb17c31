#include "slow_path/tap_merge.h"

#include <cstring>

#include "slow_path/capture_tap.h"

namespace sluice {
namespace {

constexpr size_t kTimeOffset = 8;

Nanoseconds time_of(const std::vector<uint8_t>& records, size_t at) {
  uint64_t time = 0;
  std::memcpy(&time, records.data() + at + kTimeOffset, sizeof time);
  return time;
}

size_t end_of(const std::vector<uint8_t>& records, size_t at) {
  uint32_t kept = 0;
  std::memcpy(&kept, records.data() + at, sizeof kept);
  return at + CaptureTap::kHeadBytes + kept;
}

}  // namespace

void TapMerge::merge(const std::vector<std::vector<uint8_t>>& parts, Nanoseconds until,
                     std::vector<uint8_t>* out) {
  waiting_.resize(parts.size());
  for (size_t tap = 0; tap < parts.size(); tap++)
    waiting_[tap].insert(waiting_[tap].end(), parts[tap].begin(), parts[tap].end());
  std::vector<size_t> at(parts.size(), 0);
  for (;;) {
    size_t oldest = parts.size();
    for (size_t tap = 0; tap < parts.size(); tap++) {
      if (at[tap] == waiting_[tap].size() || time_of(waiting_[tap], at[tap]) > until) continue;
      if (oldest == parts.size() || time_of(waiting_[tap], at[tap]) < time_of(waiting_[oldest], at[oldest]))
        oldest = tap;
    }
    if (oldest == parts.size()) break;
    const std::vector<uint8_t>& records = waiting_[oldest];
    const size_t end = end_of(records, at[oldest]);
    out->insert(out->end(), records.begin() + static_cast<ptrdiff_t>(at[oldest]),
                records.begin() + static_cast<ptrdiff_t>(end));
    at[oldest] = end;
  }
  for (size_t tap = 0; tap < parts.size(); tap++)
    waiting_[tap].erase(waiting_[tap].begin(), waiting_[tap].begin() + static_cast<ptrdiff_t>(at[tap]));
}

}  // namespace sluice
