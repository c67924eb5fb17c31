// The two rings between the lcore and JavaScript. One producer and one consumer each; indices run free and
// are masked.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>

#include "generated/records.h"
#include "slow_path/memory_region.h"

namespace sluice {

inline size_t ring_bytes(uint32_t slots, uint32_t slot_bytes) {
  return kRingHeaderBytes + static_cast<size_t>(slots) * slot_bytes;
}

// Which records may use the last slots. Completions always find room because decisions are only drained while
// kCompletionReserve slots are free; misses, of which an attacker makes as many as he likes, stop first.
enum class EventPriority : uint8_t { kMiss, kState, kCompletion };

class EventRing {
 public:
  static constexpr uint32_t kCompletionReserve = 4;

  EventRing(SharedRegion region, uint32_t slots)
      : region_(std::move(region)),
        base_(region_->as<uint8_t>()),
        slots_(slots),
        state_reserve_(slots > 2 * kCompletionReserve ? kCompletionReserve : 0),
        miss_reserve_(slots > 4 * kCompletionReserve ? slots / 4 : state_reserve_) {}

  template <typename Record>
  bool push(const Record& record, EventPriority priority) {
    static_assert(sizeof(Record) == kEventSlotBytes);
    const uint32_t reserve = priority == EventPriority::kMiss    ? miss_reserve_
                             : priority == EventPriority::kState ? state_reserve_
                                                                 : 0;
    if (free_slots() <= reserve) return false;
    const uint32_t at = produced_ & (slots_ - 1);
    std::memcpy(base_ + kRingHeaderBytes + static_cast<size_t>(at) * kEventSlotBytes, &record,
                kEventSlotBytes);
    produced_++;
    std::atomic_ref(*reinterpret_cast<uint32_t*>(base_)).store(produced_, std::memory_order_release);
    return true;
  }

  uint32_t waiting() const { return produced_ - consumed(); }
  uint32_t free_slots() const { return slots_ - waiting(); }
  bool empty() const { return produced_ == consumed(); }
  // How many it has given away, since it was made.
  uint32_t consumed() const {
    const uint32_t consumed = std::atomic_ref(*reinterpret_cast<uint32_t*>(base_ + kRingHeaderBytes / 2))
                                  .load(std::memory_order_acquire);
    // An index that is not between produced - slots and produced is not one that a consumer can have written.
    return produced_ - consumed <= slots_ ? consumed : produced_ - slots_;
  }
  // As JavaScript's thread sees it.
  bool empty_for_consumer() const {
    return std::atomic_ref(*reinterpret_cast<uint32_t*>(base_)).load(std::memory_order_seq_cst) ==
           *reinterpret_cast<const uint32_t*>(base_ + kRingHeaderBytes / 2);
  }
  bool takes_completions() const {
    return free_slots() >= (slots_ < kCompletionReserve ? slots_ : kCompletionReserve);
  }

 private:
  SharedRegion region_;
  uint8_t* base_;
  uint32_t slots_;
  uint32_t state_reserve_;
  uint32_t miss_reserve_;
  uint32_t produced_ = 0;
};

class DecisionRing {
 public:
  DecisionRing(SharedRegion region, uint32_t slots)
      : region_(std::move(region)), base_(region_->as<uint8_t>()), slots_(slots) {}

  // Copies the next decisions out, at most `most`: JavaScript must not be able to change one while it is
  // carried out. How many.
  uint32_t pop(Decision* out, uint32_t most) {
    if (empty()) return 0;
    const uint32_t produced =
        std::atomic_ref(*reinterpret_cast<uint32_t*>(base_)).load(std::memory_order_acquire);
    const uint32_t count = std::min(most, produced - consumed_);
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = (consumed_ + i) & (slots_ - 1);
      std::memcpy(out + i, base_ + kRingHeaderBytes + static_cast<size_t>(at) * kRingSlotBytes,
                  kRingSlotBytes);
    }
    consumed_ += count;
    std::atomic_ref(*reinterpret_cast<uint32_t*>(base_ + kRingHeaderBytes / 2))
        .store(consumed_, std::memory_order_release);
    return count;
  }

  bool empty() const {
    const uint32_t produced =
        std::atomic_ref(*reinterpret_cast<uint32_t*>(base_)).load(std::memory_order_acquire);
    return produced == consumed_ || produced - consumed_ > slots_;
  }

 private:
  SharedRegion region_;
  uint8_t* base_;
  uint32_t slots_;
  uint32_t consumed_ = 0;
};

}  // namespace sluice
