// Frames of the gateway's own: ICMP errors, echo replies, ARP.
#include <algorithm>

#include "packet/checksum.h"
#include "slow_path/hash.h"
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr uint8_t kOwnTtl = 64;
constexpr uint32_t kMaxIcmpErrorBytes = 576;    // RFC 1812 section 4.3.2.3
constexpr uint8_t kInternetworkControl = 0xc0;  // RFC 1812 section 4.3.2.5: precedence 6
constexpr uint16_t kEntropyPortBase = 49152, kEntropyPortMask = 0x3fff;  // RFC 7348 section 5
constexpr uint32_t kArpBytes = 28;

// RFC 6864: an atomic datagram needs no identification of its own.
void write_ipv4(uint8_t* ip, uint32_t total, uint8_t tos, uint8_t protocol, uint32_t source,
                uint32_t destination) {
  std::memset(ip, 0, kIpv4Bytes);
  ip[0] = 0x45;
  ip[kIpv4Tos] = tos;
  store_be16(ip + kIpv4TotalLength, static_cast<uint16_t>(total));
  store_be16(ip + kIpv4FragmentOffset, kIpv4DontFragment);
  ip[kIpv4Ttl] = kOwnTtl;
  ip[kIpv4Protocol] = protocol;
  store_be32(ip + kIpv4Source, source);
  store_be32(ip + kIpv4Destination, destination);
  store_raw(ip + kIpv4Checksum, static_cast<uint16_t>(~checksum_sum(ip, kIpv4Bytes)));
}

void write_ethernet(uint8_t* eth, const uint8_t* destination, const uint8_t* source, uint16_t type) {
  std::memcpy(eth, destination, 6);
  std::memcpy(eth + 6, source, 6);
  store_be16(eth + 12, type);
}

void finish_icmp(uint8_t* icmp, uint32_t bytes) {
  store_raw<uint16_t>(icmp + kIcmpChecksum, 0);
  store_raw(icmp + kIcmpChecksum, static_cast<uint16_t>(~checksum_sum(icmp, bytes)));
}

// RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7: about what no ICMP error is sent.
bool may_be_answered_with_error(const Packet& packet) {
  const auto names_one_host = [](uint32_t address) {
    return address != 0 && address >> 28 < 14 && address >> 24 != 127 && address >> 24 != 0;
  };
  const bool error = packet.flow.protocol == kProtocolIcmp &&
                     (is_translated_icmp_error(packet.icmp_type) || packet.icmp_type == kIcmpRedirect);
  return packet.ipv4 && !error && !packet.later_fragment() && names_one_host(packet.flow.source) &&
         packet.flow.destination >> 28 < 14;
}

uint16_t entropy_port(const uint8_t* ip) {
  const uint64_t hash =
      mix64(static_cast<uint64_t>(load_be32(ip + kIpv4Source)) << 32 | load_be32(ip + kIpv4Destination)) ^
      ip[kIpv4Protocol];
  return static_cast<uint16_t>(kEntropyPortBase + (hash & kEntropyPortMask));
}

}  // namespace

rte_mbuf* SlowPath::new_frame(uint32_t bytes) {
  rte_mbuf* frame = rte_pktmbuf_alloc(pool_);
  if (frame == nullptr) return nullptr;
  if (bytes > rte_pktmbuf_tailroom(frame)) {
    rte_pktmbuf_free(frame);
    return nullptr;
  }
  rte_pktmbuf_append(frame, static_cast<uint16_t>(bytes));
  if (options_.replay) fields_.wire_length(frame) = bytes;
  return frame;
}

// `frame` begins with what follows the Ethernet header of the host that it is for.
void SlowPath::send_own(rte_mbuf* frame, uint16_t ether_type, const Egress& egress, Nanoseconds stamp) {
  const GatewayPort& port = ports_[egress.port];
  const bool tunnelled = egress.vni != kNoVni;
  const uint32_t tag = port.options.vlan >= 0 ? kVlanBytes : 0;
  const uint32_t envelope = tunnelled ? kVxlanStackBytes : 0;
  const auto* payload = rte_pktmbuf_mtod(frame, const uint8_t*);
  auto* at = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_prepend(frame, static_cast<uint16_t>(kEthernetBytes + tag + envelope)));
  if (at == nullptr) {
    count_drop(DropReason::kQueueFull);
    rte_pktmbuf_free(frame);
    return;
  }
  if (options_.replay) fields_.stamp(frame) = stamp;
  const uint8_t* source = tunnelled ? options_.underlay_mac : port.options.mac;
  const uint16_t frame_type = tunnelled ? kEtherTypeIpv4 : ether_type;
  write_ethernet(at, egress.mac, source, tag != 0 ? kEtherTypeVlan : frame_type);
  at += kEthernetBytes;
  if (tag != 0) {
    store_be16(at, static_cast<uint16_t>(port.options.vlan));
    store_be16(at + 2, frame_type);
    at += kVlanBytes;
  }
  if (tunnelled) {
    const uint32_t outer_bytes = rte_pktmbuf_data_len(frame) - kEthernetBytes - tag;
    write_ipv4(at, outer_bytes, 0, kProtocolUdp, options_.vtep, egress.vtep);
    uint8_t* udp = at + kIpv4Bytes;
    store_be16(udp + kL4SourcePort, ether_type == kEtherTypeIpv4 ? entropy_port(payload) : kEntropyPortBase);
    store_be16(udp + kL4DestinationPort, options_.vxlan_udp_port);
    store_be16(udp + kUdpLength, static_cast<uint16_t>(outer_bytes - kIpv4Bytes));
    store_be16(udp + kUdpChecksum, 0);  // RFC 7348 section 5
    uint8_t* vxlan = udp + kUdpBytes;
    store_be32(vxlan, static_cast<uint32_t>(kVxlanFlagI) << 24);
    store_be32(vxlan + kVxlanVni, egress.vni << 8);
    write_ethernet(vxlan + kVxlanBytes, egress.inner_mac, options_.underlay_mac, ether_type);
  }
  transmit(frame, egress.port);
}

void SlowPath::answer_icmp_error(Packet& packet, const Decision& decision) {
  const auto reason = static_cast<DropReason>(decision.reason);
  if (!may_be_answered_with_error(packet)) return drop(packet, reason);
  const uint32_t quoted =
      std::min<uint32_t>(packet.total_length, kMaxIcmpErrorBytes - kIpv4Bytes - kIcmpBytes);
  const uint32_t total = kIpv4Bytes + kIcmpBytes + quoted;
  rte_mbuf* frame = new_frame(total);
  if (frame == nullptr) return drop(packet, reason);
  auto* ip = rte_pktmbuf_mtod(frame, uint8_t*);
  write_ipv4(ip, total, kInternetworkControl, kProtocolIcmp, decision.source_address, packet.flow.source);
  uint8_t* icmp = ip + kIpv4Bytes;
  std::memset(icmp, 0, kIcmpBytes);
  icmp[kIcmpType] = decision.icmp_type;
  icmp[1] = decision.icmp_code;
  store_be16(icmp + 6, decision.icmp_mtu);  // RFC 1191 section 4
  std::memcpy(icmp + kIcmpBytes, packet.ip(), quoted);
  finish_icmp(icmp, kIcmpBytes + quoted);

  Egress egress;
  egress.port = decision.egress_port;
  egress.vni = decision.egress_vni;
  egress.vtep = decision.egress_address;
  std::memcpy(egress.mac, decision.egress_mac, 6);
  std::memcpy(egress.inner_mac, decision.egress_inner_mac, 6);
  const Nanoseconds stamp = decision.at_seconds != 0 || decision.at_nanoseconds != 0
                                ? make_time(decision.at_seconds, decision.at_nanoseconds)
                                : packet.stamp;
  send_own(frame, kEtherTypeIpv4, egress, stamp);
  drop(packet, reason);
}

void SlowPath::answer_echo(Packet& packet, const Egress& egress, Nanoseconds stamp) {
  const LayerHeaders& layer = packet.layer();
  const bool whole_request = packet.ipv4 && packet.flow.protocol == kProtocolIcmp && !layer.fragment &&
                             layer.l4 != kAbsent && packet.icmp_type == kIcmpEchoRequest;
  if (!whole_request) return drop(packet, DropReason::kNotForUs);
  const uint32_t message = layer.l3_end - layer.l4;
  const GatewayPort& port = ports_[egress.port];
  const uint32_t limit = egress.vni == kNoVni ? port.options.mtu : largest_packet(port);
  if (kIpv4Bytes + message > limit) return drop(packet, DropReason::kTooBig);
  rte_mbuf* frame = new_frame(kIpv4Bytes + message);
  if (frame == nullptr) return drop(packet, DropReason::kQueueFull);
  auto* ip = rte_pktmbuf_mtod(frame, uint8_t*);
  write_ipv4(ip, kIpv4Bytes + message, packet.ip()[kIpv4Tos], kProtocolIcmp, packet.flow.destination,
             packet.flow.source);
  uint8_t* icmp = ip + kIpv4Bytes;
  std::memcpy(icmp, packet.frame() + layer.l4, message);
  icmp[kIcmpType] = kIcmpEchoReply;
  finish_icmp(icmp, message);
  send_own(frame, kEtherTypeIpv4, egress, stamp);
  drop(packet, DropReason::kLocal);
}

void SlowPath::answer_arp(Packet& packet, const Egress& egress, const uint8_t* mac, Nanoseconds stamp) {
  if (packet.ipv4) return drop(packet, DropReason::kLocal);
  rte_mbuf* frame = new_frame(kArpBytes);
  if (frame == nullptr) return drop(packet, DropReason::kQueueFull);
  const ParsedPacket& headers = packet.context.headers;
  const LayerHeaders& layer = headers.has_inner ? headers.inner : headers.outer;
  const uint32_t at = layer.vlan == kAbsent ? layer.eth + kEthernetBytes : layer.vlan + kVlanBytes;
  const uint8_t* request = packet.frame() + at;
  auto* reply = rte_pktmbuf_mtod(frame, uint8_t*);
  std::memcpy(reply, request, 6);  // RFC 826: hardware and protocol types and lengths
  store_be16(reply + 6, 2);
  std::memcpy(reply + 8, mac, 6);
  std::memcpy(reply + 14, request + 24, 4);
  std::memcpy(reply + 18, request + 8, 10);
  send_own(frame, kEtherTypeArp, egress, stamp);
  drop(packet, DropReason::kLocal);
}

void SlowPath::request_arp(const Decision& decision) {
  static constexpr uint8_t kBroadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  static constexpr uint8_t kUnknown[6] = {};
  rte_mbuf* frame = new_frame(kArpBytes);
  if (frame == nullptr) return;
  const bool given = std::memcmp(decision.answer_mac, kUnknown, 6) != 0;
  Egress egress;
  egress.port = decision.egress_port;
  std::memcpy(egress.mac, kBroadcast, 6);
  auto* request = rte_pktmbuf_mtod(frame, uint8_t*);
  store_be16(request, 1);
  store_be16(request + 2, kEtherTypeIpv4);
  request[4] = 6;
  request[5] = 4;
  store_be16(request + 6, 1);
  std::memcpy(request + 8, given ? decision.answer_mac : ports_[egress.port].options.mac, 6);
  store_be32(request + 14, decision.source_address);
  std::memset(request + 18, 0, 6);
  store_be32(request + 24, decision.egress_address);
  const Nanoseconds stamp =
      decision.at_seconds != 0 ? make_time(decision.at_seconds, decision.at_nanoseconds) : now_;
  send_own(frame, kEtherTypeArp, egress, stamp);
}

}  // namespace sluice
