#include "slow_path/replay.h"

#include <rte_ethdev.h>

#include <algorithm>

#include "slow_path/eal.h"

namespace sluice {

Replay::Replay(std::vector<SlowPath*> paths, rte_mempool* pool, const std::vector<CapturePath>& inputs,
               const std::vector<CapturePath>& outputs)
    : paths_(std::move(paths)),
      slow_path_(*paths_.front()),
      pool_(pool),
      fields_(FrameFields::instance()),
      sides_(slow_path_.ports().size()) {
  for (size_t port = 0; port < sides_.size(); port++) {
    const std::string& device = slow_path_.ports()[port].options.device;
    sides_[port].wire = find_memory_wire(device);
    if (sides_[port].wire == nullptr) throw NativeFault("STATE", device + " is not on a memory wire");
  }
  for (const auto* paths : {&inputs, &outputs}) {
    for (const CapturePath& capture : *paths) {
      if (capture.port >= sides_.size()) throw NativeFault("ARGUMENT", capture.path + ": no such port");
    }
  }
  // Inputs first: a bad one must not cost an existing output file.
  for (const CapturePath& input : inputs) {
    inputs_.push_back({input.port, std::make_unique<CaptureReader>(input.path)});
  }
  for (const CapturePath& output : outputs) {
    sides_[output.port].output = std::make_unique<CaptureWriter>(output.path);
  }
}

Replay::~Replay() {
  for (; backlog_at_ < backlog_.size(); backlog_at_++) rte_pktmbuf_free(backlog_[backlog_at_]);
  for (Side& side : sides_) {
    void* frame = nullptr;
    while (rte_ring_dequeue(side.wire->to_gateway, &frame) == 0)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
  }
}

Replay::Input* Replay::earliest() {
  Input* first = nullptr;
  for (Input& input : inputs_) {
    if (input.reader->at_end()) continue;
    if (first == nullptr || input.reader->stamp() < first->reader->stamp()) first = &input;
  }
  return first;
}

bool Replay::next_time(Nanoseconds* time) const {
  const Input* next = earliest();
  if (next == nullptr) return false;
  // A capture's clock that goes backwards is held still.
  *time = std::max(next->reader->stamp(), slow_path_.now());
  return true;
}

bool Replay::feed_one(Input& input, Nanoseconds time) {
  rte_mbuf* frame = rte_pktmbuf_alloc(pool_);
  if (frame == nullptr) return false;
  const CaptureReader& reader = *input.reader;
  // What does not fit its buffer is above the MTU whatever it is, and is told by its length.
  const auto kept = static_cast<uint16_t>(std::min<uint32_t>(reader.length(), rte_pktmbuf_tailroom(frame)));
  std::memcpy(rte_pktmbuf_append(frame, kept), reader.data(), kept);
  frame->port = slow_path_.ports()[input.port].port_id;
  fields_.stamp(frame) = reader.stamp();
  fields_.wire_length(frame) = reader.length();
  if (rte_ring_enqueue(sides_[input.port].wire->to_gateway, frame) != 0) {
    rte_pktmbuf_free(frame);
    return false;
  }
  if (!fed_) {
    fed_ = true;
    fed_port_ = input.port;
    // Also where the NIC finishes the frames alone: queries of hits need the time of the last one.
    advance(time);
    set_softflow_clock(whole_seconds(time));
  }
  last_fed_ = time;
  sides_[input.port].received++;
  input.reader->advance();
  return true;
}

void Replay::feed(uint32_t burst, Nanoseconds stop) {
  // NIC aging counts whole seconds, so that one clock serves all frames of a second.
  Nanoseconds time = slow_path_.now();
  uint32_t second = 0;
  for (uint32_t count = 0; count < burst; count++) {
    Input* next = earliest();
    if (next == nullptr) return;
    time = std::max(time, next->reader->stamp());
    if (time >= stop) return;
    if (count == 0) {
      second = whole_seconds(time);
    } else if (next->port != fed_port_ || whole_seconds(time) != second) {
      return;
    }
    if (!feed_one(*next, time)) return;
  }
}

bool Replay::receive(uint32_t burst) {
  const uint16_t port_id = slow_path_.ports()[fed_port_].port_id;
  backlog_.resize(burst);
  backlog_at_ = 0;
  const uint16_t received = rte_eth_rx_burst(port_id, 0, backlog_.data(), static_cast<uint16_t>(burst));
  backlog_.resize(received);
  return received > 0 || rte_ring_count(sides_[fed_port_].wire->to_gateway) > 0;
}

ReplayStatus Replay::run(uint32_t burst, Nanoseconds stop) {
  burst = std::clamp(burst, 1u, SlowPath::kMaxBurst);
  for (;;) {
    bool events = false;
    for (SlowPath* path : paths_) {
      path->drain_decisions(UINT32_MAX);
      events |= !path->events().empty();
    }
    if (events) {
      collect();
      return ReplayStatus::kEvents;
    }
    if (pass_on()) continue;
    if (backlog_at_ < backlog_.size()) {
      rte_mbuf* frame = backlog_[backlog_at_++];
      slow_path_.receive(frame, fed_port_);
      continue;
    }
    if (fed_) {
      fed_ = receive(burst);
      // Whoever forwarded the last of them, its time has come.
      if (!fed_) advance(last_fed_);
      collect();
      continue;
    }
    collect();
    Nanoseconds next = 0;
    if (!next_time(&next)) {
      const bool damaged = std::any_of(inputs_.begin(), inputs_.end(),
                                       [](const Input& input) { return !input.reader->damage().empty(); });
      return damaged ? ReplayStatus::kTruncated : ReplayStatus::kEnd;
    }
    if (next >= stop) return ReplayStatus::kTimer;
    feed(burst, stop);
    if (!fed_) throw NativeFault("MEMORY", "no packet buffer for the replay", ENOMEM);
  }
}

void Replay::advance(Nanoseconds time) {
  for (SlowPath* path : paths_) path->advance(time);
}

bool Replay::pass_on() {
  bool any = false;
  for (SlowPath* path : paths_) any |= path->take_handed_over() > 0;
  return any;
}

bool Replay::collect() {
  bool any = false;
  for (Side& side : sides_) {
    void* taken = nullptr;
    while (rte_ring_dequeue(side.wire->from_gateway, &taken) == 0) {
      auto* frame = static_cast<rte_mbuf*>(taken);
      if (side.output != nullptr) {
        side.output->write(rte_pktmbuf_mtod(frame, const uint8_t*), rte_pktmbuf_data_len(frame),
                           fields_.stamp(frame));
      }
      side.transmitted++;
      any = true;
      rte_pktmbuf_free(frame);
    }
  }
  return any;
}

std::vector<std::string> Replay::close() {
  collect();
  open_ = false;
  for (Side& side : sides_) {
    if (side.output != nullptr) side.output->close();
    side.output.reset();
  }
  std::vector<std::string> damaged;
  for (const Input& input : inputs_) {
    if (!input.reader->damage().empty()) damaged.push_back(input.reader->damage());
  }
  inputs_.clear();
  return damaged;
}

}  // namespace sluice
