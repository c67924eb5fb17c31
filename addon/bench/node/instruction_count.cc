#include "bench/node/instruction_count.h"

// A client request is a few instructions that only Valgrind gives a meaning to.
#include <valgrind/callgrind.h>

namespace sluice::bench {

bool start_counting() {
  if (RUNNING_ON_VALGRIND == 0) return false;
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  return true;
}

void stop_counting(const std::string& phase) {
  CALLGRIND_DUMP_STATS_AT(phase.c_str());
  CALLGRIND_STOP_INSTRUMENTATION;
}

}  // namespace sluice::bench
