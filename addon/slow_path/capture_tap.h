// Copies of packets for whoever watches them. Off, it costs a test of one word where packets are dropped, met
// or sent.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "slow_path/clock.h"
#include "slow_path/packet.h"

namespace sluice {

// Why a packet is copied; bits of TapFilter::kinds.
enum class TapKind : uint8_t { kDropped = 1, kPunted = 2, kTranslated = 4 };

// All of it must hold. Addresses, ports and VNI are those with which the packet arrived.
struct TapFilter {
  uint32_t kinds = 0;              // 0: nobody watches
  uint32_t reasons = 0;            // of dropped ones, a bit each; 0: any
  uint32_t address = 0, mask = 0;  // of either end
  uint32_t vni = 0;
  uint16_t port = 0;     // of either end; 0: any
  uint8_t protocol = 0;  // 0: any
  bool by_vni = false;
  uint32_t bytes = 0;  // of a frame at most
};

static_assert(kDropReasonCount <= 32, "TapFilter::reasons has a bit for each");

class CaptureTap {
 public:
  // A record: length of the frame as it is kept (u32), as it was (u32), time (u64), kind, port, drop reason,
  // 0; the frame.
  static constexpr uint32_t kHeadBytes = 20;
  static constexpr uint32_t kMostBytes = 4u << 20;

  void begin(const TapFilter& filter) {
    filter_ = filter;
    records_.clear();
    records_.reserve(filter.kinds == 0 ? 0 : kMostBytes);
    lost_ = 0;
  }
  bool wants(TapKind kind) const {
    return __builtin_expect((filter_.kinds & static_cast<uint32_t>(kind)) != 0, 0);
  }
  void keep(TapKind kind, const Packet& packet, uint8_t port, uint8_t reason, Nanoseconds now) {
    const FlowKey& flow = packet.flow;
    if (filter_.reasons != 0 && kind == TapKind::kDropped && (filter_.reasons >> reason & 1) == 0) return;
    if (filter_.protocol != 0 && flow.protocol != filter_.protocol) return;
    if (filter_.by_vni && flow.vni != filter_.vni) return;
    if (filter_.port != 0 && flow.source_port != filter_.port && flow.destination_port != filter_.port)
      return;
    if (((flow.source ^ filter_.address) & filter_.mask) != 0 &&
        ((flow.destination ^ filter_.address) & filter_.mask) != 0)
      return;
    const uint32_t whole = rte_pktmbuf_data_len(packet.context.mbuf);
    const uint32_t kept = whole < filter_.bytes ? whole : filter_.bytes;
    const size_t at = records_.size();
    if (at + kHeadBytes + kept > kMostBytes) {
      lost_++;
      return;
    }
    records_.resize(at + kHeadBytes + kept);
    uint8_t* record = records_.data() + at;
    const uint64_t time = now;
    std::memcpy(record, &kept, 4);
    std::memcpy(record + 4, &whole, 4);
    std::memcpy(record + 8, &time, 8);
    record[16] = static_cast<uint8_t>(kind);
    record[17] = port;
    record[18] = reason;
    record[19] = 0;
    std::memcpy(record + kHeadBytes, packet.frame(), kept);
  }
  // What was kept since the last time. How many were lost for want of room, since then.
  uint64_t take(std::vector<uint8_t>* out) {
    out->swap(records_);
    records_.clear();
    if (filter_.kinds != 0) records_.reserve(kMostBytes);
    const uint64_t lost = lost_;
    lost_ = 0;
    return lost;
  }

 private:
  TapFilter filter_;
  std::vector<uint8_t> records_;
  uint64_t lost_ = 0;
};

}  // namespace sluice
