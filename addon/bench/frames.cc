#include "bench/frames.h"

namespace sluice::bench {
namespace {

constexpr uint8_t kTtl = 64;

void write_ethernet(uint8_t* at, const uint8_t* destination, const uint8_t* source) {
  std::memcpy(at, destination, 6);
  std::memcpy(at + 6, source, 6);
  store_be16(at + 12, kEtherTypeIpv4);
}

void write_ipv4(uint8_t* at, uint16_t total_length, uint32_t source, uint32_t destination) {
  at[0] = 0x45;
  store_be16(at + kIpv4TotalLength, total_length);
  store_be16(at + kIpv4FragmentOffset, 0x4000);
  at[kIpv4Ttl] = kTtl;
  at[kIpv4Protocol] = kProtocolUdp;
  store_be32(at + kIpv4Source, source);
  store_be32(at + kIpv4Destination, destination);
  store_raw(at + kIpv4Checksum, static_cast<uint16_t>(~fold(sum_words(at, kIpv4Bytes))));
}

bool ip_header_right(const uint8_t* ip) { return fold(sum_words(ip, kIpv4Bytes)) == 0xffff; }

bool udp_right(const uint8_t* ip) {
  const uint8_t* udp = ip + kIpv4Bytes;
  const uint64_t pseudo = uint64_t{load_raw<uint32_t>(ip + kIpv4Source)} + load_raw<uint32_t>(ip + kIpv4Destination) +
                          __builtin_bswap16(kProtocolUdp) + load_raw<uint16_t>(udp + kUdpLength);
  return fold(pseudo + sum_words(udp, kUdpBytes + kPayloadBytes)) == 0xffff;
}

}  // namespace

uint64_t sum_words(const uint8_t* data, uint32_t bytes) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < bytes; i += 2) sum += load_raw<uint16_t>(data + i);
  return sum;
}

void FrameTemplate::make(Side side, const Scenario& s) {
  std::memset(frame_, 0, sizeof frame_);
  uint8_t* plain = frame_;
  if (side == Side::kFabric) {
    bytes_ = kVxlanFrameBytes;
    write_ethernet(frame_, s.gateway_mac, s.host_vtep_mac);
    write_ipv4(frame_ + kEthernetBytes, kVxlanFrameBytes - kEthernetBytes, s.host_vtep, s.gateway_vtep);
    uint8_t* udp = frame_ + kEthernetBytes + kIpv4Bytes;
    store_be16(udp + kL4DestinationPort, s.vxlan_port);
    store_be16(udp + kUdpLength, kVxlanFrameBytes - kEthernetBytes - kIpv4Bytes);
    udp[kUdpBytes] = kVxlanFlagI;
    store_be32(udp + kUdpBytes + kVxlanVni, s.vni << 8);
    plain = frame_ + kUnderlayBytes;
    write_ethernet(plain, s.gateway_mac, s.host_mac);
  } else {
    bytes_ = kPlainBytes;
    write_ethernet(plain, s.external_mac, s.next_hop_mac);
  }
  uint8_t* ip = plain + kEthernetBytes;
  write_ipv4(ip, kPlainBytes - kEthernetBytes, 0, 0);
  store_raw(ip + kIpv4Checksum, uint16_t{0});
  ip_sum_ = sum_words(ip, kIpv4Bytes);
  uint8_t* udp = ip + kIpv4Bytes;
  store_be16(udp + kUdpLength, kUdpBytes + kPayloadBytes);
  udp_sum_ = uint64_t{__builtin_bswap16(kProtocolUdp)} + 2 * uint64_t{load_raw<uint16_t>(udp + kUdpLength)};
}

// Without branches until the end: a frame that is as expected costs the same as one that is not, and the loop without a
// gateway, whose frames are not translated, the same as one with it.
Finding check_frame(Side side, const Scenario& s, Endpoint* endpoints, const uint8_t* frame, uint32_t bytes, bool whole,
                    Stamp* stamp) {
  const Side format = s.untranslated ? other(side) : side;
  const uint32_t expected_bytes = format == Side::kFabric ? kVxlanFrameBytes : kPlainBytes;
  if (bytes != expected_bytes) return Finding::kBad;
  const uint8_t* plain = format == Side::kFabric ? frame + kUnderlayBytes : frame;
  const uint8_t* ip = plain + kEthernetBytes;
  const uint8_t* udp = ip + kIpv4Bytes;
  std::memcpy(stamp, udp + kUdpBytes, sizeof *stamp);
  if (stamp->magic != kMagic || stamp->flow >= s.flows) return Finding::kBad;
  const uint32_t source = load_be32(ip + kIpv4Source), destination = load_be32(ip + kIpv4Destination);
  const uint16_t source_port = load_be16(udp), destination_port = load_be16(udp + kL4DestinationPort);
  Endpoint& endpoint = endpoints[stamp->flow];
  uint32_t wrong = 0;
  wrong |= (load_be16(plain + 12) ^ kEtherTypeIpv4) | (ip[0] ^ 0x45) | (ip[kIpv4Ttl] ^ (kTtl - 1)) |
           (ip[kIpv4Protocol] ^ kProtocolUdp);
  if (format == Side::kFabric) {
    const uint8_t* outer_udp = frame + kEthernetBytes + kIpv4Bytes;
    wrong |= load_be32(frame + kEthernetBytes + kIpv4Destination) ^ s.host_vtep;
    wrong |= load_be16(outer_udp + kL4DestinationPort) ^ s.vxlan_port;
    wrong |= load_be32(outer_udp + kUdpBytes + kVxlanVni) ^ (s.vni << 8);
    wrong |= static_cast<uint32_t>(std::memcmp(frame, s.host_vtep_mac, 6)) | static_cast<uint32_t>(std::memcmp(plain, s.host_mac, 6));
    wrong |= source ^ s.remote_address(stamp->flow);
    wrong |= source_port ^ s.remote_port;
    wrong |= destination ^ s.host_address(stamp->flow);
    wrong |= destination_port ^ s.source_port(stamp->flow);
  } else {
    wrong |= destination ^ s.remote_address(stamp->flow);
    wrong |= destination_port ^ s.remote_port;
    wrong |= static_cast<uint32_t>(std::memcmp(frame, s.next_hop_mac, 6));
    wrong |= static_cast<uint32_t>(source < s.pool_first) | static_cast<uint32_t>(source > s.pool_last);
    if (endpoint.port == 0) endpoint = {source, source_port, 0};
    wrong |= (endpoint.address ^ source) | (endpoint.port ^ source_port);
  }
  bool sums_right = true;
  if (whole) {
    sums_right = ip_header_right(ip) && udp_right(ip);
    if (format == Side::kFabric) sums_right = sums_right && ip_header_right(frame + kEthernetBytes);
  }
  if (s.untranslated) return sums_right ? Finding::kGood : Finding::kBadChecksum;
  if (wrong != 0) return Finding::kBad;
  return sums_right ? Finding::kGood : Finding::kBadChecksum;
}

}  // namespace sluice::bench
