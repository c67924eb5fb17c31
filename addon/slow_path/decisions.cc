// What TypeScript decided. A decision that names what is not there is ignored: it is late, or a bug on the
// other side.
#include <cerrno>

#include "slow_path/debug_assert.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

bool is_zero_mac(const uint8_t* mac) {
  static constexpr uint8_t kZero[6] = {};
  return std::memcmp(mac, kZero, 6) == 0;
}

// A bad reason is a bug of whoever decided; the packet is dropped all the same.
DropReason reason_of(const Decision& decision) {
  const bool known = decision.reason > 0 && decision.reason < kDropReasonCount;
  DEBUG_ASSERT(known);
  return known ? static_cast<DropReason>(decision.reason) : DropReason::kNotForUs;
}

}  // namespace

void SlowPath::drain_decisions(uint32_t limit) {
  Decision decision;
  while (limit-- > 0 && events_.takes_completions() && decisions_.pop(&decision)) carry_out(decision);
}

// Takes a packet out of the hold table, and what is chained behind it.
bool SlowPath::take_held(uint32_t hold, Packet* packet, uint32_t* rest) {
  const uint32_t slot = hold == kNoHold ? kNone : hold_.find(hold);
  if (slot == kNone) return false;
  *rest = hold_.detach_rest(slot);
  *packet = hold_.packet(slot);
  hold_.give_back(slot);
  return true;
}

// Packets that waited behind a decided one meet the table as it is now. One that misses again takes the
// others with it, so that a flow which stays refused costs one look-up a decision, not one a packet.
void SlowPath::resume(uint32_t rest) {
  while (rest != kNone) {
    Packet packet = hold_.packet(rest);
    const uint32_t others = hold_.detach_rest(rest);
    hold_.give_back(rest);
    look_up(packet);
    rest = others;
    if (rest == kNone) return;
    const uint32_t head = hold_.find_head(packet.flow);
    if (head == kNone) continue;
    hold_.append_list(head, rest);
    return;
  }
}

void SlowPath::carry_out(const Decision& decision) {
  const auto type = static_cast<DecisionType>(decision.type);
  switch (type) {
    case DecisionType::kSession: return decide_session(decision);
    case DecisionType::kOffload:
    case DecisionType::kUpdate:
    case DecisionType::kRestate:
    case DecisionType::kRemove:
    case DecisionType::kQuery: {
      const SessionRef session = sessions_.find(decision.row, decision.generation);
      if (!session) return;  // removed meanwhile
      if (type == DecisionType::kOffload) return offload(session, decision);
      if (type == DecisionType::kUpdate) return update_session(session, decision);
      if (type == DecisionType::kRestate) return restate(*session.row, decision);
      if (type == DecisionType::kRemove) return remove_session(session);
      return query_session(session, decision.token);
    }
    case DecisionType::kArpRequest:
      if (decision.egress_port < ports_.size()) request_arp(decision);
      return;
    case DecisionType::kNone: return;
    default: break;
  }

  Packet packet;
  uint32_t rest = kNone;
  if (!take_held(decision.hold, &packet, &rest)) return;
  Egress egress;
  egress.port = decision.egress_port;
  egress.vni = decision.egress_vni;
  egress.vtep = decision.egress_address;
  std::memcpy(egress.mac, decision.egress_mac, 6);
  std::memcpy(egress.inner_mac, decision.egress_inner_mac, 6);
  const bool sends =
      type == DecisionType::kIcmpError || type == DecisionType::kEchoReply || type == DecisionType::kArpReply;
  const bool leads_somewhere = decision.egress_port < ports_.size() &&
                               (decision.egress_vni == kNoVni || ports_[decision.egress_port].is_fabric());
  DEBUG_ASSERT(!sends || leads_somewhere);
  if (sends && !leads_somewhere) {
    drop(packet, type == DecisionType::kIcmpError ? reason_of(decision) : DropReason::kLocal);
  } else if (type == DecisionType::kRetry) {
    packet.retried = true;
    look_up(packet);
  } else if (type == DecisionType::kIcmpError) {
    Decision checked = decision;
    checked.reason = static_cast<uint8_t>(reason_of(decision));
    answer_icmp_error(packet, checked);
  } else if (type == DecisionType::kEchoReply) {
    answer_echo(packet, egress, packet.stamp);
  } else if (type == DecisionType::kArpReply) {
    // Back to where the request came from, unless told otherwise.
    if (is_zero_mac(egress.mac)) std::memcpy(egress.mac, packet.frame() + 6, 6);
    if (is_zero_mac(egress.inner_mac) && egress.vni != kNoVni && packet.context.headers.has_inner) {
      std::memcpy(egress.inner_mac, packet.frame() + packet.context.headers.inner.eth + 6, 6);
    }
    answer_arp(packet, egress, decision.answer_mac, packet.stamp);
  } else {
    drop(packet, reason_of(decision));
  }
  if ((decision.flags & kDecisionFlagFlow) != 0) {
    drop_list(rest, reason_of(decision));
  } else {
    resume(rest);
  }
}

// Packets that waited behind one that nobody answered in time, all repetitions of it.
void SlowPath::drop_list(uint32_t list, DropReason reason) {
  while (list != kNone) {
    const uint32_t next = hold_.next(list);
    Packet packet = hold_.packet(list);
    hold_.give_back(list);
    drop(packet, reason);
    list = next;
  }
}

void SlowPath::decide_session(const Decision& decision) {
  Packet packet;
  uint32_t rest = kNone;
  const bool held = take_held(decision.hold, &packet, &rest);
  // Decided before the lease ended, or on its own: then it was mirrored from a gateway that speaks.
  const bool may_open = admits_ || decision.hold == kNoHold;
  if (!may_open) push_install_failed(decision, kSoftwareTable, -EPERM, 0);
  const bool opened = may_open && open_session(decision);
  if (held && !opened) {
    drop(packet, may_open ? DropReason::kTableFull : DropReason::kNotActive);
  } else if (held) {
    // The packet that a session was made for goes through its rule like those after it.
    packet.retried = true;
    packet.opens_session = true;
    look_up(packet);
  }
  resume(rest);
  if (!opened) return;
  // Only now: a NIC rule that came first would let packets overtake the held ones.
  const SessionRef session = sessions_.find(decision.row, decision.generation);
  if (session) offload(session, decision);
}

}  // namespace sluice
