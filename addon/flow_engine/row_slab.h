// Rows of one size, numbered from 1, at addresses that never change. The first blocks double in size, so that
// a table of ten rules is small; later ones are all alike, and come from an arena that tables share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "flow_engine/memory.h"
#include "flow_engine/row_arena.h"

namespace sluice {

class RowSlab {
 public:
  static constexpr uint32_t kMostRows = 1u << 28;  // numbers are below that

  // Without an arena, later blocks are memory of their own. An arena outlives its slabs.
  explicit RowSlab(uint32_t row_bytes, RowArena* arena = nullptr) : row_bytes_(row_bytes), arena_(arena) {}
  ~RowSlab() {
    for (uint32_t block = 0; block < kSmallBlocks; ++block) release_zeroed(small_[block], small_bytes(block));
    for (uint32_t block = 0; block < large_blocks_; ++block) {
      uint8_t* memory = large_.load(std::memory_order_relaxed)[block];
      arena_ == nullptr ? release_zeroed(memory, large_bytes()) : arena_->give_back(memory, large_bytes());
    }
  }
  RowSlab(const RowSlab&) = delete;
  RowSlab& operator=(const RowSlab&) = delete;

  // 0 when no memory is left. The row's contents are whatever they were.
  uint32_t allocate() {
    if (free_ != 0) {
      const uint32_t row = free_;
      free_ = *link(row);
      return row;
    }
    const uint32_t row = high_ + 1;
    if (row == kMostRows || !has_block_of(row)) return 0;
    high_ = row;
    return row;
  }
  void free(uint32_t row) {
    *link(row) = free_;
    free_ = row;
  }

  uint8_t* at(uint32_t row) const {
    if (row > kSmallRows) {
      const uint32_t index = row - kSmallRows - 1;
      return large_.load(std::memory_order_relaxed)[index >> kLargeBits] +
             static_cast<size_t>(index & ((1u << kLargeBits) - 1)) * row_bytes_;
    }
    const uint32_t block = small_block_of(row);
    return small_[block] + static_cast<size_t>(row + kFirst - 1 - (kFirst << block)) * row_bytes_;
  }
  // Rows 1..high() have been in use at some time.
  uint32_t high() const { return high_; }
  uint64_t memory_bytes() const {
    uint64_t bytes = large_blocks_ * uint64_t{large_bytes()} + capacity_ * sizeof(uint8_t*);
    for (uint32_t block = 0; block < kSmallBlocks; ++block) {
      if (small_[block] != nullptr) bytes += small_bytes(block);
    }
    return bytes;
  }

 private:
  static constexpr uint32_t kFirst = 64;
  static constexpr uint32_t kSmallBlocks = 5;
  static constexpr uint32_t kSmallRows = kFirst * ((1u << kSmallBlocks) - 1);
  static constexpr uint32_t kLargeBits = 11;

  static uint32_t small_block_of(uint32_t row) {
    return 25u - static_cast<uint32_t>(__builtin_clz(row + kFirst - 1));
  }
  size_t small_bytes(uint32_t block) const { return (static_cast<size_t>(kFirst) << block) * row_bytes_; }
  size_t large_bytes() const { return static_cast<size_t>(row_bytes_) << kLargeBits; }

  bool has_block_of(uint32_t row) {
    if (row <= kSmallRows) {
      uint8_t*& block = small_[small_block_of(row)];
      if (block == nullptr) block = static_cast<uint8_t*>(allocate_zeroed(small_bytes(small_block_of(row))));
      return block != nullptr;
    }
    return (row - kSmallRows - 1) >> kLargeBits < large_blocks_ || add_large_block();
  }

  bool add_large_block() {
    if (large_blocks_ == capacity_) {
      // Threads that look rules up go on reading the shorter list.
      const uint32_t capacity = capacity_ == 0 ? 64 : capacity_ * 2;
      auto longer = std::make_unique<uint8_t*[]>(capacity);
      for (uint32_t i = 0; i < large_blocks_; ++i) longer[i] = large_.load(std::memory_order_relaxed)[i];
      large_.store(longer.get(), std::memory_order_release);
      lists_.push_back(std::move(longer));
      capacity_ = capacity;
    }
    void* memory = arena_ == nullptr ? allocate_zeroed(large_bytes()) : arena_->take(large_bytes());
    if (memory == nullptr) return false;
    large_.load(std::memory_order_relaxed)[large_blocks_++] = static_cast<uint8_t*>(memory);
    return true;
  }

  // The free list runs through the first bytes of free rows.
  uint32_t* link(uint32_t row) const { return reinterpret_cast<uint32_t*>(at(row)); }

  uint32_t row_bytes_;
  RowArena* arena_;
  uint32_t high_ = 0;
  uint32_t free_ = 0;
  uint8_t* small_[kSmallBlocks] = {};
  std::atomic<uint8_t**> large_ = nullptr;
  uint32_t large_blocks_ = 0;
  uint32_t capacity_ = 0;  // of the list that large_ is
  std::vector<std::unique_ptr<uint8_t*[]>> lists_;
};

}  // namespace sluice
