// The reference's packets: which headers are in a frame, and their checksums, made anew from the whole packet.
#pragma once

#include <rte_flow.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "reference.h"

namespace sluice::test::reference {

uint32_t number(const uint8_t* p, int bytes);
void put(uint8_t* p, int bytes, uint64_t value);
uint32_t ones_sum(const Bytes& bytes);  // of 16-bit words, folded

enum class Kind { kEth, kVlan, kIpv4, kIpv6, kUdp, kTcp, kIcmp, kIcmp6, kVxlan };
struct Header {
  Kind kind;
  size_t at;
  int level;       // 0 outer, 1 inner
  size_t end = 0;  // of the packet that an IP header announces
  bool fragment = false;
};

// A device parses a packet once: what was a tunnel on arrival stays one when a rule rewrites its UDP port,
// and rewriting a port to VXLAN's makes no tunnel. Only taking headers off or putting them on changes what is
// seen.
struct Packet {
  Bytes bytes;
  bool tunnel = false;
  uint32_t meta = 0, mark = 0, tag[8] = {};
};

// The headers of a frame in the order seen on the wire, up to the first thing that is not one of them or not
// whole. `look`: find out by the UDP port whether it is a tunnel.
std::vector<Header> headers_of(const Packet& packet, bool look = false);
bool is_tunnel(const Packet& packet);
const Header* first(const std::vector<Header>& headers, Kind kind, int level);

// Applies `change` and then makes every checksum as wrong as it was before.
void with_checksums(Packet* packet, const std::function<void()>& change);

// reference_match.cc. `in_range`: a field was matched as a range.
bool matches(const rte_flow_item* items, const Packet& packet, uint16_t port, bool* in_range);

// reference_actions.cc
void apply_set(Packet* packet, const rte_flow_action& action);
void decrement_ttl(Packet* packet);
void modify(Packet* packet, const rte_flow_action_modify_field& conf);
uint64_t counted(const Packet& packet);  // bytes of COUNT
bool decapsulate(Packet* packet);
void encapsulate(Packet* packet, const rte_flow_action_vxlan_encap& conf);
void encapsulate(Packet* packet, Bytes header, size_t ip);
size_t l2_end(const Packet& packet);
void replace_ethernet(Packet* packet, const rte_flow_action_raw_encap& conf);
void spread(const Packet& packet, const rte_flow_action_rss& conf, ReferenceVerdict* verdict);

}  // namespace sluice::test::reference
