#include "packet/rewrite.h"

#include <algorithm>
#include <cstring>

#include "packet/checksum.h"
#include "packet/wire.h"

namespace sluice {
namespace {

void repair(uint8_t* checksum, uint16_t old_word, uint16_t new_word) {
  store_raw(checksum, checksum_update16(load_raw<uint16_t>(checksum), old_word, new_word));
}

// Where the transport header of an IPv6 packet starts that the parser, as rte_flow has it, saw no further
// into than its fragment header; kAbsent when it is not whole. The parser has checked the chain up to there.
uint32_t transport_behind_extensions(const uint8_t* frame, const LayerHeaders& layer) {
  uint8_t next = frame[layer.l3 + kIpv6NextHeader];
  uint32_t at = layer.l3 + kIpv6Bytes;
  while (next != layer.protocol) {  // RFC 8200 section 4; AH: RFC 4302 section 2.2
    if (at + 8 > layer.l3_end) return kAbsent;
    const uint32_t bytes = next == 44 ? 8 : next == 51 ? (frame[at + 1] + 2u) * 4 : (frame[at + 1] + 1u) * 8;
    next = frame[at];
    at += bytes;
  }
  return at;
}

// The checksum field of the layer's TCP, UDP or ICMPv6 header, or null: none there, or UDP without a
// checksum.
uint8_t* l4_checksum(uint8_t* frame, const LayerHeaders& layer) {
  uint32_t l4 = layer.l4;
  if (l4 == kAbsent) {
    // A first fragment is without l4 when parsed as rte_flow does, and so is a header whose own length is
    // wrong; but the transport header is there all the same and its checksum covers the addresses.
    if (layer.later_fragment || layer.l3_kind == L3::kNone) return nullptr;
    l4 = layer.l3_kind == L3::kIpv4 ? layer.l3 + (frame[layer.l3] & 0x0fu) * 4
                                    : transport_behind_extensions(frame, layer);
    if (l4 == kAbsent) return nullptr;
  }
  if (layer.protocol == kProtocolTcp) {
    return l4 + kTcpChecksum + 2 <= layer.l3_end ? frame + l4 + kTcpChecksum : nullptr;
  }
  if (layer.protocol == kProtocolIcmpv6 && layer.l3_kind == L3::kIpv6) {  // whose pseudo-header is as TCP's
    return l4 + kIcmpBytes <= layer.l3_end ? frame + l4 + kIcmpChecksum : nullptr;
  }
  if (layer.protocol != kProtocolUdp || l4 + kUdpBytes > layer.l3_end) return nullptr;
  uint8_t* checksum = frame + l4 + kUdpChecksum;
  return load_raw<uint16_t>(checksum) == 0 ? nullptr : checksum;
}

// RFC 768: a computed checksum of zero is sent as all ones.
void avoid_zero(uint8_t* checksum, const LayerHeaders& layer) {
  if (layer.protocol == kProtocolUdp && load_raw<uint16_t>(checksum) == 0)
    store_raw<uint16_t>(checksum, 0xffff);
}

bool has_ports(const LayerHeaders& layer) {
  return layer.l4 != kAbsent && (layer.protocol == kProtocolTcp || layer.protocol == kProtocolUdp);
}

}  // namespace

void set_ipv4_address(uint8_t* frame, const LayerHeaders& layer, Direction which, uint32_t address_be) {
  if (layer.l3_kind != L3::kIpv4) return;
  uint8_t* field = frame + layer.l3 + (which == Direction::kSource ? kIpv4Source : kIpv4Destination);
  const uint32_t old = load_raw<uint32_t>(field);
  if (old == address_be) return;
  store_raw(field, address_be);
  uint8_t* ip_checksum = frame + layer.l3 + kIpv4Checksum;
  store_raw(ip_checksum, checksum_update32(load_raw<uint16_t>(ip_checksum), old, address_be));
  if (uint8_t* checksum = l4_checksum(frame, layer)) {
    store_raw(checksum, checksum_update32(load_raw<uint16_t>(checksum), old, address_be));
    avoid_zero(checksum, layer);
  }
}

void set_ipv6_address(uint8_t* frame, const LayerHeaders& layer, Direction which, const uint8_t* address) {
  if (layer.l3_kind != L3::kIpv6) return;
  uint8_t* field = frame + layer.l3 + (which == Direction::kSource ? kIpv6Source : kIpv6Destination);
  if (std::memcmp(field, address, 16) == 0) return;
  if (uint8_t* checksum = l4_checksum(frame, layer)) {
    uint16_t repaired = load_raw<uint16_t>(checksum);
    for (int word = 0; word < 16; word += 4) {
      repaired =
          checksum_update32(repaired, load_raw<uint32_t>(field + word), load_raw<uint32_t>(address + word));
    }
    store_raw(checksum, repaired);
    avoid_zero(checksum, layer);
  }
  std::memcpy(field, address, 16);
}

void set_tp_port(uint8_t* frame, const LayerHeaders& layer, Direction which, uint16_t port_be) {
  if (!has_ports(layer)) return;
  uint8_t* field = frame + layer.l4 + (which == Direction::kSource ? kL4SourcePort : kL4DestinationPort);
  const uint16_t old = load_raw<uint16_t>(field);
  if (old == port_be) return;
  store_raw(field, port_be);
  if (uint8_t* checksum = l4_checksum(frame, layer)) {
    repair(checksum, old, port_be);
    avoid_zero(checksum, layer);
  }
}

void set_ttl(uint8_t* frame, const LayerHeaders& layer, uint8_t ttl) {
  if (layer.l3_kind == L3::kIpv6) {
    frame[layer.l3 + kIpv6HopLimit] = ttl;
    return;
  }
  if (layer.l3_kind != L3::kIpv4) return;
  uint8_t* word = frame + layer.l3 + kIpv4Ttl;  // TTL and protocol share a 16-bit word
  if (word[0] == ttl) return;
  const uint16_t old = load_raw<uint16_t>(word);
  word[0] = ttl;
  repair(frame + layer.l3 + kIpv4Checksum, old, load_raw<uint16_t>(word));
}

void dec_ttl(uint8_t* frame, const LayerHeaders& layer) {
  if (layer.l3_kind == L3::kNone) return;
  const uint8_t ttl = frame[layer.l3 + (layer.l3_kind == L3::kIpv4 ? kIpv4Ttl : kIpv6HopLimit)];
  if (ttl != 0) set_ttl(frame, layer, static_cast<uint8_t>(ttl - 1));
}

void set_ipv4_dscp(uint8_t* frame, const LayerHeaders& layer, uint8_t dscp) {
  if (layer.l3_kind != L3::kIpv4) return;
  uint8_t* word = frame + layer.l3;
  const uint16_t old = load_raw<uint16_t>(word);
  word[kIpv4Tos] = static_cast<uint8_t>(dscp << 2 | (word[kIpv4Tos] & 0x03));
  if (load_raw<uint16_t>(word) != old) repair(word + kIpv4Checksum, old, load_raw<uint16_t>(word));
}

void set_ipv6_dscp(uint8_t* frame, const LayerHeaders& layer, uint8_t dscp) {
  if (layer.l3_kind != L3::kIpv6) return;
  uint8_t* word = frame + layer.l3;  // version, traffic class, flow label: 4, 8 and 20 bits
  store_be16(word, static_cast<uint16_t>((load_be16(word) & 0xf03f) | (dscp & 0x3f) << 6));
}

void set_vlan_vid(uint8_t* frame, const LayerHeaders& layer, uint16_t vid) {
  if (layer.vlan == kAbsent) return;
  uint8_t* tci = frame + layer.vlan;
  store_be16(tci, static_cast<uint16_t>((load_be16(tci) & 0xf000) | (vid & 0x0fff)));
}

void set_vlan_pcp(uint8_t* frame, const LayerHeaders& layer, uint8_t pcp) {
  if (layer.vlan == kAbsent) return;
  uint8_t* tci = frame + layer.vlan;
  store_be16(tci, static_cast<uint16_t>((load_be16(tci) & 0x1fff) | pcp << 13));
}

void set_icmp_ident(uint8_t* frame, const LayerHeaders& layer, uint16_t ident_be) {
  if (layer.l4 == kAbsent || layer.l3_kind != L3::kIpv4 || layer.protocol != kProtocolIcmp) return;
  uint8_t* icmp = frame + layer.l4;
  const uint8_t type = icmp[kIcmpType];
  const bool query = type == 0 || type == 8 || (type >= 13 && type <= 18);
  const uint16_t old = load_raw<uint16_t>(icmp + kIcmpIdent);
  if (!query || old == ident_be) return;
  store_raw(icmp + kIcmpIdent, ident_be);
  repair(icmp + kIcmpChecksum, old, ident_be);
  // An update cannot tell the two zeros of one's complement apart: only of nothing but zeros is the sum +0,
  // and the checksum 0xffff (RFC 1624 section 3).
  const bool all_zero = std::all_of(icmp, frame + layer.l3_end, [](uint8_t byte) { return byte == 0; });
  if (all_zero) store_raw<uint16_t>(icmp + kIcmpChecksum, 0xffff);
}

}  // namespace sluice
