// Runs a rule's actions on a packet, in their order.
#pragma once

#include "flow_engine/flow_engine.h"
#include "flow_engine/rule_table.h"

namespace sluice {

struct ExecutionOptions {
  uint16_t vxlan_udp_port;
  bool shared;  // several lcores may run the same rule at once
};

// The group that the packet jumps to, which is never 0; or 0, and `verdict` says what becomes of it. (What is
// written field by field and returned whole would have to be waited for.)
uint32_t execute(const RuleTable& table, FlowRule* rule, const SharedOperands& shared,
                 const ExecutionOptions& options, ApplyScope scope, PacketContext& packet, Verdict* verdict);

}  // namespace sluice
