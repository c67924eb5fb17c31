// What a NIC finished without showing it to the application, from its extended statistics.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

struct NicStatistics {
  uint64_t finished = 0;       // received on this port and forwarded or dropped by a rule
  uint64_t forwarded_out = 0;  // left on this port without the application
  uint64_t bytes = 0;          // of those that were forwarded
  uint64_t lost = 0;           // of the finished: a rule forwarded them, but the way out was full
};

// Names are looked up once: an idle lcore reads often.
class NicStatisticsReader {
 public:
  explicit NicStatisticsReader(uint16_t port_id);
  NicStatistics read() const;

 private:
  struct Meaning {
    bool finished, forwarded_out, lost, bytes;
  };

  uint16_t port_id_;
  std::vector<uint64_t> ids_;
  std::vector<Meaning> meanings_;  // of ids_
};

}  // namespace sluice
