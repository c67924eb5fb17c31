// Tells of most keys that a table has no rule of them, without looking at its index: a byte a rule
// instead of a cache line at a random place. What it does not tell, the index does.
#pragma once

#include <rte_prefetch.h>

#include <cstddef>
#include <cstdint>

#include "flow_engine/memory.h"

namespace sluice {

// A Bloom filter of three bits a key, all in one word. It grows by generations, each four times as large as
// the one before, so that nothing is ever moved; a key is in one of them. Keys do not leave it.
class AbsenceFilter {
 public:
  AbsenceFilter() = default;
  ~AbsenceFilter() {
    for (size_t i = 0; i < generations_; ++i) release_zeroed(generation_[i].words, generation_[i].bytes());
  }
  AbsenceFilter(const AbsenceFilter&) = delete;
  AbsenceFilter& operator=(const AbsenceFilter&) = delete;

  uint64_t added() const { return added_; }
  uint64_t memory_bytes() const {
    uint64_t bytes = sizeof *this;
    for (size_t i = 0; i < generations_; ++i) bytes += generation_[i].bytes();
    return bytes;
  }
  // False: no memory for it, or there have been too many; the filter is of no use any more.
  bool add(uint32_t hash) {
    if (left_ == 0 && !add_generation()) return false;
    const Spread spread(hash);
    generation_[generations_ - 1].word(spread) |= spread.bits;
    --left_;
    ++added_;
    return true;
  }
  // False: the key was never added.
  bool may_have(uint32_t hash) const {
    const Spread spread(hash);
    for (size_t i = 0; i < generations_; ++i) {
      if ((generation_[i].word(spread) & spread.bits) == spread.bits) return true;
    }
    return false;
  }
  // The largest generations; the others stay near by themselves.
  void prefetch(uint32_t hash) const {
    const Spread spread(hash);
    if (generations_ > 0) rte_prefetch0(&generation_[generations_ - 1].word(spread));
    if (generations_ > 1) rte_prefetch0(&generation_[generations_ - 2].word(spread));
  }

 private:
  static constexpr size_t kMostGenerations = 6;  // 89 million rules
  static constexpr uint32_t kFirstKeys = 1u << 16, kKeysOfWord = 8;

  struct Spread {
    uint32_t place;
    uint64_t bits;

    explicit Spread(uint32_t hash) {
      const uint64_t mixed = hash * 0x9e3779b97f4a7c15ull;
      place = static_cast<uint32_t>(mixed >> 36);
      bits = 1ull << (mixed >> 12 & 63) | 1ull << (mixed >> 18 & 63) | 1ull << (mixed >> 24 & 63);
    }
  };
  struct Generation {
    uint64_t* words = nullptr;
    uint32_t mask = 0;

    size_t bytes() const { return (size_t{mask} + 1) * sizeof(uint64_t); }
    uint64_t& word(const Spread& spread) const { return words[spread.place & mask]; }
  };

  bool add_generation() {
    if (generations_ == kMostGenerations) return false;
    const uint32_t keys = kFirstKeys << 2 * generations_;
    Generation made;
    made.mask = keys / kKeysOfWord - 1;
    made.words = static_cast<uint64_t*>(allocate_zeroed(made.bytes()));
    if (made.words == nullptr) return false;
    generation_[generations_++] = made;
    left_ = keys;
    return true;
  }

  size_t generations_ = 0;
  uint32_t left_ = 0;  // keys that the last generation has room for
  uint64_t added_ = 0;
  Generation generation_[kMostGenerations];
};

}  // namespace sluice
