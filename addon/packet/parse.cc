#include "packet/parse.h"

#include "packet/checksum.h"
#include "packet/wire.h"

namespace sluice {
namespace {

struct Cursor {
  const uint8_t* frame;
  uint32_t end;  // first byte that may not be read
};

// Smallest header that makes a transport header usable; 0 for protocols whose header nobody here reads.
constexpr uint16_t l4_bytes(uint8_t protocol, L3 kind) {
  switch (protocol) {
    case kProtocolTcp: return kTcpBytes;
    case kProtocolUdp: return kUdpBytes;
    case kProtocolIcmp: return kind == L3::kIpv4 ? kIcmpBytes : 0;
    case kProtocolIcmpv6: return kind == L3::kIpv6 ? kIcmpBytes : 0;
    default: return 0;
  }
}

// Whether the header's own length fits the packet. What contradicts itself is nothing that a rule may act on: the NIC
// hands it up, and software drops it as malformed, so that both treat it alike. A first fragment's UDP length is the
// whole datagram's.
bool has_consistent_length(const uint8_t* l4, uint32_t available, const LayerHeaders& layer) {
  if (layer.protocol == kProtocolTcp) {
    const uint32_t header = (l4[kTcpDataOffset] >> 4) * 4u;
    return header >= kTcpBytes && header <= available;
  }
  if (layer.protocol == kProtocolUdp) {
    const uint32_t length = load_be16(l4 + kUdpLength);
    return length >= kUdpBytes && (layer.fragment || length <= available);
  }
  return true;
}

ParseFault parse_l4(const Cursor& cursor, uint32_t offset, const ParseOptions& options, LayerHeaders* layer) {
  if (layer->later_fragment || (layer->fragment && !options.l4_of_first_fragment)) return ParseFault::kNone;
  const uint16_t needed = l4_bytes(layer->protocol, layer->l3_kind);
  if (needed == 0) return ParseFault::kNone;
  if (offset + needed > cursor.end) return ParseFault::kTruncatedL4;
  if (!has_consistent_length(cursor.frame + offset, cursor.end - offset, *layer)) return ParseFault::kTruncatedL4;
  layer->l4 = static_cast<uint16_t>(offset);
  return ParseFault::kNone;
}

ParseFault parse_ipv4(const Cursor& cursor, uint32_t offset, const ParseOptions& options,
                      LayerHeaders* layer) {
  if (offset + kIpv4Bytes > cursor.end) return ParseFault::kTruncatedL3;
  const uint8_t* ip = cursor.frame + offset;
  const uint32_t header = (ip[0] & 0x0fu) * 4;
  const uint32_t total = load_be16(ip + kIpv4TotalLength);
  if (ip[0] >> 4 != 4 || header < kIpv4Bytes || total < header) return ParseFault::kBadL3;
  if (offset + total > cursor.end) return ParseFault::kTruncatedL3;
  layer->l3 = static_cast<uint16_t>(offset);
  layer->l3_end = static_cast<uint16_t>(offset + total);
  layer->l3_kind = L3::kIpv4;
  layer->protocol = ip[kIpv4Protocol];
  const uint16_t fragment = load_be16(ip + kIpv4FragmentOffset);
  layer->fragment = (fragment & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0;
  layer->later_fragment = (fragment & kIpv4OffsetMask) != 0;
  if (options.verify_ipv4_checksum) layer->ipv4_checksum_bad = checksum_sum(ip, header) != 0xffff;
  return parse_l4({cursor.frame, offset + total}, offset + header, options, layer);
}

// RFC 8200 section 4: extension headers that may stand between the IPv6 header and the transport header.
constexpr bool is_ipv6_extension(uint8_t next) {
  return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

ParseFault parse_ipv6(const Cursor& cursor, uint32_t offset, const ParseOptions& options,
                      LayerHeaders* layer) {
  if (offset + kIpv6Bytes > cursor.end) return ParseFault::kTruncatedL3;
  const uint8_t* ip = cursor.frame + offset;
  if (ip[0] >> 4 != 6) return ParseFault::kBadL3;
  const uint32_t end = offset + kIpv6Bytes + load_be16(ip + kIpv6PayloadLength);
  if (end > cursor.end) return ParseFault::kTruncatedL3;
  layer->l3 = static_cast<uint16_t>(offset);
  layer->l3_end = static_cast<uint16_t>(end);
  layer->l3_kind = L3::kIpv6;
  uint8_t next = ip[kIpv6NextHeader];
  uint32_t at = offset + kIpv6Bytes;
  while (is_ipv6_extension(next)) {
    layer->protocol = next;
    if (at + 8 > end) return ParseFault::kTruncatedL4;
    const uint8_t* extension = cursor.frame + at;
    uint32_t bytes = (extension[1] + 1u) * 8;
    if (next == 51) bytes = (extension[1] + 2u) * 4;  // RFC 4302 section 2.2
    if (next == 44) {
      const uint16_t fragment = load_be16(extension + 2);
      bytes = 8;
      layer->fragment = true;
      layer->later_fragment = fragment >> 3 != 0;
    }
    next = extension[0];
    at += bytes;
    if (layer->later_fragment) break;  // what follows is payload of another packet's header chain
  }
  layer->protocol = next;
  return parse_l4({cursor.frame, end}, at, options, layer);
}

ParseFault parse_layer(const Cursor& cursor, uint32_t offset, const ParseOptions& options,
                       LayerHeaders* layer, uint8_t* tags) {
  if (offset + kEthernetBytes > cursor.end) return ParseFault::kTruncatedEthernet;
  layer->eth = static_cast<uint16_t>(offset);
  uint16_t type = load_be16(cursor.frame + offset + 12);
  uint32_t at = offset + kEthernetBytes;
  layer->ether_type = type;
  while (is_vlan_type(type)) {
    if (at + kVlanBytes > cursor.end) return ParseFault::kTruncatedEthernet;
    if (layer->vlan == kAbsent) layer->vlan = static_cast<uint16_t>(at);
    if (*tags != 0xff) ++*tags;
    type = load_be16(cursor.frame + at + 2);
    at += kVlanBytes;
    layer->ether_type = type;
  }
  if (type == kEtherTypeIpv4) return parse_ipv4(cursor, at, options, layer);
  if (type == kEtherTypeIpv6) return parse_ipv6(cursor, at, options, layer);
  return ParseFault::kNone;
}

}  // namespace

void parse(const uint8_t* frame, uint32_t length, const ParseOptions& options, ParsedPacket* out) {
  *out = ParsedPacket{};
  // Offsets are 16 bits and 0xffff means absent; no Ethernet frame that this system handles is longer.
  const Cursor cursor{frame, length < kAbsent ? length : kAbsent - 1u};
  out->fault = parse_layer(cursor, 0, options, &out->outer, &out->tags);
  const LayerHeaders& outer = out->outer;
  if (out->fault != ParseFault::kNone || outer.l4 == kAbsent || outer.protocol != kProtocolUdp ||
      outer.fragment || load_be16(frame + outer.l4 + kL4DestinationPort) != options.vxlan_udp_port) {
    return;
  }
  const uint32_t vxlan = outer.l4 + kUdpBytes;
  const uint32_t end = outer.l4 + load_be16(frame + outer.l4 + kUdpLength);
  if (vxlan + kVxlanBytes > end) {
    out->fault = ParseFault::kTruncatedVxlan;
    return;
  }
  if ((frame[vxlan + kVxlanFlags] & kVxlanFlagI) == 0) {
    out->fault = ParseFault::kBadVxlan;
    return;
  }
  out->vxlan = static_cast<uint16_t>(vxlan);
  uint8_t inner_tags = 0;
  out->fault = parse_layer({frame, end}, vxlan + kVxlanBytes, options, &out->inner, &inner_tags);
  out->fault_in_inner = out->fault != ParseFault::kNone;
  out->has_inner = out->inner.eth != kAbsent;
}

}  // namespace sluice
