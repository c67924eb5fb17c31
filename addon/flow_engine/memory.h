// Zeroed memory for tables: from the kernel in huge pages where it is large (a random touch at 1 GB costs 18
// ns instead of 31), from the heap where it is small.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

inline constexpr size_t kHugePage = 2u << 20;

// Aligned to a cache line; null when there is none.
void* allocate_zeroed(size_t bytes);
// Makes the kernel clear these pages now and not when they are first touched (a quarter of a microsecond for
// 4 KiB, and under a hypervisor it waits for the host).
void populate(void* memory, size_t bytes);
// The same in the background, in the order of the calls. Returns at once; whoever touches a page that is not
// cleared yet clears it. Ends with release_zeroed().
void populate_soon(void* memory, size_t bytes);
// Whether some of that memory is still to be cleared in the background.
bool is_populating(const void* memory, size_t bytes);
// When this returns, nothing in the background touches that memory.
void stop_populating(void* memory, size_t bytes);
void release_zeroed(void* memory, size_t bytes);

}  // namespace sluice
