#include "slow_path/probe.h"

#include <rte_errno.h>
#include <rte_mbuf_dyn.h>

#include <utility>

#include "slow_path/native_fault.h"

namespace sluice {
namespace {

uint64_t register_flag() {
  constexpr rte_mbuf_dynflag kFlag = {"sluice_probe", 0};
  const int bit = rte_mbuf_dynflag_register(&kFlag);
  if (bit < 0) throw NativeFault("MEMORY", "no flag of the packet buffers is free", rte_errno);
  return uint64_t{1} << bit;
}

}  // namespace

ProbeCatcher::ProbeCatcher() : flag_(register_flag()) {}

void ProbeCatcher::keep(rte_mbuf* frame, uint8_t port) {
  const auto* bytes = rte_pktmbuf_mtod(frame, const uint8_t*);
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (caught_.size() < kMostCaught) {
      caught_.push_back({port, {bytes, bytes + rte_pktmbuf_data_len(frame)}});
    }
  }
  rte_pktmbuf_free(frame);
}

std::vector<CaughtFrame> ProbeCatcher::take() {
  const std::lock_guard<std::mutex> guard(mutex_);
  return std::exchange(caught_, {});
}

}  // namespace sluice
