#include "support.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "packet/wire.h"

namespace sluice::test {
namespace {

struct Registered {
  const char* name;
  std::function<void()> body;
};
std::vector<Registered>& registry() {
  static std::vector<Registered> tests;
  return tests;
}
int failures = 0;

uint16_t folded(uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint32_t words_of(const uint8_t* bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i < length; ++i) sum += i % 2 == 0 ? static_cast<uint32_t>(bytes[i]) << 8 : bytes[i];
  return folded(sum);
}

void append(Bytes* to, const Bytes& from) { to->insert(to->end(), from.begin(), from.end()); }

void put_mac(Bytes* to, uint64_t mac) {
  for (int shift = 40; shift >= 0; shift -= 8) to->push_back(static_cast<uint8_t>(mac >> shift));
}

}  // namespace

Test::Test(const char* name, std::function<void()> body) { registry().push_back({name, std::move(body)}); }

void fail_check(const char* file, int line, const std::string& what) {
  ++failures;
  std::fprintf(stderr, "  %s:%d: %s\n", file, line, what.c_str());
  if (failures > 20) std::exit(1);
}

int run_tests(int argc, char** argv) {
  int failed = 0;
  for (const Registered& test : registry()) {
    if (argc > 1 && std::string(test.name).find(argv[1]) == std::string::npos) continue;
    const int before = failures;
    test.body();
    std::printf("%s %s\n", failures == before ? "ok  " : "FAIL", test.name);
    failed += failures != before;
  }
  std::printf("%d failed\n", failed);
  return failed == 0 ? 0 : 1;
}

std::string show(const Bytes& bytes) {
  std::string text;
  char hex[4];
  for (const uint8_t byte : bytes) {
    std::snprintf(hex, sizeof hex, "%02x", byte);
    text += hex;
  }
  return text;
}

Mbuf::Mbuf(const Bytes& frame, uint16_t headroom) {
  const size_t size = headroom + frame.size();
  buffer_ = std::make_unique<uint8_t[]>(size + 1);
  std::copy(frame.begin(), frame.end(), buffer_.get() + headroom);
  mbuf_.buf_addr = buffer_.get();
  mbuf_.buf_len = static_cast<uint16_t>(size);
  mbuf_.data_off = headroom;
  mbuf_.data_len = static_cast<uint16_t>(frame.size());
  mbuf_.pkt_len = mbuf_.data_len;
  mbuf_.nb_segs = 1;
  mbuf_.refcnt = 1;
}

Bytes Mbuf::frame() const {
  const auto* start = static_cast<const uint8_t*>(mbuf_.buf_addr) + mbuf_.data_off;
  return Bytes(start, start + mbuf_.data_len);
}

PacketContext context_of(Mbuf& mbuf, uint16_t port, uint32_t now) {
  PacketContext context;
  context.mbuf = mbuf.get();
  context.ingress_port_id = port;
  context.now_seconds = now;
  parse(rte_pktmbuf_mtod(mbuf.get(), const uint8_t*), mbuf.get()->data_len, ParseOptions{}, &context.headers);
  return context;
}

Bytes ethernet(uint16_t type, const Bytes& payload, std::vector<uint16_t> tags, uint64_t destination,
               uint64_t source) {
  Bytes frame;
  put_mac(&frame, destination);
  put_mac(&frame, source);
  for (const uint16_t tag : tags)
    append(&frame, {0x81, 0x00, static_cast<uint8_t>(tag >> 8), static_cast<uint8_t>(tag)});
  append(&frame, {static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type)});
  append(&frame, payload);
  return frame;
}

Bytes ipv4(const Ipv4& header, const Bytes& payload) {
  Bytes packet(20 + header.options.size());
  packet[0] = static_cast<uint8_t>(0x40 | packet.size() / 4);
  packet[1] = header.tos;
  store_be16(&packet[2], static_cast<uint16_t>(packet.size() + payload.size()));
  store_be16(&packet[4], header.id);
  store_be16(&packet[6], header.fragment);
  packet[8] = header.ttl;
  packet[9] = header.protocol;
  store_be32(&packet[12], header.source);
  store_be32(&packet[16], header.destination);
  std::copy(header.options.begin(), header.options.end(), packet.begin() + 20);
  store_be16(&packet[10], full_ipv4_checksum(packet.data()));
  const size_t at = packet.size();
  append(&packet, payload);
  if ((header.fragment & 0x1fff) != 0) return packet;
  const auto field = header.protocol == 6 && payload.size() >= 20   ? at + 16
                     : header.protocol == 17 && payload.size() >= 8 ? at + 6
                     : header.protocol == 1 && payload.size() >= 8  ? at + 2
                                                                    : 0;
  if (field == 0 || (header.protocol == 17 && load_be16(&packet[field]) == 0)) return packet;
  store_be16(&packet[field], 0);
  store_be16(&packet[field], full_l4_checksum(packet.data()));
  return packet;
}

Bytes ipv6(uint8_t next, const Bytes& payload, uint8_t hop_limit) {
  Bytes packet(40);
  packet[0] = 0x60;
  store_be16(&packet[4], static_cast<uint16_t>(payload.size()));
  packet[6] = next;
  packet[7] = hop_limit;
  packet[8] = 0x20;
  packet[23] = 1;
  packet[24] = 0x20;
  packet[39] = 2;
  append(&packet, payload);
  return packet;
}

Bytes udp(uint16_t source, uint16_t destination, const Bytes& payload, bool checksum) {
  Bytes segment(8);
  store_be16(&segment[0], source);
  store_be16(&segment[2], destination);
  store_be16(&segment[4], static_cast<uint16_t>(8 + payload.size()));
  store_be16(&segment[6], checksum ? 1 : 0);  // ipv4() computes what is not 0
  append(&segment, payload);
  return segment;
}

Bytes tcp(uint16_t source, uint16_t destination, const Bytes& payload, uint8_t flags) {
  Bytes segment(20);
  store_be16(&segment[0], source);
  store_be16(&segment[2], destination);
  segment[12] = 0x50;
  segment[13] = flags;
  append(&segment, payload);
  return segment;
}

Bytes icmp_echo(uint8_t type, uint16_t ident, const Bytes& payload) {
  Bytes message(8);
  message[0] = type;
  store_be16(&message[4], ident);
  append(&message, payload);
  return message;
}

Bytes vxlan(uint32_t vni, const Bytes& frame, uint8_t flags) {
  Bytes out(8);
  out[0] = flags;
  store_be32(&out[4], vni << 8);
  append(&out, frame);
  return out;
}

Bytes tunnel(uint32_t vni, const Bytes& inner, uint32_t source, uint32_t destination) {
  Ipv4 outer;
  outer.source = source;
  outer.destination = destination;
  return ethernet(kEtherTypeIpv4, ipv4(outer, udp(50000, 4789, vxlan(vni, inner), false)));
}

Bytes arp() { return ethernet(0x0806, Bytes(28, 1)); }

uint16_t full_ipv4_checksum(const uint8_t* header) {
  const size_t bytes = (header[0] & 15u) * 4;
  return static_cast<uint16_t>(~folded(words_of(header, 10) + words_of(header + 12, bytes - 12)));
}

uint16_t full_l4_checksum(const uint8_t* ip) {
  const size_t header = (ip[0] & 15u) * 4;
  const size_t length = load_be16(ip + 2) - header;
  const uint8_t* l4 = ip + header;
  const uint8_t protocol = ip[9];
  const size_t field = protocol == 6 ? 16 : protocol == 17 ? 6 : 2;
  uint32_t sum = words_of(l4, field) + words_of(l4 + field + 2, length - field - 2);
  if (protocol != 1) sum += words_of(ip + 12, 8) + protocol + static_cast<uint32_t>(length);
  const auto checksum = static_cast<uint16_t>(~folded(sum));
  return protocol == 17 && checksum == 0 ? 0xffff : checksum;
}

bool checksums_are_right(const Bytes& frame) {
  ParsedPacket packet;
  parse(frame.data(), static_cast<uint32_t>(frame.size()), ParseOptions{}, &packet);
  for (const LayerHeaders* layer : {&packet.outer, &packet.inner}) {
    if (layer->l3_kind != L3::kIpv4) continue;
    const uint8_t* ip = frame.data() + layer->l3;
    if (load_be16(ip + 10) != full_ipv4_checksum(ip)) return false;
    if (layer->l4 == kAbsent || layer->fragment) continue;
    const uint8_t* l4 = frame.data() + layer->l4;
    const uint16_t at = layer->protocol == 6 ? 16 : layer->protocol == 17 ? 6 : 2;
    if (layer->protocol == 17 && load_be16(l4 + at) == 0) continue;
    if (load_be16(l4 + at) != full_l4_checksum(ip)) return false;
  }
  return true;
}

void* Rule::keep(const void* data, size_t size) {
  // Not longer than the object: the sanitizers tell who reads behind it.
  std::shared_ptr<uint8_t[]> copy(new uint8_t[size]);
  if (size != 0) std::memcpy(copy.get(), data, size);
  memory_.push_back(copy);
  return copy.get();
}

Rule& Rule::raw_item(rte_flow_item_type type, const void* spec, const void* mask, const void* last,
                     size_t size) {
  const auto copied = [&](const void* from) { return from == nullptr ? nullptr : keep(from, size); };
  items_.back() = rte_flow_item{type, copied(spec), copied(last), copied(mask)};
  items_.push_back(rte_flow_item{RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr});
  return *this;
}

Rule& Rule::raw_action(int type, const void* conf, size_t size) {
  actions_.back() =
      rte_flow_action{static_cast<rte_flow_action_type>(type), conf == nullptr ? nullptr : keep(conf, size)};
  actions_.push_back(rte_flow_action{RTE_FLOW_ACTION_TYPE_END, nullptr});
  return *this;
}

rte_flow_item_ipv4 ipv4_spec(uint32_t source, uint32_t destination, uint8_t protocol) {
  rte_flow_item_ipv4 spec = {};
  spec.hdr.src_addr = rte_cpu_to_be_32(source);
  spec.hdr.dst_addr = rte_cpu_to_be_32(destination);
  spec.hdr.next_proto_id = protocol;
  return spec;
}

rte_flow_item_udp udp_spec(uint16_t source, uint16_t destination) {
  rte_flow_item_udp spec = {};
  spec.hdr.src_port = rte_cpu_to_be_16(source);
  spec.hdr.dst_port = rte_cpu_to_be_16(destination);
  return spec;
}

rte_flow_item_tcp tcp_spec(uint16_t source, uint16_t destination, uint8_t flags) {
  rte_flow_item_tcp spec = {};
  spec.hdr.src_port = rte_cpu_to_be_16(source);
  spec.hdr.dst_port = rte_cpu_to_be_16(destination);
  spec.hdr.tcp_flags = flags;
  return spec;
}

rte_flow_item_vxlan vxlan_spec(uint32_t vni) {
  rte_flow_item_vxlan spec = {};
  spec.hdr.vx_vni = rte_cpu_to_be_32(vni << 8);
  return spec;
}

rte_flow_item_ethdev port_spec(uint16_t port) {
  rte_flow_item_ethdev spec = {};
  spec.port_id = port;
  return spec;
}

Rule& add_vxlan_encap(Rule& rule, uint32_t vni, uint32_t destination, bool tagged) {
  Rule definition;
  rte_flow_item_eth eth = {};
  for (int i = 0; i < 6; ++i) {
    eth.hdr.dst_addr.addr_bytes[i] = static_cast<uint8_t>(0x10 + i);
    eth.hdr.src_addr.addr_bytes[i] = static_cast<uint8_t>(0x20 + i);
  }
  definition.item(RTE_FLOW_ITEM_TYPE_ETH, eth);
  if (tagged) {
    rte_flow_item_vlan vlan = {};
    vlan.hdr.vlan_tci = rte_cpu_to_be_16(7);
    definition.item(RTE_FLOW_ITEM_TYPE_VLAN, vlan);
  } else {
    definition.item(RTE_FLOW_ITEM_TYPE_VOID);
  }
  rte_flow_item_ipv4 ip = ipv4_spec(0xac1e0001, destination);
  ip.hdr.fragment_offset = rte_cpu_to_be_16(0x4000);
  definition.item(RTE_FLOW_ITEM_TYPE_IPV4, ip);
  definition.item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(49153, 0));
  definition.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(vni));
  std::vector<rte_flow_item> items(definition.items(), definition.items() + definition.item_count() + 1);
  const size_t sizes[] = {sizeof eth, sizeof(rte_flow_item_vlan), sizeof ip, sizeof(rte_flow_item_udp),
                          sizeof(rte_flow_item_vxlan)};
  for (size_t i = 0; i < 5; ++i) {
    if (items[i].spec != nullptr) items[i].spec = rule.keep(items[i].spec, sizes[i]);
  }
  rte_flow_action_vxlan_encap encap = {};
  encap.definition = static_cast<rte_flow_item*>(rule.keep(items.data(), items.size() * sizeof items[0]));
  return rule.action(RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP, encap);
}

}  // namespace sluice::test
