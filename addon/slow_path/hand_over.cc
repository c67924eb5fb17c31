#include "slow_path/hand_over.h"

#include <rte_errno.h>

#include <string>

#include "slow_path/native_fault.h"

namespace sluice {

HandOver::HandOver(uint16_t shards) : shards_(shards), rings_(size_t{shards} * shards, nullptr) {
  static unsigned instance = 0;
  const std::string name = "sluice_over_" + std::to_string(instance++) + "_";
  for (size_t i = 0; i < rings_.size(); i++) {
    if (i / shards == i % shards) continue;
    rings_[i] = rte_ring_create((name + std::to_string(i)).c_str(), kSlots, SOCKET_ID_ANY,
                                RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (rings_[i] != nullptr) continue;
    const int error = rte_errno;
    free_rings();
    throw NativeFault("MEMORY", std::string("no ring between shards: ") + rte_strerror(error), error);
  }
}

HandOver::~HandOver() {
  for (uint16_t from = 0; from < shards_; from++) {
    for (uint16_t to = 0; to < shards_; to++) {
      rte_mbuf* frame = nullptr;
      while (from != to && take(from, to, &frame, 1) == 1) rte_pktmbuf_free(frame);
    }
  }
  free_rings();
}

void HandOver::free_rings() {
  for (rte_ring* ring : rings_) rte_ring_free(ring);
}

}  // namespace sluice
