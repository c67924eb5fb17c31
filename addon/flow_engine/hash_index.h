// Exact-match index from a 32-bit hash to row numbers: buckets of one cache line, open addressing, load ≤
// 0.5.
//
// A bucket holds fifteen slots and the number of entries that had to go on to a later bucket; a look-up that
// finds that number 0 stops after one cache line. A slot holds the row number and, in the bits left over,
// more of the hash, so that a wrong row is hardly ever touched. Four bytes a slot make 8 to 16 bytes a rule.
//
// Growth needs no rows either: bucket number and tag together are 29 bits of the hash at every size, so a
// bucket splits by a few bits of its tags. Two old buckets move with each insertion; there is no pause. Where
// it is known how many entries there will be, the size for all of them follows that for a quarter.
#pragma once

#include <emmintrin.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>

#include "flow_engine/memory.h"

namespace sluice {

class HashIndex {
 public:
  HashIndex() {
    current_.allocate(kFirstBits);
    set_limit();
  }
  ~HashIndex() {
    current_.release();
    old_.release();
    next_.release();
  }
  HashIndex(const HashIndex&) = delete;
  HashIndex& operator=(const HashIndex&) = delete;

  uint32_t size() const { return size_; }
  uint64_t memory_bytes() const { return current_.bytes() + old_.bytes() + next_.bytes(); }

  void prefetch(uint32_t hash) const {
    rte_prefetch0(&current_.buckets[hash & current_.mask]);
    if (__builtin_expect(old_.buckets != nullptr, 0)) rte_prefetch0(&old_.buckets[hash & old_.mask]);
  }

  // The row for which `matches(row)` is true, or 0. Rows are numbered from 1.
  template <typename Matches>
  uint32_t find(uint32_t hash, Matches&& matches) const {
    const uint32_t row = find_in(current_, hash, matches);
    if (row != 0 || __builtin_expect(old_.buckets == nullptr, 1)) return row;
    return find_in(old_, hash, matches);
  }

  // find(), then insert() where nothing was found and the bucket can say so by itself: both look at it once.
  // `room` is for fill() then, until anything changes; null where insert() has to look.
  template <typename Matches>
  uint32_t find(uint32_t hash, Matches&& matches, uint32_t** room) {
    Bucket& bucket = current_.buckets[hash & current_.mask];
    *room = nullptr;
    if (bucket.passed != 0 || old_.buckets != nullptr) return find(hash, matches);
    for (uint32_t hits = tagged(current_, bucket, hash); hits != 0; hits &= hits - 1) {
      const uint32_t row = bucket.slot[__builtin_ctz(hits)] & current_.index_mask;
      if (row != 0 && matches(row)) return row;
    }
    if (const uint32_t free = empty(bucket)) *room = &bucket.slot[__builtin_ctz(free)];
    return 0;
  }
  // find(), and insert() where nothing was found, of what one bucket tells. kUnknown: nothing was done.
  enum class Added : uint8_t { kYes, kIsThere, kUnknown };
  template <typename Matches>
  Added add(uint32_t hash, uint32_t row, Matches&& matches) {
    Bucket& bucket = current_.buckets[hash & current_.mask];
    if (__builtin_expect(bucket.passed != 0 || old_.buckets != nullptr || row > limit_, 0))
      return Added::kUnknown;
    for (uint32_t hits = tagged(current_, bucket, hash); __builtin_expect(hits != 0, 0); hits &= hits - 1) {
      const uint32_t other = bucket.slot[__builtin_ctz(hits)] & current_.index_mask;
      if (other != 0 && matches(other)) return Added::kIsThere;
    }
    const uint32_t free = empty(bucket);
    if (__builtin_expect(free == 0, 0)) return Added::kUnknown;
    bucket.slot[__builtin_ctz(free)] = current_.tag(hash) | row;
    ++size_;
    return Added::kYes;
  }
  // False, and nothing done: the index has to grow.
  bool fill(uint32_t* room, uint32_t hash, uint32_t row) {
    if (row > limit_) return false;
    *room = current_.tag(hash) | row;
    ++size_;
    return true;
  }

  // Whether insert() would neither grow nor fail.
  bool has_room_for(uint32_t row) const { return row <= limit_; }

  // A row that prefetching may fetch: the first whose tag fits. 0: there is none, also of those that have yet
  // to move.
  uint32_t candidate(uint32_t hash) const {
    const Bucket& bucket = current_.buckets[hash & current_.mask];
    if (const uint32_t hits = tagged(current_, bucket, hash)) {
      const uint32_t row = bucket.slot[__builtin_ctz(hits)] & current_.index_mask;
      if (row != 0) return row;
    }
    return find(hash, [](uint32_t) { return true; });
  }

  // False when no memory is left; nothing changed then. `hash_of(row)` is asked only for displaced entries.
  template <typename HashOf>
  bool insert(uint32_t hash, uint32_t row, HashOf&& hash_of) {
    if (row > limit_ && !make_room_for(row, hash_of)) return false;
    if (old_.buckets != nullptr) migrate(2, hash_of);
    put(current_, hash, row);
    ++size_;
    return true;
  }

  // There may be as many as that: the steps of growth follow from it.
  void expect(uint32_t entries) {
    expected_bits_ = bits_for(entries);
    set_limit();
  }
  // The same, and takes the memory now; it is in use when its pages are cleared. False when there is none.
  // Only of an index without entries.
  bool reserve(uint32_t entries) {
    if (size_ != 0 || bits_for(entries) <= current_.bits) return true;
    expect(entries);
    next_.release();
    if (!next_.allocate(expected_bits_)) return false;
    populate_soon(next_.buckets, next_.bytes());
    set_limit();
    return true;
  }

  void erase(uint32_t hash, uint32_t row) {
    if (!erase_in(current_, hash, row) && old_.buckets != nullptr) erase_in(old_, hash, row);
    --size_;
  }

 private:
  static constexpr uint32_t kSlots = 15;
  static constexpr uint32_t kFirstBits = 2;
  // A level of so many buckets is had before it is needed, while its pages are cleared beside other work: up
  // to 12 ms for 2 MB, in which some thousands of rules are inserted. One that is known to be needed when a
  // quarter of the one before is free, one four times as large when half is. Others are no more than likely:
  // when a 32nd is.
  static constexpr uint32_t kHadAheadBits = 15;
  static constexpr uint32_t kFreeWhenLikely = 32, kFreeWhenNeeded = 4, kFreeWhenFarAhead = 2;
  static constexpr uint32_t kFarBits = 2;

  struct alignas(64) Bucket {
    uint32_t slot[kSlots];
    uint32_t passed;  // live entries whose search goes through this bucket to a later one
  };

  struct Level {
    Bucket* buckets = nullptr;
    uint32_t bits = 0;        // log2 of the number of buckets
    uint32_t mask = 0;        // over bucket numbers
    uint32_t index_bits = 0;  // of a slot; the others are the tag
    uint32_t index_mask = 0;  // also the highest row: eight a bucket are half of the sixteen words

    bool allocate(uint32_t bucket_bits) {
      bits = bucket_bits;
      mask = (1u << bits) - 1;
      index_bits = bits + 3;
      index_mask = (1u << index_bits) - 1;
      buckets = static_cast<Bucket*>(allocate_zeroed(bytes_of(bits)));
      return buckets != nullptr;
    }
    void release() {
      release_zeroed(buckets, bytes_of(bits));
      buckets = nullptr;
    }
    uint64_t bytes() const { return buckets == nullptr ? 0 : bytes_of(bits); }
    static size_t bytes_of(uint32_t bits) { return sizeof(Bucket) << bits; }
    uint32_t tag(uint32_t hash) const { return hash >> bits << index_bits; }
  };

  // One bit a slot for which `test`, of four slots, gives ones.
  template <typename Test>
  static uint32_t slots_that(const Bucket& bucket, Test&& test) {
    const auto* lanes = reinterpret_cast<const __m128i*>(bucket.slot);
    const auto of = [&](int i) { return test(_mm_load_si128(lanes + i)); };
    const __m128i low = _mm_packs_epi32(of(0), of(1)), high = _mm_packs_epi32(of(2), of(3));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high))) & ((1u << kSlots) - 1);
  }

  // One bit a slot whose tag is the hash's: also where it is empty, if that tag is 0.
  static uint32_t tagged(const Level& level, const Bucket& bucket, uint32_t hash) {
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(level.tag(hash)));
    const __m128i tag_mask = _mm_set1_epi32(static_cast<int>(~level.index_mask));
    return slots_that(bucket,
                      [&](__m128i slots) { return _mm_cmpeq_epi32(_mm_and_si128(slots, tag_mask), wanted); });
  }

  static uint32_t empty(const Bucket& bucket) {
    return slots_that(bucket, [](__m128i slots) { return _mm_cmpeq_epi32(slots, _mm_setzero_si128()); });
  }

  template <typename Matches>
  static uint32_t find_in(const Level& level, uint32_t hash, Matches&& matches) {
    for (uint32_t step = 0; step <= level.mask; ++step) {
      const Bucket& bucket = level.buckets[(hash + step) & level.mask];
      uint32_t hits = tagged(level, bucket, hash);
      for (; hits != 0; hits &= hits - 1) {
        const uint32_t row = bucket.slot[__builtin_ctz(hits)] & level.index_mask;
        if (row != 0 && matches(row)) return row;  // 0: an empty slot looks like tag 0
      }
      if (bucket.passed == 0) return 0;
    }
    return 0;
  }

  static void put(Level& level, uint32_t hash, uint32_t row) {
    for (uint32_t step = 0;; ++step) {
      Bucket& bucket = level.buckets[(hash + step) & level.mask];
      if (const uint32_t free = empty(bucket)) {
        bucket.slot[__builtin_ctz(free)] = level.tag(hash) | row;
        return;
      }
      ++bucket.passed;
    }
  }

  static bool erase_in(Level& level, uint32_t hash, uint32_t row) {
    const uint32_t entry = level.tag(hash) | row;
    for (uint32_t step = 0; step <= level.mask; ++step) {
      Bucket& bucket = level.buckets[(hash + step) & level.mask];
      const __m128i wanted = _mm_set1_epi32(static_cast<int>(entry));
      if (const uint32_t is_there =
              slots_that(bucket, [&](__m128i slots) { return _mm_cmpeq_epi32(slots, wanted); })) {
        bucket.slot[__builtin_ctz(is_there)] = 0;
        for (uint32_t back = 0; back < step; ++back) --level.buckets[(hash + back) & level.mask].passed;
        return true;
      }
      if (bucket.passed == 0) return false;
    }
    return false;
  }

  static uint32_t bits_for(uint32_t entries) {
    uint32_t bits = kFirstBits;
    while ((8u << bits) - 1 < entries) ++bits;
    return bits;
  }

  uint32_t bits_of_next() const {
    const bool is_far = expected_bits_ > current_.bits && expected_bits_ - current_.bits <= kFarBits;
    return is_far ? expected_bits_ : current_.bits + 1;
  }

  void set_limit() {
    const uint32_t most = current_.index_mask, bits = bits_of_next();
    const uint32_t free = expected_bits_ <= current_.bits    ? kFreeWhenLikely
                          : bits == current_.bits + kFarBits ? kFreeWhenFarAhead
                                                             : kFreeWhenNeeded;
    limit_ = most - (next_.buckets == nullptr && bits >= kHadAheadBits ? most / free : 0);
  }

  template <typename HashOf>
  bool make_room_for(uint32_t row, HashOf&& hash_of) {
    limit_ = current_.index_mask;
    if (row > limit_) return grow(hash_of);
    if (next_.allocate(bits_of_next())) populate_soon(next_.buckets, next_.bytes());
    return true;
  }

  template <typename HashOf>
  bool grow(HashOf&& hash_of) {
    if (old_.buckets != nullptr) migrate(old_.mask + 1, hash_of);
    Level larger;
    // The large one goes on waiting for its pages, as long as one of twice the size is little beside it.
    const bool waits = next_.bits > current_.bits + kFarBits && is_populating(next_.buckets, next_.bytes());
    if (waits || next_.buckets == nullptr) {
      if (!larger.allocate(waits ? current_.bits + 1 : bits_of_next())) return false;
    } else {
      larger = std::exchange(next_, Level{});
    }
    old_ = std::exchange(current_, larger);
    set_limit();
    migrated_ = 0;
    return true;
  }

  template <typename HashOf>
  void migrate(uint32_t buckets, HashOf&& hash_of) {
    for (; buckets != 0 && migrated_ <= old_.mask; --buckets, ++migrated_) {
      Bucket& bucket = old_.buckets[migrated_];
      // Entries that are not at home can only be here if the bucket before was passed. Counts of `passed`
      // stay as they are in the old level: too high a count only makes a search longer.
      const bool displaced = old_.buckets[(migrated_ - 1) & old_.mask].passed != 0;
      for (uint32_t& slot : bucket.slot) {
        if (slot == 0) continue;
        const uint32_t row = slot & old_.index_mask;
        const uint32_t hash = displaced ? hash_of(row) : (slot >> old_.index_bits << old_.bits | migrated_);
        put(current_, hash, row);
        slot = 0;
      }
    }
    if (migrated_ > old_.mask) old_.release();
  }

  Level current_;
  Level old_;                   // being emptied into current_, or without buckets
  Level next_;                  // had ahead, or without buckets
  uint32_t limit_ = 0;          // the highest row that may be inserted before there is something else to do
  uint32_t expected_bits_ = 0;  // of the level for all entries, where it is known how many
  uint32_t migrated_ = 0;
  uint32_t size_ = 0;
};

}  // namespace sluice
