// Memory of an engine's rows, whichever table they belong to: how many rules there will be is known at the
// start, of which shapes they will be is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace sluice {

class RowArena {
 public:
  RowArena() = default;
  ~RowArena();
  RowArena(const RowArena&) = delete;
  RowArena& operator=(const RowArena&) = delete;

  // Aligned to a cache line, of any contents; null when there is no memory. Little beside kChunkBytes.
  uint8_t* take(size_t bytes);
  // It serves blocks of that size again. Blocks are neither joined nor handed back to the kernel before the
  // engine ends.
  void give_back(uint8_t* block, size_t bytes);
  // Takes memory for so many bytes in all, whose pages are cleared in the background. False when there is
  // none.
  bool reserve(uint64_t bytes);

 private:
  static constexpr size_t kChunkBytes = 32u << 20;
  static constexpr size_t kAheadBytes = 4u << 20;

  bool add_chunk();
  void clear_ahead();

  std::vector<uint8_t*> chunks_;
  size_t reserved_ = 0;  // chunks there were when it was last told how many rows there will be
  size_t filled_ = 0;                             // chunks that blocks have been cut from to their end
  size_t used_ = 0;                               // bytes of the one that they are cut from
  size_t asked_ = 0, asked_of_next_ = 0;  // bytes of it and of the next one whose pages were asked for
  std::map<size_t, std::vector<uint8_t*>> free_;  // by size
};

}  // namespace sluice
