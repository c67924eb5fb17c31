// Gratuitous ARP (RFC 5227 section 3) for the addresses that a gateway has taken over: all of them, several times
// at growing intervals, a few a round.
#pragma once

#include <vector>

#include "slow_path/clock.h"

namespace sluice {

struct Announcement {
  uint8_t port = 0;
  uint32_t address = 0;
};

class Announcer {
 public:
  // Replaces what was still to be said.
  void begin(std::vector<Announcement> announcements, uint32_t times, Nanoseconds interval, Nanoseconds now) {
    announcements_ = std::move(announcements);
    passes_left_ = announcements_.empty() ? 0 : times;
    interval_ = interval;
    due_ = now;
    next_ = 0;
  }
  void end() { passes_left_ = 0; }
  bool pending() const { return passes_left_ > 0; }

  // The next one that is due; null: none now.
  const Announcement* take(Nanoseconds now) {
    if (passes_left_ == 0 || now < due_) return nullptr;
    const Announcement* announcement = &announcements_[next_++];
    if (next_ == announcements_.size()) {
      next_ = 0;
      passes_left_--;
      due_ += interval_;
      interval_ *= 2;  // what is lost once is soon said again; a link that comes up later hears it too
    }
    return announcement;
  }

 private:
  std::vector<Announcement> announcements_;
  size_t next_ = 0;
  uint32_t passes_left_ = 0;
  Nanoseconds interval_ = 0;
  Nanoseconds due_ = 0;
};

}  // namespace sluice
