// Pages of big tables cleared ahead of use: what the kernel does at a first touch (a quarter of a microsecond
// for 4 KiB, and it waits for the host) is done before traffic comes.
#pragma once

#include "slow_path/memory_region.h"

namespace sluice {

// Clears the region's pages in the background, regions in the order of the calls. Returns at once; whoever
// touches a page that is not cleared yet clears it.
void populate_soon(SharedRegion region);

}  // namespace sluice
