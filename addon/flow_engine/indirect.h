// Counters and ages that several rules share: what rte_flow calls indirect actions. The engine's user makes
// them and keeps them where they are until no rule refers to them.
#pragma once

#include <cstdint>

namespace sluice {

struct IndirectAction {
  enum class Kind : uint8_t { kGone, kCount, kAge };

  uint32_t row;         // of the user's slab; first, where its free list runs
  uint32_t references;  // rules
  uint64_t packets, bytes;
  void* context;  // AGE
  uint32_t last_hit_seconds;
  uint32_t timeout_seconds;
  Kind kind;
  uint8_t aged;      // reported and not hit since
  bool for_ingress;  // in which rules it may be used
  bool for_transfer;
  uint16_t port_id;
  uint16_t queue_id;
};

}  // namespace sluice
