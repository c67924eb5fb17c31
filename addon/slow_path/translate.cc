// Software table, TCP state, MTU, out; or a miss.
#include "slow_path/debug_assert.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

TcpEvent tcp_event(uint8_t flags) {
  if (has(flags, TcpFlag::kRst)) return TcpEvent::kRst;
  if (has(flags, TcpFlag::kSyn)) return TcpEvent::kSyn;
  if (has(flags, TcpFlag::kFin)) return TcpEvent::kFin;
  return TcpEvent::kOther;
}

void raise_to(uint32_t& seconds, uint32_t to) {
  if (seconds < to) seconds = to;
}

}  // namespace

void SlowPath::look_up(Packet& packet) {
  if (packet.flow.protocol == kProtocolIcmp && !packet.later_fragment() && !is_echo(packet.icmp_type)) {
    if (is_translated_icmp_error(packet.icmp_type)) return receive_icmp_error(packet);
    // A rule that asks for the identifier alone would take whatever else stands in its place.
    return miss(packet, MissKind::kIpv4);
  }
  FlowRule* rule = match(packet);
  if (rule == nullptr) return miss(packet, MissKind::kIpv4);
  translate(packet, rule, sessions_.of(FlowEngine::tag(rule)));
}

// rte_flow's transport items match no fragment. A first fragment has all that they ask for, and here it
// decides for its datagram: it is shown to the table as a whole packet.
FlowRule* SlowPath::match(Packet& packet) {
  LayerHeaders& layer =
      packet.context.headers.has_inner ? packet.context.headers.inner : packet.context.headers.outer;
  const bool fragment = layer.fragment;
  if (packet.ahead >= 0 && !fragment) return engine_.match_ahead(static_cast<size_t>(packet.ahead));
  layer.fragment = false;
  FlowRule* rule = engine_.match(packet.context, 0);
  layer.fragment = fragment;
  return rule;
}

// Whether the packet would hit a rule of the table.
bool SlowPath::fits(Packet& packet, const FlowRule* rule) {
  if (packet.flow.protocol == kProtocolIcmp && !is_echo(packet.icmp_type)) return false;
  LayerHeaders& layer =
      packet.context.headers.has_inner ? packet.context.headers.inner : packet.context.headers.outer;
  const bool fragment = layer.fragment;
  layer.fragment = false;
  const bool fitting = engine_.hits(rule, packet.context);
  layer.fragment = fragment;
  return fitting;
}

void SlowPath::translate(Packet& packet, FlowRule* rule, const SessionRef& session) {
  SessionRow& row = *session.row;
  if (path_of(row, session.direction) == static_cast<uint8_t>(RulePath::kRemoving))
    return drop(packet, DropReason::kTcpState);
  if (packet.flow.protocol == kProtocolTcp && !packet.later_fragment() && !follow_tcp(packet, session)) {
    return drop(packet, DropReason::kTcpState);
  }
  raise_to(session.direction == kForward ? row.last_forward_seconds : row.last_reverse_seconds,
           whole_seconds(packet.received));
  if (row.packets_until_threshold != 0 && --row.packets_until_threshold == 0) push_threshold(session);
  if (options_.mss_clamp != 0) clamp_mss(packet);
  deliver(packet, rule, session);
}

// False when the segment is one that no state permits.
bool SlowPath::follow_tcp(const Packet& packet, const SessionRef& session) {
  SessionRow& row = *session.row;
  const bool syn = has(packet.tcp_flags, TcpFlag::kSyn);
  if (syn && (has(packet.tcp_flags, TcpFlag::kFin) || has(packet.tcp_flags, TcpFlag::kRst))) return false;
  if ((row.flags & kSessionFlagTcp) == 0 || packet.opens_session) return true;
  const size_t transition = (row.tcp_state * 2u + session.direction) * kTcpEvents +
                            static_cast<size_t>(tcp_event(packet.tcp_flags));
  const bool restart = kTcpRestart[transition] != 0;
  const bool changed = kTcpNext[transition] != row.tcp_state;
  row.tcp_state = kTcpNext[transition];
  if (restart) row.state_since_seconds = whole_seconds(packet.received);
  if (changed || restart || (row.flags & kSessionFlagStateOwed) != 0) push_state(session);
  return true;
}

void SlowPath::push_state(const SessionRef& session) {
  const SessionEvent event = event_of(session, EventType::kSessionState);
  const bool is_told = events_.push(event, EventPriority::kState);
  const uint8_t others = session.row->flags & static_cast<uint8_t>(~kSessionFlagStateOwed);
  session.row->flags = static_cast<uint8_t>(is_told ? others : others | kSessionFlagStateOwed);
}

void SlowPath::push_threshold(const SessionRef& session) {
  const SessionEvent event = event_of(session, EventType::kSessionThreshold);
  // No room: the next packet crosses the threshold again.
  if (!events_.push(event, EventPriority::kState)) session.row->packets_until_threshold = 1;
}

void SlowPath::deliver(Packet& packet, FlowRule* rule, const SessionRef& session) {
  const SessionRow& row = *session.row;
  const uint8_t egress = ingress_of(row, session.direction ^ 1);
  const uint32_t limit = largest_packet(ports_[egress]);
  const ApplyScope scope = packet.icmp_error ? ApplyScope::kNoTranslation : ApplyScope::kAll;
  const bool too_big = packet.total_length > limit;
  if (too_big && packet.dont_fragment()) {
    // RFC 1122 section 3.2.2: no error about an error.
    if (packet.icmp_error) return drop(packet, DropReason::kTooBig);
    return miss(packet, MissKind::kTooBig, limit, session.index);
  }
  const uint32_t total_length = packet.total_length;
  if (too_big ? !send_in_pieces(packet, rule, limit) : !apply_and_transmit(packet, rule, scope)) {
    return drop(packet, DropReason::kTooBig);
  }
  if (!packet.icmp_error)
    add_traffic(sessions_.counters(session.index), session.direction, {1, total_length});
  if (packet.datagram != kNone) settle_translated(packet, session);
}

void SlowPath::miss(Packet& packet, MissKind kind, uint32_t mtu, uint32_t row,
                    const EmbeddedTuple* embedded) {
  if (kind == MissKind::kIpv4 && options_.steering != nullptr && pass_on(packet)) return;
  // A session's first packet may yet turn out too big for the way that was found for it.
  if (packet.retried && !(kind == MissKind::kTooBig && packet.opens_session)) {
    constexpr DropReason kReasons[] = {DropReason::kNoBinding, DropReason::kIcmpErrorUnknown,
                                       DropReason::kNotForUs, DropReason::kTtlExpired, DropReason::kTooBig};
    return drop(packet, kReasons[static_cast<size_t>(kind)]);
  }
  if (!admits_) return drop(packet, DropReason::kNotActive);
  packet.opens_session = false;
  const bool chains = kind == MissKind::kIpv4;
  const uint32_t head = chains ? hold_.find_head(packet.flow) : kNone;
  const uint32_t slot = hold_.take(packet);
  if (slot == kNone) return drop(packet, DropReason::kHeldLimit);
  if (head != kNone) return hold_.append(head, slot);

  MissEvent event = {};
  event.type = static_cast<uint8_t>(EventType::kMiss);
  event.kind = static_cast<uint8_t>(kind);
  event.port = packet.flow.port;
  event.protocol = packet.flow.protocol;
  event.hold = hold_.open(slot);
  event.seconds = whole_seconds(packet.received);
  event.nanoseconds = second_fraction(packet.received);
  event.vni = packet.flow.vni;
  event.outer_source_address = packet.flow.outer_source;
  event.source_address = packet.flow.source;
  event.destination_address = packet.flow.destination;
  event.source_port = packet.flow.source_port;
  event.destination_port = packet.flow.destination_port;
  event.tcp_flags = packet.tcp_flags;
  event.ttl = packet.ttl;
  event.icmp_type = packet.icmp_type;
  event.icmp_code = packet.icmp_code;
  event.total_length = packet.total_length;
  event.flags = packet.miss_flags;
  event.mtu = static_cast<uint16_t>(mtu);
  event.row = row;
  if (embedded != nullptr) {
    event.embedded_source_address = embedded->source;
    event.embedded_destination_address = embedded->destination;
    event.embedded_source_port = embedded->source_port;
    event.embedded_destination_port = embedded->destination_port;
    event.embedded_protocol = embedded->protocol;
  }
  if (!events_.push(event, EventPriority::kMiss)) {
    hold_.give_back(slot);
    return drop(packet, DropReason::kQueueFull);
  }
  misses_++;
  if (chains) hold_.add_head(slot);
}

void SlowPath::drop(Packet& packet, DropReason reason) {
  DEBUG_ASSERT(reason != DropReason::kNone);
  count_drop(reason);
  if (tap_.wants(TapKind::kDropped) && reason != DropReason::kLocal)
    tap_.keep(TapKind::kDropped, packet, packet.flow.port, static_cast<uint8_t>(reason), now_);
  rte_pktmbuf_free(packet.context.mbuf);
  packet.context.mbuf = nullptr;
  if (packet.datagram != kNone) settle_dropped(packet.datagram, reason);
}

}  // namespace sluice
