// What the machine gives at most, without any gateway: the bounds that figures are held against.
#pragma once

#include <cstdint>

namespace sluice::bench {

// Cache lines a second, of memory of `bytes` that is all there, at random places for so long. `chained`: each place is
// known when the line before has come; otherwise 32 are asked for at once.
double random_touches(uint64_t bytes, double seconds, bool chained);

struct HandOver {
  double records_per_second = 0;  // 64-byte records through an event ring, from one lcore to another
  double round_trip_nanos = 0;    // a cache line written by one, answered by the other
};
// Needs EAL with a worker lcore that nothing else uses; the caller's thread is the other side.
HandOver ring_hand_over(double seconds);

}  // namespace sluice::bench
