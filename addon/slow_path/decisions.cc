// What TypeScript decided. A decision that names what is not there is ignored: it is late, or a bug on the
// other side.
#include <algorithm>

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

// With which others a decision is carried out side by side.
enum class Together : uint8_t { kNothing, kSessions, kEnds };

Together together_with(const Decision& decision) {
  switch (static_cast<DecisionType>(decision.type)) {
    case DecisionType::kSession: return Together::kSessions;
    case DecisionType::kRemove:
    case DecisionType::kExpire: return Together::kEnds;
    default: return Together::kNothing;
  }
}

}  // namespace

// Decisions that can be carried out now, so that what becomes of them finds room in the event ring and in the
// NICs' queues. A session leads to two operations of a queue, its update to four, and each installation to an
// event at most.
uint32_t SlowPath::room_for_decisions() const {
  constexpr uint32_t kOperations = 4;
  uint32_t under_way = 0, queue_room = UINT32_MAX;
  for (const auto& port : flow_ports_) {
    under_way += port->under_way();
    queue_room = std::min(queue_room, (FlowPort::kQueueSize - port->under_way()) / kOperations);
  }
  if (!events_.takes_completions()) return 0;
  const uint32_t free = events_.free_slots();
  const uint32_t event_room = free > under_way ? (free - under_way) / EventRing::kCompletionReserve : 0;
  // A ring of a few slots takes one decision at a time.
  return std::min(queue_room, under_way == 0 ? std::max(event_room, 1u) : event_room);
}

void SlowPath::drain_decisions(uint32_t limit) {
  complete_installations();
  while (limit > 0) {
    const uint32_t most = std::min({limit, kDecisionsTogether, room_for_decisions()});
    const uint32_t count = decisions_.pop(drained_, most);
    if (count == 0) return;
    for (uint32_t i = 0; i < count;) {
      const Together kind = together_with(drained_[i]);
      const uint32_t first = i++;
      if (kind == Together::kNothing) {
        carry_out(drained_[first]);
        continue;
      }
      while (i < count && together_with(drained_[i]) == kind) i++;
      if (kind == Together::kSessions) {
        decide_sessions(drained_ + first, i - first);
      } else {
        end_sessions(drained_ + first, i - first);
      }
    }
    complete_installations();
    limit -= count;
  }
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
    case DecisionType::kOffload:
    case DecisionType::kUpdate:
    case DecisionType::kRestate:
    case DecisionType::kQuery: {
      const SessionRef session = sessions_.find(decision.row, decision.generation);
      if (!session) return;  // removed meanwhile
      if (type == DecisionType::kOffload) return offload(session, decision);
      if (type == DecisionType::kUpdate) return update_session(session, decision);
      if (type == DecisionType::kRestate) return restate(*session.row, decision);
      return query_session(session);
    }
    case DecisionType::kArpRequest:
      if (decision.egress_port < ports_.size()) request_arp(decision);
      return;
    case DecisionType::kRefresh: return refresh_rows(decision.row, decision.rows);
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
    packet.retried = (decision.flags & kDecisionFlagAnew) == 0;
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

}  // namespace sluice
