// A port that has to be reset: what was installed in its NIC is forgotten on one side, and made anew on the
// other.
#include "slow_path/slow_path.h"

namespace sluice {

// Hits since the rules were last asked are lost with them: a NIC in this state answers nothing, and waiting
// for it rule by rule would keep the other ports.
std::vector<void*> SlowPath::close_port(uint8_t port) {
  complete_installations();
  GatewayPort& gateway_port = ports_[port];
  discard_waiting(gateway_port, 0, DropReason::kQueueFull);
  gateway_port.down = true;
  std::vector<void*> lost;
  for (uint32_t row = 0; row < sessions_.capacity(); row++) {
    const SessionRef session = sessions_.at(row);
    if (session.row->generation == 0) continue;
    for (const FlowDirection direction : kBoth) {
      NicDirection* nic = sessions_.nic(session, direction);
      if (nic == nullptr || ingress_of(*session.row, direction) != port) continue;
      if (nic_templates_[nic->made_from].made.second != nullptr)
        second_halves_.erase(joining_tag(session, direction, nic->made_from));
      if (nic->replaces) replaced_.erase(RuleTag::pack(row, direction));
      *nic = NicDirection{};
      path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kSoftware);
      lost.push_back(context_of(row, session.row->generation, direction));
    }
  }
  flow_ports_[port]->close();
  for (NicTemplate& nic : nic_templates_) {
    if (nic.port == port) nic.made.table = nullptr;
  }
  return lost;
}

void SlowPath::reopen_port(uint8_t port, const GatewayPort& opened) {
  flow_ports_[port]->reopen(opened.queued_rules);
  for (NicTemplate& nic : nic_templates_) {
    if (nic.port == port) flow_ports_[port]->remake_table(nic.made, nic.source);
  }
  GatewayPort& own = ports_[port];
  own.queued_rules = opened.queued_rules;
  own.receive_queues = opened.receive_queues;
  own.transmit_queues = opened.transmit_queues;
  own.receive_queue = opened.receive_queue;
  own.transmit_queue = opened.transmit_queue;
  own.transmit_lock = opened.transmit_lock;
  own.down = false;
}

}  // namespace sluice
