#include "packet/tunnel.h"

#include <rte_byteorder.h>

#include <cstring>

#include "packet/checksum.h"
#include "packet/wire.h"

namespace sluice {
namespace {

uint8_t* frame_of(rte_mbuf* mbuf) { return rte_pktmbuf_mtod(mbuf, uint8_t*); }

void shift(uint16_t* offset, int by) {
  if (*offset != kAbsent) *offset = static_cast<uint16_t>(*offset + by);
}

void shift(LayerHeaders* layer, int by) {
  shift(&layer->eth, by);
  shift(&layer->vlan, by);
  shift(&layer->l3, by);
  shift(&layer->l4, by);
  shift(&layer->l3_end, by);
}

void shift_behind_l2(ParsedPacket* packet, int by) {
  shift(&packet->outer.l3, by);
  shift(&packet->outer.l4, by);
  shift(&packet->outer.l3_end, by);
  shift(&packet->vxlan, by);
  shift(&packet->inner, by);
}

uint8_t count_tags(const uint8_t* frame, const LayerHeaders& layer) {
  if (layer.vlan == kAbsent) return 0;
  uint8_t tags = 1;
  // The parser saw this chain of tags to its end, so it ends inside the frame.
  for (const uint8_t* tag = frame + layer.vlan; is_vlan_type(load_be16(tag + 2)) && tags != 0xff;
       tag += kVlanBytes) {
    ++tags;
  }
  return tags;
}

// Frames stay below the 16-bit offsets of LayerHeaders.
bool fits_offsets(const rte_mbuf* mbuf, uint32_t added) { return mbuf->data_len + added < kAbsent; }

}  // namespace

void complete_vxlan_header(VxlanHeader* header, uint16_t vxlan_udp_port) {
  uint8_t* bytes = header->bytes;
  uint16_t ip_at = kEthernetBytes;
  if (header->tagged) {
    if (load_be16(bytes + 12) == 0 || load_be16(bytes + 12) == kEtherTypeIpv4)
      store_be16(bytes + 12, kEtherTypeVlan);
    ip_at += kVlanBytes;
  }
  store_be16(bytes + ip_at - 2, kEtherTypeIpv4);
  uint8_t* ip = bytes + ip_at;
  ip[0] = 0x45;
  if (ip[kIpv4Ttl] == 0) ip[kIpv4Ttl] = 64;  // RFC 1700, default TTL
  ip[kIpv4Protocol] = kProtocolUdp;
  uint8_t* udp = ip + kIpv4Bytes;
  if (load_be16(udp + kL4DestinationPort) == 0) store_be16(udp + kL4DestinationPort, vxlan_udp_port);
  store_be16(udp + kUdpChecksum, 0);
  udp[kUdpBytes + kVxlanFlags] |= kVxlanFlagI;
  header->length = static_cast<uint8_t>(ip_at + kIpv4Bytes + kUdpBytes + kVxlanBytes);
}

VxlanFields split_vxlan_header(VxlanHeader* header) {
  VxlanFields fields;
  uint8_t* ip = header->bytes + kEthernetBytes + (header->tagged ? kVlanBytes : 0);
  uint8_t* udp = ip + kIpv4Bytes;
  uint8_t* vni = udp + kUdpBytes + kVxlanVni;
  std::memcpy(fields.destination_mac, header->bytes, sizeof fields.destination_mac);
  fields.destination_be = load_raw<uint32_t>(ip + kIpv4Destination);
  fields.source_port_be = load_raw<uint16_t>(udp + kL4SourcePort);
  std::memcpy(fields.vni, vni, sizeof fields.vni);
  std::memset(header->bytes, 0, sizeof fields.destination_mac);
  store_raw<uint32_t>(ip + kIpv4Destination, 0);
  store_raw<uint16_t>(udp + kL4SourcePort, 0);
  std::memset(vni, 0, sizeof fields.vni);
  return fields;
}

PushResult push_vxlan(rte_mbuf* mbuf, ParsedPacket* packet, const VxlanHeader& header, const VxlanFields& fields) {
  const uint32_t inner_bytes = mbuf->data_len;
  if (kIpv4Bytes + kUdpBytes + kVxlanBytes + inner_bytes > 0xffff || !fits_offsets(mbuf, header.length)) {
    return PushResult::kTooLong;
  }
  auto* frame = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(mbuf, header.length));
  if (frame == nullptr) return PushResult::kNoHeadroom;
  constexpr uint32_t kPlain = kEthernetBytes + kIpv4Bytes + kUdpBytes + kVxlanBytes;
  std::memcpy(frame, header.bytes, kPlain);
  if (header.tagged) std::memcpy(frame + kPlain, header.bytes + kPlain, kVlanBytes);

  const int by = header.length;
  const uint16_t ip_at = static_cast<uint16_t>(kEthernetBytes + (header.tagged ? kVlanBytes : 0));
  uint8_t* ip = frame + ip_at;
  const auto total =
      rte_cpu_to_be_16(static_cast<uint16_t>(kIpv4Bytes + kUdpBytes + kVxlanBytes + inner_bytes));
  std::memcpy(frame, fields.destination_mac, sizeof fields.destination_mac);
  store_raw(ip + kIpv4Destination, fields.destination_be);
  store_raw(ip + kIpv4TotalLength, total);
  // Summed over the header as it was given: what has just been stored could not be read back yet without waiting.
  const uint8_t* given = header.bytes + ip_at;
  const uint64_t without = checksum_sum_words(given, kIpv4Bytes / 4) +
                           static_cast<uint16_t>(~load_raw<uint16_t>(given + kIpv4TotalLength)) +
                           static_cast<uint16_t>(~load_raw<uint16_t>(given + kIpv4Checksum));
  store_raw(ip + kIpv4Checksum, checksum_add(0xffff, without + total + fields.destination_be));
  uint8_t* udp = ip + kIpv4Bytes;
  store_raw(udp + kL4SourcePort, fields.source_port_be);
  store_be16(udp + kUdpLength, static_cast<uint16_t>(kUdpBytes + kVxlanBytes + inner_bytes));
  std::memcpy(udp + kUdpBytes + kVxlanVni, fields.vni, sizeof fields.vni);

  packet->inner = packet->outer;
  shift(&packet->inner, by);
  packet->has_inner = packet->inner.eth != kAbsent;
  packet->fault_in_inner = packet->fault != ParseFault::kNone;
  packet->tags = header.tagged ? 1 : 0;
  const uint16_t fragment = load_be16(ip + kIpv4FragmentOffset);
  LayerHeaders& outer = packet->outer;
  outer = LayerHeaders{};
  outer.eth = 0;
  if (header.tagged) outer.vlan = kEthernetBytes;
  outer.l3 = ip_at;
  outer.l3_end = static_cast<uint16_t>(ip_at + kIpv4Bytes + kUdpBytes + kVxlanBytes + inner_bytes);
  outer.ether_type = kEtherTypeIpv4;
  outer.l3_kind = L3::kIpv4;
  outer.protocol = kProtocolUdp;
  outer.fragment = (fragment & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0;
  outer.later_fragment = (fragment & kIpv4OffsetMask) != 0;
  outer.l4 = static_cast<uint16_t>(ip_at + kIpv4Bytes);
  packet->vxlan = static_cast<uint16_t>(outer.l4 + kUdpBytes);
  return PushResult::kDone;
}

bool pop_vxlan(rte_mbuf* mbuf, ParsedPacket* packet, uint16_t vxlan_udp_port) {
  if (packet->vxlan == kAbsent || !packet->has_inner || packet->inner.eth == kAbsent) return false;
  const uint16_t cut = packet->inner.eth;
  // The datagram may end before its IP packet does.
  const uint16_t udp = packet->outer.l4;
  const auto end = static_cast<uint16_t>(udp + load_be16(frame_of(mbuf) + udp + kUdpLength));
  if (end < mbuf->data_len) rte_pktmbuf_trim(mbuf, static_cast<uint16_t>(mbuf->data_len - end));
  rte_pktmbuf_adj(mbuf, cut);
  const uint8_t* frame = frame_of(mbuf);
  LayerHeaders outer = packet->inner;
  shift(&outer, -static_cast<int>(cut));
  if (outer.l4 != kAbsent && outer.protocol == kProtocolUdp && !outer.fragment &&
      load_be16(frame + outer.l4 + kL4DestinationPort) == vxlan_udp_port) {
    // A tunnel in the tunnel comes into view.
    const bool checksum_bad = outer.ipv4_checksum_bad;
    ParseOptions options;
    options.vxlan_udp_port = vxlan_udp_port;
    parse(frame, mbuf->data_len, options, packet);
    packet->outer.ipv4_checksum_bad = checksum_bad;
    return true;
  }
  const ParseFault fault = packet->fault_in_inner ? packet->fault : ParseFault::kNone;
  *packet = ParsedPacket{};
  packet->outer = outer;
  packet->fault = fault;
  packet->tags =
      fault == ParseFault::kTruncatedEthernet ? (outer.vlan != kAbsent ? 1 : 0) : count_tags(frame, outer);
  return true;
}

PushResult push_vlan(rte_mbuf* mbuf, ParsedPacket* packet, uint16_t tpid) {
  if (packet->outer.eth == kAbsent) return PushResult::kDone;
  if (!fits_offsets(mbuf, kVlanBytes)) return PushResult::kTooLong;
  auto* frame = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(mbuf, kVlanBytes));
  if (frame == nullptr) return PushResult::kNoHeadroom;
  std::memmove(frame, frame + kVlanBytes, 12);
  store_be16(frame + 12, tpid);
  store_be16(frame + kEthernetBytes, 0);
  shift_behind_l2(packet, kVlanBytes);
  packet->outer.vlan = kEthernetBytes;
  if (packet->tags != 0xff) ++packet->tags;
  return PushResult::kDone;
}

bool pop_vlan(rte_mbuf* mbuf, ParsedPacket* packet) {
  if (packet->outer.vlan == kAbsent) return false;
  uint8_t* frame = frame_of(mbuf);
  std::memmove(frame + kVlanBytes, frame, 12);
  rte_pktmbuf_adj(mbuf, kVlanBytes);
  shift_behind_l2(packet, -kVlanBytes);
  if (packet->tags <= 1) {
    packet->tags = 0;
    packet->outer.vlan = kAbsent;
  } else {
    --packet->tags;
  }
  return true;
}

PushResult replace_l2(rte_mbuf* mbuf, ParsedPacket* packet, const uint8_t* bytes, uint16_t length) {
  const bool truncated = packet->fault == ParseFault::kTruncatedEthernet && !packet->fault_in_inner;
  if (packet->outer.eth == kAbsent || truncated) return PushResult::kDone;
  const int by = static_cast<int>(length) - kEthernetBytes - kVlanBytes * packet->tags;
  if (by > 0) {
    if (!fits_offsets(mbuf, static_cast<uint32_t>(by))) return PushResult::kTooLong;
    if (rte_pktmbuf_prepend(mbuf, static_cast<uint16_t>(by)) == nullptr) return PushResult::kNoHeadroom;
  } else if (by < 0) {
    rte_pktmbuf_adj(mbuf, static_cast<uint16_t>(-by));
  }
  uint8_t* frame = frame_of(mbuf);
  const uint16_t type = packet->outer.ether_type;
  std::memcpy(frame, bytes, length);
  store_be16(frame + length - 2, type);
  shift_behind_l2(packet, by);
  packet->outer.eth = 0;
  packet->outer.vlan = length > kEthernetBytes ? kEthernetBytes : kAbsent;
  packet->tags = length > kEthernetBytes ? 1 : 0;
  return PushResult::kDone;
}

}  // namespace sluice
