// Rules of a session in the software table and in the NICs: in, out, counted.
#include <cerrno>

#include "slow_path/debug_assert.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

uint8_t& path_of(SessionRow& row, FlowDirection direction) {
  return direction == kForward ? row.forward_path : row.reverse_path;
}

}  // namespace

uint8_t SlowPath::ingress_of(const SessionRow& row, uint8_t direction) const {
  return direction == kForward ? row.forward_port : row.reverse_port;
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
    int code = 0;
    if (rule != nullptr) engine_.commit_rows(&rule, 1, whole_seconds(now_), &code);
    if (rule != nullptr && code != 0) {
      engine_.destroy(rule);
      rule = nullptr;
      error.type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
    }
    if (rule != nullptr) {
      FlowEngine::set_tag(rule, RuleTag::pack(decision.row, direction));
      session.state->direction[direction].software_rule = rule;
      continue;
    }
    destroy_software(session);
    *session.state = SessionState{};
    refuse_session(decision, -ENOSPC, static_cast<int>(error.type));
    return false;
  }
  return true;
}

void SlowPath::destroy_software(const SessionRef& session) {
  for (const FlowDirection direction : kBoth) {
    SessionDirection& state = session.state->direction[direction];
    if (state.software_rule == nullptr) continue;
    engine_.destroy(state.software_rule);
    state.software_rule = nullptr;
  }
}

// Makes the rules of a session anew: its way has changed, its tuple, state and counters go on. No packet
// comes between the software rules; a NIC's rule serves until the one in its place is there.
void SlowPath::update_session(const SessionRef& session, const Decision& decision) {
  const auto known = [this](uint16_t id) { return id == kNoTemplate || id < software_templates_.size(); };
  const bool valid = known(decision.software_forward_template) && known(decision.software_reverse_template);
  DEBUG_ASSERT(valid);
  if (!valid) return;
  Traffic before[2];
  for (const FlowDirection direction : kBoth)
    before[direction] = software_traffic(session.state->direction[direction]);
  SessionState kept = *session.state;
  destroy_software(session);
  if (!install_software(session, decision)) {
    *session.state = kept;
    for (const FlowDirection direction : kBoth) session.state->direction[direction].software_rule = nullptr;
    unoffload(session);
    *session.state = SessionState{};
    session.row->generation = 0;
    return;
  }
  for (const FlowDirection direction : kBoth) {
    FlowRule* rule = session.state->direction[direction].software_rule;
    if (rule != nullptr) FlowEngine::count(rule, before[direction].packets, before[direction].bytes);
    replace_direction(session, decision, direction);
  }
}

// Make before break: the new rule stands beside the old one, above or below it, and the old one goes when the
// NIC has said that the new one is there. Where there is no room beside it the old one goes first, and
// software serves what comes between.
void SlowPath::replace_direction(const SessionRef& session, const Decision& decision,
                                 FlowDirection direction) {
  const uint16_t id = direction == kForward ? decision.nic_forward_template : decision.nic_reverse_template;
  SessionDirection& state = session.state->direction[direction];
  uint8_t& path = path_of(*session.row, direction);
  if (state.nic_rule != nullptr && id < nic_templates_.size()) {
    take_out_replaced(session, direction);
    const SessionDirection old = state;
    const uint16_t beside = template_beside(id, old.nic_template);
    FlowFailure failure;
    if (beside != kNoTemplate &&
        install_nic(session, decision, direction, beside, &failure) != FlowPort::Installation::kFailed) {
      replaced_[RuleTag::pack(session.index, direction)] = {old.nic_rule, old.nic_hits_seen,
                                                            old.nic_template};
      state.replaces = true;
      if (static_cast<RulePath>(path) == RulePath::kOffloaded) take_out_replaced(session, direction);
      return;
    }
    state.nic_rule = old.nic_rule;
    state.nic_template = old.nic_template;
    state.nic_hits_seen = old.nic_hits_seen;
  }
  take_out(session, direction);
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
  const uint8_t ingress = ingress_of(*session.row, direction);
  const bool valid = id < nic_templates_.size() && nic_templates_[id].port == ingress;
  DEBUG_ASSERT(valid);
  SessionDirection& state = session.state->direction[direction];
  if (!valid || state.nic_rule != nullptr) return;
  FlowFailure failure;
  if (install_nic(session, decision, direction, id, &failure) == FlowPort::Installation::kFailed)
    installation_failed(session, direction, failure);
}

// A rule and the one that replaces it are never both twins, or neither: their halves are not mixed up.
uint32_t SlowPath::joining_tag(const SessionRef& session, FlowDirection direction, uint16_t id) const {
  return (options_.first_row + session.index) << 2 | uint32_t{direction} << 1 | uint32_t{nic_templates_[id].is_twin};
}

// Begins or does an installation and notes it in row and state. Failed: the state's rule is none.
FlowPort::Installation SlowPath::install_nic(const SessionRef& session, const Decision& decision,
                                             FlowDirection direction, uint16_t id, FlowFailure* failure) {
  SessionDirection& state = session.state->direction[direction];
  FlowPort& port = *flow_ports_[nic_templates_[id].port];
  PortTemplate& made = nic_templates_[id].made;
  FlowArguments arguments = arguments_of(decision, direction);
  state.nic_template = id;
  state.nic_hits_seen = 0;
  // What the first half sends on finds the second one there.
  if (made.second != nullptr) {
    arguments.rule_tag = joining_tag(session, direction, id);
    rte_flow* second = port.install_second(made, arguments, failure);
    if (second == nullptr) {
      state.nic_rule = nullptr;
      return FlowPort::Installation::kFailed;
    }
    second_halves_[arguments.rule_tag] = second;
  }
  const auto result = port.install(made, arguments, context_of(session.index, decision.generation, direction),
                                   &state.nic_rule, failure);
  if (result == FlowPort::Installation::kFailed && made.second != nullptr) {
    port.destroy_second(second_halves_.at(arguments.rule_tag));
    second_halves_.erase(arguments.rule_tag);
  }
  if (result == FlowPort::Installation::kDone) {
    nic_inserts_++;
    path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kOffloaded);
  } else if (result == FlowPort::Installation::kUnderWay) {
    path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kPending);
    state.installing++;
  }
  return result;
}

void SlowPath::installation_failed(const SessionRef& session, FlowDirection direction,
                                   const FlowFailure& failure) {
  path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kFailed);
  session.row->nic_error = -failure.error;
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
  SessionDirection& state = session.state->direction[direction];
  if (state.installing == 0 || --state.installing > 0 || state.nic_rule == nullptr) return false;
  const bool replaces = take_out_replaced(session, direction);
  if (!failed) {
    nic_inserts_++;
    path_of(*session.row, direction) = static_cast<uint8_t>(RulePath::kOffloaded);
    return replaces;
  }
  flow_ports_[nic_templates_[state.nic_template].port]->destroy(nic_templates_[state.nic_template].made,
                                                                state.nic_rule);
  state.nic_rule = nullptr;
  FlowFailure failure;
  failure.error = -EIO;  // a completion says no more
  failure.rte_type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
  installation_failed(session, direction, failure);
  return true;
}

// What the NIC counted since the rules were made.
Traffic SlowPath::nic_traffic(const SessionRef& session, FlowDirection direction) {
  SessionDirection& state = session.state->direction[direction];
  if (state.nic_rule == nullptr) return {};
  Traffic traffic = traffic_of(session, direction, state.nic_rule, state.nic_template, &state.nic_hits_seen);
  if (state.replaces) {
    ReplacedRule& old = replaced_.at(RuleTag::pack(session.index, direction));
    traffic += traffic_of(session, direction, old.flow, old.nic_template, &old.hits_seen);
  }
  return traffic;
}

// Of one rule. Refreshes the row's last hit, if there was one since it was last asked.
Traffic SlowPath::traffic_of(const SessionRef& session, FlowDirection direction, rte_flow* flow, uint16_t id,
                             uint64_t* hits_seen) {
  const uint8_t ingress = nic_templates_[id].port;
  const RuleTemplate& rule = *nic_templates_[id].made.rule;
  const FlowHits hits = flow_ports_[ingress]->query(flow, rule, *hits_seen);
  if (hits.idle_known && hits.packets != *hits_seen) {
    const uint32_t now = whole_seconds(now_);
    const uint32_t last = now > hits.idle_seconds ? now - hits.idle_seconds : 0;
    uint32_t& seconds =
        direction == kForward ? session.row->last_forward_seconds : session.row->last_reverse_seconds;
    if (seconds < last) seconds = last;
  }
  *hits_seen = hits.packets;
  const uint64_t overhead = hits.packets * rule.counted_overhead(overhead_of(ingress));
  return {hits.packets, hits.bytes > overhead ? hits.bytes - overhead : 0};
}

// What was translated in software, and by NIC rules that are gone.
Traffic SlowPath::software_traffic(const SessionDirection& state) const {
  if (state.software_rule == nullptr) return {};
  const RuleCounters counters = engine_.counters(state.software_rule);
  return {counters.packets, counters.bytes};
}

void SlowPath::refresh_counters(const SessionRef& session) {
  SessionCounters& counters = sessions_.counters(session.index);
  Traffic total[2];
  for (const FlowDirection direction : kBoth) {
    const SessionDirection& state = session.state->direction[direction];
    total[direction] = software_traffic(state);
    total[direction] += nic_traffic(session, direction);
  }
  counters.forward_packets = static_cast<double>(total[kForward].packets);
  counters.forward_bytes = static_cast<double>(total[kForward].bytes);
  counters.reverse_packets = static_cast<double>(total[kReverse].packets);
  counters.reverse_bytes = static_cast<double>(total[kReverse].bytes);
}

// Of the sessions in so many rows from `first` on, side by side: one alone waits for five cache lines, one
// after the other.
void SlowPath::refresh_rows(uint32_t first, uint32_t count) {
  if (first >= sessions_.capacity()) return;
  count = std::min({count, kMostRefreshed, sessions_.capacity() - first});
  for (uint32_t row = first; row < first + count; row++) sessions_.prefetch_all(row);
  for (uint32_t row = first; row < first + count; row++) {
    const SessionRef session = sessions_.at(row);
    if (session.row->generation == 0) continue;
    for (const FlowDirection direction : kBoth) {
      const SessionDirection& state = session.state->direction[direction];
      if (state.software_rule != nullptr) rte_prefetch0(state.software_rule);
      if (state.nic_rule != nullptr) rte_prefetch0(state.nic_rule);
    }
  }
  for (uint32_t row = first; row < first + count; row++) {
    const SessionRef session = sessions_.at(row);
    if (session.row->generation != 0) refresh_counters(session);
  }
}

void SlowPath::unoffload(const SessionRef& session) {
  for (const FlowDirection direction : kBoth) take_out(session, direction);
}

// Takes a direction's rules out of the NIC; software serves it.
void SlowPath::take_out(const SessionRef& session, FlowDirection direction) {
  SessionDirection& state = session.state->direction[direction];
  if (state.nic_rule != nullptr) {
    take_out_replaced(session, direction);
    destroy_nic(session, direction, state.nic_rule, state.nic_template, &state.nic_hits_seen);
    state.nic_rule = nullptr;
    state.nic_hits_seen = 0;
  }
  // One that the NIC refused is in software already, and why is still to be told.
  uint8_t& path = path_of(*session.row, direction);
  if (path != static_cast<uint8_t>(RulePath::kFailed)) path = static_cast<uint8_t>(RulePath::kSoftware);
}

// Takes out the rule that a newer one replaces. Whether there was one.
bool SlowPath::take_out_replaced(const SessionRef& session, FlowDirection direction) {
  SessionDirection& state = session.state->direction[direction];
  if (!state.replaces) return false;
  state.replaces = false;
  const auto old = replaced_.find(RuleTag::pack(session.index, direction));
  destroy_nic(session, direction, old->second.flow, old->second.nic_template, &old->second.hits_seen);
  replaced_.erase(old);
  return true;
}

// Asked for its counters just before it goes: no interface tells them after its destruction.
void SlowPath::destroy_nic(const SessionRef& session, FlowDirection direction, rte_flow* flow, uint16_t id,
                           uint64_t* hits_seen) {
  const Traffic counted = traffic_of(session, direction, flow, id, hits_seen);
  FlowRule* software = session.state->direction[direction].software_rule;
  if (software != nullptr) FlowEngine::count(software, counted.packets, counted.bytes);
  FlowPort& port = *flow_ports_[nic_templates_[id].port];
  port.destroy(nic_templates_[id].made, flow);
  if (nic_templates_[id].made.second == nullptr) return;
  const auto second = second_halves_.find(joining_tag(session, direction, id));
  port.destroy_second(second->second);
  second_halves_.erase(second);
}

void SlowPath::remove_session(const SessionRef& session) {
  unoffload(session);
  refresh_counters(session);
  destroy_software(session);
  const SessionEvent event = counted_event_of(session, EventType::kRemoved);
  *session.state = SessionState{};
  session.row->generation = 0;
  events_.push(event, EventPriority::kCompletion);
}

void SlowPath::query_session(const SessionRef& session, uint32_t token) {
  refresh_counters(session);
  SessionEvent event = counted_event_of(session, EventType::kQueried);
  event.token = token;
  events_.push(event, EventPriority::kCompletion);
}

}  // namespace sluice
