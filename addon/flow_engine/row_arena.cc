#include "flow_engine/row_arena.h"

#include <algorithm>
#include <utility>

#include "flow_engine/memory.h"

namespace sluice {

RowArena::~RowArena() {
  for (uint8_t* chunk : chunks_) release_zeroed(chunk, kChunkBytes);
}

uint8_t* RowArena::take(size_t bytes) {
  bytes = (bytes + 63) / 64 * 64;
  const auto found = free_.find(bytes);
  if (found != free_.end() && !found->second.empty()) {
    uint8_t* block = found->second.back();
    found->second.pop_back();
    return block;
  }
  if (bytes > kChunkBytes) return nullptr;
  if (filled_ < chunks_.size() && kChunkBytes - used_ < bytes) {
    ++filled_;
    used_ = 0;
    asked_ = std::exchange(asked_of_next_, 0);
  }
  if (filled_ == chunks_.size() && !add_chunk()) return nullptr;
  uint8_t* block = chunks_[filled_] + used_;
  used_ += bytes;
  if (filled_ >= reserved_) clear_ahead();
  return block;
}

// Rules that nobody has announced: some pages are cleared while those before them fill. The first few come
// too soon for that, and more often than not there are only few.
void RowArena::clear_ahead() {
  if (filled_ == 0 && used_ < kAheadBytes) return;
  if (used_ + kAheadBytes / 2 <= asked_ && asked_ < kChunkBytes) return;
  if (asked_ < kChunkBytes) {
    asked_ = std::max(asked_, used_ / kAheadBytes * kAheadBytes);
    populate_soon(chunks_[filled_] + asked_, kAheadBytes);
    asked_ += kAheadBytes;
  } else if (used_ > kChunkBytes - kAheadBytes / 2 && filled_ + 1 == chunks_.size() && add_chunk()) {
    populate_soon(chunks_.back(), kAheadBytes);
    asked_of_next_ = kAheadBytes;
  }
}

void RowArena::give_back(uint8_t* block, size_t bytes) { free_[(bytes + 63) / 64 * 64].push_back(block); }

bool RowArena::reserve(uint64_t bytes) {
  for (uint64_t had = chunks_.size() * uint64_t{kChunkBytes}; had < bytes; had += kChunkBytes) {
    if (!add_chunk()) return false;
    populate_soon(chunks_.back(), static_cast<size_t>(std::min<uint64_t>(kChunkBytes, bytes - had)));
  }
  reserved_ = chunks_.size();
  return true;
}

bool RowArena::add_chunk() {
  auto* chunk = static_cast<uint8_t*>(allocate_zeroed(kChunkBytes));
  if (chunk == nullptr) return false;
  chunks_.push_back(chunk);
  return true;
}

}  // namespace sluice
