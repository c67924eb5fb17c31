// EAL, once a process, and what is found in its plug-ins.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct rte_flow;

namespace sluice {

// rte_eal_init. The process's threads, but for lcores, leave the lcores' CPUs to them where there are others.
// Throws NativeFault EAL.
void start_eal(const std::vector<std::string>& arguments);

// That the process may run on, or might before EAL started.
std::vector<uint32_t> process_cpus();

// Creates a virtual device. Throws NativeFault PORT.
void probe_device(const std::string& devargs);

// rte_eth_dev_info.driver_name of an ethdev. Throws NativeFault PORT.
std::string driver_of(const std::string& device);

// As rte_version() has it: "DPDK 22.11.11".
std::string dpdk_version();

// Injects the second into net_softflow's clock; nothing happens without that driver.
void set_softflow_clock(uint32_t seconds);
// rte_pmd_softflow_rules(); -ENOTSUP without the software NIC's driver.
int list_softflow_rules(uint16_t port_id, uint64_t* cursor, rte_flow** flows, void** contexts, uint32_t room);

}  // namespace sluice
