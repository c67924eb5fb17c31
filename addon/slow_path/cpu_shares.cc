#include "slow_path/cpu_shares.h"

#include <rte_lcore.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace sluice {

// A thread of JavaScript's that the kernel moves to an lcore's CPU for a moment, its own being busy with
// something else, has the lcore stand still for a slice of time: milliseconds, in which hundreds of packets
// come.
void leave_lcores_alone(const cpu_set_t& before) {
  cpu_set_t lcores, rest;
  CPU_ZERO(&lcores);
  unsigned lcore;
  RTE_LCORE_FOREACH_WORKER(lcore) {
    const rte_cpuset_t own = rte_lcore_cpuset(lcore);
    CPU_OR(&lcores, &lcores, &own);
  }
  CPU_AND(&rest, &before, &lcores);
  CPU_XOR(&rest, &before, &rest);
  if (CPU_COUNT(&rest) == 0 || CPU_EQUAL(&rest, &before)) return;
  std::error_code error;
  for (std::filesystem::directory_iterator task("/proc/self/task", error), end; !error && task != end;
       task.increment(error)) {
    const pid_t thread = std::stoi(task->path().filename().string());
    cpu_set_t its;
    // One that is bound to a CPU already is an lcore, or somebody's who knows better.
    if (sched_getaffinity(thread, sizeof its, &its) == 0 && CPU_EQUAL(&its, &before))
      sched_setaffinity(thread, sizeof rest, &rest);
  }
}

}  // namespace sluice
