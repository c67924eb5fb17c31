#include "flow_engine/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace sluice {
namespace {

constexpr char kGroups[] = "/sys/fs/cgroup";
constexpr char kOfVersion2[] = "0::/";  // how its line begins (cgroups(7))

// The group of the process as a path below kGroups: "/a/b", or "" for the root.
std::string group_of_process() {
  std::ifstream lines("/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kOfVersion2)) return line == kOfVersion2 ? "" : line.substr(sizeof kOfVersion2 - 2);
  }
  return "";
}

uint64_t limit_of_group(std::string group) {
  uint64_t least = UINT64_MAX;
  for (;;) {
    uint64_t bytes;
    // The root has none, and "max" is no number.
    if (std::ifstream(kGroups + group + "/memory.max") >> bytes) least = std::min(least, bytes);
    const size_t parent = group.rfind('/');
    if (parent == std::string::npos) return least;
    group.resize(parent);
  }
}

uint64_t least_limit() {
  const uint64_t machine =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return std::min(machine, limit_of_group(group_of_process()));
}

}  // namespace

uint64_t memory_limit() {
  static const uint64_t bytes = least_limit();
  return bytes;
}

}  // namespace sluice
