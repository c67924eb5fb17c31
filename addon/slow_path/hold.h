// Packets that wait: for a decision (and behind them others of the same flow), or for the first fragment of
// their datagram. One pool of slots for all, so that what is held is bounded by one number.
#pragma once

#include <rte_prefetch.h>

#include <memory>

#include "slow_path/packet.h"

namespace sluice {

class HoldTable {
 public:
  static constexpr uint32_t kMaxSlots = (1u << 20) - 1;  // a hold id has 20 bits for the slot

  explicit HoldTable(uint32_t capacity);

  // A slot with a copy of the packet, or kNone when all are taken.
  uint32_t take(const Packet& packet);
  void give_back(uint32_t slot);
  Packet& packet(uint32_t slot) { return slots_[slot].packet; }
  uint32_t held() const { return held_; }
  uint32_t capacity() const { return capacity_; }

  // The id under which a miss record names the slot. It stops being valid when the slot is given back.
  uint32_t open(uint32_t slot);
  // A decision will name it soon.
  void prefetch(uint32_t hold) const {
    const uint32_t slot = hold & kMaxSlots;
    if (slot >= capacity_) return;
    const auto* bytes = reinterpret_cast<const uint8_t*>(&slots_[slot]);
    for (size_t line = 0; line < sizeof(Slot); line += 64) rte_prefetch0(bytes + line);
  }
  // Slot of an id, kNone when it is stale or made up.
  uint32_t find(uint32_t hold) const;

  // Chains of packets behind the one whose miss is outstanding.
  void add_head(uint32_t slot);
  void remove_head(uint32_t slot);
  uint32_t find_head(const FlowKey& flow) const;

  // A list is kept by its head's slot: next_ from slot to slot, tail_ at the head.
  void append(uint32_t head, uint32_t slot);
  uint32_t next(uint32_t slot) const { return slots_[slot].next; }
  // Takes the list behind a slot away from it; its first slot becomes the head of what is left.
  uint32_t detach_rest(uint32_t slot);
  // Puts a list (given by its head) behind a slot.
  void append_list(uint32_t head, uint32_t list);

  // Calls visit(slot) for every slot in use; for the end.
  template <typename Visit>
  void for_each(Visit visit) {
    for (uint32_t slot = 0; slot < capacity_; slot++) {
      if (slots_[slot].in_use) visit(slot);
    }
  }

 private:
  struct Slot {
    Packet packet;
    uint32_t next = kNone;
    uint32_t tail = kNone;  // of the list that starts here; the slot itself when alone
    uint32_t bucket_next = kNone;
    uint16_t generation = 1;
    bool in_use = false;
    bool open = false;  // a miss names it
    bool head = false;  // in the index
  };

  uint32_t bucket_of(const FlowKey& flow) const;

  uint32_t capacity_;
  uint32_t held_ = 0;
  uint32_t free_ = kNone;
  uint32_t bucket_mask_;
  uint64_t seed_;
  std::unique_ptr<Slot[]> slots_;
  std::unique_ptr<uint32_t[]> buckets_;
};

}  // namespace sluice
