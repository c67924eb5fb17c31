// Runs a rule's actions on a packet, in their order.
#pragma once

#include "flow_engine/flow_engine.h"
#include "flow_engine/rule_table.h"

namespace sluice {

struct ExecutionOptions {
  uint16_t vxlan_udp_port;
  bool shared;  // several lcores may run the same rule at once
};

struct Execution {
  Verdict verdict;
  bool jumps = false;
  uint32_t group = 0;
};

Execution execute(const RuleTable& table, FlowRule* rule, const SharedOperands& shared,
                  const ExecutionOptions& options, ApplyScope scope, PacketContext& packet);

}  // namespace sluice
