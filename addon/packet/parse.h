// Header parsing: one bounded pass over a frame, every length checked.
#pragma once

#include <cstdint>

namespace sluice {

inline constexpr uint16_t kAbsent = 0xffff;
inline constexpr uint16_t kVxlanUdpPort = 4789;  // RFC 7348 section 5

enum class L3 : uint8_t { kNone, kIpv4, kIpv6 };

// Offsets of one layer's headers from the start of the frame; kAbsent where there is none.
struct LayerHeaders {
  uint16_t eth = kAbsent;
  uint16_t vlan =
      kAbsent;  // TCI of the first tag, which is the outermost (rte_vlan_hdr: TCI, then EtherType)
  uint16_t l3 = kAbsent;
  uint16_t l4 = kAbsent;  // TCP, UDP, ICMP, ICMPv6 whose fixed header is whole; absent for fragments with an
                          // offset; see ParseOptions for first ones
  uint16_t l3_end = kAbsent;  // l3 + total length, clipped to nothing: a packet whose total length exceeds
                              // the frame is truncated
  uint16_t ether_type = 0;    // after the tag, host order
  L3 l3_kind = L3::kNone;
  uint8_t protocol = 0;            // IPv4 protocol or the last IPv6 next header reached
  bool fragment = false;           // IPv4 MF set or offset not 0; IPv6 fragment header
  bool later_fragment = false;     // offset not 0
  bool ipv4_checksum_bad = false;  // filled only when ParseOptions::verify_ipv4_checksum
};

// Why parsing stopped early. Layers parsed before stay valid.
enum class ParseFault : uint8_t {
  kNone,
  kTruncatedEthernet,
  kTruncatedL3,
  kBadL3,
  kTruncatedL4,
  kTruncatedVxlan,
  kBadVxlan
};

struct ParsedPacket {
  LayerHeaders outer;
  LayerHeaders inner;        // of a VXLAN payload
  uint16_t vxlan = kAbsent;  // VXLAN header
  bool has_inner = false;
  ParseFault fault = ParseFault::kNone;
  bool fault_in_inner = false;
  uint8_t tags = 0;  // 802.1Q/802.1ad tags seen on the outer frame
};

struct ParseOptions {
  uint16_t vxlan_udp_port = kVxlanUdpPort;
  bool verify_ipv4_checksum = false;
  bool l4_of_first_fragment = false;  // rte_flow: L4 items never match a fragment, the first included
};

// Parses `length` contiguous bytes. Never reads beyond them. Fields of `out` are all set.
// kBadL3: version or IHL wrong, or total length below the header's. kBadVxlan: I flag clear (RFC 7348 section
// 5). A layer at fault is absent: kTruncatedL3 leaves l3 absent, kTruncatedL4 l4, kBadVxlan and
// kTruncatedVxlan vxlan. kTruncatedL4 is also a UDP length or a TCP data offset that does not fit the packet.
// The inner frame of VXLAN ends where the outer UDP datagram ends.
void parse(const uint8_t* frame, uint32_t length, const ParseOptions& options, ParsedPacket* out);

}  // namespace sluice
