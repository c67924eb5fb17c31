#include "flow_engine/rss.h"

#include <rte_ethdev.h>
#include <rte_thash.h>

#include <cstring>

#include "packet/wire.h"

namespace sluice {
namespace {

constexpr uint64_t kTypes = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

// The key that Microsoft's specification of RSS verifies implementations with; NICs and drivers start with
// it.
constexpr uint8_t kStandardKey[kRssKeyBytes] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                                0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                                0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                                0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

}  // namespace

const char* read_rss(const rte_flow_action_rss& conf, RssSpread* out) {
  *out = RssSpread{};
  if (conf.func != RTE_ETH_HASH_FUNCTION_DEFAULT && conf.func != RTE_ETH_HASH_FUNCTION_TOEPLITZ)
    return "only the Toeplitz hash is supported";
  if (conf.level > 2) return "levels above 2 are not supported";
  if ((conf.types & ~kTypes) != 0) return "only types of IP, TCP and UDP are supported";
  if (conf.queue_num == 0 || conf.queue == nullptr) return "needs queues";
  if (conf.queue_num > kMaxRssQueues) return "more than 64 queues are not supported";
  if (conf.key_len != 0 && conf.key_len != kRssKeyBytes) return "the key must have 40 bytes";
  out->types = conf.types == 0 ? kTypes : conf.types;
  out->level = conf.level == 2 ? 2 : 1;
  out->queues = static_cast<uint16_t>(conf.queue_num);
  std::memcpy(out->queue, conf.queue, conf.queue_num * sizeof conf.queue[0]);
  std::memcpy(out->key, conf.key_len == 0 || conf.key == nullptr ? kStandardKey : conf.key, kRssKeyBytes);
  return nullptr;
}

bool rss_hash(const RssSpread& spread, const uint8_t* frame, const ParsedPacket& headers, uint32_t* hash) {
  const LayerHeaders& layer = spread.level == 2 && headers.has_inner ? headers.inner : headers.outer;
  if (layer.l3_kind == L3::kNone) return false;
  const bool v4 = layer.l3_kind == L3::kIpv4;
  const bool tcp = layer.protocol == kProtocolTcp && layer.l4 != kAbsent;
  const bool udp = layer.protocol == kProtocolUdp && layer.l4 != kAbsent;
  uint64_t with_ports = 0, addresses = v4 ? RTE_ETH_RSS_IPV4 : RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_IPV6_EX;
  if (tcp)
    with_ports = v4 ? RTE_ETH_RSS_NONFRAG_IPV4_TCP : RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6_TCP_EX;
  if (udp)
    with_ports = v4 ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_IPV6_UDP_EX;
  if (layer.fragment) {
    addresses |= v4 ? RTE_ETH_RSS_FRAG_IPV4 : RTE_ETH_RSS_FRAG_IPV6;
  } else if (!tcp && !udp) {
    addresses |= v4 ? RTE_ETH_RSS_NONFRAG_IPV4_OTHER : RTE_ETH_RSS_NONFRAG_IPV6_OTHER;
  }
  const bool ports = (spread.types & with_ports) != 0;
  if (!ports && (spread.types & addresses) == 0) return false;
  // rte_thash.h: words in host order, source, destination, then both ports as one word.
  uint32_t tuple[9];
  uint32_t words = 0;
  const uint8_t* at = frame + layer.l3 + (v4 ? kIpv4Source : kIpv6Source);
  for (; words < (v4 ? 2u : 8u); ++words) tuple[words] = load_be32(at + 4 * words);
  if (ports) tuple[words++] = load_be32(frame + layer.l4);
  alignas(4) uint8_t key[kRssKeyBytes];
  std::memcpy(key, spread.key, sizeof key);
  *hash = rte_softrss(tuple, words, key);
  return true;
}

}  // namespace sluice
