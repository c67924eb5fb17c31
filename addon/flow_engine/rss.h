// RSS: which of a rule's queues a packet goes to, by Toeplitz hash, as NICs compute it (rte_thash.h).
#pragma once

#include <rte_flow.h>

#include <cstddef>
#include <cstdint>

#include "packet/parse.h"

namespace sluice {

inline constexpr size_t kRssKeyBytes = 40;
inline constexpr size_t kMaxRssQueues = 64;

struct RssSpread {
  uint64_t types;  // RTE_ETH_RSS_*
  uint8_t key[kRssKeyBytes];
  uint16_t queue[kMaxRssQueues];
  uint16_t queues;
  uint16_t level;  // 1 outermost, 2 inner
  uint32_t unused;
};

// Null on success, otherwise what is wrong with the conf.
const char* read_rss(const rte_flow_action_rss& conf, RssSpread* out);

// False for a packet that `types` tells nothing about: it goes to the first queue, without a hash.
bool rss_hash(const RssSpread& spread, const uint8_t* frame, const ParsedPacket& headers, uint32_t* hash);

}  // namespace sluice
