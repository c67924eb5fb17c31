#include "flow_engine/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace sluice {
namespace {

constexpr size_t kSmallPage = 4096;
constexpr size_t kCacheLine = 64;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void* allocate_zeroed(size_t bytes) {
  if (bytes < kHugePage) {
    bytes = rounded(bytes, kCacheLine);
    void* memory = std::aligned_alloc(kCacheLine, bytes);
    if (memory != nullptr) std::memset(memory, 0, bytes);
    return memory;
  }
  // Mapped one huge page larger, then trimmed, so that it starts at a huge page.
  const size_t wanted = rounded(bytes, kHugePage);
  auto* memory = static_cast<char*>(mmap(nullptr, wanted + kHugePage, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (memory == MAP_FAILED) return nullptr;
  const size_t skipped = (kHugePage - reinterpret_cast<size_t>(memory) % kHugePage) % kHugePage;
  if (skipped != 0) munmap(memory, skipped);
  if (kHugePage != skipped) munmap(memory + skipped + wanted, kHugePage - skipped);
  memory += skipped;
  madvise(memory, wanted, MADV_HUGEPAGE);
  return memory;
}

void populate(void* memory, size_t bytes) {
  auto* const begin = static_cast<uint8_t*>(memory);
  // A write that changes nothing, whoever else writes there. MADV_POPULATE_WRITE would have the address
  // space's lock meanwhile, for which whoever maps memory waits; a fault has the mapping's alone, from Linux
  // 6.4 on.
  for (size_t at = 0; at < bytes; at += kSmallPage) asm volatile("lock orb $0, %0" : "+m"(begin[at]));
}

void release_zeroed(void* memory, size_t bytes) {
  if (memory == nullptr) return;
  if (bytes < kHugePage) {
    std::free(memory);
  } else {
    stop_populating(memory, bytes);
    munmap(memory, rounded(bytes, kHugePage));
  }
}

}  // namespace sluice
