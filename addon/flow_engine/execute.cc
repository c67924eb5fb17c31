#include "flow_engine/execute.h"

#include <rte_byteorder.h>

#include <algorithm>
#include <cstring>

#include "packet/checksum.h"
#include "packet/rewrite.h"
#include "packet/wire.h"

namespace sluice {
namespace {

// Bytes of COUNT: up to the end of the innermost IP packet, so that padding and trailers do not count.
uint32_t counted_bytes(const PacketContext& packet) {
  const ParsedPacket& headers = packet.headers;
  if (headers.has_inner && headers.inner.l3_end != kAbsent) return headers.inner.l3_end;
  if (headers.outer.l3_end != kAbsent) return headers.outer.l3_end;
  return packet.mbuf->data_len;
}

// Alone or not, queries may read meanwhile.
void count(uint64_t* counted_packets, uint64_t* counted_bytes, uint32_t bytes, bool shared) {
  if (shared) {
    __atomic_fetch_add(counted_packets, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(counted_bytes, bytes, __ATOMIC_RELAXED);
  } else {
    __atomic_store_n(counted_packets, *counted_packets + 1, __ATOMIC_RELAXED);
    __atomic_store_n(counted_bytes, *counted_bytes + bytes, __ATOMIC_RELAXED);
  }
}
void count(FlowRule* rule, uint32_t bytes, bool shared) {
  count(&rule->history().packets, &rule->history().bytes, bytes, shared);
}

// Arithmetic of MODIFY_FIELD is modulo the field's width (mlx5 decrements a TTL by adding 0xff).
uint64_t modified(uint8_t operation, uint64_t field, uint64_t value) {
  if (operation == RTE_FLOW_MODIFY_ADD) return field + value;
  if (operation == RTE_FLOW_MODIFY_SUB) return field - value;
  return value;
}

uint64_t load_big_endian(const uint8_t* bytes, uint8_t length) {
  uint64_t value = 0;
  for (uint8_t i = 0; i < length; ++i) value = value << 8 | bytes[i];
  return value;
}

void store_big_endian(uint8_t* bytes, uint8_t length, uint64_t value) {
  for (uint8_t i = length; i-- > 0; value >>= 8) bytes[i] = static_cast<uint8_t>(value);
}

void modify_address(uint8_t* frame, const LayerHeaders& layer, Direction which, const Op& op,
                    uint64_t value) {
  if (layer.l3_kind != L3::kIpv4) return;
  const uint16_t at = which == Direction::kSource ? kIpv4Source : kIpv4Destination;
  const uint64_t result = modified(op.operation, load_be32(frame + layer.l3 + at), value);
  set_ipv4_address(frame, layer, which, __builtin_bswap32(static_cast<uint32_t>(result)));
}

void modify_port(uint8_t* frame, const LayerHeaders& layer, Direction which, uint8_t protocol, const Op& op,
                 uint64_t value) {
  if (layer.l4 == kAbsent || layer.protocol != protocol) return;
  const uint16_t at = which == Direction::kSource ? kL4SourcePort : kL4DestinationPort;
  const uint64_t result = modified(op.operation, load_be16(frame + layer.l4 + at), value);
  set_tp_port(frame, layer, which, __builtin_bswap16(static_cast<uint16_t>(result)));
}

void modify_address6(uint8_t* frame, const LayerHeaders& layer, Direction which, const Op& op,
                     const uint8_t* operand) {
  if (layer.l3_kind != L3::kIpv6) return;
  const uint8_t* field = frame + layer.l3 + (which == Direction::kSource ? kIpv6Source : kIpv6Destination);
  unsigned __int128 old = 0, value = 0;
  for (int i = 0; i < 16; ++i) {
    old = old << 8 | field[i];
    value = value << 8 | operand[i];
  }
  if (op.operation == RTE_FLOW_MODIFY_ADD) value = old + value;
  if (op.operation == RTE_FLOW_MODIFY_SUB) value = old - value;
  uint8_t address[16];
  for (int i = 16; i-- > 0; value >>= 8) address[i] = static_cast<uint8_t>(value);
  set_ipv6_address(frame, layer, which, address);
}

// MARK, META and TAG, whose values are in the host's order. False for fields of the packet.
bool modify_register(PacketContext& packet, const Op& op, const uint8_t* operand) {
  uint32_t* field;
  switch (op.field) {
    case RTE_FLOW_FIELD_MARK:
      field = &packet.mark;
      packet.marked = true;
      break;
    case RTE_FLOW_FIELD_META:
      field = &packet.meta;
      packet.has_meta = true;
      break;
    case RTE_FLOW_FIELD_TAG: field = &packet.tag[op.level]; break;
    default: return false;
  }
  *field = static_cast<uint32_t>(modified(op.operation, *field, load_raw<uint32_t>(operand)));
  return true;
}

// SET_META, SET_TAG: data, then mask.
void set_bits(uint32_t* word, const uint8_t* operand) {
  const uint32_t mask = load_raw<uint32_t>(operand + 4);
  *word = (*word & ~mask) | (load_raw<uint32_t>(operand) & mask);
}

void modify(uint8_t* frame, const LayerHeaders& layer, const Op& op, const uint8_t* operand) {
  const uint64_t value = load_big_endian(operand, std::min<uint8_t>(op.operand_bytes, 8));
  switch (op.field) {
    case RTE_FLOW_FIELD_IPV6_SRC: modify_address6(frame, layer, Direction::kSource, op, operand); return;
    case RTE_FLOW_FIELD_IPV6_DST: modify_address6(frame, layer, Direction::kDestination, op, operand); return;
    case RTE_FLOW_FIELD_IPV6_DSCP:
      if (layer.l3_kind != L3::kIpv6) return;
      set_ipv6_dscp(frame, layer,
                    static_cast<uint8_t>(
                        modified(op.operation, load_be16(frame + layer.l3) >> 6 & 0x3f, value) & 0x3f));
      return;
    case RTE_FLOW_FIELD_IPV6_HOPLIMIT:
      if (layer.l3_kind != L3::kIpv6) return;
      set_ttl(frame, layer,
              static_cast<uint8_t>(modified(op.operation, frame[layer.l3 + kIpv6HopLimit], value)));
      return;
    case RTE_FLOW_FIELD_MAC_DST:
    case RTE_FLOW_FIELD_MAC_SRC: {
      if (layer.eth == kAbsent) return;
      uint8_t* mac = frame + layer.eth + (op.field == RTE_FLOW_FIELD_MAC_SRC ? 6 : 0);
      store_big_endian(mac, 6, modified(op.operation, load_big_endian(mac, 6), value));
      return;
    }
    case RTE_FLOW_FIELD_VLAN_ID:
      if (layer.vlan == kAbsent) return;
      set_vlan_vid(frame, layer,
                   static_cast<uint16_t>(
                       modified(op.operation, load_be16(frame + layer.vlan) & 0x0fff, value & 0x0fff)));
      return;
    case RTE_FLOW_FIELD_IPV4_DSCP:
      if (layer.l3_kind != L3::kIpv4) return;
      set_ipv4_dscp(
          frame, layer,
          static_cast<uint8_t>(modified(op.operation, frame[layer.l3 + kIpv4Tos] >> 2, value) & 0x3f));
      return;
    case RTE_FLOW_FIELD_IPV4_TTL:
      if (layer.l3_kind != L3::kIpv4) return;
      set_ttl(frame, layer, static_cast<uint8_t>(modified(op.operation, frame[layer.l3 + kIpv4Ttl], value)));
      return;
    case RTE_FLOW_FIELD_IPV4_SRC: modify_address(frame, layer, Direction::kSource, op, value); return;
    case RTE_FLOW_FIELD_IPV4_DST: modify_address(frame, layer, Direction::kDestination, op, value); return;
    case RTE_FLOW_FIELD_TCP_PORT_SRC:
      modify_port(frame, layer, Direction::kSource, kProtocolTcp, op, value);
      return;
    case RTE_FLOW_FIELD_TCP_PORT_DST:
      modify_port(frame, layer, Direction::kDestination, kProtocolTcp, op, value);
      return;
    case RTE_FLOW_FIELD_UDP_PORT_SRC:
      modify_port(frame, layer, Direction::kSource, kProtocolUdp, op, value);
      return;
    case RTE_FLOW_FIELD_UDP_PORT_DST:
      modify_port(frame, layer, Direction::kDestination, kProtocolUdp, op, value);
      return;
    default: return;
  }
}

// MODIFY_FIELD at level 2 changes what the outer UDP checksum covers. It is 0 as a rule (RFC 7348 section 5),
// and then there is nothing to repair.
void modify_inner(uint8_t* frame, const ParsedPacket& headers, const Op& op, const uint8_t* operand) {
  if (!headers.has_inner) return;
  uint8_t* checksum = frame + headers.outer.l4 + kUdpChecksum;
  if (load_raw<uint16_t>(checksum) == 0) {
    modify(frame, headers.inner, op, operand);
    return;
  }
  constexpr uint32_t kHeaders =
      kEthernetBytes + 255 * kVlanBytes + 60 + kTcpBytes;  // as far as a rewrite can reach
  const uint32_t end = std::min<uint32_t>(headers.outer.l3_end, headers.inner.eth + kHeaders);
  const uint32_t bytes = end - headers.inner.eth;
  const uint16_t before = checksum_sum(frame + headers.inner.eth, bytes);
  modify(frame, headers.inner, op, operand);
  const uint16_t after = checksum_sum(frame + headers.inner.eth, bytes);
  const uint16_t repaired = checksum_update16(load_raw<uint16_t>(checksum), before, after);
  store_raw<uint16_t>(checksum, repaired == 0 ? 0xffff : repaired);
}

PushResult encapsulate(const SharedOperands& shared, const uint8_t* operand, PacketContext& packet) {
  EncapOperand encap;
  std::memcpy(&encap, operand, sizeof encap);
  return push_vxlan(packet.mbuf, &packet.headers, shared.headers.get(encap.header), encap.fields);
}

// Repairs each checksum once (RFC 1624 equation 3, whose terms may be added up before they are folded). What is not
// set is written as it was: that takes less than to find out. False, and nothing done, for a packet that has not what
// may be set: its operations are run one by one.
bool translate(const Translation& translation, const uint8_t* const* operands, uint8_t* frame,
               const LayerHeaders& layer) {
  const bool tcp = layer.protocol == kProtocolTcp, udp = layer.protocol == kProtocolUdp;
  if (layer.l3_kind != L3::kIpv4 || layer.l4 == kAbsent || !(tcp || udp || layer.protocol == kProtocolIcmp))
    return false;
  uint8_t* ip = frame + layer.l3;
  uint8_t* l4 = frame + layer.l4;
  const auto chosen = [&](uint8_t set, OperandPlace place, const uint8_t* field) {
    return (translation.sets & set) != 0 ? place.in(operands) : field;
  };
  const auto address = [&](uint8_t set, OperandPlace place, uint16_t at) {
    const auto old_address = load_raw<uint32_t>(ip + at);
    const auto new_address = load_raw<uint32_t>(chosen(set, place, ip + at));
    store_raw(ip + at, new_address);
    return old_address == new_address ? 0 : uint64_t{~old_address} + new_address;
  };
  const auto port = [&](uint8_t set, OperandPlace place, uint16_t at) {
    const auto old_port = load_raw<uint16_t>(l4 + at);
    const auto new_port = load_raw<uint16_t>(chosen(set, place, l4 + at));
    store_raw(l4 + at, new_port);
    return old_port == new_port ? 0 : static_cast<uint16_t>(~old_port) + uint64_t{new_port};
  };
  const uint64_t addresses = address(Translation::kIpv4Source, translation.source, kIpv4Source) +
                             address(Translation::kIpv4Destination, translation.destination, kIpv4Destination);
  uint64_t ttl = 0;
  if ((translation.sets & Translation::kDecTtl) != 0 && ip[kIpv4Ttl] != 0) {
    // TTL and protocol share a word. Written whole: what was written in part and is read whole has to wait.
    const uint16_t old_word = load_raw<uint16_t>(ip + kIpv4Ttl);
    const uint16_t new_word = rte_cpu_to_be_16(static_cast<uint16_t>(rte_be_to_cpu_16(old_word) - 0x100));
    store_raw(ip + kIpv4Ttl, new_word);
    ttl = static_cast<uint16_t>(~old_word) + uint64_t{new_word};
  }
  uint8_t* ip_checksum = ip + kIpv4Checksum;
  store_raw(ip_checksum, checksum_add(load_raw<uint16_t>(ip_checksum), addresses + ttl));
  if (!tcp && !udp) return true;  // ICMP has no ports and no pseudo-header
  const uint64_t ports = port(Translation::kSourcePort, translation.source_port, kL4SourcePort) +
                         port(Translation::kDestinationPort, translation.destination_port, kL4DestinationPort);
  uint8_t* checksum = l4 + (tcp ? kTcpChecksum : kUdpChecksum);
  const uint16_t old_checksum = load_raw<uint16_t>(checksum);
  if (udp && old_checksum == 0) return true;  // none was made (RFC 768)
  uint16_t repaired = checksum_add(old_checksum, addresses + ports);
  if (udp && repaired == 0) repaired = 0xffff;
  store_raw(checksum, repaired);
  return true;
}

DropCause cause_of(PushResult result) {
  return result == PushResult::kNoHeadroom ? DropCause::kNoHeadroom : DropCause::kTooLong;
}

void keep_from_ageing(FlowRule* rule, uint32_t now_seconds) {
  __atomic_store_n(&rule->history().last_hit_seconds, now_seconds, __ATOMIC_RELAXED);
  if ((rule->row_and_state & FlowRule::kAged) != 0)
    __atomic_fetch_and(&rule->row_and_state, ~FlowRule::kAged, __ATOMIC_RELAXED);
}

void decide(const Op& op, const uint8_t* operand, Verdict* verdict) {
  if (op.kind == OpKind::kQueue) {
    verdict->fate = Fate::kQueue;
    verdict->queue = load_raw<uint16_t>(operand);
    return;
  }
  verdict->fate = op.kind == OpKind::kPortRepresentor ? Fate::kPortRepresentor : Fate::kRepresentedPort;
  verdict->port_id = load_raw<uint16_t>(operand);
}

uint32_t drop(DropCause cause, Verdict* verdict) {
  *verdict = Verdict{Fate::kDrop, 0, 0, cause};
  return 0;
}

// The operations from `first` on, one after the other.
uint32_t run_operations(const RuleTable& table, FlowRule* rule, const SharedOperands& shared,
                        const ExecutionOptions& options, ApplyScope scope, uint8_t first, PacketContext& packet,
                        Verdict* verdict) {
  uint32_t group = 0;
  const uint8_t* const operands[] = {table.operands(rule), table.program.constants.data()};
  for (uint8_t i = first; i < table.program.ops; ++i) {
    const Op& op = table.program.op[i];
    if (op.translates && scope == ApplyScope::kNoTranslation) continue;
    const uint8_t* operand = operands[op.constant] + op.operand;
    const auto which = static_cast<Direction>(op.which);
    // The frame moves when headers are pushed or popped, so it is looked up for each operation.
    auto* frame = rte_pktmbuf_mtod(packet.mbuf, uint8_t*);
    const LayerHeaders& outer = packet.headers.outer;
    if (op.run != 0 && scope == ApplyScope::kAll && translate(table.program.translation, operands, frame, outer)) {
      i = static_cast<uint8_t>(i + op.run - 1);
      continue;
    }
    switch (op.kind) {
      case OpKind::kCount: count(rule, counted_bytes(packet), options.shared); break;
      case OpKind::kAge: keep_from_ageing(rule, packet.now_seconds); break;
      case OpKind::kMark:
        packet.mark = load_raw<uint32_t>(operand);
        packet.marked = true;
        break;
      case OpKind::kJump:
        group = load_raw<uint32_t>(operand);
        break;
      case OpKind::kDrop: drop(DropCause::kAction, verdict); break;
      case OpKind::kQueue:
      case OpKind::kPortRepresentor:
      case OpKind::kRepresentedPort: decide(op, operand, verdict); break;
      case OpKind::kVxlanEncap: {
        const PushResult pushed = encapsulate(shared, operand, packet);
        if (pushed != PushResult::kDone) return drop(cause_of(pushed), verdict);
        break;
      }
      case OpKind::kVxlanDecap:
        if (!pop_vxlan(packet.mbuf, &packet.headers, options.vxlan_udp_port))
          return drop(DropCause::kNoInnerFrame, verdict);
        break;
      case OpKind::kReplaceL2: {
        const VxlanHeader& l2 = shared.headers.get(load_raw<uint32_t>(operand));
        const PushResult pushed = replace_l2(packet.mbuf, &packet.headers, l2.bytes, l2.length);
        if (pushed != PushResult::kDone) return drop(cause_of(pushed), verdict);
        break;
      }
      case OpKind::kSetMac: set_mac(frame, outer, which, operand); break;
      case OpKind::kSetIpv4: set_ipv4_address(frame, outer, which, load_raw<uint32_t>(operand)); break;
      case OpKind::kSetTp: set_tp_port(frame, outer, which, load_raw<uint16_t>(operand)); break;
      case OpKind::kDecTtl: dec_ttl(frame, outer); break;
      case OpKind::kSetTtl: set_ttl(frame, outer, *operand); break;
      case OpKind::kPushVlan: {
        const PushResult pushed = push_vlan(packet.mbuf, &packet.headers, load_be16(operand));
        if (pushed != PushResult::kDone) return drop(cause_of(pushed), verdict);
        break;
      }
      case OpKind::kSetVlanVid: set_vlan_vid(frame, outer, load_be16(operand)); break;
      case OpKind::kSetVlanPcp: set_vlan_pcp(frame, outer, *operand); break;
      case OpKind::kPopVlan: pop_vlan(packet.mbuf, &packet.headers); break;
      case OpKind::kFlag: packet.flagged = true; break;
      case OpKind::kSetMeta:
        set_bits(&packet.meta, operand);
        packet.has_meta = true;
        break;
      case OpKind::kSetTag: set_bits(&packet.tag[op.which], operand); break;
      case OpKind::kSetIpv6: set_ipv6_address(frame, outer, which, operand); break;
      case OpKind::kSetDscp: modify(frame, outer, op, operand); break;
      case OpKind::kRss: {
        const RssSpread& spread = shared.spreads.get(load_raw<uint32_t>(operand));
        packet.hashed = rss_hash(spread, frame, packet.headers, &packet.hash);
        verdict->fate = Fate::kQueue;
        verdict->queue = spread.queue[packet.hashed ? packet.hash % spread.queues : 0];
        break;
      }
      case OpKind::kModify:
        if (modify_register(packet, op, operand)) break;
        if (op.level == 2) {
          modify_inner(frame, packet.headers, op, operand);
        } else {
          modify(frame, outer, op, operand);
        }
        break;
      case OpKind::kIndirectCount: {
        auto* handle = load_raw<IndirectAction*>(operand);
        count(&handle->packets, &handle->bytes, counted_bytes(packet), options.shared);
        break;
      }
      case OpKind::kIndirectAge: {
        auto* age = load_raw<IndirectAction*>(operand);
        __atomic_store_n(&age->last_hit_seconds, packet.now_seconds, __ATOMIC_RELAXED);
        __atomic_store_n(&age->aged, 0, __ATOMIC_RELAXED);
        break;
      }
      case OpKind::kSetIcmpIdent: set_icmp_ident(frame, outer, load_raw<uint16_t>(operand)); break;
    }
  }
  return group;
}

uint32_t run_straight(const RuleTable& table, FlowRule* rule, const SharedOperands& shared,
                      const ExecutionOptions& options, PacketContext& packet, Verdict* verdict) {
  const ActionProgram& program = table.program;
  const StraightProgram& straight = program.straight;
  const uint8_t* const operands[] = {table.operands(rule), program.constants.data()};
  const auto operand = [&](const Op& op) { return operands[op.constant] + op.operand; };
  if (straight.fate != StraightProgram::kNone)
    decide(program.op[straight.fate], operand(program.op[straight.fate]), verdict);
  if (straight.counts) count(rule, counted_bytes(packet), options.shared);
  if (straight.ages) keep_from_ageing(rule, packet.now_seconds);
  if (straight.leaves_tunnel && !pop_vxlan(packet.mbuf, &packet.headers, options.vxlan_udp_port))
    return drop(DropCause::kNoInnerFrame, verdict);
  auto* frame = rte_pktmbuf_mtod(packet.mbuf, uint8_t*);
  for (const Direction which : {Direction::kDestination, Direction::kSource}) {
    const auto i = static_cast<size_t>(which);
    if (straight.sets_mac[i]) set_mac(frame, packet.headers.outer, which, straight.mac[i].in(operands));
  }
  if (straight.translation != StraightProgram::kNone &&
      !translate(program.translation, operands, frame, packet.headers.outer)) {
    return run_operations(table, rule, shared, options, ApplyScope::kAll, straight.translation, packet, verdict);
  }
  if (straight.encap != StraightProgram::kNone) {
    const PushResult pushed = encapsulate(shared, operand(program.op[straight.encap]), packet);
    if (pushed != PushResult::kDone) return drop(cause_of(pushed), verdict);
  }
  return 0;
}

}  // namespace

uint32_t execute(const RuleTable& table, FlowRule* rule, const SharedOperands& shared,
                 const ExecutionOptions& options, ApplyScope scope, PacketContext& packet, Verdict* verdict) {
  *verdict = Verdict{};
  if (table.program.straight.is_whole && scope == ApplyScope::kAll)
    return run_straight(table, rule, shared, options, packet, verdict);
  return run_operations(table, rule, shared, options, scope, 0, packet, verdict);
}

}  // namespace sluice
