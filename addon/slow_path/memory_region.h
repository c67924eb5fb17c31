// Zeroed memory that JavaScript sees as an ArrayBuffer. It lives as long as its last owner: the dataplane or a
// buffer.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "flow_engine/memory.h"
#include "slow_path/native_fault.h"

namespace sluice {

class MemoryRegion {
 public:
  // From the kernel rather than rte_malloc: transparent huge pages make a random touch of a big table almost
  // twice as fast when EAL itself runs without huge pages.
  explicit MemoryRegion(size_t bytes) : bytes_(bytes), data_(allocate_zeroed(bytes)) {
    if (data_ == nullptr)
      throw NativeFault("MEMORY", "cannot map " + std::to_string(bytes_) + " bytes", ENOMEM);
  }
  ~MemoryRegion() { release_zeroed(data_, bytes_); }
  MemoryRegion(const MemoryRegion&) = delete;
  MemoryRegion& operator=(const MemoryRegion&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  void* data_;
};

using SharedRegion = std::shared_ptr<MemoryRegion>;

}  // namespace sluice
