// Rewriting of header fields in place, with checksums repaired incrementally (RFC 1624). Every function
// leaves the packet alone when the header it is aimed at is absent, and never touches bytes beyond the
// layer's own headers.
//
// A wrong checksum stays wrong by the same amount: what came damaged leaves damaged, for the receiver to
// judge.
#pragma once

#include <cstdint>
#include <cstring>

#include "packet/parse.h"

namespace sluice {

enum class Direction : uint8_t { kSource, kDestination };

// Values are as they stand on the wire.
inline void set_mac(uint8_t* frame, const LayerHeaders& layer, Direction which, const uint8_t* mac) {
  if (layer.eth == kAbsent) return;
  std::memcpy(frame + layer.eth + (which == Direction::kSource ? 6 : 0), mac, 6);
}
// Repairs the IPv4 header checksum and the TCP or UDP checksum, whose pseudo-header holds the address (RFC
// 9293 section 3.1, RFC 768). A UDP checksum of 0 means none was made and stays 0. ICMP has no pseudo-header.
void set_ipv4_address(uint8_t* frame, const LayerHeaders& layer, Direction which, uint32_t address_be);
// Repairs the TCP, UDP or ICMPv6 checksum (RFC 8200 section 8.1). A routing header is not looked into: its
// packets' checksums are over another destination until the last hop.
void set_ipv6_address(uint8_t* frame, const LayerHeaders& layer, Direction which, const uint8_t* address);
void set_tp_port(uint8_t* frame, const LayerHeaders& layer, Direction which, uint16_t port_be);
// IPv4 TTL or IPv6 hop limit.
void set_ttl(uint8_t* frame, const LayerHeaders& layer, uint8_t ttl);
// Saturates: a TTL of 0 stays 0, 1 becomes 0. Whoever must not forward such packets matches them before.
void dec_ttl(uint8_t* frame, const LayerHeaders& layer);
void set_ipv4_dscp(uint8_t* frame, const LayerHeaders& layer, uint8_t dscp);
// Six bits of the traffic class (RFC 2474 section 3).
void set_ipv6_dscp(uint8_t* frame, const LayerHeaders& layer, uint8_t dscp);
// VID of the outermost tag.
void set_vlan_vid(uint8_t* frame, const LayerHeaders& layer, uint16_t vid);
// Priority of the outermost tag.
void set_vlan_pcp(uint8_t* frame, const LayerHeaders& layer, uint8_t pcp);
// Identifier of an ICMP query or reply (RFC 792, RFC 5508 section 3); errors have none.
void set_icmp_ident(uint8_t* frame, const LayerHeaders& layer, uint16_t ident_be);

}  // namespace sluice
