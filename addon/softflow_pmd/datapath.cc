#include <rte_prefetch.h>

#include <cstddef>
#include <cstring>
#include <new>

#include "packet/wire.h"
#include "softflow_pmd/device.h"
#include "softflow_pmd/domain.h"

namespace sluice::softflow {
namespace {

constexpr uint16_t kBurst = 64;
static_assert(kBurst <= FlowEngine::kMaxBurst);
// In ordered mode a call ends after so many packets that the NIC finished, so that the application is not
// kept waiting for ever by traffic it never sees.
constexpr uint32_t kOrderedPulls = 256;

// What a wire's driver may have said of a packet that the NIC is about to change.
constexpr uint64_t kReceiveFlags = RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID | RTE_MBUF_F_RX_RSS_HASH |
                                   RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_IP_CKSUM_MASK |
                                   RTE_MBUF_F_RX_OUTER_L4_CKSUM_MASK | RTE_MBUF_F_RX_OUTER_IP_CKSUM_BAD;

// One burst on its way: what goes to the application, and packets that wait to leave on one wire together.
class Reception {
 public:
  Reception(RxQueue& queue, Domain& domain, rte_mbuf** out) : queue_(queue), domain_(domain), out_(out) {
    now_seconds_ = domain.now_seconds();
  }
  ~Reception() { flush(); }

  void receive(rte_mbuf* const* arrived, uint16_t count);
  uint16_t delivered() const { return delivered_; }

 private:
  void drop(rte_mbuf* mbuf, NicDrop reason) {
    ++queue_.counters.dropped[static_cast<size_t>(reason)];
    rte_pktmbuf_free(mbuf);
  }
  static NicDrop drop_reason(DropCause cause) {
    switch (cause) {
      case DropCause::kNoHeadroom: return NicDrop::kNoHeadroom;
      case DropCause::kTooLong: return NicDrop::kTooLong;
      case DropCause::kNoInnerFrame: return NicDrop::kNoInnerFrame;
      default: return NicDrop::kRule;
    }
  }
  void forward(PacketContext& packet, uint16_t port_id);
  bool arrive(rte_mbuf* mbuf, PacketContext* packet);
  void deliver(PacketContext& packet, Device& target);
  void settle(PacketContext& packet, Device& target, const Verdict& verdict, bool decided);
  void hand_over(const PacketContext& packet, Device& target, uint16_t queue, bool decided);
  void flush();

  RxQueue& queue_;
  Domain& domain_;
  rte_mbuf** out_;
  uint16_t delivered_ = 0;
  uint32_t now_seconds_;
  Device* next_wire_ = nullptr;
  uint16_t pending_ = 0;
  rte_mbuf* leaving_[kBurst];
};

void Reception::flush() {
  if (pending_ == 0) return;
  uint64_t bytes = 0;
  uint32_t lengths[kBurst];
  for (uint16_t i = 0; i < pending_; ++i) lengths[i] = leaving_[i]->pkt_len;
  const uint16_t sent = send_on_wire(*next_wire_, queue_.id, leaving_, pending_);
  for (uint16_t i = 0; i < sent; ++i) bytes += lengths[i];
  queue_.counters.forwarded_packets += sent;
  queue_.counters.forwarded_bytes += bytes;
  next_wire_->nic_sent_packets.fetch_add(sent, std::memory_order_relaxed);
  next_wire_->nic_sent_bytes.fetch_add(bytes, std::memory_order_relaxed);
  for (uint16_t i = sent; i < pending_; ++i) drop(leaving_[i], NicDrop::kWireFull);
  pending_ = 0;
}

void Reception::forward(PacketContext& packet, uint16_t port_id) {
  Device* target = domain_.device(port_id);
  if (target == nullptr || !target->running.load(std::memory_order_acquire)) {
    drop(packet.mbuf, NicDrop::kNoPort);
    return;
  }
  // Packets for one wire leave together; the order on each wire is the order of arrival.
  if (pending_ == kBurst || (pending_ != 0 && next_wire_ != target)) flush();
  next_wire_ = target;
  leaving_[pending_++] = packet.mbuf;
}

void Reception::hand_over(const PacketContext& packet, Device& target, uint16_t queue, bool decided) {
  rte_mbuf* mbuf = packet.mbuf;
  mbuf->port = target.port_id;
  if (packet.marked) {
    mbuf->hash.fdir.hi = packet.mark;
    mbuf->ol_flags |= RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID;
  }
  if (packet.flagged) mbuf->ol_flags |= RTE_MBUF_F_RX_FDIR;
  if (packet.hashed) {
    mbuf->hash.rss = packet.hash;
    mbuf->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
  }
  // Only where the application has called rte_flow_dynf_metadata_register().
  if (packet.has_meta && rte_flow_dynf_metadata_avail()) {
    rte_flow_dynf_metadata_set(mbuf, packet.meta);
    mbuf->ol_flags |= RTE_MBUF_DYNFLAG_RX_METADATA;
  }
  if (&target == queue_.device && queue == queue_.id) {
    if (!decided) ++queue_.counters.missed;
    ++queue_.counters.packets;
    queue_.counters.bytes += mbuf->pkt_len;
    out_[delivered_++] = mbuf;
    return;
  }
  if (queue >= target.data->nb_rx_queues || !target.running.load(std::memory_order_acquire)) {
    drop(mbuf, NicDrop::kNoPort);
    return;
  }
  if (rte_ring_mp_enqueue(target.rx[queue].ring, mbuf) != 0) drop(mbuf, NicDrop::kRingFull);
}

void Reception::settle(PacketContext& packet, Device& target, const Verdict& verdict, bool decided) {
  switch (verdict.fate) {
    case Fate::kDrop: drop(packet.mbuf, drop_reason(verdict.cause)); return;
    case Fate::kQueue: hand_over(packet, target, verdict.queue, true); return;
    default: hand_over(packet, target, &target == queue_.device ? queue_.id : 0, decided); return;
  }
}

// A packet has come out of the switch towards another port's application: that port's ingress rules are next.
void Reception::deliver(PacketContext& packet, Device& target) {
  Verdict verdict;
  if (target.ingress->has_rules()) {
    packet.ingress_port_id = target.port_id;
    verdict = target.ingress->process(packet, &queue_.counters.ingress);
  }
  settle(packet, target, verdict, true);
}

// Parses; false for a packet that no rule sees: longer than the MTU, or not to be had in one segment.
bool Reception::arrive(rte_mbuf* mbuf, PacketContext* packet) {
  const Device& device = *queue_.device;
  ++queue_.counters.wire_packets;
  queue_.counters.wire_bytes += mbuf->pkt_len;
  mbuf->ol_flags &= ~kReceiveFlags;
  packet->mbuf = mbuf;
  packet->ingress_port_id = device.port_id;
  packet->now_seconds = now_seconds_;
  packet->clear_registers();
  if (mbuf->nb_segs != 1 && rte_pktmbuf_linearize(mbuf) != 0) return false;
  ParseOptions options;
  options.vxlan_udp_port = device.arguments.vxlan_port;
  parse(rte_pktmbuf_mtod(mbuf, const uint8_t*), mbuf->data_len, options, &packet->headers);
  return mbuf->pkt_len <= device.data->mtu + RTE_ETHER_HDR_LEN + uint32_t{kVlanBytes} * packet->headers.tags;
}

// Rules of the switch for the whole burst, then those of the port for what the switch lets through to its
// application; then each packet goes its way, in the order of arrival.
void Reception::receive(rte_mbuf* const* arrived, uint16_t count) {
  enum class Stage : uint8_t { kBypassed, kSwitched, kIngress };
  Device& device = *queue_.device;
  // Filled in by arrive() and the parser: to clear room for whole bursts would take longer than to parse what comes.
  alignas(PacketContext) std::byte room[kBurst * sizeof(PacketContext)];
  auto* packets = reinterpret_cast<PacketContext*>(room);
  Stage stage[kBurst];
  Verdict verdicts[kBurst];
  PacketContext* asked[kBurst];
  uint16_t index[kBurst];
  Verdict answers[kBurst];
  uint16_t questions = 0;
  for (uint16_t i = 0; i < count; ++i) {
    if (i + 4 < count) rte_prefetch0(rte_pktmbuf_mtod(arrived[i + 4], void*));
    verdicts[i] = Verdict{};
    stage[i] = arrive(arrived[i], &packets[i]) ? Stage::kSwitched : Stage::kBypassed;
    if (stage[i] == Stage::kBypassed) continue;
    index[questions] = i;
    asked[questions++] = &packets[i];
  }
  if (domain_.transfer().has_rules()) {
    Verdict* answered = questions == count ? verdicts : answers;
    domain_.transfer().process_burst(asked, questions, answered, &queue_.counters.transfer,
                                     &queue_.transfer_memory);
    for (uint16_t i = 0; answered == answers && i < questions; ++i) verdicts[index[i]] = answers[i];
  }
  if (device.ingress->has_rules()) {
    questions = 0;
    for (uint16_t i = 0; i < count; ++i) {
      const bool to_application =
          verdicts[i].fate == Fate::kMiss ||
          (verdicts[i].fate == Fate::kPortRepresentor && verdicts[i].port_id == device.port_id);
      if (stage[i] == Stage::kBypassed || !to_application) continue;
      stage[i] = Stage::kIngress;
      index[questions] = i;
      asked[questions++] = &packets[i];
    }
    device.ingress->process_burst(asked, questions, answers, &queue_.counters.ingress, &queue_.ingress_memory);
  }
  uint16_t next = 0;
  for (uint16_t i = 0; i < count; ++i) {
    const bool decided = verdicts[i].fate != Fate::kMiss;
    if (stage[i] == Stage::kBypassed) {
      ++queue_.counters.bypassed;
      hand_over(packets[i], device, queue_.id, false);
    } else if (stage[i] == Stage::kIngress) {
      settle(packets[i], device, answers[next++], decided);
    } else if (verdicts[i].fate == Fate::kRepresentedPort) {
      forward(packets[i], verdicts[i].port_id);
    } else if (verdicts[i].fate != Fate::kPortRepresentor) {
      settle(packets[i], device, verdicts[i], decided);
    } else if (Device* target = domain_.device(verdicts[i].port_id)) {
      deliver(packets[i], *target);
    } else {
      drop(packets[i].mbuf, NicDrop::kNoPort);
    }
  }
}

// What other queues and ports left for this one. It was counted on arrival there, and is counted as delivered
// here.
uint16_t drain_ring(RxQueue& queue, rte_mbuf** packets, uint16_t count) {
  const auto taken = static_cast<uint16_t>(
      rte_ring_sc_dequeue_burst(queue.ring, reinterpret_cast<void**>(packets), count, nullptr));
  queue.counters.packets += taken;
  for (uint16_t i = 0; i < taken; ++i) queue.counters.bytes += packets[i]->pkt_len;
  return taken;
}

}  // namespace

uint16_t send_on_wire(Device& device, uint16_t queue_hint, rte_mbuf** packets, uint16_t count) {
  if (device.wire_tx_queues == 0 || device.wants_reset.load(std::memory_order_relaxed)) return 0;
  const auto queue = static_cast<uint16_t>(queue_hint % device.wire_tx_queues);
  rte_spinlock_lock(&device.wire_queue[queue].lock);
  uint16_t sent = 0;
  // Wires such as net_ring take what fits now; a second try would only wait for a reader.
  sent = rte_eth_tx_burst(device.wire, queue, packets, count);
  rte_spinlock_unlock(&device.wire_queue[queue].lock);
  return sent;
}

uint16_t receive_burst(void* rx_queue, rte_mbuf** packets, uint16_t count) {
  auto& queue = *static_cast<RxQueue*>(rx_queue);
  Device& device = *queue.device;
  if (device.wants_reset.load(std::memory_order_relaxed)) return 0;
  uint16_t taken = 0;
  if (rte_ring_empty(queue.ring) == 0) {
    taken = drain_ring(queue, packets, device.arguments.ordered ? 1 : count);
    if (device.arguments.ordered || taken == count) return taken;
  }
  if (!queue.polls_wire || count == 0) return taken;
  rte_mbuf* arrived[kBurst];
  Domain& domain = Domain::get();

  if (device.arguments.ordered) {
    for (uint32_t pulls = 0; pulls < kOrderedPulls; ++pulls) {
      if (rte_eth_rx_burst(device.wire, queue.id, arrived, 1) == 0) break;
      const ReadGuard guard(domain);
      Reception reception(queue, domain, packets);
      reception.receive(arrived, 1);
      if (reception.delivered() != 0) return reception.delivered();
    }
    return 0;
  }

  const auto room = static_cast<uint16_t>(RTE_MIN(count - taken, kBurst));
  const uint16_t received = rte_eth_rx_burst(device.wire, queue.id, arrived, room);
  if (received == 0) return taken;
  const ReadGuard guard(domain);
  Reception reception(queue, domain, packets + taken);
  reception.receive(arrived, received);
  return static_cast<uint16_t>(taken + reception.delivered());
}

uint16_t transmit_burst(void* tx_queue, rte_mbuf** packets, uint16_t count) {
  auto& queue = *static_cast<TxQueue*>(tx_queue);
  uint32_t lengths[kBurst];
  uint16_t done = 0;
  while (done < count) {
    const auto batch = static_cast<uint16_t>(RTE_MIN(count - done, kBurst));
    for (uint16_t i = 0; i < batch; ++i) lengths[i] = packets[done + i]->pkt_len;
    const uint16_t sent = send_on_wire(*queue.device, queue.wire_queue, packets + done, batch);
    for (uint16_t i = 0; i < sent; ++i) queue.bytes += lengths[i];
    queue.packets += sent;
    done = static_cast<uint16_t>(done + sent);
    if (sent != batch) break;
  }
  queue.refused += count - done;
  return done;
}

}  // namespace sluice::softflow
