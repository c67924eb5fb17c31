// A received packet on its way through the slow path: the frame, where its headers are, and what its flow is.
#pragma once

#include <type_traits>

#include "flow_engine/flow_engine.h"
#include "generated/records.h"
#include "packet/wire.h"
#include "slow_path/clock.h"

namespace sluice {

inline constexpr uint32_t kNone = 0xffffffff;  // no slot, no datagram
inline constexpr uint16_t kIpv4DontFragment = 0x4000;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
// What VXLAN adds in front of the inner Ethernet frame, and to the IPv4 packet in it as the underlay's MTU
// counts.
inline constexpr uint32_t kVxlanStackBytes = kEthernetBytes + kIpv4Bytes + kUdpBytes + kVxlanBytes;
inline constexpr uint32_t kVxlanMtuBytes = kIpv4Bytes + kUdpBytes + kVxlanBytes + kEthernetBytes;

enum class TcpFlag : uint8_t { kFin = 0x01, kSyn = 0x02, kRst = 0x04 };
inline bool has(uint8_t flags, TcpFlag flag) { return (flags & static_cast<uint8_t>(flag)) != 0; }

// RFC 792. 4 (source quench, deprecated by RFC 6633) and 12 quote a packet like the two in daily use.
enum IcmpType : uint8_t {
  kIcmpEchoReply = 0,
  kIcmpUnreachable = 3,
  kIcmpSourceQuench = 4,
  kIcmpRedirect = 5,
  kIcmpEchoRequest = 8,
  kIcmpTimeExceeded = 11,
  kIcmpParameterProblem = 12,
};
inline bool is_echo(uint8_t type) { return type == kIcmpEchoReply || type == kIcmpEchoRequest; }
inline bool is_translated_icmp_error(uint8_t type) {
  return type == kIcmpUnreachable || type == kIcmpSourceQuench || type == kIcmpTimeExceeded ||
         type == kIcmpParameterProblem;
}

// What one flow's packets have in common as they arrive. The outer source tells peer gateways apart that
// share a VNI.
struct FlowKey {
  uint32_t source = 0;
  uint32_t destination = 0;
  uint32_t vni = kNoVni;
  uint32_t outer_source = 0;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint8_t protocol = 0;
  uint8_t port = 0;
  uint16_t reserved = 0;

  bool operator==(const FlowKey&) const = default;
};

// The tuple that an ICMP error quotes.
struct EmbeddedTuple {
  uint32_t source = 0;
  uint32_t destination = 0;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint8_t protocol = 0;
};

struct Packet {
  PacketContext context;  // frame and parsed headers, as the flow engine takes them
  FlowKey flow;
  Nanoseconds received = 0;   // gateway clock
  Nanoseconds stamp = 0;      // time with which it appears in an output capture
  uint32_t datagram = kNone;  // first fragments: whose later fragments share this packet's fate
  uint16_t total_length = 0;
  uint16_t identification = 0;
  uint8_t ttl = 0;
  uint8_t tcp_flags = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint16_t miss_flags = 0;     // MISS_*
  bool retried = false;        // a decision sent it here: another miss drops it
  bool opens_session = false;  // held first packet: the session's state already says what it means
  bool icmp_error = false;     // translated by its quoted packet; neither counts nor refreshes
  bool ipv4 = false;           // false: ARP
  bool handed_over = false;    // by the shard that received it
  bool looked_up_before = false;  // in vain, by another shard that an older configuration led to
  bool is_ours = false;           // found before it was parsed: this shard looks it up first
  int8_t ahead = -1;           // index of the look-up that is under way, -1: none

  uint8_t* frame() const { return rte_pktmbuf_mtod(context.mbuf, uint8_t*); }
  // The layer that is translated: inside VXLAN where there is one.
  const LayerHeaders& layer() const {
    return context.headers.has_inner ? context.headers.inner : context.headers.outer;
  }
  uint8_t* ip() const { return frame() + layer().l3; }
  uint32_t ip_header_bytes() const { return (ip()[0] & 0x0fu) * 4; }
  bool dont_fragment() const { return (miss_flags & kMissDontFragment) != 0; }
  bool later_fragment() const { return (miss_flags & kMissLaterFragment) != 0; }
  bool first_fragment() const { return (miss_flags & kMissFirstFragment) != 0; }
};
static_assert(std::is_trivially_copyable_v<Packet>);

// Fills flow, lengths and flags from the headers of a well-formed IPv4 packet.
void describe_ipv4(Packet* packet);

}  // namespace sluice
