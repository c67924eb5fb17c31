#include "slow_path/eal.h"

#include <dlfcn.h>
#include <pthread.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_version.h>
#include <unistd.h>

#include "slow_path/cpu_shares.h"
#include "slow_path/dpdk_log.h"
#include "slow_path/memory_wire.h"
#include "slow_path/native_fault.h"

namespace sluice {
namespace {

using ClockSet = int (*)(uint32_t seconds);
using Rules = int (*)(uint16_t port_id, uint64_t* cursor, rte_flow** flows, void** contexts, uint32_t room);
ClockSet g_softflow_clock_set = nullptr;
struct {
  cpu_set_t set = {};
  bool known = false;
} g_affinity;  // before EAL started
Rules g_softflow_rules = nullptr;

// EAL opens plug-ins without making their symbols global.
void* find_symbol(const std::vector<std::string>& arguments, const char* name) {
  for (size_t i = 0; i + 1 < arguments.size(); i++) {
    if (arguments[i] != "-d") continue;
    void* library = dlopen(arguments[i + 1].c_str(), RTLD_NOW | RTLD_NOLOAD);
    void* symbol = library == nullptr ? nullptr : dlsym(library, name);
    if (symbol != nullptr) return symbol;
  }
  return dlsym(RTLD_DEFAULT, name);
}

}  // namespace

void start_eal(const std::vector<std::string>& arguments) {
  static bool started = false;
  if (started) throw NativeFault("EAL", "EAL is already initialised in this process", EALREADY);
  // EAL keeps pointers to its arguments and reorders them.
  static auto* kept = new std::vector<std::string>(arguments);
  static auto* argv = new std::vector<char*>;
  for (std::string& argument : *kept) argv->push_back(argument.data());
  argv->push_back(nullptr);

  send_dpdk_log_to_stderr();
  KeptLog kept_log;
  cpu_set_t& affinity = g_affinity.set;
  const bool known = g_affinity.known =
      pthread_getaffinity_np(pthread_self(), sizeof affinity, &affinity) == 0;
  const int parsed = rte_eal_init(static_cast<int>(kept->size()), argv->data());
  const int error = rte_errno;
  // EAL pins the calling thread, and children inherit that: undo it.
  if (known) pthread_setaffinity_np(pthread_self(), sizeof affinity, &affinity);
  started = true;  // a second attempt is refused by EAL whatever came of the first
  if (parsed < 0)
    throw NativeFault("EAL", "DPDK does not start: " + kept_log.cause(rte_strerror(error)), error);
  if (known) leave_lcores_alone(affinity);
  // EAL makes this folder even when it will keep nothing in it (--no-shconf); one that is in use is not
  // empty.
  rmdir(rte_eal_get_runtime_dir());
  g_softflow_clock_set = reinterpret_cast<ClockSet>(find_symbol(arguments, "rte_pmd_softflow_clock_set"));
  g_softflow_rules = reinterpret_cast<Rules>(find_symbol(arguments, "rte_pmd_softflow_rules"));
}

std::vector<uint32_t> process_cpus() {
  cpu_set_t set = g_affinity.set;
  std::vector<uint32_t> cpus;
  if (!g_affinity.known && pthread_getaffinity_np(pthread_self(), sizeof set, &set) != 0) return cpus;
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void probe_device(const std::string& devargs) {
  KeptLog kept_log;
  int result = rte_dev_probe(devargs.c_str());
  uint16_t port_id = 0;
  // EAL takes a driver's -EEXIST for a device that is there already.
  if (result == 0)
    result = rte_eth_dev_get_port_by_name(devargs.substr(0, devargs.find(',')).c_str(), &port_id);
  if (result < 0) {
    throw NativeFault("PORT", "cannot open " + devargs + ": " + kept_log.cause(rte_strerror(-result)),
                      -result);
  }
  note_wire_of(devargs);
}

std::string driver_of(const std::string& device) {
  uint16_t port_id = 0;
  rte_eth_dev_info info = {};
  int result = rte_eth_dev_get_port_by_name(device.c_str(), &port_id);
  if (result == 0) result = rte_eth_dev_info_get(port_id, &info);
  if (result < 0) throw NativeFault("PORT", "no ethdev " + device, -result);
  return info.driver_name == nullptr ? "" : info.driver_name;
}

std::string dpdk_version() { return rte_version(); }

int list_softflow_rules(uint16_t port_id, uint64_t* cursor, rte_flow** flows, void** contexts,
                        uint32_t room) {
  return g_softflow_rules == nullptr ? -ENOTSUP : g_softflow_rules(port_id, cursor, flows, contexts, room);
}

void set_softflow_clock(uint32_t seconds) {
  if (g_softflow_clock_set != nullptr) g_softflow_clock_set(seconds);
}

}  // namespace sluice
