// A packet as the classifier compares it: which headers are there, where they start, and what is known beside
// its bytes.
#pragma once

#include <cstdint>

#include "flow_engine/items.h"
#include "packet/parse.h"

namespace sluice {

// Presence of headers in a packet; what items require beyond their masks, implied next protocols included.
namespace presence {
inline constexpr uint32_t kEth = 1u << 0, kTag = 1u << 1, kTag2 = 1u << 2, kTag3 = 1u << 3, kIpv4 = 1u << 4,
                          kIpv6 = 1u << 5, kUdp = 1u << 6, kTcp = 1u << 7, kIcmp = 1u << 8, kIcmpv6 = 1u << 9;
inline constexpr int kInnerShift = 10;  // the same bits once more for the inner layer
inline constexpr uint32_t kVxlan = 1u << 20;
}  // namespace presence

// Bits of the kMeta word. The integrity bits keep rte_flow_item_integrity's order.
namespace meta {
inline constexpr int kOuterTagShift = 16, kOuterMoreTagsShift = 17, kInnerTagShift = 18,
                     kInnerMoreTagsShift = 19, kOuterFragmentShift = 20, kInnerFragmentShift = 21;
inline constexpr int kOuterIntegrityShift = 24, kInnerIntegrityShift = 32;
inline constexpr uint64_t kPortMask = 0xffff;
inline constexpr uint64_t kPacketOk = 1, kL2Ok = 2, kL3Ok = 4, kL4Ok = 8, kIpv4ChecksumOk = 32,
                          kL3LengthOk = 128;
inline constexpr uint64_t kIntegrityBits = kPacketOk | kL2Ok | kL3Ok | kL4Ok | kIpv4ChecksumOk | kL3LengthOk;
inline constexpr uint64_t kAnyIntegrity = 0xffffull << kOuterIntegrityShift;
}  // namespace meta

// Where META, MARK and TAG stand in Slot::kRegisters: u32 each, in the host's order.
namespace registers {
inline constexpr uint8_t kMeta = 0, kMark = 4, kTags = 8;
}

// A packet as the classifier sees it.
struct PacketView {
  const uint8_t*
      base[kSlots];  // where each slot's header starts; only slots that presence bits promise are read
  uint32_t presence;
  uint64_t meta;
};

// What is known of a packet, without where its headers are. `integrity`: also the integrity bits, which cost
// the IPv4 header checksum.
void describe_packet(const uint8_t* frame, const ParsedPacket& headers, uint16_t ingress_port_id,
                     bool integrity, PacketView* view);
// Where its headers are, but for registers.
void place_headers(const uint8_t* frame, const ParsedPacket& headers, PacketView* view);

}  // namespace sluice
