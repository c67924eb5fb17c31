// What actions do to a packet.
#include <rte_ethdev.h>

#include <cstring>

#include "reference_packet.h"

namespace sluice::test::reference {

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

}  // namespace sluice::test::reference
