// Numbers by keys of three words that the threads of all shards see; TypeScript writes them
// (src/nat/shards/shared-table.ts, which has layout and hash), lcores only look.
#pragma once

#include <rte_pause.h>

#include <cstdint>

#include "slow_path/memory_region.h"

namespace sluice {

class SharedTable {
 public:
  // Words before the entries.
  enum Header : uint32_t { kLock, kCount, kSeed, kSequence, kHeaderWords };
  static constexpr uint32_t kEntryWords = 4;  // three of key, one of value; value 0: no entry

  // Memory of no entry at all has no header either: look-ups find nothing.
  explicit SharedTable(const SharedRegion& region)
      : words_(region->as<const uint32_t>()),
        mask_(static_cast<uint32_t>(region->bytes() / 4 - kHeaderWords) / kEntryWords - 1) {}

  // 0: there is none. The table as it was at some moment of the call: a writer that is at work is waited for, which takes
  // some tens of nanoseconds unless its thread has lost its core meanwhile.
  uint32_t get(uint32_t a, uint32_t b, uint32_t c) const {
    for (;;) {
      const uint32_t before = __atomic_load_n(words_ + kSequence, __ATOMIC_ACQUIRE);
      if ((before & 1) == 0) {
        const uint32_t value = find(a, b, c);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(words_ + kSequence, __ATOMIC_RELAXED) == before) return value;
      }
      rte_pause();
    }
  }

 private:
  // Bounded, since entries that move under a reader could lead it in circles.
  uint32_t find(uint32_t a, uint32_t b, uint32_t c) const {
    uint32_t slot = slot_of(a, b, c);
    for (uint32_t looked = 0; looked <= mask_; looked++, slot = (slot + 1) & mask_) {
      const uint32_t* entry = words_ + kHeaderWords + uint64_t{slot} * kEntryWords;
      const uint32_t value = load(entry + 3);
      if (value == 0) return 0;
      if (load(entry) == a && load(entry + 1) == b && load(entry + 2) == c) return value;
    }
    return 0;
  }

  static uint32_t load(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

  uint32_t slot_of(uint32_t a, uint32_t b, uint32_t c) const {
    uint32_t hash = (load(words_ + kSeed) ^ a) * 0x9e3779b1u;
    hash = (hash ^ (hash >> 15) ^ b) * 0x85ebca6bu;
    hash = (hash ^ (hash >> 13) ^ c) * 0xc2b2ae35u;
    return (hash ^ (hash >> 16)) & mask_;
  }

  const uint32_t* words_;
  uint32_t mask_;
};

}  // namespace sluice
