// Rules of a session in the software table and in the NICs: in, out, counted.
#include <cerrno>

#include "slow_path/debug_assert.h"
#include "slow_path/slow_path.h"

namespace sluice {

FlowRule* SlowPath::software_rule(const SessionRef& session, uint8_t direction) const {
  const uint32_t rule = software_rule_of(*session.row, direction);
  if (rule == 0) return nullptr;
  return FlowEngine::rule(software_templates_[software_template_of(*session.row, direction)].table, rule);
}

// What frames have in front of the innermost IPv4 packet as they arrive.
uint32_t SlowPath::overhead_of(uint8_t port_index) const {
  const GatewayPort& port = ports_[port_index];
  const uint32_t tag = port.options.vlan >= 0 ? kVlanBytes : 0;
  return kEthernetBytes + tag + (port.is_fabric() ? kVxlanStackBytes : 0);
}

SessionEvent SlowPath::event_of(const SessionRef& session, EventType type) const {
  SessionEvent event = {};
  event.type = static_cast<uint8_t>(type);
  event.tcp_state = session.row->tcp_state;
  event.row = session.index;
  event.generation = session.row->generation;
  event.seconds = whole_seconds(now_);
  event.nanoseconds = second_fraction(now_);
  return event;
}

SessionEvent SlowPath::counted_event_of(const SessionRef& session, EventType type) const {
  const SessionCounters& counters = sessions_.counters(session.index);
  SessionEvent event = event_of(session, type);
  event.forward_packets = counters.forward_packets;
  event.forward_bytes = counters.forward_bytes;
  event.reverse_packets = counters.reverse_packets;
  event.reverse_bytes = counters.reverse_bytes;
  return event;
}

void SlowPath::push_install_failed(uint32_t row, uint32_t generation, uint8_t direction, int error,
                                   int rte_type) {
  SessionEvent event = {};
  event.type = static_cast<uint8_t>(EventType::kInstallFailed);
  event.direction = direction;
  event.rte_type = static_cast<uint8_t>(rte_type);
  event.row = row;
  event.generation = generation;
  event.error = error;
  event.seconds = whole_seconds(now_);
  event.nanoseconds = second_fraction(now_);
  events_.push(event, EventPriority::kCompletion);
}

// Puts a session's rules into the software table. False: it has none, and TypeScript is told.
bool SlowPath::install_software(const SessionRef& session, const Decision& decision) {
  for (const FlowDirection direction : kBoth) {
    const uint16_t id =
        direction == kForward ? decision.software_forward_template : decision.software_reverse_template;
    if (id == kNoTemplate) continue;
    rte_flow_error error = {};
    FlowRule* rule = software_templates_[id].stage(engine_, arguments_of(decision, direction), &error);
    if (rule != nullptr) {
      int code = 0;
      FlowEngine::set_tag(rule, RuleTag::pack(decision.row, direction));
      software_template_of(*session.row, direction) = id;
      engine_.commit_rows(&software_templates_[id].table, &rule, 1, whole_seconds(now_), &code);
      if (code == 0) {
        software_rule_of(*session.row, direction) = FlowEngine::row(rule);
        continue;
      }
      engine_.destroy(software_templates_[id].table, rule);
      error.type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
    }
    destroy_software(session);
    refuse_session(decision, -ENOSPC, static_cast<int>(error.type));
    return false;
  }
  return true;
}

void SlowPath::destroy_software(const SessionRef& session) {
  RuleTable* tables[2];
  FlowRule* rules[2];
  engine_.destroy(tables, rules, take_software_rules(session, tables, rules));
}

// What destroys them is up to the caller. How many there are.
size_t SlowPath::take_software_rules(const SessionRef& session, RuleTable** tables, FlowRule** rules) {
  size_t count = 0;
  for (const FlowDirection direction : kBoth) {
    uint32_t& row = software_rule_of(*session.row, direction);
    if (row == 0) continue;
    tables[count] = software_templates_[software_template_of(*session.row, direction)].table;
    rules[count] = FlowEngine::rule(tables[count], row);
    count++;
    row = 0;
  }
  return count;
}

// Makes the rules of a session anew: its way has changed, its tuple, state and counters go on. No packet
// comes between the software rules; a NIC's rule serves until the one in its place is there.
void SlowPath::update_session(const SessionRef& session, const Decision& decision) {
  const auto known = [this](uint16_t id) { return id == kNoTemplate || id < software_templates_.size(); };
  const bool valid = known(decision.software_forward_template) && known(decision.software_reverse_template);
  DEBUG_ASSERT(valid);
  if (!valid) return;
  destroy_software(session);
  if (!install_software(session, decision)) {
    unoffload(session);
    sessions_.free_row(*session.row);
    return;
  }
  for (const FlowDirection direction : kBoth) replace_direction(session, decision, direction);
}

// Make before break: the new rule stands beside the old one, above or below it, and the old one goes when the
// NIC has said that the new one is there. Where there is no room beside it the old one goes first, and
// software serves what comes between.
void SlowPath::replace_direction(const SessionRef& session, const Decision& decision,
                                 FlowDirection direction) {
  const uint16_t id = direction == kForward ? decision.nic_forward_template : decision.nic_reverse_template;
  NicDirection* nic = sessions_.nic(session, direction);
  if (nic != nullptr && id < nic_templates_.size()) {
    take_out_replaced(session, direction, nic);
    const NicRule old = *nic;
    const uint16_t beside = template_beside(id, old.made_from);
    FlowFailure failure;
    if (beside != kNoTemplate &&
        install_nic(session, decision, direction, nic, beside, &failure) != FlowPort::Installation::kFailed) {
      replaced_[RuleTag::pack(session.index, direction)] = old;
      nic->replaces = true;
      if (static_cast<RulePath>(path_of(*session.row, direction)) == RulePath::kOffloaded)
        take_out_replaced(session, direction, nic);
      return;
    }
    static_cast<NicRule&>(*nic) = old;
  }
  take_out(session, direction, nic);
  offload_direction(session, decision, direction);
}

// The template, or its like of the next lower precedence: whichever is not in the place of the other one.
// None: the NIC has no such place.
uint16_t SlowPath::template_beside(uint16_t id, uint16_t other) {
  const auto attr = [this](uint16_t of) -> const rte_flow_attr& {
    return nic_templates_[of].made.rule->attr();
  };
  if (attr(id).group != attr(other).group || attr(id).priority != attr(other).priority) return id;
  if (nic_templates_[id].twin == kNoTemplate && !nic_templates_[id].twin_refused) {
    TemplateSource source = nic_templates_[id].source;
    source.priority++;
    for (TemplateSource& second : source.second) second.priority++;
    try {
      const auto twin = static_cast<uint16_t>(register_nic(nic_templates_[id].port, source));
      nic_templates_[id].twin = twin;
      nic_templates_[twin].is_twin = true;
    } catch (const NativeFault&) {
      nic_templates_[id].twin_refused = true;
    }
  }
  return nic_templates_[id].twin;
}

// How a session stands that has lived elsewhere, on the gateway that this one mirrors.
void SlowPath::restate(SessionRow& row, const Decision& decision) {
  const bool valid = decision.tcp_state < kTcpStateCount;
  DEBUG_ASSERT(valid);
  if (!valid) return;
  row.tcp_state = decision.tcp_state;
  row.created_seconds = decision.created_seconds;
  row.last_forward_seconds = decision.last_forward_seconds;
  row.last_reverse_seconds = decision.last_reverse_seconds;
  row.state_since_seconds = decision.state_since_seconds;
}

void SlowPath::offload(const SessionRef& session, const Decision& decision) {
  for (const FlowDirection direction : kBoth) offload_direction(session, decision, direction);
}

void SlowPath::offload_direction(const SessionRef& session, const Decision& decision,
                                 FlowDirection direction) {
  const uint16_t id = direction == kForward ? decision.nic_forward_template : decision.nic_reverse_template;
  if (id == kNoTemplate) return;
  const bool valid =
      id < nic_templates_.size() && nic_templates_[id].port == ingress_of(*session.row, direction);
  DEBUG_ASSERT(valid);
  if (!valid) return;
  FlowFailure failure;
  NicRules* rules = sessions_.take_nic_rules(*session.row);
  if (rules == nullptr) {
    failure.error = -ENOMEM;
    failure.rte_type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
    return installation_failed(session, direction, failure);
  }
  NicDirection* nic = &rules->direction[direction];
  if (nic->flow == nullptr &&
      install_nic(session, decision, direction, nic, id, &failure) == FlowPort::Installation::kFailed)
    installation_failed(session, direction, failure);
}

// A rule and the one that replaces it are never both twins, or neither: their halves are not mixed up.
uint32_t SlowPath::joining_tag(const SessionRef& session, FlowDirection direction, uint16_t id) const {
  return (options_.first_row + session.index) << 2 | uint32_t{direction} << 1 | uint32_t{nic_templates_[id].is_twin};
}

// Begins or does an installation and notes it in the session. Failed: it has no rule of this direction.
FlowPort::Installation SlowPath::install_nic(const SessionRef& session, const Decision& decision,
                                             FlowDirection direction, NicDirection* nic, uint16_t id,
                                             FlowFailure* failure) {
  FlowPort& port = *flow_ports_[nic_templates_[id].port];
  PortTemplate& made = nic_templates_[id].made;
  FlowArguments arguments = arguments_of(decision, direction);
  nic->made_from = id;
  nic->counted = Traffic{};
  // What the first half sends on finds the second one there.
  if (made.second != nullptr) {
    arguments.rule_tag = joining_tag(session, direction, id);
    rte_flow* second = port.install_second(made, arguments, failure);
    if (second == nullptr) {
      nic->flow = nullptr;
      return FlowPort::Installation::kFailed;
    }
    second_halves_[arguments.rule_tag] = second;
  }
  const auto result = port.install(made, arguments, context_of(session.index, decision.generation, direction),
                                   &nic->flow, failure);
  if (result == FlowPort::Installation::kFailed && made.second != nullptr) {
    port.destroy_second(second_halves_.at(arguments.rule_tag));
    second_halves_.erase(arguments.rule_tag);
  }
  if (result == FlowPort::Installation::kDone) {
    nic_inserts_++;
    path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kOffloaded);
  } else if (result == FlowPort::Installation::kUnderWay) {
    path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kPending);
    nic->installing++;
  }
  return result;
}

void SlowPath::installation_failed(const SessionRef& session, FlowDirection direction,
                                   const FlowFailure& failure) {
  path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kFailed);
  session.row->nic_error = static_cast<uint16_t>(-failure.error);
  push_install_failed(session.index, session.row->generation, direction, failure.error, failure.rte_type);
}

// Installations that the NICs have ended. That of a session which is gone was destroyed with it; of one that
// was made anew only the last is the rule it has, and those that it replaced go: before the next packet.
void SlowPath::complete_installations() {
  for (const auto& port : flow_ports_) {
    bool replaced = true;
    while (replaced) {
      replaced = false;
      port->complete([&](void* context, bool failed) {
        replaced |= complete_installation(session_of(context), failed);
      });
    }
  }
}

// Whether a rule that the completed one replaces has been given to the NIC to be destroyed.
bool SlowPath::complete_installation(const SessionRef& session, bool failed) {
  if (!session) return false;
  const auto direction = static_cast<FlowDirection>(session.direction);
  NicRules* rules = sessions_.nic_rules(*session.row);
  if (rules == nullptr) return false;
  NicDirection& nic = rules->direction[direction];
  if (nic.installing == 0 || --nic.installing > 0 || nic.flow == nullptr) return false;
  const bool replaces = nic.replaces;
  take_out_replaced(session, direction, &nic);
  if (!failed) {
    nic_inserts_++;
    path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kOffloaded);
    return replaces;
  }
  flow_ports_[nic_templates_[nic.made_from].port]->destroy(nic_templates_[nic.made_from].made, nic.flow);
  nic.flow = nullptr;
  FlowFailure failure;
  failure.error = -EIO;  // a completion says no more
  failure.rte_type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
  installation_failed(session, direction, failure);
  return true;
}

// Adds what the NIC has counted since it was last asked, and refreshes the row's last hit.
void SlowPath::count_rule(const SessionRef& session, FlowDirection direction, NicRule* asked) {
  const uint8_t ingress = nic_templates_[asked->made_from].port;
  const RuleTemplate& rule = *nic_templates_[asked->made_from].made.rule;
  const FlowHits hits = flow_ports_[ingress]->query(asked->flow, rule, asked->counted.packets);
  if (hits.packets == asked->counted.packets) return;
  if (hits.idle_known) {
    const uint32_t now = whole_seconds(now_);
    const uint32_t last = now > hits.idle_seconds ? now - hits.idle_seconds : 0;
    uint32_t& seconds =
        direction == kForward ? session.row->last_forward_seconds : session.row->last_reverse_seconds;
    if (seconds < last) seconds = last;
  }
  const uint64_t overhead = hits.packets * rule.counted_overhead(overhead_of(ingress));
  const Traffic counted = {hits.packets, hits.bytes > overhead ? hits.bytes - overhead : 0};
  // A NIC that counts anew has forgotten what it told before.
  const auto since = [](uint64_t now, uint64_t before) { return now < before ? now : now - before; };
  add_traffic(sessions_.counters(session.index), direction,
              {since(counted.packets, asked->counted.packets), since(counted.bytes, asked->counted.bytes)});
  asked->counted = counted;
}

void SlowPath::refresh_counters(const SessionRef& session) {
  NicRules* rules = sessions_.nic_rules(*session.row);
  if (rules == nullptr) return;
  for (const FlowDirection direction : kBoth) {
    NicDirection* nic = &rules->direction[direction];
    if (nic->flow == nullptr) continue;
    count_rule(session, direction, nic);
    if (nic->replaces) count_rule(session, direction, &replaced_.at(RuleTag::pack(session.index, direction)));
  }
}

// Of the sessions in so many rows from `first` on, side by side: one alone waits for five cache lines, one
// after the other.
void SlowPath::refresh_rows(uint32_t first, uint32_t count) {
  if (first >= sessions_.capacity()) return;
  count = std::min({count, kMostRefreshed, sessions_.capacity() - first});
  const auto each = [&](auto&& visit) {
    for (uint32_t row = first; row < first + count; row++) {
      const SessionRef session = sessions_.at(row);
      if (session.row->generation != 0) visit(session);
    }
  };
  for (uint32_t row = first; row < first + count; row++) sessions_.prefetch(row);
  each([this](const SessionRef& session) { sessions_.prefetch_nic_rules(*session.row); });
  each([this](const SessionRef& session) {
    for (const FlowDirection direction : kBoth) {
      const NicDirection* nic = sessions_.nic(session, direction);
      if (nic != nullptr) rte_prefetch0(nic->flow);
    }
  });
  each([this](const SessionRef& session) { refresh_counters(session); });
}

void SlowPath::unoffload(const SessionRef& session) {
  NicRules* rules = sessions_.nic_rules(*session.row);
  for (const FlowDirection direction : kBoth)
    take_out(session, direction, rules == nullptr ? nullptr : &rules->direction[direction]);
}

// Takes a direction's rules out of the NIC; software serves it. `nic` may be null.
void SlowPath::take_out(const SessionRef& session, FlowDirection direction, NicDirection* nic) {
  if (nic != nullptr && nic->flow != nullptr) {
    take_out_replaced(session, direction, nic);
    // Just before it goes: no interface tells a rule's counters after its destruction.
    count_rule(session, direction, nic);
    destroy_nic(session, direction, *nic);
    nic->flow = nullptr;
  }
  // One that the NIC refused is in software already, and why is still to be told.
  uint8_t& path = path_of(*session.row, direction);
  if (path != static_cast<uint8_t>(RulePath::kFailed)) path = static_cast<uint8_t>(RulePath::kSoftware);
}

// Takes out the rule that a newer one replaces, if there is one.
void SlowPath::take_out_replaced(const SessionRef& session, FlowDirection direction, NicDirection* nic) {
  if (!nic->replaces) return;
  nic->replaces = false;
  const auto old = replaced_.find(RuleTag::pack(session.index, direction));
  count_rule(session, direction, &old->second);
  destroy_nic(session, direction, old->second);
  replaced_.erase(old);
}

void SlowPath::destroy_nic(const SessionRef& session, FlowDirection direction, const NicRule& rule) {
  FlowPort& port = *flow_ports_[nic_templates_[rule.made_from].port];
  port.destroy(nic_templates_[rule.made_from].made, rule.flow);
  if (nic_templates_[rule.made_from].made.second == nullptr) return;
  const auto second = second_halves_.find(joining_tag(session, direction, rule.made_from));
  port.destroy_second(second->second);
  second_halves_.erase(second);
}

void SlowPath::query_session(const SessionRef& session) {
  refresh_counters(session);
  events_.push(counted_event_of(session, EventType::kQueried), EventPriority::kCompletion);
}

}  // namespace sluice
