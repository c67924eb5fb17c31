// A bounded resource that many sources share, none of which may starve the others: a source may take more as
// long as it has less than what is left. One greedy source thus ends at half, and whoever comes later finds
// room (the dynamic threshold of Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998).
#pragma once

#include <array>
#include <cstdint>

namespace sluice {

class FairShare {
 public:
  explicit FairShare(uint32_t limit) : limit_(limit) {}

  // Source: a VNI, or kNoVni for what is not VXLAN. Sources that collide share one share.
  bool may_take(uint32_t source) const { return taken_[bucket_of(source)] < limit_ - total_; }
  void take(uint32_t source) {
    taken_[bucket_of(source)]++;
    total_++;
  }
  void give_back(uint32_t source) {
    taken_[bucket_of(source)]--;
    total_--;
  }

 private:
  static uint32_t bucket_of(uint32_t source) { return (source * 0x9e3779b1u) >> 22; }

  uint32_t limit_;
  uint32_t total_ = 0;
  std::array<uint32_t, 1024> taken_{};
};

}  // namespace sluice
