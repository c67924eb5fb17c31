// Ends of sessions, several side by side: what they touch is asked for, the NIC's rules go, then all software
// rules together, and then TypeScript is told, in the order in which it asked.
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

// Nothing has refreshed it that whoever decided did not know of.
bool is_idle(const SessionRow& row, const Decision& decision) {
  return row.tcp_state == decision.tcp_state && row.state_since_seconds == decision.state_since_seconds &&
         row.last_forward_seconds <= decision.last_forward_seconds &&
         row.last_reverse_seconds <= decision.last_reverse_seconds;
}

}  // namespace

void SlowPath::end_sessions(const Decision* decisions, uint32_t count) {
  if (count > 1) prefetch_ends(decisions, count);
  SessionEvent answers[kDecisionsTogether];
  RuleTable* tables[2 * kDecisionsTogether] = {};
  FlowRule* rules[2 * kDecisionsTogether] = {};
  size_t gone = 0;
  uint32_t answered = 0;
  for (uint32_t i = 0; i < count; i++) {
    const SessionRef session = sessions_.find(decisions[i].row, decisions[i].generation);
    if (!session) continue;  // removed meanwhile
    SessionEvent& answer = answers[answered++];
    refresh_counters(session);
    const bool expires = static_cast<DecisionType>(decisions[i].type) == DecisionType::kExpire;
    if (expires && !is_idle(*session.row, decisions[i])) {
      answer = counted_event_of(session, EventType::kQueried);
      continue;
    }
    leave_nic(session);
    gone += take_software_rules(session, tables + gone, rules + gone);
    answer = counted_event_of(session, EventType::kRemoved);
    sessions_.free_row(*session.row);
  }
  engine_.destroy(tables, rules, gone);
  for (uint32_t i = 0; i < answered; i++) events_.push(answers[i], EventPriority::kCompletion);
}

// Each step reads what the one before has asked for.
void SlowPath::prefetch_ends(const Decision* decisions, uint32_t count) const {
  const auto each = [&](auto&& visit) {
    for (uint32_t i = 0; i < count; i++) {
      const SessionRef session = sessions_.find(decisions[i].row, decisions[i].generation);
      if (session) visit(session);
    }
  };
  for (uint32_t i = 0; i < count; i++) sessions_.prefetch(decisions[i].row);
  each([this](const SessionRef& session) {
    sessions_.prefetch_nic_rules(*session.row);
    for (const FlowDirection direction : kBoth) {
      const auto* rule = reinterpret_cast<const uint8_t*>(software_rule(session, direction));
      if (rule == nullptr) continue;
      rte_prefetch0(rule);
      rte_prefetch0(rule + 64);
    }
  });
  each([this](const SessionRef& session) {
    for (const FlowDirection direction : kBoth) {
      const NicDirection* nic = sessions_.nic(session, direction);
      if (nic != nullptr) rte_prefetch0(nic->flow);
    }
  });
}

// Its rules in the NIC, whose counters have just been read, go.
void SlowPath::leave_nic(const SessionRef& session) {
  NicRules* rules = sessions_.nic_rules(*session.row);
  if (rules == nullptr) return;
  for (const FlowDirection direction : kBoth) {
    NicDirection* nic = &rules->direction[direction];
    if (nic->flow == nullptr) continue;
    take_out_replaced(session, direction, nic);
    destroy_nic(session, direction, *nic);
  }
}

}  // namespace sluice
