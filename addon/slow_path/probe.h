// Frames that the gateway puts into its own slow path to see whether it translates. They are marked, and caught
// where they would leave.
#pragma once

#include <rte_mbuf.h>

#include <mutex>
#include <vector>

namespace sluice {

struct CaughtFrame {
  uint8_t port = 0;
  std::vector<uint8_t> bytes;
};

class ProbeCatcher {
 public:
  // Throws NativeFault MEMORY when no flag of the packet buffers is free.
  ProbeCatcher();
  void mark(rte_mbuf* frame) const { frame->ol_flags |= flag_; }
  bool marked(const rte_mbuf* frame) const { return (frame->ol_flags & flag_) != 0; }
  // Takes over the frame.
  void keep(rte_mbuf* frame, uint8_t port);
  // Any thread.
  std::vector<CaughtFrame> take();

 private:
  static constexpr size_t kMostCaught = 64;

  uint64_t flag_;
  std::mutex mutex_;
  std::vector<CaughtFrame> caught_;
};

}  // namespace sluice
