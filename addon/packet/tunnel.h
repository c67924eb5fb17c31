// Putting headers in front of a frame and taking them off, with the parsed offsets kept in step: a full parse
// is repeated only where a header that was payload before comes into view.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "packet/parse.h"

namespace sluice {

// A VXLAN encapsulation with everything that does not depend on the packet already filled in.
struct VxlanHeader {
  static constexpr uint16_t kMaxBytes = 14 + 4 + 20 + 8 + 8;
  uint8_t bytes[kMaxBytes] = {};
  uint8_t length = 0;  // 50, or 54 with an 802.1Q tag
  bool tagged = false;
};

// Fields in which encapsulations of one header differ, as they stand on the wire.
struct __attribute__((packed)) VxlanFields {
  uint32_t destination_be;
  uint16_t source_port_be;
  uint8_t destination_mac[6];
  uint8_t vni[3];
};
// Takes the fields out of a header, which has zeros there afterwards.
VxlanFields split_vxlan_header(VxlanHeader* header);

enum class PushResult : uint8_t { kDone, kNoHeadroom, kTooLong };

// Completes the version, IHL, TTL, EtherType, protocol, UDP port and I flag where they were left 0 (as
// drivers do with the definition of VXLAN_ENCAP and the data of RAW_ENCAP). The UDP checksum becomes 0 (RFC
// 7348 section 5).
void complete_vxlan_header(VxlanHeader* header, uint16_t vxlan_udp_port);

// Prepends `header`, fills in lengths and IPv4 checksum. kTooLong: the result does not fit an IPv4 packet.
PushResult push_vxlan(rte_mbuf* mbuf, ParsedPacket* packet, const VxlanHeader& header, const VxlanFields& fields);

// Takes off everything up to the inner Ethernet header, and what follows the outer IP packet. False when
// there is no whole inner Ethernet header; the packet is then as before.
bool pop_vxlan(rte_mbuf* mbuf, ParsedPacket* packet, uint16_t vxlan_udp_port);

// A new outermost tag with TCI 0.
PushResult push_vlan(rte_mbuf* mbuf, ParsedPacket* packet, uint16_t tpid);
// Takes the outermost tag off; false when there is none.
bool pop_vlan(rte_mbuf* mbuf, ParsedPacket* packet);

// Replaces the Ethernet header with its tags by `length` bytes that are one (14, or 18 with a tag).
PushResult replace_l2(rte_mbuf* mbuf, ParsedPacket* packet, const uint8_t* bytes, uint16_t length);

}  // namespace sluice
