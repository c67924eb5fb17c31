// What the end of the lease means for packets, and what taking over does.
#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr int kAnnouncementsPerRound = 32;
// How soon a NIC is asked again that refused to make or to remove the rules that lead to the flows'.
constexpr Nanoseconds kJumpsAgain = 10'000'000;

}  // namespace

// Once a round. At the end of the lease the NIC is stopped too, by the one rule of each port that leads to the
// flows' rules; these stay where they are.
void SlowPath::follow_lease() {
  const bool speaks = lease_.transmits_at(now_);
  admits_ = speaks && lease_.admits_at(now_);
  const bool changes = speaks != this->speaks();
  if (changes || (!jumps_follow() && now_ - jumps_tried_ >= kJumpsAgain)) {
    bool follow = true;
    for (const auto& port : flow_ports_) follow &= port->open_jumps(speaks);
    jumps_follow_.store(follow, std::memory_order_relaxed);
    jumps_tried_ = now_;
  }
  if (changes) {
    speaks_.store(speaks, std::memory_order_relaxed);
    if (!speaks) announcer_.end();
  }
  if (!announcer_.pending()) return;
  for (int i = 0; i < kAnnouncementsPerRound; i++) {
    const Announcement* announcement = announcer_.take(now_);
    if (announcement == nullptr) return;
    Decision decision = {};
    decision.egress_port = announcement->port;
    decision.source_address = decision.egress_address = announcement->address;
    request_arp(decision);
  }
}

void SlowPath::announce(std::vector<Announcement> announcements, uint32_t times, Nanoseconds interval) {
  announcer_.begin(std::move(announcements), times, interval, now_);
}

bool SlowPath::inject(uint8_t port, const std::vector<uint8_t>& bytes) {
  rte_mbuf* frame = new_frame(static_cast<uint32_t>(bytes.size()));
  if (frame == nullptr) return false;
  std::memcpy(rte_pktmbuf_mtod(frame, void*), bytes.data(), bytes.size());
  probes_.mark(frame);
  receive(frame, port);
  return true;
}

}  // namespace sluice
