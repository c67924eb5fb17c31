// A data plane as a member of a pair: its lease's limits, what it announces, its probes, whether it lives.
#include <rte_ethdev.h>

#include "slow_path/dataplane.h"

namespace sluice {

Liveness Dataplane::liveness() {
  SlowPath& path = slow_path();
  Liveness liveness;
  liveness.rounds = lane().rounds();
  liveness.speaks = path.speaks();
  liveness.jumps_follow = path.jumps_follow();
  for (const GatewayPort& port : path.ports()) {
    rte_eth_link link = {};
    const int result = rte_eth_link_get_nowait(port.port_id, &link);
    liveness.links.push_back(result == 0 && link.link_status == RTE_ETH_LINK_UP);
  }
  return liveness;
}

void Dataplane::limit(Nanoseconds transmit_until, Nanoseconds admit_until) {
  slow_path().lease().limit(transmit_until, admit_until);
}

void Dataplane::obey() {
  lane().run([&] {
    SlowPath& path = slow_path();
    path.advance(monotonic_now());
    path.follow_lease();
  });
}

void Dataplane::announce(const std::vector<Announcement>& announcements, uint32_t times,
                         Nanoseconds interval) {
  for (const Announcement& announcement : announcements) {
    if (announcement.port >= slow_path().ports().size()) {
      throw NativeFault("ARGUMENT", "announcement of an unknown port");
    }
  }
  lane().run([&] { slow_path().announce(announcements, times, interval); });
}

bool Dataplane::inject(uint8_t port, const std::vector<uint8_t>& frame) {
  bool injected = false;
  lane().run([&] { injected = slow_path().inject(port, frame); });
  return injected;
}

std::vector<CaughtFrame> Dataplane::caught() { return slow_path().probes().take(); }

}  // namespace sluice
