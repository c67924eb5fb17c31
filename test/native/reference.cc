#include "reference.h"

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

enum class Kind { kEth, kVlan, kIpv4, kIpv6, kUdp, kTcp, kIcmp, kVxlan };
struct Header {
  Kind kind;
  size_t at;
  int level;       // 0 outer, 1 inner
  size_t end = 0;  // of the packet that an IP header announces
};

// A device parses a packet once: what was a tunnel on arrival stays one when a rule rewrites its UDP port,
// and rewriting a port to VXLAN's makes no tunnel. Only taking headers off or putting them on changes what is
// seen.
struct Packet {
  Bytes bytes;
  bool tunnel = false;
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
      at += header;
    } else if (type == 0x86dd) {
      if (at + 40 > end || frame[at] >> 4 != 6) return found;
      const size_t total = 40 + number(&frame[at + 4], 2);
      if (at + total > end) return found;
      found.push_back({Kind::kIpv6, at, level, at + total});
      end = at + total;
      next = frame[at + 6];
      at += 40;
    } else {
      return found;
    }
    if (fragment) return found;
    if (next == 6 && at + 20 <= end) {
      const size_t header = (frame[at + 12] >> 4) * 4u;
      if (header >= 20 && at + header <= end) found.push_back({Kind::kTcp, at, level});
    }
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
  size_t ipv6_end = 0;
  for (const Header& header : headers_of(packet)) {
    if (header.kind == Kind::kTcp || header.kind == Kind::kUdp) {
      // Over IPv6, whose addresses no rule rewrites: their share of the pseudo-header stays the same.
      if (ipv6_end == 0) continue;
      const size_t offset = header.kind == Kind::kTcp ? 16 : 6;
      if (header.kind == Kind::kUdp && number(&frame[header.at + 6], 2) == 0) continue;
      Bytes message(frame.begin() + static_cast<long>(header.at),
                    frame.begin() + static_cast<long>(ipv6_end));
      message[offset] = message[offset + 1] = 0;
      found.push_back({header.at + offset, message, header.kind == Kind::kUdp});
    }
    if (header.kind == Kind::kIpv6) ipv6_end = header.end;
    if (header.kind != Kind::kIpv4) continue;
    ipv6_end = 0;
    const size_t ip = header.at, bytes = (frame[ip] & 15u) * 4;
    Bytes covered(frame.begin() + static_cast<long>(ip), frame.begin() + static_cast<long>(ip + bytes));
    covered[10] = covered[11] = 0;
    found.push_back({ip + 10, covered, false});
    const uint32_t fragment = number(&frame[ip + 6], 2) & 0x1fff;
    const size_t l4 = ip + bytes;
    const uint8_t protocol = frame[ip + 9];
    const size_t offset = protocol == 6 ? 16 : protocol == 17 ? 6 : protocol == 1 ? 2 : 0;
    const size_t needed = protocol == 6 ? 18 : 8;
    if (fragment != 0 || offset == 0 || l4 + needed > header.end) continue;
    Bytes message(frame.begin() + static_cast<long>(l4), frame.begin() + static_cast<long>(header.end));
    message[offset] = message[offset + 1] = 0;
    if (message.size() % 2 == 1) message.push_back(0);
    if (protocol != 1) {
      message.insert(message.end(), frame.begin() + static_cast<long>(ip + 12),
                     frame.begin() + static_cast<long>(ip + 20));
      message.insert(message.end(), {0, protocol});
    }
    if (protocol == 17 && number(&frame[l4 + 6], 2) == 0) continue;
    found.push_back({l4 + offset, message, protocol == 17});
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

void modify(Packet* packet, const rte_flow_action_modify_field& conf) {
  Bytes* frame = &packet->bytes;
  struct Place {
    int field;
    Kind kind;
    size_t offset;
    int bytes;
    uint64_t mask;
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
    uint64_t whole = 0, value = 0;
    for (int i = 0; i < place.bytes; ++i) {
      whole = whole << 8 | at[i];
      value = value << 8 | conf.src.value[i];
    }
    const uint64_t old = (whole & place.mask) >> place.shift;
    const uint64_t fresh = conf.operation == RTE_FLOW_MODIFY_SET   ? value
                           : conf.operation == RTE_FLOW_MODIFY_ADD ? old + value
                                                                   : old - value;
    with_checksums(
        packet, [&] { put(at, place.bytes, (whole & ~place.mask) | ((fresh << place.shift) & place.mask)); });
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

void encapsulate(Packet* packet, const rte_flow_action_vxlan_encap& conf) {
  Bytes* frame = &packet->bytes;
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
      return ReferenceVerdict{"miss", 0, verdict.marked, verdict.mark};
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
          verdict.mark = static_cast<const rte_flow_action_mark*>(action->conf)->id;
          break;
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
  const ReferenceVerdict verdict = run(rules, reached, &packet, port);
  *frame = packet.bytes;
  return verdict;
}

}  // namespace sluice::test
