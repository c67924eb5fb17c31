// A replay: captures are merged in time order onto memory wires, the clock is theirs, and every packet meets
// the state that the captures' order gives it, whatever the burst size and whether its flow's rules sit in
// the NIC.
#pragma once

#include <vector>

#include "slow_path/capture_file.h"
#include "slow_path/memory_wire.h"
#include "slow_path/slow_path.h"

namespace sluice {

struct CapturePath {
  uint8_t port = 0;
  std::string path;
};

enum class ReplayStatus : uint8_t { kEvents, kTimer, kEnd, kTruncated };  // src/native/binding.ts

class Replay {
 public:
  // Throws NativeFault CAPTURE_OPEN, CAPTURE_FORMAT, STATE.
  // `paths`: of all shards; the first one receives.
  Replay(std::vector<SlowPath*> paths, rte_mempool* pool, const std::vector<CapturePath>& inputs,
         const std::vector<CapturePath>& outputs);
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  ReplayStatus run(uint32_t burst, Nanoseconds stop);
  // False at the end of the captures.
  bool next_time(Nanoseconds* time) const;
  // Takes what was sent off the wires. True when there was anything.
  bool collect();
  // Flushes and closes the outputs; names the captures that were cut off.
  std::vector<std::string> close();
  bool is_open() const { return open_; }

  uint64_t received(uint8_t port) const { return sides_[port].received; }
  uint64_t transmitted(uint8_t port) const { return sides_[port].transmitted; }

 private:
  struct Input {
    uint8_t port;
    std::unique_ptr<CaptureReader> reader;
  };
  struct Side {
    const MemoryWire* wire = nullptr;
    std::unique_ptr<CaptureWriter> output;
    uint64_t received = 0;
    uint64_t transmitted = 0;
  };

  Input* earliest();
  const Input* earliest() const { return const_cast<Replay*>(this)->earliest(); }
  // Puts consecutive frames of one port and second on its wire.
  void feed(uint32_t burst, Nanoseconds stop);
  bool feed_one(Input& input, Nanoseconds time);
  // Receives what the NIC hands up. False when it has no more and the wire is empty.
  bool receive(uint32_t burst);

  void advance(Nanoseconds time);
  // Lets every shard take some of what others handed over. False: there was nothing.
  bool pass_on();

  std::vector<SlowPath*> paths_;
  SlowPath& slow_path_;  // the first of them
  rte_mempool* pool_;
  const FrameFields& fields_;
  std::vector<Input> inputs_;
  std::vector<Side> sides_;
  uint8_t fed_port_ = 0;
  bool fed_ = false;  // frames may still be on the wire of fed_port_ or in its NIC
  Nanoseconds last_fed_ = 0;
  std::vector<rte_mbuf*> backlog_;  // received, not yet processed
  size_t backlog_at_ = 0;
  bool open_ = true;
};

}  // namespace sluice
