// When the rules of a table may age at the earliest, by runs of 64 rows: a walk for aged rules passes the
// runs whose time has not come by one word each, where it would touch a cache line a rule.
//
// Hits are not noted here, they only make rules age later. What is noted is therefore a bound: a run may be
// walked in vain, and gets its next bound then.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

// Of a clock that wraps: less than 2^31 seconds lie between any two moments that are compared.
inline bool is_before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

class AgeHorizons {
 public:
  static constexpr uint32_t kRunRows = 64;  // no run is in two blocks of a RowSlab
  // A thread may count a hit at a clock that it read before the one of a walk.
  static constexpr uint32_t kLagSeconds = 1;

  // The earliest second at which a rule can age that is hit no earlier than at `now`.
  static uint32_t after_hit(uint32_t now_seconds, uint32_t timeout) {
    return now_seconds - kLagSeconds + timeout;
  }

  // Memory for the run of a row; before lower().
  void cover(uint32_t row) {
    if (__builtin_expect(row > covered_, 0)) {
      first_.resize((row - 1) / kRunRows + 1);
      covered_ = (row - 1) / kRunRows * kRunRows + kRunRows;
    }
  }
  // A rule of this row may age at that second.
  void lower(uint32_t row, uint32_t seconds) {
    uint32_t& first = first_[(row - 1) / kRunRows];
    if (first == kNone || is_before(seconds, first)) first = word_of(seconds);
  }
  uint32_t runs() const { return static_cast<uint32_t>(first_.size()); }
  bool is_due(uint32_t run, uint32_t now_seconds) const {
    return first_[run] != kNone && !is_before(now_seconds, first_[run]);
  }
  void set(uint32_t run, uint32_t seconds) { first_[run] = word_of(seconds); }
  // None of the run's rules ages.
  void clear(uint32_t run) { first_[run] = kNone; }
  // Bounds are no longer known: the clock has been set back.
  void forget(uint32_t now_seconds) {
    for (uint32_t& first : first_) {
      if (first != kNone) first = word_of(now_seconds);
    }
  }
  uint64_t memory_bytes() const { return first_.capacity() * sizeof(uint32_t); }

 private:
  static constexpr uint32_t kNone = 0;
  static uint32_t word_of(uint32_t seconds) { return seconds == kNone ? seconds - 1 : seconds; }

  std::vector<uint32_t> first_;
  uint32_t covered_ = 0;  // rows
};

}  // namespace sluice
