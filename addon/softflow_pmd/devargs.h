// Device arguments: wire=DRIVER:ARG=V:ARG=V with [literal] parts, vxlan_port=, ordered=, and what makes the
// device as limited, faulty or slow as a NIC may be: profile=, max_rules=, fail_every=, insert_latency=.
#pragma once

#include <cstdint>
#include <string>

#include "softflow_pmd/profile.h"

namespace sluice::softflow {

struct DeviceArguments {
  std::string wire_name;       // device or ethdev
  std::string wire_arguments;  // comma-separated, as the wire's driver wants them
  uint16_t vxlan_port = 4789;
  bool ordered = false;
  uint32_t max_rules = 1u << 23;
  uint32_t fail_every = 0;         // each so manieth creation of a rule fails with ENOSPC; 0: none
  uint32_t insert_latency_us = 0;  // until a creation is known to be done
  const Profile* profile = nullptr;  // the NIC whose refusals are ours too
};

// Empty on success, otherwise what is wrong, naming the argument. rte_kvargs is of no use here: up to 22.11
// it ends a key at every '='.
std::string parse_device_arguments(const std::string& text, DeviceArguments* out);

}  // namespace sluice::softflow
