#include "flow_engine/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace sluice {
namespace {

constexpr size_t kHugePage = 2u << 20;
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
  // Less was cleared when it was allocated, or is little of a larger block. Before Linux 5.14 the first touch
  // clears, as ever.
  if (bytes < kHugePage) return;
#ifdef MADV_POPULATE_WRITE
  madvise(memory, rounded(bytes, kHugePage), MADV_POPULATE_WRITE);
#else
  (void)memory;
#endif
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

uint64_t bytes_of_machine() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace sluice
