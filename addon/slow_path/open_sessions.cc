// New sessions, several side by side: what they touch is asked for, their rules are put into the software
// table together, then the held packets go, and only then the NIC gets its rules.
#include <cerrno>

#include "slow_path/debug_assert.h"
#include "slow_path/slow_path.h"

namespace sluice {

void SlowPath::decide_sessions(const Decision* decisions, uint32_t count) {
  Opening openings[kDecisionsTogether];
  if (count > 1) {
    for (uint32_t i = 0; i < count; i++) {
      sessions_.prefetch(decisions[i].row);
      hold_.prefetch(decisions[i].hold);
    }
  }
  for (uint32_t i = 0; i < count; i++) openings[i].opened = begin_session(decisions[i], &openings[i]);
  finish_sessions(decisions, openings, count);
  for (uint32_t i = 0; i < count; i++) release_held(decisions[i], openings[i]);
  for (uint32_t i = 0; i < count; i++) {
    // Only now: a NIC rule that came first would let packets overtake the held ones.
    const SessionRef session = sessions_.find(decisions[i].row, decisions[i].generation);
    if (openings[i].opened && session) offload(session, decisions[i]);
  }
}

void SlowPath::refuse_session(const Decision& decision, int error, int rte_type) {
  push_install_failed(decision.row, decision.generation, kSoftwareTable, error, rte_type);
}

// Fills the row and stages its rules: no packet meets them yet. False: nothing changed, and TypeScript is
// told.
bool SlowPath::begin_session(const Decision& decision, Opening* opening) {
  const auto known = [this](uint16_t id) { return id == kNoTemplate || id < software_templates_.size(); };
  const bool valid = decision.row < sessions_.capacity() && decision.generation != 0 &&
                     sessions_.at(decision.row).row->generation == 0 &&
                     decision.forward_port < ports_.size() && decision.reverse_port < ports_.size() &&
                     decision.tcp_state < kTcpStateCount && known(decision.software_forward_template) &&
                     known(decision.software_reverse_template);
  DEBUG_ASSERT(valid);
  if (!valid) {
    refuse_session(decision, -EINVAL, 0);
    return false;
  }
  // Decided before the lease ended. One without a packet was mirrored from a gateway that speaks.
  if (!admits_ && decision.hold != kNoHold) {
    opening->reason = DropReason::kNotActive;
    refuse_session(decision, -EPERM, 0);
    return false;
  }
  for (const FlowDirection direction : kBoth) {
    const uint16_t id =
        direction == kForward ? decision.software_forward_template : decision.software_reverse_template;
    if (id == kNoTemplate) continue;
    rte_flow_error error = {};
    FlowRule* rule = software_templates_[id].stage(engine_, arguments_of(decision, direction), &error);
    opening->rule[direction] = rule;
    if (rule != nullptr) {
      FlowEngine::set_tag(rule, RuleTag::pack(decision.row, direction));
      continue;
    }
    FlowRule* forward = opening->rule[kForward];
    if (direction == kReverse && forward != nullptr) {
      FlowEngine::abandon(forward);
      engine_.destroy(software_templates_[decision.software_forward_template].table, forward);
    }
    refuse_session(decision, -ENOSPC, static_cast<int>(error.type));
    return false;
  }
  fill_row(decision);
  return true;
}

void SlowPath::fill_row(const Decision& decision) {
  const SessionRef session = sessions_.at(decision.row);
  SessionRow& row = *session.row;
  row.nic_rules = row.software_forward_rule = row.software_reverse_rule = 0;
  row.software_forward_template = decision.software_forward_template;
  row.software_reverse_template = decision.software_reverse_template;
  row.tcp_state = decision.tcp_state;
  row.flags = decision.flags & kSessionFlagTcp;
  row.last_forward_seconds = whole_seconds(now_);
  row.last_reverse_seconds = 0;  // no answer yet
  row.state_since_seconds = row.created_seconds = whole_seconds(now_);
  if ((decision.flags & kDecisionFlagAdopted) != 0) restate(row, decision);
  row.packets_until_threshold = decision.offload_after_packets;
  row.forward_path = row.reverse_path = static_cast<uint8_t>(RulePath::kSoftware);
  row.forward_port = decision.forward_port;
  row.reverse_port = decision.reverse_port;
  row.nic_error = 0;
  sessions_.counters(decision.row) = SessionCounters{};
  row.generation = decision.generation;
}

// Puts the staged rules into the table. A session whose rules are not both there is none, and TypeScript is
// told.
void SlowPath::finish_sessions(const Decision* decisions, Opening* openings, uint32_t count) {
  RuleTable* tables[2 * kDecisionsTogether] = {};
  FlowRule* staged[2 * kDecisionsTogether] = {};
  int codes[2 * kDecisionsTogether] = {};
  uint32_t rules = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (!openings[i].opened) continue;
    SessionRow& row = *sessions_.at(decisions[i].row).row;
    for (const FlowDirection direction : kBoth) {
      if (openings[i].rule[direction] == nullptr) continue;
      tables[rules] = software_templates_[software_template_of(row, direction)].table;
      staged[rules++] = openings[i].rule[direction];
    }
  }
  engine_.commit_rows(tables, staged, rules, whole_seconds(now_), codes);
  rules = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (!openings[i].opened) continue;
    const SessionRef session = sessions_.at(decisions[i].row);
    bool failed = false;
    for (const FlowDirection direction : kBoth) {
      if (openings[i].rule[direction] == nullptr) continue;
      failed = codes[rules++] != 0 || failed;
      software_rule_of(*session.row, direction) = FlowEngine::row(openings[i].rule[direction]);
    }
    if (!failed) continue;
    openings[i].opened = false;
    destroy_software(session);
    sessions_.free_row(*session.row);
    refuse_session(decisions[i], -ENOSPC, 0);
  }
}

// The packet that a session was made for goes through its rule like those after it; those that waited behind
// it meet the table as it is now.
void SlowPath::release_held(const Decision& decision, const Opening& opening) {
  Packet packet;
  uint32_t rest = kNone;
  if (!take_held(decision.hold, &packet, &rest)) return;
  first_packets_.add(now_ - packet.received);
  if (!opening.opened) {
    drop(packet, opening.reason);
  } else {
    packet.retried = true;
    packet.opens_session = true;
    FlowRule* rule = opening.rule[kForward];
    // The rule is known; it is looked up only if it is another's.
    if (rule != nullptr && fits(packet, rule)) {
      translate(packet, rule, sessions_.find(decision.row, decision.generation));
    } else {
      look_up(packet);
    }
  }
  resume(rest);
}

}  // namespace sluice
