// Anonymous memory that JavaScript sees as an ArrayBuffer. It lives as long as its last owner: the dataplane
// or a buffer.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "slow_path/native_fault.h"

namespace sluice {

class MemoryRegion {
 public:
  explicit MemoryRegion(size_t bytes) : bytes_((bytes + kPage - 1) & ~(kPage - 1)) {
    // mmap rather than rte_malloc: transparent huge pages make a random touch of a big table almost twice as
    // fast when EAL itself runs without huge pages.
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED)
      throw NativeFault("MEMORY", "cannot map " + std::to_string(bytes_) + " bytes", ENOMEM);
    if (bytes_ >= kHugePage) madvise(data_, bytes_, MADV_HUGEPAGE);
  }
  ~MemoryRegion() { munmap(data_, bytes_); }
  MemoryRegion(const MemoryRegion&) = delete;
  MemoryRegion& operator=(const MemoryRegion&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  static constexpr size_t kPage = 4096;
  static constexpr size_t kHugePage = 2u << 20;
  void* data_;
  size_t bytes_;
};

using SharedRegion = std::shared_ptr<MemoryRegion>;

}  // namespace sluice
