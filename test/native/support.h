// A small test frame, frames on a heap of their own size (so that a sanitizer sees a byte too far), and
// builders.
#pragma once

#include <rte_flow.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "flow_engine/flow_engine.h"

namespace sluice::test {

using Bytes = std::vector<uint8_t>;

struct Test {
  Test(const char* name, std::function<void()> body);
};
void fail_check(const char* file, int line, const std::string& what);
int run_tests(int argc, char** argv);

#define SLUICE_JOIN2(a, b) a##b
#define SLUICE_JOIN(a, b) SLUICE_JOIN2(a, b)
#define TEST(name)                                                               \
  static void name();                                                            \
  static const ::sluice::test::Test SLUICE_JOIN(registered_, name)(#name, name); \
  static void name()
#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) ::sluice::test::fail_check(__FILE__, __LINE__, #condition); \
  } while (0)
#define CHECK_EQ(a, b)                                                                                       \
  do {                                                                                                       \
    const auto left = (a);                                                                                   \
    const auto right = (b);                                                                                  \
    if (!(left == right))                                                                                    \
      ::sluice::test::fail_check(__FILE__, __LINE__,                                                         \
                                 std::string(#a " is not " #b ": ") + ::sluice::test::show(left) + " and " + \
                                     ::sluice::test::show(right));                                           \
  } while (0)

std::string show(const Bytes& bytes);
inline std::string show(const std::string& text) { return text; }
template <typename T>
std::string show(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else {
    return std::to_string(value);
  }
}

// A frame in an mbuf without pool or EAL.
class Mbuf {
 public:
  explicit Mbuf(const Bytes& frame, uint16_t headroom = 128);
  rte_mbuf* get() { return &mbuf_; }
  Bytes frame() const;

 private:
  rte_mbuf mbuf_ = {};
  std::unique_ptr<uint8_t[]> buffer_;
};

// Packet of PacketContext, parsed.
PacketContext context_of(Mbuf& mbuf, uint16_t port = 0, uint32_t now = 0);

// Headers, written out field by field; checksums are filled in by `seal`.
struct Ipv4 {
  uint32_t source = 0x0a000105, destination = 0x08080808;
  uint8_t protocol = 17, ttl = 64, tos = 0;
  uint16_t fragment = 0, id = 1;
  Bytes options;
};
Bytes ethernet(uint16_t type, const Bytes& payload, std::vector<uint16_t> tags = {},
               uint64_t destination = 0x020000000002, uint64_t source = 0x020000000001);
Bytes ipv4(const Ipv4& header, const Bytes& payload);
Bytes ipv6(uint8_t next, const Bytes& payload, uint8_t hop_limit = 64);
Bytes udp(uint16_t source, uint16_t destination, const Bytes& payload, bool checksum = true);
Bytes tcp(uint16_t source, uint16_t destination, const Bytes& payload, uint8_t flags = 0x10);
Bytes icmp_echo(uint8_t type, uint16_t ident, const Bytes& payload);
Bytes vxlan(uint32_t vni, const Bytes& frame, uint8_t flags = 8);
Bytes tunnel(uint32_t vni, const Bytes& inner, uint32_t source = 0xac1e000b,
             uint32_t destination = 0xac1e0001);
Bytes arp();

// Full checksums, bit by bit from the RFCs.
uint16_t full_ipv4_checksum(const uint8_t* header);
// Of the TCP, UDP or ICMP message in an IPv4 packet, as it should stand in the header.
uint16_t full_l4_checksum(const uint8_t* ip);
// All IPv4, TCP, UDP and ICMP checksums of the frame and of what it tunnels are right.
bool checksums_are_right(const Bytes& frame);

// An item or action list under construction; keeps everything the rte_flow arrays point to.
class Rule {
 public:
  Rule() { attr.transfer = 1; }
  template <typename Spec>
  Rule& item(rte_flow_item_type type, const Spec& spec, const Spec* mask = nullptr,
             const Spec* last = nullptr) {
    return raw_item(type, &spec, mask, last, sizeof(Spec));
  }
  Rule& item(rte_flow_item_type type) { return raw_item(type, nullptr, nullptr, nullptr, 0); }
  Rule& raw_item(rte_flow_item_type type, const void* spec, const void* mask, const void* last, size_t size);
  template <typename Conf>
  Rule& action(int type, const Conf& conf) {
    return raw_action(type, &conf, sizeof conf);
  }
  Rule& action(int type) { return raw_action(type, nullptr, 0); }
  Rule& raw_action(int type, const void* conf, size_t size);
  void* keep(const void* data, size_t size);

  const rte_flow_item* items() const { return items_.data(); }
  const rte_flow_action* actions() const { return actions_.data(); }
  size_t item_count() const { return items_.size() - 1; }
  size_t action_count() const { return actions_.size() - 1; }
  rte_flow_item& item_at(size_t i) { return items_[i]; }

  rte_flow_attr attr = {};

 private:
  std::vector<rte_flow_item> items_{rte_flow_item{RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}};
  std::vector<rte_flow_action> actions_{rte_flow_action{RTE_FLOW_ACTION_TYPE_END, nullptr}};
  std::vector<std::shared_ptr<uint8_t[]>> memory_;
};

// Items and actions in the words of testpmd.
rte_flow_item_ipv4 ipv4_spec(uint32_t source, uint32_t destination, uint8_t protocol = 0);
rte_flow_item_udp udp_spec(uint16_t source, uint16_t destination);
rte_flow_item_tcp tcp_spec(uint16_t source, uint16_t destination, uint8_t flags = 0);
rte_flow_item_vxlan vxlan_spec(uint32_t vni);
rte_flow_item_ethdev port_spec(uint16_t port);
Rule& add_vxlan_encap(Rule& rule, uint32_t vni, uint32_t destination, bool tagged = false);

}  // namespace sluice::test
