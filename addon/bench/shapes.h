// Flows of eight rule shapes, their frames and what becomes of them: traffic for a NIC that translates without a
// gateway. A flow's number says all of it, so whoever gets a frame back can tell what it should be.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "bench/scenario.h"
#include "packet/parse.h"

namespace sluice::bench {

inline constexpr uint32_t kShapes = 8;
inline constexpr uint32_t kShapeVni = 100, kShapeOtherVni = 200;
inline constexpr uint32_t kShapeTunnelEnd = 0xac100001, kShapePeerEnd = 0xac100002;  // underlay addresses
inline constexpr uint8_t kShapeMacs[2][6] = {{2, 0, 0, 0, 0, 0x11}, {2, 0, 0, 0, 0, 0x12}};  // new: destination, source

struct ShapeFlow {
  bool from_tunnel, into_tunnel;
  uint8_t protocol;
  uint32_t source, destination;  // innermost, host order
  uint16_t source_port, destination_port;
  uint32_t new_source, new_destination;  // 0: stays
  uint16_t new_source_port, new_destination_port;
};

// Flow `number` has shape number % kShapes: VXLAN to plain and plain to VXLAN, of UDP, TCP and ICMP each; VXLAN to
// VXLAN and plain to plain with both addresses changed, of UDP.
SLUICE_BENCH_API ShapeFlow shape_flow(uint32_t number);

// The program of the wires net_shapes; set before they are started.
struct ShapeTraffic {
  uint32_t flows = 0;  // frames are of flows drawn from [0, flows)
  uint64_t seed = 1;
  uint32_t check_every = 64;  // of the frames that are sent on a wire, one in so many is checked whole
  uint64_t emitted = 0, arrived = 0, checked = 0, wrong = 0;
};
SLUICE_BENCH_API ShapeTraffic& shape_traffic();

// The flow that a frame carries the number of: the first word of its innermost payload.
SLUICE_BENCH_API uint32_t flow_of_frame(const uint8_t* frame, const ParsedPacket& headers);

}  // namespace sluice::bench
