// net_softflow with resident rules of eight shapes and nothing else, and its bound: a loop over the same frames that
// makes the same memory touches and the same rewrites without finding out which.
#pragma once

#include <cstdint>
#include <functional>

#include "bench/node/wire_loop.h"

namespace sluice::bench {

struct ResidentResult {
  uint64_t packets = 0;  // that came out
  uint64_t emitted = 0;
  uint64_t checked = 0, wrong = 0;
  double seconds = 0, cpu_seconds = 0;
};

// One transfer rule a flow, of flows [0, count), and the constant rules that a gateway has before them. The rules
// match what arrives on `from` and send it out of `to`. Throws NativeFault RULE.
void install_resident_rules(uint16_t from, uint16_t to, uint32_t count);

// Runs `round` again and again for so long, with frames of the flows [0, flows) on the wires.
ResidentResult run_with_shapes(double seconds, uint32_t flows, const std::function<void()>& round);

// Polls `port`, whose rules do the rest, for so long. Its frames are of the flows [0, flows).
ResidentResult run_resident_rules(uint16_t port, double seconds, uint32_t burst, uint32_t flows);

// The bound: `from` and `to` are the wires themselves; memory is laid out for `count` flows.
ResidentResult run_resident_bound(uint16_t from, uint16_t to, double seconds, uint32_t burst, uint32_t flows,
                                  uint32_t count);

}  // namespace sluice::bench
