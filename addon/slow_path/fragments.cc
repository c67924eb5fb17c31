#include "slow_path/fragments.h"

#include <algorithm>

#include "slow_path/hash.h"

namespace sluice {

FragmentKey fragment_key(const Packet& packet) {
  FragmentKey key;
  key.source = packet.flow.source;
  key.destination = packet.flow.destination;
  key.vni = packet.flow.vni;
  key.outer_source = packet.flow.outer_source;
  key.identification = packet.identification;
  key.protocol = packet.flow.protocol;
  key.port = packet.flow.port;
  return key;
}
namespace {

constexpr uint32_t kEntryBits = 16;
constexpr uint32_t kUseMask = (1u << (32 - kEntryBits)) - 1;

}  // namespace

FragmentTable::FragmentTable(uint32_t capacity)
    // One less than 2^16: no handle is then kNone.
    : capacity_(std::clamp(capacity, 1u, kMaxDatagrams - 1)),
      share_(capacity_),
      bucket_mask_(power_of_two_at_least(capacity_) - 1),
      seed_(random_seed()),
      entries_(std::make_unique<Datagram[]>(capacity_)),
      buckets_(std::make_unique<uint32_t[]>(bucket_mask_ + 1)) {
  std::fill_n(buckets_.get(), bucket_mask_ + 1, kNone);
  for (uint32_t entry = capacity_; entry-- > 0;) {
    entries_[entry].newer = free_;
    free_ = entry;
  }
}

uint32_t FragmentTable::bucket_of(const FragmentKey& key) const {
  return static_cast<uint32_t>(keyed_hash(key, seed_)) & bucket_mask_;
}

Datagram* FragmentTable::find(const FragmentKey& key) {
  uint32_t entry = buckets_[bucket_of(key)];
  while (entry != kNone && !(entries_[entry].key == key)) entry = entries_[entry].bucket_next;
  return entry == kNone ? nullptr : &entries_[entry];
}

Datagram* FragmentTable::create(const FragmentKey& key, uint32_t now_seconds) {
  const uint32_t entry = free_;
  if (entry == kNone || !share_.may_take(key.vni)) return nullptr;
  share_.take(key.vni);
  Datagram& created = entries_[entry];
  free_ = created.newer;
  const uint32_t use = created.use + 1;
  created = Datagram{};
  created.key = key;
  created.use = use;
  created.deadline_seconds = now_seconds + kLifeSeconds;
  uint32_t& bucket = buckets_[bucket_of(key)];
  created.bucket_next = bucket;
  bucket = entry;
  link_newest(entry);
  return &created;
}

void FragmentTable::restart(Datagram* datagram, uint32_t now_seconds) {
  const auto entry = static_cast<uint32_t>(datagram - entries_.get());
  unlink(entry);
  link_newest(entry);
  datagram->use++;
  datagram->state = DatagramState::kWaiting;
  datagram->deadline_seconds = now_seconds + kLifeSeconds;
}

void FragmentTable::remove(Datagram* datagram) {
  const auto entry = static_cast<uint32_t>(datagram - entries_.get());
  uint32_t* link = &buckets_[bucket_of(datagram->key)];
  while (*link != entry) link = &entries_[*link].bucket_next;
  *link = datagram->bucket_next;
  unlink(entry);
  share_.give_back(datagram->key.vni);
  datagram->use++;
  datagram->newer = free_;
  free_ = entry;
}

uint32_t FragmentTable::handle(const Datagram* datagram) const {
  return (datagram->use & kUseMask) << kEntryBits | static_cast<uint32_t>(datagram - entries_.get());
}

Datagram* FragmentTable::get(uint32_t handle) {
  const uint32_t entry = handle & ((1u << kEntryBits) - 1);
  if (handle == kNone || entry >= capacity_) return nullptr;
  Datagram& found = entries_[entry];
  return (found.use & kUseMask) == handle >> kEntryBits ? &found : nullptr;
}

void FragmentTable::link_newest(uint32_t entry) {
  entries_[entry].older = newest_;
  entries_[entry].newer = kNone;
  (newest_ == kNone ? oldest_ : entries_[newest_].newer) = entry;
  newest_ = entry;
}

void FragmentTable::unlink(uint32_t entry) {
  const Datagram& datagram = entries_[entry];
  (datagram.older == kNone ? oldest_ : entries_[datagram.older].newer) = datagram.newer;
  (datagram.newer == kNone ? newest_ : entries_[datagram.newer].older) = datagram.older;
}

}  // namespace sluice
