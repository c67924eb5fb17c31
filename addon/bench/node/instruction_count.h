// Counting of instructions, when the process runs in Valgrind's tool callgrind: between the calls, and nowhere else.
#pragma once

#include <string>

namespace sluice::bench {

// False outside Valgrind: nothing is counted then.
bool start_counting();
// What was counted since is written to callgrind's output file, as the dump that `phase` names.
void stop_counting(const std::string& phase);

}  // namespace sluice::bench
