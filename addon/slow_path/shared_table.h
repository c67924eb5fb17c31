// Numbers by keys of three words that the threads of all shards see; TypeScript writes them
// (src/nat/shards/shared-table.ts), lcores only look. Layout and hash: schemas/records.json.
#pragma once

#include <rte_pause.h>

#include <bit>
#include <cstddef>
#include <cstdint>

#include "generated/records.h"
#include "slow_path/memory_region.h"

namespace sluice {

class SharedTable {
 public:
  // Slots are a power of two.
  static bool is_size(size_t bytes) {
    if (bytes <= sizeof(SharedTableHeader)) return false;
    const size_t entries = bytes - sizeof(SharedTableHeader);
    return entries % sizeof(SharedTableEntry) == 0 && std::has_single_bit(entries / sizeof(SharedTableEntry));
  }

  // Of zeros, or as TypeScript has it, of such a size.
  explicit SharedTable(const SharedRegion& region)
      : header_(region->as<const SharedTableHeader>()),
        entries_(reinterpret_cast<const SharedTableEntry*>(header_ + 1)),
        mask_(
            static_cast<uint32_t>((region->bytes() - sizeof(SharedTableHeader)) / sizeof(SharedTableEntry)) -
            1) {}

  // 0: there is none. The table as it was at some moment of the call: a writer that is at work is waited for,
  // which takes some tens of nanoseconds. One whose thread has lost its core in the middle is not: then it is
  // the table as it stands, in which at most one entry is neither the old nor the new one. So the value of a
  // key may be that of another key, and whoever takes it for an index looks at it first.
  uint32_t get(uint32_t a, uint32_t b, uint32_t c) const {
    for (uint32_t tried = 0; tried < kTries; tried++) {
      const uint32_t before = __atomic_load_n(&header_->sequence, __ATOMIC_ACQUIRE);
      if ((before & 1) == 0) {
        const uint32_t value = find(a, b, c);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (load(header_->sequence) == before) return value;
      }
      rte_pause();
    }
    return find(a, b, c);
  }

 private:
  static constexpr uint32_t kTries = 256;  // some ten microseconds

  // Bounded, since entries that move under a reader could lead it in circles.
  uint32_t find(uint32_t a, uint32_t b, uint32_t c) const {
    uint32_t slot = slot_of(a, b, c);
    for (uint32_t looked = 0; looked <= mask_; looked++, slot = (slot + 1) & mask_) {
      const SharedTableEntry& entry = entries_[slot];
      const uint32_t value = load(entry.value);
      if (value == 0) return 0;
      if (load(entry.a) == a && load(entry.b) == b && load(entry.c) == c) return value;
    }
    return 0;
  }

  static uint32_t load(const uint32_t& word) { return __atomic_load_n(&word, __ATOMIC_RELAXED); }

  uint32_t slot_of(uint32_t a, uint32_t b, uint32_t c) const {
    uint32_t hash = (load(header_->seed) ^ a) * kSharedHashA;
    hash = (hash ^ (hash >> 15) ^ b) * kSharedHashB;
    hash = (hash ^ (hash >> 13) ^ c) * kSharedHashC;
    return (hash ^ (hash >> 16)) & mask_;
  }

  const SharedTableHeader* header_;
  const SharedTableEntry* entries_;
  uint32_t mask_;  // slots are a power of two
};

}  // namespace sluice
