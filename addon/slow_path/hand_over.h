// Frames on their way from the shard that received them to the one that looks them up: a ring for each
// ordered pair, so that each has one producer and one consumer and a flow keeps its order. A frame's port is
// its mbuf's.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <memory>
#include <vector>

namespace sluice {

class HandOver {
 public:
  static constexpr uint32_t kSlots = 1024;

  // Throws NativeFault MEMORY.
  explicit HandOver(uint16_t shards);
  // Frees what is still under way.
  ~HandOver();
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;

  uint16_t shards() const { return shards_; }
  // False: the ring is full, and the frame still the caller's.
  bool give(uint16_t from, uint16_t to, rte_mbuf* frame) {
    return rte_ring_sp_enqueue(ring(from, to), frame) == 0;
  }
  uint32_t take(uint16_t from, uint16_t to, rte_mbuf** frames, uint32_t most) {
    return rte_ring_sc_dequeue_burst(ring(from, to), reinterpret_cast<void**>(frames), most, nullptr);
  }

 private:
  rte_ring* ring(uint16_t from, uint16_t to) const { return rings_[size_t{from} * shards_ + to]; }
  void free_rings();

  uint16_t shards_;
  std::vector<rte_ring*> rings_;
};

}  // namespace sluice
