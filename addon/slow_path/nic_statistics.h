// What a NIC finished without showing it to the application, from its extended statistics.
#pragma once

#include <cstdint>

namespace sluice {

struct NicStatistics {
  uint64_t finished = 0;       // received on this port and forwarded or dropped by a rule
  uint64_t forwarded_out = 0;  // left on this port without the application
  uint64_t lost = 0;           // of the finished: a rule forwarded them, but the way out was full
};

NicStatistics read_nic_statistics(uint16_t port_id);

}  // namespace sluice
