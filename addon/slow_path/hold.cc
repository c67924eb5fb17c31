#include "slow_path/hold.h"

#include <algorithm>

#include "slow_path/hash.h"

namespace sluice {
namespace {

constexpr uint32_t kSlotBits = 20;
constexpr uint16_t kLastGeneration = 0xffe;  // 0xfff with the last slot would be NO_HOLD

}  // namespace

HoldTable::HoldTable(uint32_t capacity)
    : capacity_(std::clamp(capacity, 1u, kMaxSlots)),
      bucket_mask_(power_of_two_at_least(capacity_) - 1),
      seed_(random_seed()),
      slots_(std::make_unique<Slot[]>(capacity_)),
      buckets_(std::make_unique<uint32_t[]>(bucket_mask_ + 1)) {
  std::fill_n(buckets_.get(), bucket_mask_ + 1, kNone);
  for (uint32_t slot = capacity_; slot-- > 0;) {
    slots_[slot].next = free_;
    free_ = slot;
  }
}

uint32_t HoldTable::take(const Packet& packet) {
  const uint32_t slot = free_;
  if (slot == kNone) return kNone;
  Slot& taken = slots_[slot];
  free_ = taken.next;
  taken.packet = packet;
  taken.packet.ahead = -1;  // it will meet other rules
  taken.next = kNone;
  taken.tail = slot;
  taken.in_use = true;
  held_++;
  return slot;
}

void HoldTable::give_back(uint32_t slot) {
  Slot& given = slots_[slot];
  if (given.head) remove_head(slot);
  if (given.open) given.generation = given.generation == kLastGeneration ? 1 : given.generation + 1;
  given.open = false;
  given.in_use = false;
  given.next = free_;
  free_ = slot;
  held_--;
}

uint32_t HoldTable::open(uint32_t slot) {
  slots_[slot].open = true;
  return static_cast<uint32_t>(slots_[slot].generation) << kSlotBits | slot;
}

uint32_t HoldTable::find(uint32_t hold) const {
  const uint32_t slot = hold & ((1u << kSlotBits) - 1);
  if (slot >= capacity_) return kNone;
  const Slot& found = slots_[slot];
  return found.in_use && found.open && found.generation == hold >> kSlotBits ? slot : kNone;
}

uint32_t HoldTable::bucket_of(const FlowKey& flow) const {
  return static_cast<uint32_t>(keyed_hash(flow, seed_)) & bucket_mask_;
}

void HoldTable::add_head(uint32_t slot) {
  uint32_t& bucket = buckets_[bucket_of(slots_[slot].packet.flow)];
  slots_[slot].bucket_next = bucket;
  slots_[slot].head = true;
  bucket = slot;
}

void HoldTable::remove_head(uint32_t slot) {
  uint32_t* link = &buckets_[bucket_of(slots_[slot].packet.flow)];
  while (*link != slot) link = &slots_[*link].bucket_next;
  *link = slots_[slot].bucket_next;
  slots_[slot].head = false;
}

uint32_t HoldTable::find_head(const FlowKey& flow) const {
  uint32_t slot = buckets_[bucket_of(flow)];
  while (slot != kNone && !(slots_[slot].packet.flow == flow)) slot = slots_[slot].bucket_next;
  return slot;
}

void HoldTable::append(uint32_t head, uint32_t slot) {
  slots_[slots_[head].tail].next = slot;
  slots_[head].tail = slot;
}

uint32_t HoldTable::detach_rest(uint32_t slot) {
  const uint32_t rest = slots_[slot].next;
  if (rest != kNone) slots_[rest].tail = slots_[slot].tail;
  slots_[slot].next = kNone;
  slots_[slot].tail = slot;
  return rest;
}

void HoldTable::append_list(uint32_t head, uint32_t list) {
  slots_[slots_[head].tail].next = list;
  slots_[head].tail = slots_[list].tail;
}

}  // namespace sluice
