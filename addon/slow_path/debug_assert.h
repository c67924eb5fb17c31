// What cannot be unless TypeScript's side has a bug. Checked where a debug build asks for it; otherwise the
// packet path ignores the bad input, as it would a hostile one.
#pragma once

#ifdef SLUICE_DEBUG_ASSERTIONS
#include <cassert>
#define DEBUG_ASSERT(condition) assert(condition)
#else
#define DEBUG_ASSERT(condition) static_cast<void>(sizeof(condition))
#endif
