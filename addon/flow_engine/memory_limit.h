// How much memory there is for this process.
#pragma once

#include <cstdint>

namespace sluice {

// Bytes of the machine, or the least that its control group (version 2) and those around that may have
// (memory.max), as they were when this was first asked.
uint64_t memory_limit();

}  // namespace sluice
