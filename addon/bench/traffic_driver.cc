// The virtual device driver "net_traffic": a wire with traffic on it that nobody has to send. Frames are made by the
// lcore that receives them and checked by the one that transmits them, so no other thread takes part. Arguments:
// side=fabric|external, and for a program that knows nothing of scenarios, like testpmd, flows=N: packets of so many
// flows at random from the start, which are to come back as they were made; queues=N: so many, each of which makes
// every N-th flow, as a NIC spreads hosts. What is sent: scenario.h.
#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_cycles.h>
#include <rte_kvargs.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/frames.h"
#include "bench/virtual_device.h"

namespace sluice::bench {
namespace {

constexpr uint16_t kBurst = 64;
constexpr unsigned long kMostFlows = 16'000'000;
// After so many milliseconds packets that did not come are lost. Where several lcores take turns on a core, one may wait
// for longer than a single one ever does.
constexpr uint64_t kPatience = 500, kPatienceWithOthers = 20'000;

// splitmix64: one multiplication deep, no bad seeds.
uint64_t next_random(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

void enter(FlowLedger& flow, size_t side, uint64_t made_tsc) {
  flow.accepted[side]++;
  if (made_tsc <= flow.youngest[side]) flow.disordered[side]++;
  flow.youngest[side] = std::max(flow.youngest[side], made_tsc);
}

// One queue pair of a wire.
class alignas(64) WireQueue {
 public:
  WireQueue(Side side, uint16_t index, uint16_t queues, rte_mempool* const* pool)
      : side_(side), index_(index), queues_(queues), pool_(pool) {}

  uint16_t receive(rte_mbuf** frames, uint16_t count);
  uint16_t transmit(rte_mbuf** frames, uint16_t count);
  void started() { template_.make(side_, traffic().scenario); }

 private:
  void take_program();
  uint64_t come_back() const;
  WireCounters& counters() const { return traffic().counters[static_cast<size_t>(side_)][index_]; }
  uint16_t allowed(uint16_t count, uint64_t now);
  bool draws() const { return program_.pattern == Pattern::kRandom || program_.pattern == Pattern::kZipf; }
  uint64_t draw() {
    const uint64_t random = next_random(&random_);
    if (program_.zipf) return program_.first + program_.zipf->draw(random);
    return program_.first + static_cast<uint32_t>((random >> 32) * program_.count >> 32);
  }

  Side side_;
  uint16_t index_, queues_;
  rte_mempool* const* pool_;
  FrameTemplate template_;
  Program program_;              // kNew: this queue's part of it
  uint64_t random_ = 0;
  uint64_t sent_ = 0;            // of the program
  uint64_t accepted_before_ = 0; // at the other end, when the program began
  uint64_t started_tsc_ = 0;
  uint64_t seen_back_ = 0;       // packets at the other end when last looked
  uint64_t moved_tsc_ = 0;       // and when that last changed
  double ticks_per_packet_ = 0;
  uint32_t ahead_[kBurst] = {};  // of those that are drawn: the next burst's flows, whose endpoints are on their way into the cache
  uint32_t until_whole_check_ = 1;
};

class Wire : public VirtualDevice {
 public:
  Wire(Side side, uint16_t queues) : side_(side) {
    for (uint16_t i = 0; i < queues; i++) queues_.push_back(std::make_unique<WireQueue>(side, i, queues, &pool));
  }

  Side side() const { return side_; }
  void started() override {
    for (const auto& queue : queues_) queue->started();
  }
  uint16_t queues() const override { return static_cast<uint16_t>(queues_.size()); }
  void* queue(uint16_t id) override { return queues_[id].get(); }

 private:
  Side side_;
  std::vector<std::unique_ptr<WireQueue>> queues_;
};

void WireQueue::take_program() {
  Traffic& t = traffic();
  const Program* taken =
      t.next_program[static_cast<size_t>(side_)][index_].exchange(nullptr, std::memory_order_acquire);
  if (taken == nullptr) return;
  program_ = *taken;
  delete taken;
  if (queues_ > 1 && program_.pattern == Pattern::kNew) {
    const uint32_t end = program_.first + program_.count;
    program_.first += (index_ + queues_ - program_.first % queues_) % queues_;
    program_.count = end > program_.first ? (end - program_.first - 1) / queues_ + 1 : 0;
    if (program_.window != 0) program_.window = std::max(1u, program_.window / queues_);
    program_.per_second /= queues_;
  }
  if (program_.pattern != Pattern::kNone) t.measure_latency.store(program_.measure_latency, std::memory_order_relaxed);
  random_ = program_.seed + index_;
  sent_ = 0;
  accepted_before_ = come_back();
  started_tsc_ = moved_tsc_ = rte_rdtsc();
  seen_back_ = 0;
  ticks_per_packet_ = program_.per_second > 0 ? static_cast<double>(rte_get_tsc_hz()) / program_.per_second : 0;
  counters().first_emit_tsc.store(0, std::memory_order_relaxed);
  if (draws()) {
    for (uint32_t& flow : ahead_) flow = static_cast<uint32_t>(draw());
  }
}

// This queue's packets that have arrived at the other end, by whichever queue.
uint64_t WireQueue::come_back() const {
  const WireCounters* there = traffic().counters[static_cast<size_t>(other(side_))];
  uint64_t count = 0;
  for (uint16_t i = 0; i < queues_; i++) count += there[i].came_from[index_].load(std::memory_order_relaxed);
  return count;
}

// How many packets are on the wire now.
uint16_t WireQueue::allowed(uint16_t count, uint64_t now) {
  if (draws()) return count;
  uint64_t most = program_.count - sent_;
  if (program_.window != 0) {
    const uint64_t back = come_back() - accepted_before_;
    uint64_t under_way = sent_ - std::min(back, sent_);
    if (back != seen_back_ || under_way < program_.window) {
      seen_back_ = back;
      moved_tsc_ = now;
    } else if (now - moved_tsc_ > rte_get_tsc_hz() / 1000 * (queues_ > 1 ? kPatienceWithOthers : kPatience)) {
      // They are lost: the window is for those that come.
      accepted_before_ -= under_way;
      moved_tsc_ = now;
      under_way = 0;
    }
    most = std::min<uint64_t>(most, program_.window - std::min<uint64_t>(under_way, program_.window));
  }
  if (ticks_per_packet_ > 0) {
    const auto due = static_cast<uint64_t>(static_cast<double>(now - started_tsc_) / ticks_per_packet_);
    const uint64_t late = due - std::min(due, sent_);
    std::atomic<uint64_t>& most_late = counters().most_late;
    if (program_.count > sent_ && late > most_late.load(std::memory_order_relaxed)) most_late.store(late, std::memory_order_relaxed);
    most = std::min(most, late);
  }
  return static_cast<uint16_t>(std::min<uint64_t>(most, count));
}

uint16_t WireQueue::receive(rte_mbuf** frames, uint16_t count) {
  Traffic& t = traffic();
  if (t.next_program[static_cast<size_t>(side_)][index_].load(std::memory_order_relaxed) != nullptr) take_program();
  if (program_.pattern == Pattern::kNone) return 0;
  const uint64_t now = rte_rdtsc();
  const uint16_t n = allowed(std::min(count, kBurst), now);
  WireCounters& counters = this->counters();
  if (n == 0) {
    add(counters.empty_polls, 1);
    return 0;
  }
  if (rte_pktmbuf_alloc_bulk(*pool_, frames, n) != 0) {
    add(counters.no_buffer, 1);
    return 0;
  }
  const Scenario& s = t.scenario;
  for (uint16_t i = 0; i < n; i++) {
    uint32_t flow;
    Stamp stamp = {now, 0, 0, kMagic};
    if (draws()) {
      flow = ahead_[i];
    } else {
      flow = static_cast<uint32_t>(program_.first + (sent_ + i) * queues_);
      if (ticks_per_packet_ > 0) {
        stamp.due_tsc = started_tsc_ + static_cast<uint64_t>(static_cast<double>(sent_ + i + 1) * ticks_per_packet_);
        stamp.due_tsc = std::min(stamp.due_tsc, now);
        stamp.late_ticks = static_cast<uint32_t>(std::min<uint64_t>(now - stamp.due_tsc, UINT32_MAX));
      }
    }
    stamp.flow = flow;
    if (t.ledger != nullptr) {
      stamp.due_tsc = now + i;  // no two packets of a flow are as old as each other
      t.ledger[flow].emitted[static_cast<size_t>(side_)]++;
    }
    rte_mbuf* frame = frames[i];
    auto* data = rte_pktmbuf_mtod(frame, uint8_t*);
    frame->data_len = static_cast<uint16_t>(template_.bytes());
    frame->pkt_len = template_.bytes();
    if (side_ == Side::kFabric) {
      template_.write(data, s.host_address(flow), s.remote_address(flow), s.source_port(flow), s.remote_port, stamp);
    } else {
      const Endpoint& endpoint = t.endpoints[flow];
      template_.write(data, s.remote_address(flow), endpoint.address, s.remote_port, endpoint.port, stamp);
    }
  }
  sent_ += n;
  if (draws()) {
    for (uint16_t i = 0; i < n; i++) {
      ahead_[i] = static_cast<uint32_t>(draw());
      rte_prefetch0(&t.endpoints[ahead_[i]]);
    }
  }
  if (counters.first_emit_tsc.load(std::memory_order_relaxed) == 0) counters.first_emit_tsc.store(now, std::memory_order_relaxed);
  add(counters.emitted, n);
  return n;
}

uint16_t WireQueue::transmit(rte_mbuf** frames, uint16_t count) {
  Traffic& t = traffic();
  WireCounters& counters = this->counters();
  const Scenario& s = t.scenario;
  const uint64_t now = rte_rdtsc();
  const bool measure_latency = t.measure_latency.load(std::memory_order_relaxed);
  uint64_t accepted = 0, bad = 0, bad_checksum = 0;
  for (uint16_t i = 0; i < count; i++) {
    const rte_mbuf* frame = frames[i];
    const bool whole = --until_whole_check_ == 0;
    if (whole) until_whole_check_ = s.check_every;
    Stamp stamp;
    const Finding finding = frame->nb_segs != 1
                                ? Finding::kBad
                                : check_frame(side_, s, t.endpoints, rte_pktmbuf_mtod(frame, const uint8_t*),
                                              frame->data_len, whole, &stamp);
    if (finding == Finding::kGood) {
      accepted++;
      if (queues_ > 1) add(counters.came_from[stamp.flow % queues_], 1);
      if (t.ledger != nullptr) enter(t.ledger[stamp.flow], static_cast<size_t>(side_), stamp.due_tsc);
      if (measure_latency) {
        t.from_wire.record(now - stamp.due_tsc);
        t.from_receive.record(now - stamp.due_tsc - stamp.late_ticks);
      }
    } else if (finding == Finding::kBad) {
      bad++;
    } else {
      bad_checksum++;
    }
  }
  add(counters.accepted, accepted);
  if (queues_ == 1) add(counters.came_from[0], accepted);
  if (bad != 0) add(counters.bad, bad);
  if (bad_checksum != 0) add(counters.bad_checksum, bad_checksum);
  if (accepted != 0) counters.last_accept_tsc.store(now, std::memory_order_relaxed);
  rte_pktmbuf_free_bulk(frames, count);
  return count;
}

uint16_t receive_burst(void* queue, rte_mbuf** frames, uint16_t count) {
  return static_cast<WireQueue*>(queue)->receive(frames, count);
}
uint16_t transmit_burst(void* queue, rte_mbuf** frames, uint16_t count) {
  return static_cast<WireQueue*>(queue)->transmit(frames, count);
}

// As a NIC counts: testpmd tells what these say.
int stats_get(rte_eth_dev* dev, rte_eth_stats* stats) {
  const auto* wire = static_cast<Wire*>(static_cast<VirtualDevice*>(dev->data->dev_private));
  for (const WireCounters& counters : traffic().counters[static_cast<size_t>(wire->side())]) {
    stats->ipackets += counters.emitted;
    stats->opackets += counters.accepted;
    stats->oerrors += counters.bad + counters.bad_checksum;
    stats->rx_nombuf += counters.no_buffer;
  }
  return 0;
}

eth_dev_ops make_operations() {
  eth_dev_ops ops = device_operations();
  ops.stats_get = stats_get;
  return ops;
}

int keep_side(const char*, const char* value, void* out) {
  const bool fabric = std::strcmp(value, "fabric") == 0;
  if (!fabric && std::strcmp(value, "external") != 0) return -EINVAL;
  *static_cast<Side*>(out) = fabric ? Side::kFabric : Side::kExternal;
  return 0;
}

int keep_number(const char* value, unsigned long most, void* out) {
  char* end = nullptr;
  const unsigned long number = std::strtoul(value, &end, 10);
  if (end == value || *end != '\0' || number == 0 || number > most) return -EINVAL;
  *static_cast<uint32_t*>(out) = static_cast<uint32_t>(number);
  return 0;
}
int keep_flows(const char*, const char* value, void* out) { return keep_number(value, kMostFlows, out); }
int keep_queues(const char*, const char* value, void* out) { return keep_number(value, kMostQueues, out); }

int probe(rte_vdev_device* vdev) {
  static const char* const keys[] = {"side", "flows", "queues", nullptr};
  const char* arguments = rte_vdev_device_args(vdev);
  rte_kvargs* parsed = arguments == nullptr ? nullptr : rte_kvargs_parse(arguments, keys);
  if (parsed == nullptr) return -EINVAL;
  Side side = Side::kFabric;
  uint32_t flows = 0, queues = 1;
  int code = rte_kvargs_count(parsed, "side") == 1 ? 0 : -EINVAL;
  if (code == 0) code = rte_kvargs_process(parsed, "side", keep_side, &side);
  if (code == 0) code = rte_kvargs_process(parsed, "flows", keep_flows, &flows);
  if (code == 0) code = rte_kvargs_process(parsed, "queues", keep_queues, &queues);
  rte_kvargs_free(parsed);
  if (code != 0) return code;
  traffic().queues = static_cast<uint16_t>(queues);
  if (flows != 0) {
    if (traffic().scenario.flows == 0) {
      set_scenario(usual_scenario(flows));
      pretend_endpoints();
    }
    Program program;
    program.pattern = Pattern::kRandom;
    program.count = traffic().scenario.flows;
    run_program(side, program);
  }
  const bool fabric = side == Side::kFabric;
  const Scenario& s = traffic().scenario;
  auto* wire = new Wire(side, static_cast<uint16_t>(queues));
  std::memcpy(wire->mac.addr_bytes, fabric ? s.gateway_mac : s.external_mac, sizeof wire->mac.addr_bytes);
  static const eth_dev_ops operations = make_operations();
  return add_device(vdev, wire, &operations, receive_burst, transmit_burst);
}

rte_vdev_driver driver = {};

RTE_INIT(register_traffic) {
  driver.probe = probe;
  driver.remove = remove_device;
  driver.driver.name = "net_traffic";
  rte_vdev_register(&driver);
}

}  // namespace
}  // namespace sluice::bench

RTE_PMD_EXPORT_NAME(net_traffic, __COUNTER__);
RTE_PMD_REGISTER_PARAM_STRING(net_traffic, "side=<fabric|external> flows=<uint> queues=<uint>");
