// Which CPUs are whose: an lcore's is its own, all other threads share the rest.
#pragma once

#include <sched.h>

namespace sluice {

// Keeps the process's threads that run on all of `before`, and those that they will start, from the CPUs of
// EAL's workers. Where no other CPU is left, nothing changes.
void leave_lcores_alone(const cpu_set_t& before);

}  // namespace sluice
