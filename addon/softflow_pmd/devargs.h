// Device arguments: wire=DRIVER:ARG=V:ARG=V with [literal] parts, vxlan_port=, ordered=, max_rules=.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::softflow {

struct DeviceArguments {
  std::string wire_name;       // device or ethdev
  std::string wire_arguments;  // comma-separated, as the wire's driver wants them
  uint16_t vxlan_port = 4789;
  bool ordered = false;
  uint32_t max_rules = 1u << 23;
};

// Empty on success, otherwise what is wrong, naming the argument. rte_kvargs is of no use here: up to 22.11
// it ends a key at every '='.
std::string parse_device_arguments(const std::string& text, DeviceArguments* out);

}  // namespace sluice::softflow
