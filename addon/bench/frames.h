// Frames of the made-up traffic: built from a template with sums of its constant words, so that a frame costs a copy
// and a dozen stores; checked on the way back.
#pragma once

#include <cstring>

#include "bench/scenario.h"
#include "packet/wire.h"

namespace sluice::bench {

inline constexpr uint32_t kPayloadBytes = 18;  // the inner frame is 60 bytes, the least Ethernet carries
inline constexpr uint32_t kUnderlayBytes = kEthernetBytes + kIpv4Bytes + kUdpBytes + kVxlanBytes;
inline constexpr uint32_t kPlainBytes = kEthernetBytes + kIpv4Bytes + kUdpBytes + kPayloadBytes;
inline constexpr uint32_t kVxlanFrameBytes = kUnderlayBytes + kPlainBytes;
inline constexpr uint16_t kMagic = 0x5b42;

// What the payload says, so that whoever gets the frame back knows the flow and the time.
struct Stamp {
  uint64_t due_tsc;      // when the packet came to the wire
  uint32_t flow;
  uint32_t late_ticks;   // from then until it was received
  uint16_t magic;
} __attribute__((packed));
static_assert(sizeof(Stamp) == kPayloadBytes);

// Ones' complement sums over words as they stand in memory; 2^32 and 2^16 are both 1 modulo 0xffff.
inline uint16_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}
uint64_t sum_words(const uint8_t* data, uint32_t bytes);  // an even number

// Plain IPv4/UDP frame whose addresses, ports and payload vary.
class FrameTemplate {
 public:
  void make(Side side, const Scenario& scenario);
  uint32_t bytes() const { return bytes_; }

  void write(uint8_t* frame, uint32_t source, uint32_t destination, uint16_t source_port, uint16_t destination_port,
             const Stamp& stamp) const {
    std::memcpy(frame, frame_, bytes_);
    uint8_t* ip = frame + bytes_ - kPlainBytes + kEthernetBytes;
    uint8_t* udp = ip + kIpv4Bytes;
    const uint32_t source_be = __builtin_bswap32(source), destination_be = __builtin_bswap32(destination);
    const uint16_t source_port_be = __builtin_bswap16(source_port);
    const uint16_t destination_port_be = __builtin_bswap16(destination_port);
    store_raw(ip + kIpv4Source, source_be);
    store_raw(ip + kIpv4Destination, destination_be);
    const uint64_t addresses = uint64_t{source_be} + destination_be;
    store_raw(ip + kIpv4Checksum, static_cast<uint16_t>(~fold(ip_sum_ + addresses)));
    store_raw(udp, source_port_be);
    store_raw(udp + 2, destination_port_be);
    std::memcpy(udp + kUdpBytes, &stamp, sizeof stamp);
    const uint64_t payload = (stamp.due_tsc & 0xffffffff) + (stamp.due_tsc >> 32) + stamp.flow +
                             uint64_t{stamp.late_ticks} + stamp.magic;
    const uint16_t sum = static_cast<uint16_t>(~fold(udp_sum_ + addresses + source_port_be + destination_port_be + payload));
    store_raw(udp + kUdpChecksum, sum == 0 ? static_cast<uint16_t>(0xffff) : sum);
    if (bytes_ != kPlainBytes) {  // entropy of the flow (RFC 7348 section 5)
      store_be16(frame + kEthernetBytes + kIpv4Bytes, static_cast<uint16_t>(0xc000 | (stamp.flow * 0x9e3779b1u >> 18)));
    }
  }

 private:
  uint8_t frame_[kVxlanFrameBytes] = {};
  uint32_t bytes_ = 0;
  uint64_t ip_sum_ = 0;   // of the header's constant words
  uint64_t udp_sum_ = 0;  // of pseudo header and header's constant words
};

enum class Finding : uint8_t { kGood, kBad, kBadChecksum };

// Judges a frame that left the gateway on `side`: plain and translated on the external side, in VXLAN and translated
// back on the fabric side. `whole` also computes every checksum. `learn` takes the endpoint of a flow not seen yet.
Finding check_frame(Side side, const Scenario& scenario, Endpoint* endpoints, const uint8_t* frame, uint32_t bytes,
                    bool whole, Stamp* stamp);

}  // namespace sluice::bench
