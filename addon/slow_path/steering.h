// Which shard looks a packet up, where a gateway has several (docs/decisions/0017-shards.md). What it reads
// of the configuration is constant, a new one has another object; who has which ports, and which remotes,
// stands in tables that TypeScript writes.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "slow_path/packet.h"
#include "slow_path/shared_table.h"

namespace sluice {

// What the configuration says of it. Addresses in host order.
struct SteeringSource {
  struct Vpc {
    uint32_t vni, index;
  };
  // Addresses that stand for a VPC in front of others.
  struct Peering {
    uint32_t first, last, vpc;
  };
  // Of one endpoint; protocol 0: of addresses, each to its own.
  struct Binding {
    uint32_t first, last, private_first;
    uint16_t port;
    uint8_t protocol;
  };

  // Of external pools and static bindings.
  struct Range {
    uint32_t first, last;
  };
  // A VPC for which an address stands in live sessions, and by the configuration no more.
  struct FormerPeering {
    uint32_t address, vpc;
  };

  std::vector<Vpc> vpcs;
  std::vector<uint32_t> peer_vnis;
  std::vector<Peering> peering;  // ranges that do not overlap
  std::vector<Range> external;   // that do not overlap
  std::vector<Binding> bindings;
  // External addresses, of now or of before, at which live sessions use what an older configuration gave.
  std::vector<uint32_t> former_ends;
  std::vector<FormerPeering> former_peering;
};

class Steering {
 public:
  static constexpr uint16_t kMostShards = 16;  // MOST_SHARDS

  Steering(const SteeringSource& source, uint16_t shards, const SharedRegion& blocks,
           const SharedRegion& remotes);

  // Whose it is by the configuration: who decides on it when nobody knows it. `fabric`: the flow came from
  // there. Of one that carries no ports (a later fragment) only what addresses tell.
  uint16_t owner(const FlowKey& flow, bool fabric) const;
  // Who looks it up first: where an older configuration led, while sessions of it live.
  uint16_t first(const FlowKey& flow, bool fabric) const;
  // Who looks it up after `self` did in vain; `self` when it is to decide.
  uint16_t next(const FlowKey& flow, bool fabric, uint16_t self) const;
  // Whether live sessions have what the configuration would look up elsewhere.
  bool has_former() const { return !former_ends_.empty() || !former_peering_.empty(); }
  // Where the fragments of a datagram meet, whichever of them came to whom.
  uint16_t meeting_place(const FlowKey& flow, uint16_t identification) const;

 private:
  static constexpr int32_t kNobody = -1;
  static constexpr int32_t kPeers = -2;  // of a VNI: peer gateways'

  // Shards in the order of looking: former ones, each once, and last of all the owner. No two of them have the
  // same tuple, so that the order of the former ones is of no account.
  struct Stops {
    uint16_t shards[kMostShards];
    uint16_t count = 0;
  };

  Stops stops(const FlowKey& flow, bool fabric) const;
  void add_former(const FlowKey& flow, bool fabric, uint16_t owner, Stops* stops) const;
  int32_t of_public_end(uint32_t context, const FlowKey& flow) const;
  int32_t of_dynamic_end(uint32_t context, const FlowKey& flow) const;
  int32_t of_block(const FlowKey& flow) const;
  int32_t shard_of(uint32_t value) const;
  const SteeringSource::Binding* binding_of(const FlowKey& flow) const;
  int32_t behind(uint32_t address) const;
  uint16_t home_of(uint32_t address) const;
  uint16_t home_of_pair(int32_t a, int32_t b) const;

  uint16_t shards_;
  std::unordered_map<uint32_t, int32_t> vnis_;  // VPC, or kPeers
  std::vector<SteeringSource::Peering> peering_;
  std::vector<SteeringSource::Range> external_;
  std::vector<SteeringSource::Binding> ranges_;
  std::unordered_map<uint64_t, SteeringSource::Binding> endpoints_;
  std::unordered_set<uint32_t> former_ends_;
  std::unordered_multimap<uint32_t, uint32_t> former_peering_;
  SharedRegion blocks_memory_, remotes_memory_;
  SharedTable blocks_, remotes_;
};

}  // namespace sluice
