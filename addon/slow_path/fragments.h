// Fragmented datagrams under way. What becomes of the first fragment is remembered, and later fragments,
// which carry no ports, share it (RFC 4787 REQ-14: in any order, in bounded memory). Nothing is reassembled.
#pragma once

#include <memory>

#include "slow_path/fair_share.h"
#include "slow_path/packet.h"

namespace sluice {

struct FragmentKey {
  uint32_t source = 0;
  uint32_t destination = 0;
  uint32_t vni = kNoVni;
  uint32_t outer_source = 0;
  uint16_t identification = 0;
  uint8_t protocol = 0;
  uint8_t port = 0;
  uint32_t reserved = 0;

  bool operator==(const FragmentKey&) const = default;
};

enum class DatagramState : uint8_t {
  kWaiting,  // no first fragment yet
  kPending,  // the first fragment waits for a decision
  kRule,     // translated by a session's rule
  kDropped,
  kElsewhere,  // another shard has the first fragment
};

struct Datagram {
  FragmentKey key;
  uint32_t row = 0;  // kRule: which session and direction
  uint32_t generation = 0;
  uint8_t direction = 0;
  bool icmp_error = false;
  uint16_t shard = 0;  // kElsewhere
  DropReason reason = DropReason::kNone;  // kDropped
  DatagramState state = DatagramState::kWaiting;
  uint32_t first_held = kNone;  // slot of the hold table, head of a list
  uint32_t held = 0;
  uint32_t deadline_seconds = 0;
  // The table's own.
  uint32_t use = 0;  // counts the entry's users: a handle of an earlier one is stale
  uint32_t older = kNone, newer = kNone, bucket_next = kNone;
};

FragmentKey fragment_key(const Packet& packet);

class FragmentTable {
 public:
  static constexpr uint32_t kLifeSeconds = 30;
  static constexpr uint32_t kMaxHeldPerDatagram = 64;
  static constexpr uint32_t kMaxDatagrams = 1u << 16;

  explicit FragmentTable(uint32_t capacity);

  Datagram* find(const FragmentKey& key);
  // Null when the table, or the share of where the fragment came from, is full: an entry is never taken from
  // another datagram.
  Datagram* create(const FragmentKey& key, uint32_t now_seconds);
  // An IP identification used again: a new datagram under the same key. Nothing may be held.
  void restart(Datagram* datagram, uint32_t now_seconds);
  void remove(Datagram* datagram);
  // The one with the earliest deadline, null when there is none.
  Datagram* oldest() { return oldest_ == kNone ? nullptr : &entries_[oldest_]; }

  // Names the entry as long as it is in use.
  uint32_t handle(const Datagram* datagram) const;
  Datagram* get(uint32_t handle);

 private:
  void link_newest(uint32_t entry);
  void unlink(uint32_t entry);
  uint32_t bucket_of(const FragmentKey& key) const;

  uint32_t capacity_;
  FairShare share_;
  uint32_t free_ = kNone;
  uint32_t oldest_ = kNone, newest_ = kNone;
  uint32_t bucket_mask_;
  uint64_t seed_;
  std::unique_ptr<Datagram[]> entries_;
  std::unique_ptr<uint32_t[]> buckets_;
};

}  // namespace sluice
