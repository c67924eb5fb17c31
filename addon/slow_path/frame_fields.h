// What a replay must know of a frame and the wire cannot carry: dynamic fields of the mbuf, which survive the
// NIC.
#pragma once

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "slow_path/clock.h"

namespace sluice {

class FrameFields {
 public:
  // Registers the fields once a process; rte_mbuf_dynfield_register answers with the same offset the second
  // time. Throws NativeFault MEMORY.
  static const FrameFields& instance();

  // Time with which the frame appears in an output capture: that of the packet which caused it.
  Nanoseconds& stamp(rte_mbuf* mbuf) const { return *RTE_MBUF_DYNFIELD(mbuf, stamp_offset_, Nanoseconds*); }
  // Length on the wire, where the frame did not fit its buffer.
  uint32_t& wire_length(rte_mbuf* mbuf) const { return *RTE_MBUF_DYNFIELD(mbuf, length_offset_, uint32_t*); }

 private:
  FrameFields();
  int stamp_offset_;
  int length_offset_;
};

}  // namespace sluice
