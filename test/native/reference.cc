#include "reference.h"

#include <rte_ethdev.h>

#include <cstring>

namespace sluice::test {
namespace {

uint32_t number(const uint8_t* p, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | p[i];
  return value;
}
void put(uint8_t* p, int bytes, uint64_t value) {
  for (int i = bytes; i-- > 0; value >>= 8) p[i] = static_cast<uint8_t>(value);
}

// --- what is in a packet ---

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

bool has_vxlan_port(const Bytes& frame, size_t udp) { return number(&frame[udp + 2], 2) == 4789; }

// The headers of a frame in the order seen on the wire, up to the first thing that is not one of them or not
// whole. `look`: find out by the UDP port whether it is a tunnel.
std::vector<Header> headers_of(const Packet& packet, bool look = false) {
  const Bytes& frame = packet.bytes;
  std::vector<Header> found;
  size_t at = 0, end = frame.size();
  for (int level = 0; level < 2; ++level) {
    if (at + 14 > end) return found;
    found.push_back({Kind::kEth, at, level});
    uint32_t type = number(&frame[at + 12], 2);
    at += 14;
    while (type == 0x8100 || type == 0x88a8) {
      if (at + 4 > end) return found;
      found.push_back({Kind::kVlan, at, level});
      type = number(&frame[at + 2], 2);
      at += 4;
    }
    uint8_t next;
    bool fragment = false;
    if (type == 0x0800) {
      if (at + 20 > end || frame[at] >> 4 != 4) return found;
      const size_t header = (frame[at] & 15u) * 4, total = number(&frame[at + 2], 2);
      if (header < 20 || total < header || at + total > end) return found;
      found.push_back({Kind::kIpv4, at, level, at + total});
      end = at + total;
      next = frame[at + 9];
      fragment = (number(&frame[at + 6], 2) & 0x3fff) != 0;
      found.back().fragment = fragment;
      at += header;
    } else if (type == 0x86dd) {
      if (at + 40 > end || frame[at] >> 4 != 6) return found;
      const size_t total = 40 + number(&frame[at + 4], 2);
      if (at + total > end) return found;
      found.push_back({Kind::kIpv6, at, level, at + total});
      end = at + total;
      next = frame[at + 6];
      at += 40;
      if (next == 44) {  // RFC 8200 section 4.5
        if (at + 8 > end) return found;
        found.back().fragment = fragment = true;
      }
    } else {
      return found;
    }
    if (fragment) return found;
    if (next == 6 && at + 20 <= end) {
      const size_t header = (frame[at + 12] >> 4) * 4u;
      if (header >= 20 && at + header <= end) found.push_back({Kind::kTcp, at, level});
    }
    if (next == 58 && type == 0x86dd && at + 8 <= end) found.push_back({Kind::kIcmp6, at, level});
    if (next == 1 && type == 0x0800 && at + 8 <= end) found.push_back({Kind::kIcmp, at, level});
    if (next != 17 || at + 8 > end) return found;
    const size_t datagram = number(&frame[at + 4], 2);
    if (datagram < 8 || at + datagram > end) return found;
    found.push_back({Kind::kUdp, at, level});
    if (level == 1 || !(look ? has_vxlan_port(frame, at) : packet.tunnel)) return found;
    end = at + datagram;
    at += 8;
    if (at + 8 > end || (frame[at] & 8) == 0) return found;
    found.push_back({Kind::kVxlan, at, level});
    at += 8;
  }
  return found;
}

bool is_tunnel(const Packet& packet) {
  for (const Header& header : headers_of(packet, true)) {
    if (header.kind == Kind::kVxlan) return true;
  }
  return false;
}

const Header* first(const std::vector<Header>& headers, Kind kind, int level) {
  for (const Header& header : headers) {
    if (header.kind == kind && header.level == level) return &header;
  }
  return nullptr;
}

// --- matching ---

struct Known {
  rte_flow_item_type type;
  Kind kind;
  std::vector<int> fields;        // lengths in bytes, in wire order
  std::vector<uint8_t> standard;  // default mask
};

std::vector<uint8_t> mask_of(size_t bytes, size_t begin, size_t end) {
  std::vector<uint8_t> mask(bytes);
  for (size_t i = begin; i < end; ++i) mask[i] = 0xff;
  return mask;
}

const std::vector<Known>& known() {
  static const std::vector<Known> items = {
      {RTE_FLOW_ITEM_TYPE_ETH, Kind::kEth, {6, 6, 2}, mask_of(14, 0, 12)},
      {RTE_FLOW_ITEM_TYPE_VLAN, Kind::kVlan, {2, 2}, {0x0f, 0xff, 0, 0}},
      {RTE_FLOW_ITEM_TYPE_IPV4, Kind::kIpv4, {1, 1, 2, 2, 2, 1, 1, 2, 4, 4}, mask_of(20, 12, 20)},
      {RTE_FLOW_ITEM_TYPE_IPV6, Kind::kIpv6, {4, 2, 1, 1, 16, 16}, mask_of(40, 8, 40)},
      {RTE_FLOW_ITEM_TYPE_UDP, Kind::kUdp, {2, 2, 2, 2}, mask_of(8, 0, 4)},
      {RTE_FLOW_ITEM_TYPE_TCP, Kind::kTcp, {2, 2, 4, 4, 1, 1, 2, 2, 2}, mask_of(20, 0, 4)},
      {RTE_FLOW_ITEM_TYPE_ICMP, Kind::kIcmp, {1, 1, 2, 2, 2}, mask_of(8, 0, 2)},
      {RTE_FLOW_ITEM_TYPE_ICMP6, Kind::kIcmp6, {1, 1, 2}, mask_of(4, 0, 2)},
      {RTE_FLOW_ITEM_TYPE_VXLAN, Kind::kVxlan, {1, 3, 3, 1}, mask_of(8, 4, 7)},
  };
  return items;
}

bool header_matches(const Known& item, const rte_flow_item& given, const uint8_t* header, bool* in_range) {
  if (given.spec == nullptr) return true;
  const auto* spec = static_cast<const uint8_t*>(given.spec);
  const auto* mask = given.mask != nullptr ? static_cast<const uint8_t*>(given.mask) : item.standard.data();
  const auto* last = static_cast<const uint8_t*>(given.last);
  size_t at = 0;
  for (const int length : item.fields) {
    Bytes value, low, high;
    bool range = false;
    for (int i = 0; i < length; ++i) {
      value.push_back(header[at + static_cast<size_t>(i)] & mask[at + static_cast<size_t>(i)]);
      low.push_back(spec[at + static_cast<size_t>(i)] & mask[at + static_cast<size_t>(i)]);
      high.push_back(last == nullptr ? 0
                                     : last[at + static_cast<size_t>(i)] & mask[at + static_cast<size_t>(i)]);
      range = range || high.back() != 0;
    }
    if (!range) high = low;
    if (high != low) *in_range = true;
    if (value < low || value > high) return false;
    at += static_cast<size_t>(length);
  }
  return true;
}

bool matches(const rte_flow_item* items, const Packet& packet, uint16_t port, bool* in_range) {
  const Bytes& frame = packet.bytes;
  const std::vector<Header> headers = headers_of(packet);
  size_t at = 0;  // next header to be named
  bool started = false;
  bool skip_tags = false;
  for (const rte_flow_item* item = items; item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
    if (item->type == RTE_FLOW_ITEM_TYPE_VOID) continue;
    if (item->type == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT) {
      if (item->spec != nullptr && static_cast<const rte_flow_item_ethdev*>(item->spec)->port_id != port)
        return false;
      continue;
    }
    if (item->type == RTE_FLOW_ITEM_TYPE_META || item->type == RTE_FLOW_ITEM_TYPE_MARK ||
        item->type == RTE_FLOW_ITEM_TYPE_TAG) {
      if (item->spec == nullptr) continue;
      const uint32_t wanted = *static_cast<const uint32_t*>(item->spec);
      const uint32_t mask = item->mask == nullptr ? UINT32_MAX : *static_cast<const uint32_t*>(item->mask);
      const uint32_t value = item->type == RTE_FLOW_ITEM_TYPE_META ? packet.meta
                             : item->type == RTE_FLOW_ITEM_TYPE_MARK
                                 ? packet.mark
                                 : packet.tag[static_cast<const rte_flow_item_tag*>(item->spec)->index];
      if ((value & mask) != (wanted & mask)) return false;
      continue;
    }
    const Known* description = nullptr;
    for (const Known& candidate : known()) {
      if (candidate.type == item->type) description = &candidate;
    }
    if (description == nullptr) return false;
    if (!started) {
      // Bottom layers may be omitted: the first item named is looked for in the outer packet.
      while (at < headers.size() && headers[at].kind != description->kind && headers[at].level == 0) ++at;
      started = true;
    } else if (skip_tags && description->kind != Kind::kVlan) {
      while (at < headers.size() && headers[at].kind == Kind::kVlan) ++at;
    }
    if (at == headers.size() || headers[at].kind != description->kind) return false;
    if (!header_matches(*description, *item, &frame[headers[at].at], in_range)) return false;
    if (item->type == RTE_FLOW_ITEM_TYPE_IPV6 && item->mask != nullptr &&
        static_cast<const rte_flow_item_ipv6*>(item->mask)->has_frag_ext &&
        static_cast<const rte_flow_item_ipv6*>(item->spec)->has_frag_ext != headers[at].fragment) {
      return false;
    }
    if (item->type == RTE_FLOW_ITEM_TYPE_ETH && item->mask != nullptr) {
      const auto* mask = static_cast<const rte_flow_item_eth*>(item->mask);
      const bool tagged = at + 1 < headers.size() && headers[at + 1].kind == Kind::kVlan;
      if (mask->has_vlan && static_cast<const rte_flow_item_eth*>(item->spec)->has_vlan != tagged)
        return false;
      skip_tags = mask->has_vlan;
    }
    ++at;
  }
  return true;
}

// --- rewriting, with checksums made anew ---

uint32_t ones_sum(const Bytes& bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum);
}

// The checksum fields of a frame with what they say too much: 0 for a right one. Rewriting must keep the
// difference.
struct Checksum {
  size_t field;
  Bytes covered;
  bool is_udp;
};

std::vector<Checksum> checksums_of(const Packet& packet) {
  const Bytes& frame = packet.bytes;
  std::vector<Checksum> found;
  const auto add_transport = [&](size_t l4, size_t end, uint8_t protocol, const Bytes& addresses) {
    const size_t offset = protocol == 6 ? 16 : protocol == 17 ? 6 : protocol == 1 || protocol == 58 ? 2 : 0;
    const size_t needed = protocol == 6 ? 18 : 8;
    if (offset == 0 || l4 + needed > end) return;
    if (protocol == 17 && number(&frame[l4 + 6], 2) == 0) return;
    Bytes message(frame.begin() + static_cast<long>(l4), frame.begin() + static_cast<long>(end));
    message[offset] = message[offset + 1] = 0;
    if (message.size() % 2 == 1) message.push_back(0);
    if (protocol != 1) {  // the pseudo-header; its length never changes, so it need not be in the sum
      message.insert(message.end(), addresses.begin(), addresses.end());
      message.insert(message.end(), {0, protocol});
    }
    found.push_back({l4 + offset, message, protocol == 17});
  };
  for (const Header& header : headers_of(packet)) {
    if (header.kind == Kind::kIpv6) {
      uint8_t next = frame[header.at + 6];
      size_t at = header.at + 40;
      if (next == 44) {
        if (at + 8 > header.end || number(&frame[at + 2], 2) >> 3 != 0) continue;
        next = frame[at];
        at += 8;
      }
      if (next == 1) continue;  // ICMP for IPv4 has no business here
      add_transport(at, header.end, next,
                    Bytes(frame.begin() + static_cast<long>(header.at + 8),
                          frame.begin() + static_cast<long>(header.at + 40)));
    }
    if (header.kind != Kind::kIpv4) continue;
    const size_t ip = header.at, bytes = (frame[ip] & 15u) * 4;
    Bytes covered(frame.begin() + static_cast<long>(ip), frame.begin() + static_cast<long>(ip + bytes));
    covered[10] = covered[11] = 0;
    found.push_back({ip + 10, covered, false});
    const uint32_t fragment = number(&frame[ip + 6], 2) & 0x1fff;
    const uint8_t protocol = frame[ip + 9];
    if (fragment != 0 || protocol == 58) continue;
    add_transport(
        ip + bytes, header.end, protocol,
        Bytes(frame.begin() + static_cast<long>(ip + 12), frame.begin() + static_cast<long>(ip + 20)));
  }
  return found;
}

// Applies `change` and then makes every checksum as wrong as it was before.
template <typename Change>
void with_checksums(Packet* packet, Change&& change) {
  Bytes* frame = &packet->bytes;
  const std::vector<Checksum> before = checksums_of(*packet);
  std::vector<uint32_t> excess;
  for (const Checksum& checksum : before) {
    excess.push_back((number(&(*frame)[checksum.field], 2) + ones_sum(checksum.covered)) % 0xffff);
  }
  change();
  // From the inside out: an outer UDP checksum covers the inner ones.
  for (size_t i = before.size(); i-- > 0;) {
    const std::vector<Checksum> after = checksums_of(*packet);
    if (i >= after.size()) continue;
    uint32_t value = (excess[i] + 2 * 0xffff - ones_sum(after[i].covered) % 0xffff) % 0xffff;
    if (after[i].is_udp && value == 0) value = 0xffff;
    put(&(*frame)[after[i].field], 2, value);
  }
}

void apply_set(Packet* packet, const rte_flow_action& action) {
  Bytes* frame = &packet->bytes;
  const std::vector<Header> headers = headers_of(*packet);
  const auto* conf = static_cast<const uint8_t*>(action.conf);
  const auto write = [&](Kind kind, size_t offset, int bytes) {
    const Header* header = first(headers, kind, 0);
    if (header == nullptr) return;
    with_checksums(packet,
                   [&] { std::memcpy(&(*frame)[header->at + offset], conf, static_cast<size_t>(bytes)); });
  };
  switch (static_cast<int>(action.type)) {
    case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC: write(Kind::kEth, 6, 6); break;
    case RTE_FLOW_ACTION_TYPE_SET_MAC_DST: write(Kind::kEth, 0, 6); break;
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC: write(Kind::kIpv4, 12, 4); break;
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST: write(Kind::kIpv4, 16, 4); break;
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC: write(Kind::kIpv6, 8, 16); break;
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_DST: write(Kind::kIpv6, 24, 16); break;
    case RTE_FLOW_ACTION_TYPE_SET_TP_SRC:
      write(Kind::kUdp, 0, 2);
      write(Kind::kTcp, 0, 2);
      break;
    case RTE_FLOW_ACTION_TYPE_SET_TP_DST:
      write(Kind::kUdp, 2, 2);
      write(Kind::kTcp, 2, 2);
      break;
    case RTE_FLOW_ACTION_TYPE_SET_TTL:
      write(Kind::kIpv4, 8, 1);
      write(Kind::kIpv6, 7, 1);
      break;
    default: break;
  }
}

void decrement_ttl(Packet* packet) {
  Bytes* frame = &packet->bytes;
  const std::vector<Header> headers = headers_of(*packet);
  for (const auto& [kind, offset] : {std::pair{Kind::kIpv4, 8}, {Kind::kIpv6, 7}}) {
    const Header* header = first(headers, kind, 0);
    if (header == nullptr) continue;
    uint8_t& ttl = (*frame)[header->at + static_cast<size_t>(offset)];
    with_checksums(packet, [&] { ttl = ttl == 0 ? 0 : static_cast<uint8_t>(ttl - 1); });
  }
}

using Wide = unsigned __int128;

void put_wide(uint8_t* p, int bytes, Wide value) {
  for (int i = bytes; i-- > 0; value >>= 8) p[i] = static_cast<uint8_t>(value);
}

void modify(Packet* packet, const rte_flow_action_modify_field& conf) {
  const uint8_t* source = conf.src.field == RTE_FLOW_FIELD_POINTER
                              ? static_cast<const uint8_t*>(conf.src.pvalue)
                              : conf.src.value;
  uint32_t* word = conf.dst.field == RTE_FLOW_FIELD_MARK   ? &packet->mark
                   : conf.dst.field == RTE_FLOW_FIELD_META ? &packet->meta
                   : conf.dst.field == RTE_FLOW_FIELD_TAG  ? &packet->tag[conf.dst.level]
                                                           : nullptr;
  if (word != nullptr) {
    uint32_t value;
    std::memcpy(&value, source, sizeof value);
    *word = conf.operation == RTE_FLOW_MODIFY_SET   ? value
            : conf.operation == RTE_FLOW_MODIFY_ADD ? *word + value
                                                    : *word - value;
    return;
  }
  Bytes* frame = &packet->bytes;
  struct Place {
    int field;
    Kind kind;
    size_t offset;
    int bytes;
    Wide mask;
    int shift;
  };
  static const Place places[] = {
      {RTE_FLOW_FIELD_MAC_DST, Kind::kEth, 0, 6, 0xffffffffffff, 0},
      {RTE_FLOW_FIELD_MAC_SRC, Kind::kEth, 6, 6, 0xffffffffffff, 0},
      {RTE_FLOW_FIELD_VLAN_ID, Kind::kVlan, 0, 2, 0x0fff, 0},
      {RTE_FLOW_FIELD_IPV4_DSCP, Kind::kIpv4, 1, 1, 0xfc, 2},
      {RTE_FLOW_FIELD_IPV4_TTL, Kind::kIpv4, 8, 1, 0xff, 0},
      {RTE_FLOW_FIELD_IPV4_SRC, Kind::kIpv4, 12, 4, 0xffffffff, 0},
      {RTE_FLOW_FIELD_IPV4_DST, Kind::kIpv4, 16, 4, 0xffffffff, 0},
      {RTE_FLOW_FIELD_IPV6_DSCP, Kind::kIpv6, 0, 2, 0x0fc0, 6},
      {RTE_FLOW_FIELD_IPV6_HOPLIMIT, Kind::kIpv6, 7, 1, 0xff, 0},
      {RTE_FLOW_FIELD_IPV6_SRC, Kind::kIpv6, 8, 16, ~Wide{0}, 0},
      {RTE_FLOW_FIELD_IPV6_DST, Kind::kIpv6, 24, 16, ~Wide{0}, 0},
      {RTE_FLOW_FIELD_TCP_PORT_SRC, Kind::kTcp, 0, 2, 0xffff, 0},
      {RTE_FLOW_FIELD_TCP_PORT_DST, Kind::kTcp, 2, 2, 0xffff, 0},
      {RTE_FLOW_FIELD_UDP_PORT_SRC, Kind::kUdp, 0, 2, 0xffff, 0},
      {RTE_FLOW_FIELD_UDP_PORT_DST, Kind::kUdp, 2, 2, 0xffff, 0},
  };
  const std::vector<Header> headers = headers_of(*packet);
  for (const Place& place : places) {
    if (place.field != static_cast<int>(conf.dst.field)) continue;
    const Header* header = first(headers, place.kind, conf.dst.level == 2 ? 1 : 0);
    if (header == nullptr) return;
    uint8_t* at = &(*frame)[header->at + place.offset];
    Wide whole = 0, value = 0;
    for (int i = 0; i < place.bytes; ++i) whole = whole << 8 | at[i];
    // The six bits of a DSCP are a byte of their own.
    const int given = place.field == RTE_FLOW_FIELD_IPV6_DSCP ? 1 : place.bytes;
    for (int i = 0; i < given; ++i) value = value << 8 | source[i];
    const Wide old = (whole & place.mask) >> place.shift;
    const Wide fresh = conf.operation == RTE_FLOW_MODIFY_SET   ? value
                       : conf.operation == RTE_FLOW_MODIFY_ADD ? old + value
                                                               : old - value;
    with_checksums(packet, [&] {
      put_wide(at, place.bytes, (whole & ~place.mask) | ((fresh << place.shift) & place.mask));
    });
  }
}

uint64_t counted(const Packet& packet) {
  uint64_t end = packet.bytes.size();
  for (const Header& header : headers_of(packet)) {
    if (header.end != 0) end = header.end;
  }
  return end;
}

bool decapsulate(Packet* packet) {
  Bytes* frame = &packet->bytes;
  const std::vector<Header> headers = headers_of(*packet);
  const Header* vxlan = first(headers, Kind::kVxlan, 0);
  if (vxlan == nullptr) return false;
  const size_t udp = vxlan->at - 8, end = udp + number(&(*frame)[udp + 4], 2);
  if (vxlan->at + 8 + 14 > end) return false;
  *frame = Bytes(frame->begin() + static_cast<long>(vxlan->at + 8), frame->begin() + static_cast<long>(end));
  packet->tunnel = is_tunnel(*packet);
  return true;
}

void encapsulate(Packet* packet, Bytes header, size_t ip);

void encapsulate(Packet* packet, const rte_flow_action_vxlan_encap& conf) {
  Bytes header;
  size_t ip = 14;
  for (const rte_flow_item* item = conf.definition; item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
    const size_t bytes = item->type == RTE_FLOW_ITEM_TYPE_ETH    ? 14
                         : item->type == RTE_FLOW_ITEM_TYPE_VLAN ? 4
                         : item->type == RTE_FLOW_ITEM_TYPE_IPV4 ? 20
                         : item->type == RTE_FLOW_ITEM_TYPE_VOID ? 0
                                                                 : 8;
    if (item->type == RTE_FLOW_ITEM_TYPE_VLAN) ip = 18;
    const auto* spec = static_cast<const uint8_t*>(item->spec);
    header.insert(header.end(), spec, spec + bytes);
  }
  if (ip == 18) put(&header[12], 2, 0x8100);
  encapsulate(packet, header, ip);
}

// `header` is Ethernet, IPv4 at `ip`, UDP and VXLAN, where not everything is filled in.
void encapsulate(Packet* packet, Bytes header, size_t ip) {
  Bytes* frame = &packet->bytes;
  put(&header[ip - 2], 2, 0x0800);
  header[ip] = 0x45;
  put(&header[ip + 2], 2, frame->size() + 36);
  if (header[ip + 8] == 0) header[ip + 8] = 64;
  header[ip + 9] = 17;
  put(&header[ip + 10], 2, 0);
  put(&header[ip + 10], 2,
      0xffff - ones_sum(Bytes(header.begin() + static_cast<long>(ip),
                              header.begin() + static_cast<long>(ip + 20))));
  if (number(&header[ip + 22], 2) == 0) put(&header[ip + 22], 2, 4789);
  put(&header[ip + 24], 2, frame->size() + 16);
  put(&header[ip + 26], 2, 0);
  header[ip + 28] |= 8;
  frame->insert(frame->begin(), header.begin(), header.end());
  packet->tunnel = true;
}

// Toeplitz as RSS's specification has it: for each bit of the input that is set, the 32 bits of the key from
// there on.
uint32_t toeplitz(const Bytes& key, const Bytes& input) {
  uint32_t hash = 0;
  for (size_t bit = 0; bit < input.size() * 8; ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) == 0) continue;
    for (size_t i = 0; i < 32; ++i) {
      const size_t at = bit + i;
      hash ^= static_cast<uint32_t>(key[at / 8] >> (7 - at % 8) & 1) << (31 - i);
    }
  }
  return hash;
}

void spread(const Packet& packet, const rte_flow_action_rss& conf, ReferenceVerdict* verdict) {
  const std::vector<Header> headers = headers_of(packet);
  int level = 0;
  for (const Header& header : headers) {
    if (conf.level == 2 && header.level == 1) level = 1;
  }
  const uint64_t types = conf.types == 0 ? ~0ull : conf.types;
  verdict->fate = "queue";
  verdict->value = conf.queue[0];
  verdict->hashed = false;
  const Header* v4 = first(headers, Kind::kIpv4, level);
  const Header* ip = v4 != nullptr ? v4 : first(headers, Kind::kIpv6, level);
  if (ip == nullptr) return;
  const Header* tcp = first(headers, Kind::kTcp, level);
  const Header* udp = first(headers, Kind::kUdp, level);
  uint64_t two = v4 != nullptr ? RTE_ETH_RSS_IPV4 : RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_IPV6_EX, four = 0;
  if (tcp != nullptr)
    four =
        v4 != nullptr ? RTE_ETH_RSS_NONFRAG_IPV4_TCP : RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6_TCP_EX;
  if (udp != nullptr)
    four =
        v4 != nullptr ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_IPV6_UDP_EX;
  if (ip->fragment) two |= v4 != nullptr ? RTE_ETH_RSS_FRAG_IPV4 : RTE_ETH_RSS_FRAG_IPV6;
  if (!ip->fragment && tcp == nullptr && udp == nullptr) {
    two |= v4 != nullptr ? RTE_ETH_RSS_NONFRAG_IPV4_OTHER : RTE_ETH_RSS_NONFRAG_IPV6_OTHER;
  }
  if ((types & (two | four)) == 0) return;
  const size_t addresses = ip->at + (v4 != nullptr ? 12 : 8);
  Bytes input(packet.bytes.begin() + static_cast<long>(addresses),
              packet.bytes.begin() + static_cast<long>(addresses + (v4 != nullptr ? 8 : 32)));
  if ((types & four) != 0) {
    const size_t ports = (tcp != nullptr ? tcp : udp)->at;
    input.insert(input.end(), packet.bytes.begin() + static_cast<long>(ports),
                 packet.bytes.begin() + static_cast<long>(ports + 4));
  }
  verdict->hashed = true;
  verdict->hash = toeplitz(Bytes(conf.key, conf.key + conf.key_len), input);
  verdict->value = conf.queue[verdict->hash % conf.queue_num];
}

// Where what follows Ethernet and its tags begins; 0 when that is not whole.
size_t l2_end(const Packet& packet) {
  const Bytes& frame = packet.bytes;
  if (frame.size() < 14) return 0;
  size_t at = 14;
  while (number(&frame[at - 2], 2) == 0x8100 || number(&frame[at - 2], 2) == 0x88a8) {
    at += 4;
    if (at > frame.size()) return 0;
  }
  return at;
}

// RAW_DECAP of Ethernet and RAW_ENCAP of another: the EtherType stays that of what follows.
void replace_ethernet(Packet* packet, const rte_flow_action_raw_encap& conf) {
  const size_t end = l2_end(*packet);
  if (end == 0) return;
  Bytes fresh(conf.data, conf.data + conf.size);
  std::memcpy(&fresh[fresh.size() - 2], &packet->bytes[end - 2], 2);
  packet->bytes.erase(packet->bytes.begin(), packet->bytes.begin() + static_cast<long>(end));
  packet->bytes.insert(packet->bytes.begin(), fresh.begin(), fresh.end());
}

ReferenceRule* find(std::vector<ReferenceRule>& rules, std::map<std::string, uint64_t>& reached,
                    const Packet& packet, uint16_t port, uint32_t group) {
  ReferenceRule* best = nullptr;
  for (ReferenceRule& rule : rules) {
    if (rule.attr.group != group || (best != nullptr && rule.attr.priority >= best->attr.priority)) continue;
    bool in_range = false;
    if (!matches(rule.items, packet, port, &in_range)) continue;
    best = &rule;
    if (in_range) ++reached["match: range"];
  }
  return best;
}

ReferenceVerdict run(std::vector<ReferenceRule>& rules, std::map<std::string, uint64_t>& reached,
                     Packet* packet, uint16_t port) {
  Bytes* frame = &packet->bytes;
  ReferenceVerdict verdict{"miss"};
  uint32_t group = 0;
  for (bool again = true; again;) {
    again = false;
    ReferenceRule* rule = find(rules, reached, *packet, port, group);
    if (rule == nullptr) {
      ++reached[group == 0 ? "miss" : "miss after a jump"];
      verdict.fate = "miss";
      verdict.value = 0;
      return verdict;
    }
    for (const rte_flow_item* item = rule->items; item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
      ++reached["item " + std::to_string(item->type)];
    }
    for (const rte_flow_action* action = rule->actions; action->type != RTE_FLOW_ACTION_TYPE_END; ++action) {
      ++reached["action " + std::to_string(static_cast<int>(action->type))];
      switch (static_cast<int>(action->type)) {
        case RTE_FLOW_ACTION_TYPE_COUNT:
          ++rule->packets;
          rule->bytes += counted(*packet);
          break;
        case RTE_FLOW_ACTION_TYPE_MARK:
          verdict.marked = true;
          packet->mark = static_cast<const rte_flow_action_mark*>(action->conf)->id;
          break;
        case RTE_FLOW_ACTION_TYPE_FLAG: verdict.flagged = true; break;
        case RTE_FLOW_ACTION_TYPE_SET_META: {
          const auto* conf = static_cast<const rte_flow_action_set_meta*>(action->conf);
          packet->meta = (packet->meta & ~conf->mask) | (conf->data & conf->mask);
          verdict.has_meta = true;
          break;
        }
        case RTE_FLOW_ACTION_TYPE_SET_TAG: {
          const auto* conf = static_cast<const rte_flow_action_set_tag*>(action->conf);
          uint32_t& tag = packet->tag[conf->index];
          tag = (tag & ~conf->mask) | (conf->data & conf->mask);
          break;
        }
        case RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP:
        case RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP: {
          rte_flow_action_modify_field conf = {};
          conf.dst.field = action->type == RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP ? RTE_FLOW_FIELD_IPV4_DSCP
                                                                              : RTE_FLOW_FIELD_IPV6_DSCP;
          conf.src.field = RTE_FLOW_FIELD_VALUE;
          conf.src.value[0] = static_cast<const rte_flow_action_set_dscp*>(action->conf)->dscp;
          modify(packet, conf);
          break;
        }
        case RTE_FLOW_ACTION_TYPE_RSS:
          spread(*packet, *static_cast<const rte_flow_action_rss*>(action->conf), &verdict);
          break;
        case RTE_FLOW_ACTION_TYPE_RAW_DECAP:
          if (static_cast<const rte_flow_action_raw_decap*>(action->conf)->size < 20) break;  // see RAW_ENCAP
          if (decapsulate(packet)) break;
          verdict.fate = "drop";
          return verdict;
        case RTE_FLOW_ACTION_TYPE_RAW_ENCAP: {
          const auto* conf = static_cast<const rte_flow_action_raw_encap*>(action->conf);
          if (conf->size < 20) {
            replace_ethernet(packet, *conf);
          } else {
            encapsulate(packet, Bytes(conf->data, conf->data + conf->size), conf->size - 36);
          }
          break;
        }
        case RTE_FLOW_ACTION_TYPE_JUMP:
          group = static_cast<const rte_flow_action_jump*>(action->conf)->group;
          again = true;
          break;
        case RTE_FLOW_ACTION_TYPE_DROP: verdict.fate = "drop"; break;
        case RTE_FLOW_ACTION_TYPE_QUEUE:
          verdict.fate = "queue";
          verdict.value = static_cast<const rte_flow_action_queue*>(action->conf)->index;
          break;
        case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
        case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
          verdict.fate = action->type == RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT ? "port" : "representor";
          verdict.value = static_cast<const rte_flow_action_ethdev*>(action->conf)->port_id;
          break;
        case RTE_FLOW_ACTION_TYPE_VXLAN_DECAP:
          if (decapsulate(packet)) break;
          ++reached["drop: no inner frame"];
          verdict.fate = "drop";
          return verdict;
        case RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP:
          encapsulate(packet, *static_cast<const rte_flow_action_vxlan_encap*>(action->conf));
          break;
        case RTE_FLOW_ACTION_TYPE_DEC_TTL: decrement_ttl(packet); break;
        case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD:
          switch (static_cast<const rte_flow_action_modify_field*>(action->conf)->dst.field) {
            case RTE_FLOW_FIELD_MARK: verdict.marked = true; break;
            case RTE_FLOW_FIELD_META: verdict.has_meta = true; break;
            default: break;
          }
          ++reached["modify " + std::to_string(static_cast<const rte_flow_action_modify_field*>(action->conf)
                                                   ->dst.field)];
          modify(packet, *static_cast<const rte_flow_action_modify_field*>(action->conf));
          break;
        case RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN: {
          const auto* conf = static_cast<const uint8_t*>(action->conf);
          const Bytes tag = {conf[0], conf[1], 0, 0};
          frame->insert(frame->begin() + 12, tag.begin(), tag.end());
          break;
        }
        case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID:
          if (const std::vector<Header> headers = headers_of(*packet);
              headers.size() > 1 && headers[1].kind == Kind::kVlan) {
            uint8_t* tci = &(*frame)[14];
            put(tci, 2,
                (number(tci, 2) & 0xf000) | (number(static_cast<const uint8_t*>(action->conf), 2) & 0x0fff));
          }
          break;
        case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP:
          if (const std::vector<Header> headers = headers_of(*packet);
              headers.size() > 1 && headers[1].kind == Kind::kVlan) {
            uint8_t* tci = &(*frame)[14];
            tci[0] = static_cast<uint8_t>((tci[0] & 0x1f) | *static_cast<const uint8_t*>(action->conf) << 5);
          }
          break;
        case RTE_FLOW_ACTION_TYPE_OF_POP_VLAN:
          if (const std::vector<Header> headers = headers_of(*packet);
              headers.size() > 1 && headers[1].kind == Kind::kVlan) {
            frame->erase(frame->begin() + 12, frame->begin() + 16);
          }
          break;
        default: apply_set(packet, *action); break;
      }
    }
    if (!again) {
      ++reached["fate: " + verdict.fate];
      if (rule->attr.priority != 0) ++reached["match: lower priority"];
    }
  }
  return verdict;
}

}  // namespace

ReferenceVerdict Reference::process(Bytes* frame, uint16_t port) {
  Packet packet{*frame};
  packet.tunnel = is_tunnel(packet);
  ReferenceVerdict verdict = run(rules, reached, &packet, port);
  verdict.mark = packet.mark;
  verdict.meta = packet.meta;
  *frame = packet.bytes;
  return verdict;
}

}  // namespace sluice::test
