// Reading and writing network byte order at any alignment, and the numbers of the headers this project knows.
#pragma once

#include <cstdint>
#include <cstring>

namespace sluice {

inline uint16_t load_be16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
inline uint32_t load_be32(const uint8_t* p) {
  uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return __builtin_bswap32(value);
}
inline void store_be16(uint8_t* p, uint16_t value) {
  p[0] = static_cast<uint8_t>(value >> 8);
  p[1] = static_cast<uint8_t>(value);
}
inline void store_be32(uint8_t* p, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(p, &value, sizeof value);
}
// As it stands in memory, whatever the host's order.
template <typename T>
inline T load_raw(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
template <typename T>
inline void store_raw(void* p, T value) {
  std::memcpy(p, &value, sizeof value);
}

// A length that only the run tells, of a header's field: moves, where memcpy would be a loop or a call.
inline void copy_field(void* to, const void* from, size_t bytes) {
  switch (bytes) {
    case 1: std::memcpy(to, from, 1); break;
    case 2: std::memcpy(to, from, 2); break;
    case 3: std::memcpy(to, from, 3); break;
    case 4: std::memcpy(to, from, 4); break;
    case 6: std::memcpy(to, from, 6); break;
    case 8: std::memcpy(to, from, 8); break;
    case 16: std::memcpy(to, from, 16); break;
    default: std::memcpy(to, from, bytes);
  }
}

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;  // IEEE 802.1Q C-tag
inline constexpr uint16_t kEtherTypeQinq = 0x88a8;  // IEEE 802.1Q S-tag
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

inline constexpr uint16_t kEthernetBytes = 14;
inline constexpr uint16_t kVlanBytes = 4;
inline constexpr uint16_t kIpv4Bytes = 20;  // without options
inline constexpr uint16_t kIpv6Bytes = 40;
inline constexpr uint16_t kUdpBytes = 8;
inline constexpr uint16_t kTcpBytes = 20;  // without options
inline constexpr uint16_t kIcmpBytes = 8;
inline constexpr uint16_t kVxlanBytes = 8;

// Offsets in headers.
inline constexpr uint16_t kIpv4Tos = 1, kIpv4TotalLength = 2, kIpv4FragmentOffset = 6, kIpv4Ttl = 8,
                          kIpv4Protocol = 9, kIpv4Checksum = 10, kIpv4Source = 12, kIpv4Destination = 16;
inline constexpr uint16_t kIpv6PayloadLength = 4, kIpv6NextHeader = 6, kIpv6HopLimit = 7, kIpv6Source = 8,
                          kIpv6Destination = 24;
inline constexpr uint16_t kL4SourcePort = 0, kL4DestinationPort = 2;  // TCP and UDP alike
inline constexpr uint16_t kUdpLength = 4, kUdpChecksum = 6, kTcpDataOffset = 12, kTcpChecksum = 16;
inline constexpr uint16_t kIcmpType = 0, kIcmpChecksum = 2, kIcmpIdent = 4;
inline constexpr uint16_t kVxlanFlags = 0, kVxlanVni = 4;
inline constexpr uint8_t kVxlanFlagI = 0x08;  // RFC 7348 section 5: the VNI is valid
inline constexpr uint16_t kIpv4MoreFragments = 0x2000, kIpv4OffsetMask = 0x1fff;

inline bool is_vlan_type(uint16_t ether_type) {
  return ether_type == kEtherTypeVlan || ether_type == kEtherTypeQinq;
}

}  // namespace sluice
