// Where a gateway has several slow paths: whose packet is it, and on its way to that one.
#include <rte_prefetch.h>

#include <cstring>

#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr uint32_t kHandedAtOnce = 32;
constexpr uint32_t kLookedUpBefore = 1;  // in a frame under way, whose hash nobody needs any more

// Whether an IPv4 header begins there that has no options and is no fragment's.
bool is_usual(const uint8_t* ip) {
  return ip[0] == 0x45 && (load_be16(ip + kIpv4FragmentOffset) & (kIpv4MoreFragments | kIpv4OffsetMask)) == 0;
}

bool is_ipv4_behind(const uint8_t* ethernet) {
  const uint8_t* ip = ethernet + kEthernetBytes;
  return load_be16(ip - sizeof(uint16_t)) == kEtherTypeIpv4 && is_usual(ip);
}

}  // namespace

// The flow of a frame without tags, IP options and fragments, as the parser finds it if the frame is
// well-formed. False: of another form, or for none of the gateway's addresses.
bool SlowPath::guess_flow(const rte_mbuf* frame, uint8_t port_index, FlowKey* flow) const {
  const GatewayPort& port = ports_[port_index];
  const auto* ethernet = rte_pktmbuf_mtod(frame, const uint8_t*);
  const bool in_tunnel = port.is_fabric();
  const uint32_t least = (in_tunnel ? kVxlanStackBytes : 0) + kEthernetBytes + kIpv4Bytes + kIcmpBytes;
  if (frame->nb_segs != 1 || rte_pktmbuf_data_len(frame) < least || port.options.vlan >= 0) return false;
  if (std::memcmp(ethernet, port.options.mac, sizeof port.options.mac) != 0 || !is_ipv4_behind(ethernet))
    return false;
  if (in_tunnel) {
    const uint8_t* outer = ethernet + kEthernetBytes;
    const uint8_t* udp = outer + kIpv4Bytes;
    if (outer[kIpv4Protocol] != kProtocolUdp || load_be32(outer + kIpv4Destination) != options_.vtep ||
        load_be16(udp + kL4DestinationPort) != options_.vxlan_udp_port)
      return false;
    flow->vni = load_be32(udp + kUdpBytes + kVxlanVni) >> 8;
    flow->outer_source = load_be32(outer + kIpv4Source);
    ethernet = udp + kUdpBytes + kVxlanBytes;
    if (!is_ipv4_behind(ethernet)) return false;
  }
  const uint8_t* ip = ethernet + kEthernetBytes;
  const uint8_t* l4 = ip + kIpv4Bytes;
  flow->protocol = ip[kIpv4Protocol];
  flow->source = load_be32(ip + kIpv4Source);
  flow->destination = load_be32(ip + kIpv4Destination);
  if (flow->protocol == kProtocolTcp || flow->protocol == kProtocolUdp) {
    flow->source_port = load_be16(l4 + kL4SourcePort);
    flow->destination_port = load_be16(l4 + kL4DestinationPort);
    return true;
  }
  if (flow->protocol != kProtocolIcmp || !is_echo(l4[kIcmpType])) return false;
  flow->source_port = flow->destination_port = load_be16(l4 + kIcmpIdent);
  return true;
}

// Mostly a frame is another shard's, who parses it and judges all of it: to do so here as well would be half
// of what a hand-over costs.
SlowPath::Whose SlowPath::steer_unparsed(rte_mbuf* frame, uint8_t port_index) {
  FlowKey flow;
  // A copy of what came in is taken where it came in.
  if (!guess_flow(frame, port_index, &flow) || tap_.wants(TapKind::kPunted)) return Whose::kUnknown;
  GatewayPort& port = ports_[port_index];
  const uint16_t first = options_.steering->first(flow, port.is_fabric());
  if (first == options_.shard) return Whose::kOurs;
  const uint32_t bytes = rte_pktmbuf_pkt_len(frame);
  if (options_.replay) advance(fields_.stamp(frame));
  frame->port = port.port_id;
  frame->hash.usr = 0;
  // Without room it is dropped like any other.
  if (!options_.hand_over->give(options_.shard, first, frame)) return Whose::kUnknown;
  port.received++;
  port.received_bytes += bytes;
  return Whose::kAnothers;
}

// True: somebody else's, and on its way to him (or dropped, for want of room). A packet is steered where it
// came in, and fragments once more where their datagram meets.
bool SlowPath::steer_away(Packet& packet) {
  const uint16_t self = options_.shard;
  if (packet.looked_up_before) return false;
  if (packet.later_fragment() || packet.first_fragment()) {
    const uint16_t meeting = options_.steering->meeting_place(packet.flow, packet.identification);
    if (meeting == self) return send_on(packet);
    if (packet.handed_over) return false;
    hand_over(packet, meeting);
    return true;
  }
  if (packet.handed_over) return false;
  const uint16_t first = first_of(packet);
  if (first == self) return false;
  hand_over(packet, first);
  return true;
}

// What the packet is looked up by.
FlowKey SlowPath::steered_by(const Packet& packet) const {
  const bool error = packet.flow.protocol == kProtocolIcmp && !packet.later_fragment() &&
                     is_translated_icmp_error(packet.icmp_type);
  EmbeddedTuple quoted;
  if (!error || !quoted_tuple(packet, &quoted)) return packet.flow;
  // Where the answer to the quoted packet would be looked up: match_reversed() looks for its rule.
  FlowKey answer = packet.flow;
  answer.source = quoted.destination;
  answer.destination = quoted.source;
  answer.source_port = quoted.destination_port;
  answer.destination_port = quoted.source_port;
  answer.protocol = quoted.protocol;
  return answer;
}

uint16_t SlowPath::first_of(const Packet& packet) const {
  return options_.steering->first(steered_by(packet), ports_[packet.flow.port].is_fabric());
}

// A packet that nothing here knows, and that another shard is to look up or to decide on: it was sent here
// where an older configuration leads, or by one that is no more. True: it is on its way there.
bool SlowPath::pass_on(Packet& packet) {
  if (packet.is_ours) {
    packet.is_ours = false;  // as long as it does not wait
    if (!options_.steering->has_former()) return false;
  }
  const bool fabric = ports_[packet.flow.port].is_fabric();
  const uint16_t next = options_.steering->next(steered_by(packet), fabric, options_.shard);
  if (next == options_.shard) return false;
  Datagram* datagram = packet.datagram == kNone ? nullptr : fragments_.get(packet.datagram);
  packet.looked_up_before = true;
  hand_over(packet, next);
  if (datagram == nullptr) return true;
  datagram->state = DatagramState::kElsewhere;
  datagram->shard = next;
  release_fragments(*datagram, packet.stamp);
  return true;
}

// Who knows a packet's session, or else decides on it, says that its time is over. True: that is another shard,
// and the packet is on its way there.
bool SlowPath::expires_elsewhere(Packet& packet) {
  if (packet.later_fragment()) return false;
  const bool in_table = packet.flow.protocol != kProtocolIcmp || is_echo(packet.icmp_type);
  return (!in_table || match(packet) == nullptr) && pass_on(packet);
}

bool SlowPath::was_looked_up(const rte_mbuf* frame) { return frame->hash.usr == kLookedUpBefore; }

void SlowPath::steer_by(const Steering* steering) { options_.steering = steering; }

// At the place where a datagram's fragments meet: the first one tells whose they are, those that came before
// it wait here, and all follow it in their order. True: somebody else's.
bool SlowPath::send_on(Packet& packet) {
  const FragmentKey key = fragment_key(packet);
  Datagram* datagram = fragments_.find(key);
  if (packet.later_fragment()) {
    if (datagram == nullptr || datagram->state != DatagramState::kElsewhere) return false;
    hand_over(packet, datagram->shard);
    return true;
  }
  const uint16_t owner = first_of(packet);
  if (owner == options_.shard) return false;
  if (datagram == nullptr) {
    datagram = fragments_.create(key, whole_seconds(now_));
    if (datagram == nullptr) {
      drop(packet, DropReason::kFragmentLimit);
      return true;
    }
  } else if (datagram->state == DatagramState::kPending) {
    // The same datagram's first fragment again, now another shard's: ports were dealt anew between the two.
    // Those that wait here belong to the first.
    drop(packet, DropReason::kNoBinding);
    return true;
  } else if (datagram->state != DatagramState::kWaiting) {
    fragments_.restart(datagram, whole_seconds(now_));
  }
  datagram->state = DatagramState::kElsewhere;
  datagram->shard = owner;
  hand_over(packet, owner);
  release_fragments(*datagram, packet.stamp);
  return true;
}

void SlowPath::hand_over(Packet& packet, uint16_t owner) {
  rte_mbuf* frame = packet.context.mbuf;
  frame->port = ports_[packet.flow.port].port_id;
  frame->hash.usr = packet.looked_up_before ? kLookedUpBefore : 0;
  if (!options_.hand_over->give(options_.shard, owner, frame)) return drop(packet, DropReason::kQueueFull);
  packet.context.mbuf = nullptr;
}

// Those of all shards together, port by port: what a burst is looked up by is asked for side by side, and a
// flow comes by one port from one shard, in its order.
uint32_t SlowPath::take_handed_over() {
  if (options_.hand_over == nullptr) return 0;
  constexpr uint32_t kMost = kHandedAtOnce * Steering::kMostShards;
  rte_mbuf *frames[kMost], *of_port[kMost];
  uint16_t port_ids[kMost];
  uint32_t taken = 0;
  for (uint16_t from = 0; from < options_.hand_over->shards(); from++) {
    if (from != options_.shard)
      taken += options_.hand_over->take(from, options_.shard, frames + taken, kHandedAtOnce);
  }
  for (uint32_t i = 0; i < taken; i++) rte_prefetch0(frames[i]);
  // Whoever is received may be gone at once.
  for (uint32_t i = 0; i < taken; i++) port_ids[i] = frames[i]->port;
  uint32_t left = taken;
  for (uint8_t port = 0; left != 0 && port < ports_.size(); port++) {
    uint16_t count = 0;
    for (uint32_t i = 0; i < taken; i++) {
      if (port_ids[i] == ports_[port].port_id) of_port[count++] = frames[i];
    }
    left -= count;
    receive_handed_over(of_port, count, port);
  }
  handed_over_ += taken;
  return taken;
}

}  // namespace sluice
