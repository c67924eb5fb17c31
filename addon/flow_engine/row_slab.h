// Rows of one size, numbered from 1, at addresses that never change. Blocks double in size, so that a table
// of ten rules is small and one of a million has fifteen blocks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "flow_engine/memory.h"

namespace sluice {

class RowSlab {
 public:
  explicit RowSlab(uint32_t row_bytes) : row_bytes_(row_bytes) {}
  ~RowSlab() {
    for (uint32_t block = 0; block < kBlocks; ++block) release_zeroed(blocks_[block], block_bytes(block));
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
    const uint32_t block = block_of(row);
    if (blocks_[block] == nullptr) {
      blocks_[block] = static_cast<uint8_t*>(allocate_zeroed(block_bytes(block)));
      if (blocks_[block] == nullptr) return 0;
    }
    high_ = row;
    return row;
  }
  void free(uint32_t row) {
    *link(row) = free_;
    free_ = row;
  }

  // Takes memory for rows up to `rows`, pages cleared. False when there is none.
  bool reserve(uint32_t rows) {
    if (rows <= reserved_) return true;
    for (uint32_t block = 0; block <= block_of(rows); ++block) {
      if (blocks_[block] == nullptr)
        blocks_[block] = static_cast<uint8_t*>(allocate_zeroed(block_bytes(block)));
      if (blocks_[block] == nullptr) return false;
      const uint64_t before = static_cast<uint64_t>(kFirst) * ((1ull << block) - 1);
      populate(blocks_[block], std::min<uint64_t>(block_bytes(block), (rows - before) * row_bytes_));
    }
    reserved_ = rows;
    return true;
  }

  uint8_t* at(uint32_t row) const {
    const uint32_t block = block_of(row);
    return blocks_[block] + static_cast<uint64_t>(row + kFirst - 1 - (kFirst << block)) * row_bytes_;
  }
  // Rows 1..high() have been in use at some time.
  uint32_t high() const { return high_; }
  // Memory in use: of the newest block, which the kernel fills in as it is touched, only what rows have
  // reached.
  uint64_t memory_bytes() const {
    constexpr uint64_t kHugePage = 2u << 20;
    const uint32_t used = std::max(high_, reserved_);
    const uint64_t rows = used == 0 ? 0 : kFirst * ((1ull << (block_of(used) + 1)) - 1);
    const uint64_t untouched = (rows - used) * row_bytes_;
    return rows * row_bytes_ -
           (used != 0 && block_bytes(block_of(used)) >= kHugePage ? untouched / kHugePage * kHugePage : 0);
  }

 private:
  static constexpr uint32_t kFirst = 64;
  static constexpr uint32_t kBlocks = 26;

  static uint32_t block_of(uint32_t row) {
    return 31u - 6u - static_cast<uint32_t>(__builtin_clz(row + kFirst - 1));
  }
  uint64_t block_bytes(uint32_t block) const { return (static_cast<uint64_t>(kFirst) << block) * row_bytes_; }
  // The free list runs through the first bytes of free rows.
  uint32_t* link(uint32_t row) const { return reinterpret_cast<uint32_t*>(at(row)); }

  uint32_t row_bytes_;
  uint32_t high_ = 0;
  uint32_t reserved_ = 0;
  uint32_t free_ = 0;
  uint8_t* blocks_[kBlocks] = {};
};

}  // namespace sluice
