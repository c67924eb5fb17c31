// Rules as their NICs have them beside rules as this gateway thinks they are: told in portions, repaired one
// by one. What is told may be late by the time that JavaScript has compared it, so each repair looks again
// whether it is due.
#include <algorithm>
#include <cerrno>

#include "slow_path/eal.h"
#include "slow_path/slow_path.h"

namespace sluice {

bool SlowPath::list_installed(uint8_t port, uint64_t* cursor, uint32_t room,
                              std::vector<RuleHandle>* out) const {
  std::vector<rte_flow*> flows(room);
  std::vector<void*> contexts(room);
  const int count = list_softflow_rules(ports_[port].port_id, cursor, flows.data(), contexts.data(), room);
  for (int i = 0; i < count; i++) out->push_back({flows[i], contexts[i]});
  return count >= 0;
}

// Rules under way are left out: whether they are there is about to be told.
uint32_t SlowPath::list_own(uint8_t port, uint32_t row, uint32_t rows, std::vector<RuleHandle>* out) const {
  if (row == 0) flow_ports_[port]->constant_rules(out);
  const uint32_t end = std::min(row + rows, sessions_.capacity());
  for (; row < end; row++) {
    const SessionRef session = sessions_.at(row);
    if (session.row->generation == 0) continue;
    for (const FlowDirection direction : kBoth) {
      const NicDirection* nic = sessions_.nic(session, direction);
      if (nic == nullptr || nic->installing != 0 || ingress_of(*session.row, direction) != port) continue;
      out->push_back({nic->flow, context_of(row, session.row->generation, direction)});
    }
  }
  return end;
}

// A rule that no session and no constant rule accounts for. False: it is one's, or the driver keeps it.
bool SlowPath::destroy_stale(uint8_t port, const RuleHandle& rule) {
  FlowPort& flow_port = *flow_ports_[port];
  if (flow_port.is_constant(rule.flow)) return false;
  const SessionRef session = session_of(rule.context);
  if (session && ingress_of(*session.row, session.direction) == port) {
    const NicDirection* nic = sessions_.nic(session, session.direction);
    if (nic != nullptr && nic->flow == rule.flow) return false;
  }
  return flow_port.destroy_foreign(rule.flow);
}

// A rule that the NIC has lost: a constant one is made anew, a session's direction goes on in software.
// False: it is another's by now, or cannot be made.
bool SlowPath::forget_missing(uint8_t port, const RuleHandle& rule) {
  FlowPort& flow_port = *flow_ports_[port];
  if (rule.context == nullptr) return flow_port.remake_constant(rule.flow);
  const SessionRef session = session_of(rule.context);
  if (!session || ingress_of(*session.row, session.direction) != port) return false;
  NicDirection* nic = sessions_.nic(session, session.direction);
  if (nic == nullptr || nic->flow != rule.flow || nic->installing != 0) return false;
  nic->flow = nullptr;
  flow_port.lose();
  path_of(*session.row, session.direction) = static_cast<uint8_t>(RulePath::kSoftware);
  return true;
}

}  // namespace sluice
