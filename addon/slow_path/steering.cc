#include "slow_path/steering.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr uint32_t kOutsideContext = 0xffff;  // OUTSIDE_CONTEXT of src/nat/session-table.ts

bool has_ports(uint8_t protocol) {
  return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolIcmp;
}

uint64_t endpoint_key(uint8_t protocol, uint32_t address, uint16_t port) {
  return uint64_t{protocol} << 48 | uint64_t{address} << 16 | port;
}

// homeOf() of src/nat/shards/shared-state.ts.
uint32_t mixed(uint32_t hash) {
  hash = (hash ^ (hash >> 15)) * kSharedHashB;
  hash = (hash ^ (hash >> 13)) * kSharedHashC;
  return hash ^ (hash >> 16);
}

// The range that an address is in, of ranges in order.
template <typename Range>
const Range* range_of(const std::vector<Range>& ranges, uint32_t address) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                      [](uint32_t one, const Range& range) { return one < range.first; });
  if (after == ranges.begin()) return nullptr;
  const Range& range = *std::prev(after);
  return address <= range.last ? &range : nullptr;
}

template <typename Range>
void sort_ranges(std::vector<Range>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
}

}  // namespace

Steering::Steering(const SteeringSource& source, uint16_t shards, const SharedRegion& blocks,
                   const SharedRegion& remotes)
    : shards_(shards),
      peering_(source.peering),
      external_(source.external),
      blocks_memory_(blocks),
      remotes_memory_(remotes),
      blocks_(blocks),
      remotes_(remotes) {
  for (const SteeringSource::Vpc& vpc : source.vpcs) vnis_[vpc.vni] = static_cast<int32_t>(vpc.index);
  for (const uint32_t vni : source.peer_vnis) vnis_[vni] = kPeers;
  sort_ranges(peering_);
  for (const SteeringSource::Binding& binding : source.bindings) {
    if (binding.protocol == 0) {
      ranges_.push_back(binding);
    } else {
      endpoints_[endpoint_key(binding.protocol, binding.first, binding.port)] = binding;
    }
  }
  sort_ranges(ranges_);
  sort_ranges(external_);
  former_ends_.insert(source.former_ends.begin(), source.former_ends.end());
  for (const SteeringSource::FormerPeering& one : source.former_peering)
    former_peering_.emplace(one.address, one.vpc);
}

uint16_t Steering::owner(const FlowKey& flow, bool fabric) const {
  if (!fabric) {
    const int32_t end = of_public_end(kOutsideContext, flow);
    return end >= 0 ? static_cast<uint16_t>(end) : home_of(flow.destination);
  }
  const auto found = vnis_.find(flow.vni);
  if (found == vnis_.end()) return 0;
  if (found->second == kPeers) return home_of_pair(behind(flow.source), behind(flow.destination));
  const uint16_t own = home_of(flow.source);
  const int32_t end = of_public_end(static_cast<uint32_t>(found->second), flow);
  // A hairpin, from either of its ends.
  if (end >= 0) return std::min(own, static_cast<uint16_t>(end));
  const int32_t other = behind(flow.destination);
  return other >= 0 ? home_of_pair(found->second, other) : own;
}

uint16_t Steering::first(const FlowKey& flow, bool fabric) const {
  return has_former() ? stops(flow, fabric).shards[0] : owner(flow, fabric);
}

uint16_t Steering::next(const FlowKey& flow, bool fabric, uint16_t self) const {
  if (!has_former()) return owner(flow, fabric);
  const Stops all = stops(flow, fabric);
  for (uint16_t i = 0; i + 1 < all.count; i++) {
    if (all.shards[i] == self) return all.shards[i + 1];
  }
  // One that is no stop any more sends it to the first.
  return all.shards[all.count - 1] == self ? self : all.shards[0];
}

Steering::Stops Steering::stops(const FlowKey& flow, bool fabric) const {
  Stops all;
  const uint16_t last = owner(flow, fabric);
  if (has_former()) add_former(flow, fabric, last, &all);
  all.shards[all.count++] = last;
  return all;
}

void Steering::add_former(const FlowKey& flow, bool fabric, uint16_t owner, Stops* stops) const {
  const auto add = [&](int32_t shard) {
    uint16_t* const end = stops->shards + stops->count;
    if (shard < 0 || shard == owner || std::find(stops->shards, end, shard) != end) return;
    stops->shards[stops->count++] = static_cast<uint16_t>(shard);
  };
  int32_t vpc = kNobody;
  if (fabric) {
    const auto found = vnis_.find(flow.vni);
    if (found == vnis_.end()) return;
    vpc = found->second;
  }
  if (vpc != kPeers && former_ends_.contains(flow.destination)) {
    const int32_t end = of_dynamic_end(fabric ? static_cast<uint32_t>(vpc) : kOutsideContext, flow);
    add(fabric && end >= 0 ? std::min(int32_t{home_of(flow.source)}, end) : end);
  }
  if (!fabric) return;
  const auto [begin, end] = former_peering_.equal_range(flow.destination);
  for (auto each = begin; each != end; ++each)
    add(home_of_pair(vpc == kPeers ? behind(flow.source) : vpc, static_cast<int32_t>(each->second)));
}

uint16_t Steering::meeting_place(const FlowKey& flow, uint16_t identification) const {
  const uint32_t hash = mixed(flow.source) ^ mixed(flow.destination + kSharedHashA) ^
                        (uint32_t{flow.protocol} << 16 | identification);
  return static_cast<uint16_t>(mixed(hash) % shards_);
}

// The host behind a static binding, else the block's shard, else that of the session which the remote tells.
int32_t Steering::of_public_end(uint32_t context, const FlowKey& flow) const {
  // Mostly the other side's: the tables are large, and would be looked at where nobody has been for long. An
  // address that has left us leads to what live sessions have there, and nowhere else.
  if (range_of(external_, flow.destination) == nullptr) return kNobody;
  if (const SteeringSource::Binding* binding = binding_of(flow))
    return home_of(binding->private_first + (flow.destination - binding->first));
  return of_dynamic_end(context, flow);
}

int32_t Steering::of_dynamic_end(uint32_t context, const FlowKey& flow) const {
  if (has_ports(flow.protocol)) return of_block(flow);
  return shard_of(remotes_.get(context << kRemoteProtocolBits | flow.protocol, flow.source, flow.destination));
}

int32_t Steering::of_block(const FlowKey& flow) const {
  const uint32_t shape = blocks_.get(flow.protocol, flow.destination, kBlockShape);
  const uint32_t first = shape >> kBlockSizeBits;
  const uint32_t size = shape & ((1u << kBlockSizeBits) - 1);
  if (size == 0 || flow.destination_port < first) return kNobody;
  const uint32_t block = (flow.destination_port - first) / size;
  return shard_of(blocks_.get(flow.protocol, flow.destination, block));
}

// Of what a table says, which may be another key's value (SharedTable::get).
int32_t Steering::shard_of(uint32_t value) const {
  return value == 0 || value > shards_ ? kNobody : static_cast<int32_t>(value) - 1;
}

const SteeringSource::Binding* Steering::binding_of(const FlowKey& flow) const {
  if (!endpoints_.empty()) {
    const auto found = endpoints_.find(endpoint_key(flow.protocol, flow.destination, flow.destination_port));
    if (found != endpoints_.end()) return &found->second;
  }
  return range_of(ranges_, flow.destination);
}

int32_t Steering::behind(uint32_t address) const {
  const SteeringSource::Peering* range = range_of(peering_, address);
  return range == nullptr ? kNobody : static_cast<int32_t>(range->vpc);
}

uint16_t Steering::home_of(uint32_t address) const { return static_cast<uint16_t>(mixed(address) % shards_); }

uint16_t Steering::home_of_pair(int32_t a, int32_t b) const {
  if (a < 0 || b < 0) return 0;
  return home_of(static_cast<uint32_t>(std::min(a, b)) * kPairFactor + static_cast<uint32_t>(std::max(a, b)));
}

}  // namespace sluice
