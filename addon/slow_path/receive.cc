// Whose frame is it, is it well-formed, what is its flow. The order of the checks is the order of the drop
// reasons.
#include <rte_prefetch.h>

#include <algorithm>

#include "packet/checksum.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr uint16_t kVidMask = 0x0fff;
constexpr uint32_t kArpBytes = 28;  // RFC 826, Ethernet and IPv4
constexpr uint16_t kMaxIpv4Bytes = 65535;
alignas(64) const Packet kNewPacket;

bool is_broadcast(const uint8_t* mac) {
  for (int i = 0; i < 6; i++) {
    if (mac[i] != 0xff) return false;
  }
  return true;
}

// On a plain port, UDP to the VXLAN port is a packet like any other.
void forget_tunnel(ParsedPacket* headers) {
  if (headers->fault_in_inner || headers->fault == ParseFault::kTruncatedVxlan ||
      headers->fault == ParseFault::kBadVxlan) {
    headers->fault = ParseFault::kNone;
  }
  headers->fault_in_inner = false;
  headers->has_inner = false;
  headers->inner = LayerHeaders{};
  headers->vxlan = kAbsent;
}

uint16_t fragment_field(const uint8_t* ip) { return load_be16(ip + kIpv4FragmentOffset); }

bool checksum_right(const uint8_t* data, uint32_t length) { return checksum_sum(data, length) == 0xffff; }

}  // namespace

void describe_ipv4(Packet* packet) {
  const uint8_t* ip = packet->ip();
  const LayerHeaders& layer = packet->layer();
  const uint16_t fragment = fragment_field(ip);
  packet->ipv4 = true;
  packet->total_length = load_be16(ip + kIpv4TotalLength);
  packet->identification = load_be16(ip + 4);
  packet->ttl = ip[kIpv4Ttl];
  packet->flow.protocol = layer.protocol;
  packet->flow.source = load_be32(ip + kIpv4Source);
  packet->flow.destination = load_be32(ip + kIpv4Destination);
  packet->miss_flags = 0;
  if (layer.later_fragment) {
    packet->miss_flags |= kMissLaterFragment;
  } else if (layer.fragment) {
    packet->miss_flags |= kMissFirstFragment;
  }
  if ((fragment & kIpv4DontFragment) != 0) packet->miss_flags |= kMissDontFragment;
  if ((ip[0] & 0x0f) > 5) packet->miss_flags |= kMissOptions;
  if (layer.l4 == kAbsent) return;
  const uint8_t* l4 = packet->frame() + layer.l4;
  if (layer.protocol == kProtocolTcp || layer.protocol == kProtocolUdp) {
    packet->flow.source_port = load_be16(l4 + kL4SourcePort);
    packet->flow.destination_port = load_be16(l4 + kL4DestinationPort);
    if (layer.protocol == kProtocolTcp) packet->tcp_flags = l4[13];
  } else if (layer.protocol == kProtocolIcmp) {
    packet->icmp_type = l4[kIcmpType];
    packet->icmp_code = l4[1];
    if (is_echo(packet->icmp_type)) {
      packet->flow.source_port = packet->flow.destination_port = load_be16(l4 + kIcmpIdent);
    }
  }
}

void SlowPath::receive(rte_mbuf* frame, uint8_t port_index) {
  Packet packet;
  if (options_.steering != nullptr) {
    const Whose whose = steer_unparsed(frame, port_index);
    if (whose == Whose::kAnothers) return;
    packet.is_ours = whose == Whose::kOurs;
  }
  if (begin<false>(frame, port_index, &packet)) receive_parsed(packet);
}

// What the look-ups of a burst touch is asked for, for all its packets, before the first one waits for it.
template <SlowPath::Arrival kArrival>
void SlowPath::receive_frames(rte_mbuf** frames, uint16_t count, uint8_t port_index) {
  PacketContext* contexts[kAhead];
  const FlowRule* likely[kAhead];
  for (uint16_t done = 0; done < count;) {
    const auto end = static_cast<uint16_t>(std::min<uint32_t>(count, done + kAhead));
    uint16_t parsed = 0;
    // What is behind a frame of which only the parser can say whose it is stays behind it: both may be of one
    // flow.
    bool guesses = kArrival == Arrival::kToSteer;
    for (; done < end; done++) {
      if (done + 1 < count) rte_prefetch0(rte_pktmbuf_mtod(frames[done + 1], void*));
      Whose whose = Whose::kUnknown;
      if (kArrival == Arrival::kToSteer && guesses) {
        whose = steer_unparsed(frames[done], port_index);
        if (whose == Whose::kAnothers) continue;
        guesses = whose == Whose::kOurs;
      }
      Packet& packet = ahead_[parsed];
      // From memory: one that is made on the stack, field by field, has to wait until it can be copied.
      std::memcpy(&packet, &kNewPacket, sizeof packet);
      if constexpr (kArrival == Arrival::kToSteer) packet.is_ours = whose == Whose::kOurs;
      if (!begin<kArrival == Arrival::kHandedOver>(frames[done], port_index, &packet)) continue;
      contexts[parsed++] = &packet.context;
    }
    engine_.look_ahead(contexts, parsed, likely);
    for (uint16_t i = 0; i < parsed; i++) {
      if (likely[i] != nullptr) sessions_.prefetch(RuleTag::row(FlowEngine::tag(likely[i])));
    }
    for (uint16_t i = 0; i < parsed; i++) {
      ahead_[i].ahead = static_cast<int8_t>(i);
      receive_parsed(ahead_[i]);
    }
  }
}

void SlowPath::receive_burst(rte_mbuf** frames, uint16_t count, uint8_t port_index) {
  if (options_.steering == nullptr) {
    receive_frames<Arrival::kAlone>(frames, count, port_index);
  } else {
    receive_frames<Arrival::kToSteer>(frames, count, port_index);
  }
}

void SlowPath::receive_handed_over(rte_mbuf** frames, uint16_t count, uint8_t port_index) {
  receive_frames<Arrival::kHandedOver>(frames, count, port_index);
}

// False: the frame is dropped already.
template <bool kHandedOver>
bool SlowPath::begin(rte_mbuf* frame, uint8_t port_index, Packet* packet) {
  GatewayPort& port = ports_[port_index];
  if constexpr (kHandedOver) {
    packet->handed_over = true;  // and was counted where it came in
    packet->looked_up_before = was_looked_up(frame);
  } else {
    port.received++;
    port.received_bytes += rte_pktmbuf_pkt_len(frame);
  }
  packet->context.mbuf = frame;
  packet->context.ingress_port_id = port.port_id;
  packet->flow.port = port_index;
  if (options_.replay) {
    packet->stamp = fields_.stamp(frame);
    advance(packet->stamp);
  }
  packet->received = now_;
  packet->context.now_seconds = whole_seconds(now_);

  if (frame->nb_segs > 1 && rte_pktmbuf_linearize(frame) != 0) {
    drop(*packet, DropReason::kTooBig);
    return false;
  }
  ParseOptions parse_options;
  parse_options.vxlan_udp_port = options_.vxlan_udp_port;
  parse_options.verify_ipv4_checksum = true;
  parse_options.l4_of_first_fragment = true;
  parse(packet->frame(), rte_pktmbuf_data_len(frame), parse_options, &packet->context.headers);
  return true;
}

void SlowPath::receive_parsed(Packet& packet) {
  const GatewayPort& port = ports_[packet.flow.port];
  rte_mbuf* frame = packet.context.mbuf;
  const uint32_t length = rte_pktmbuf_data_len(frame);
  const uint32_t wire_length = options_.replay ? fields_.wire_length(frame) : length;
  const ParsedPacket& headers = packet.context.headers;

  const bool vlan_port = port.options.vlan >= 0;
  const uint32_t tag_bytes = vlan_port && headers.tags > 0 ? kVlanBytes : 0;
  if (wire_length > port.options.mtu + kEthernetBytes + tag_bytes) return drop(packet, DropReason::kTooBig);
  if (headers.fault == ParseFault::kTruncatedEthernet && !headers.fault_in_inner) {
    return drop(packet, DropReason::kMalformed);
  }
  const bool tagged_right =
      headers.tags == 1 &&
      load_be16(packet.frame() + headers.outer.vlan) % (kVidMask + 1) == port.options.vlan;
  if (vlan_port ? !tagged_right : headers.tags > 0) return drop(packet, DropReason::kNotForUs);

  const bool arp = headers.outer.ether_type == kEtherTypeArp;
  const uint8_t* destination = packet.frame();
  if (std::memcmp(destination, port.options.mac, 6) != 0 && !(arp && is_broadcast(destination))) {
    return drop(packet, DropReason::kNotForUs);
  }
  if (arp) return receive_arp(packet, headers.outer, length);
  if (!speaks()) return drop(packet, DropReason::kNotActive);
  if (headers.outer.ether_type != kEtherTypeIpv4) return drop(packet, DropReason::kNotIpv4);
  if (headers.outer.l3 == kAbsent) return drop(packet, DropReason::kMalformed);
  if (headers.outer.ipv4_checksum_bad) return drop(packet, DropReason::kBadChecksum);
  if (port.is_fabric()) {
    receive_fabric(packet);
  } else {
    receive_external(packet);
  }
}

void SlowPath::receive_external(Packet& packet) {
  if (packet.context.headers.has_inner) packet.ahead = -1;  // it was looked up as a tunnel's
  forget_tunnel(&packet.context.headers);
  receive_ipv4(packet);
}

void SlowPath::receive_fabric(Packet& packet) {
  ParsedPacket& headers = packet.context.headers;
  const LayerHeaders& outer = headers.outer;
  const uint8_t* outer_ip = packet.frame() + outer.l3;
  if (load_be32(outer_ip + kIpv4Destination) != options_.vtep) return drop(packet, DropReason::kNotForUs);
  if (!outer.fragment && outer.protocol == kProtocolIcmp) return echo_from_vtep(packet);
  if (outer.fragment || outer.protocol != kProtocolUdp) return drop(packet, DropReason::kNotForUs);
  if (outer.l4 == kAbsent) return drop(packet, DropReason::kMalformed);
  if (load_be16(packet.frame() + outer.l4 + kL4DestinationPort) != options_.vxlan_udp_port) {
    return drop(packet, DropReason::kNotForUs);
  }
  // Truncated VXLAN header, I flag clear (RFC 7348 section 5), or no whole inner Ethernet header.
  if (!headers.has_inner) return drop(packet, DropReason::kMalformed);
  const LayerHeaders& inner = headers.inner;
  if (headers.fault == ParseFault::kTruncatedEthernet) return drop(packet, DropReason::kMalformed);
  packet.flow.vni = load_be32(packet.frame() + headers.vxlan + kVxlanVni) >> 8;
  packet.flow.outer_source = load_be32(outer_ip + kIpv4Source);
  const uint8_t* inner_destination = packet.frame() + inner.eth;
  const bool arp = inner.ether_type == kEtherTypeArp;
  if (std::memcmp(inner_destination, options_.underlay_mac, 6) != 0 &&
      !(arp && is_broadcast(inner_destination))) {
    return drop(packet, DropReason::kNotForUs);
  }
  if (inner.vlan != kAbsent) return drop(packet, DropReason::kNotForUs);
  if (arp) return receive_arp(packet, inner, outer.l3_end);
  if (inner.ether_type != kEtherTypeIpv4) return drop(packet, DropReason::kNotIpv4);
  if (inner.l3 == kAbsent) return drop(packet, DropReason::kMalformed);
  if (inner.ipv4_checksum_bad) return drop(packet, DropReason::kBadChecksum);
  receive_ipv4(packet);
}

// Ping of the VTEP is the underlay's business and needs nobody's decision.
void SlowPath::echo_from_vtep(Packet& packet) {
  const LayerHeaders& outer = packet.context.headers.outer;
  if (outer.l4 == kAbsent) return drop(packet, DropReason::kMalformed);
  const uint8_t* icmp = packet.frame() + outer.l4;
  if (!checksum_right(icmp, outer.l3_end - outer.l4)) return drop(packet, DropReason::kBadChecksum);
  if (icmp[kIcmpType] != kIcmpEchoRequest) return drop(packet, DropReason::kNotForUs);
  packet.context.headers.has_inner = false;
  describe_ipv4(&packet);
  Egress egress;
  egress.port = packet.flow.port;
  std::memcpy(egress.mac, packet.frame() + 6, sizeof egress.mac);
  answer_echo(packet, egress, packet.stamp);
}

DropReason SlowPath::check_transport(const Packet& packet) const {
  const LayerHeaders& layer = packet.layer();
  const uint8_t* ip = packet.ip();
  const uint32_t header = packet.ip_header_bytes();
  const uint32_t payload = packet.total_length - header;
  if (layer.later_fragment) {
    const uint32_t offset = (fragment_field(ip) & kIpv4OffsetMask) * 8u;
    return offset + header + payload > kMaxIpv4Bytes ? DropReason::kMalformed : DropReason::kNone;
  }
  const bool known =
      layer.protocol == kProtocolTcp || layer.protocol == kProtocolUdp || layer.protocol == kProtocolIcmp;
  if (!known) return DropReason::kNone;
  if (layer.l4 == kAbsent)
    return DropReason::kMalformed;  // truncated, or its own length contradicts the packet
  // RFC 5508 REQ-3. Of a fragment there is nothing to sum up.
  const bool judged = layer.protocol == kProtocolIcmp && !layer.fragment;
  if (judged && !checksum_right(packet.frame() + layer.l4, payload)) return DropReason::kBadChecksum;
  return DropReason::kNone;
}

void SlowPath::receive_ipv4(Packet& packet) {
  describe_ipv4(&packet);
  if (tap_.wants(TapKind::kPunted) && !packet.handed_over)
    tap_.keep(TapKind::kPunted, packet, packet.flow.port, 0, now_);
  const DropReason reason = check_transport(packet);
  if (reason != DropReason::kNone) return drop(packet, reason);
  if (options_.steering != nullptr && !packet.is_ours && steer_away(packet)) return;
  if (packet.ttl <= 1) {
    if (options_.steering != nullptr && expires_elsewhere(packet)) return;
    return miss(packet, MissKind::kTtl);
  }
  if (packet.later_fragment()) return receive_later_fragment(packet);
  if (packet.first_fragment()) return receive_first_fragment(packet);
  look_up(packet);
}

void SlowPath::receive_arp(Packet& packet, const LayerHeaders& layer, uint32_t end) {
  if (options_.shard != 0) return hand_over(packet, 0);
  const uint32_t at = (layer.vlan == kAbsent ? layer.eth + kEthernetBytes : layer.vlan + kVlanBytes);
  if (at + kArpBytes > end) return drop(packet, DropReason::kMalformed);
  const uint8_t* arp = packet.frame() + at;
  const uint16_t operation = load_be16(arp + 6);
  const bool ethernet_ipv4 =
      load_be16(arp) == 1 && load_be16(arp + 2) == kEtherTypeIpv4 && arp[4] == 6 && arp[5] == 4;
  if (!ethernet_ipv4 || operation < 1 || operation > 2) return drop(packet, DropReason::kLocal);
  const bool in_tunnel = packet.flow.vni != kNoVni;
  packet.flow.source = load_be32(arp + 14);
  packet.flow.destination = load_be32(arp + 24);
  packet.flow.protocol = static_cast<uint8_t>(operation);
  if (!in_tunnel && packet.flow.source != 0) {  // 0: a probe of RFC 5227 announces nobody
    NeighbourEvent event = {};
    event.type = static_cast<uint8_t>(EventType::kNeighbour);
    event.port = packet.flow.port;
    event.address = packet.flow.source;
    std::memcpy(event.mac, arp + 8, sizeof event.mac);
    events_.push(event, EventPriority::kMiss);
  }
  if (operation == 2) return drop(packet, DropReason::kLocal);
  miss(packet, MissKind::kArp);
}

}  // namespace sluice
