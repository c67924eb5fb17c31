// The one error type of the addon's API side: what NativeError is in TypeScript. Never thrown on the packet
// path.
#pragma once

#include <stdexcept>
#include <string>

namespace sluice {

struct NativeFault : std::runtime_error {
  NativeFault(std::string error_code, const std::string& message, int error_number = 0)
      : std::runtime_error(message), code(std::move(error_code)), error(error_number) {}

  std::string code;      // EAL, PORT, TEMPLATE, RULE, MEMORY, CAPTURE_OPEN, CAPTURE_FORMAT, STATE, ARGUMENT
  int error = 0;         // positive errno, 0 = none
  int rte_type = -1;     // enum rte_flow_error_type, -1 = none
  int cause_index = -1;  // pattern item or action at fault, -1 = unknown
};

}  // namespace sluice
