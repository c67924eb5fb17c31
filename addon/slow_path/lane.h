// One slow path and whoever runs it: an lcore in live use, else the caller's thread. A gateway has one, or
// with shards several over the same ports.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "slow_path/nic_statistics.h"
#include "slow_path/precedence.h"
#include "slow_path/slow_path.h"

namespace sluice {

class Lane {
 public:
  // `nic_statistics`, by port, outlive this.
  Lane(std::unique_ptr<SlowPath> path, uint16_t index,
       const std::vector<NicStatisticsReader>& nic_statistics);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  SlowPath& path() { return *path_; }
  const SlowPath& path() const { return *path_; }
  // One round: decisions, packets of every port, out. How many packets were received.
  uint32_t round(uint32_t burst);

  // On an lcore of its own, until stop(). Rings `doorbell` (from the lcore) when events wait and JavaScript
  // said it would sleep. With `precedence` the lcore and the caller's thread, which decides, go before others
  // where they are kept from their CPUs; whether they may. Throws NativeFault STATE.
  bool start(uint32_t burst, bool precedence, std::function<void()> doorbell);
  void stop();
  bool running() const { return running_; }
  uint64_t rounds() const { return rounds_.load(std::memory_order_relaxed); }
  // Turns of precedence of the thread that decides, and of the lcore.
  uint64_t engine_turns() const { return engine_.turns(); }
  uint64_t lcore_turns() const { return own_.turns(); }
  bool arm_doorbell();
  bool await_events(uint32_t microseconds);
  // Runs a task where the slow path runs: here, or on the lcore, waiting for it. From any thread.
  void run(const std::function<void()>& task);

 private:
  static int lcore_main(void* self);
  void loop();
  void rest(uint32_t microseconds);
  void run_posted_task();
  uint64_t nic_finished_packets() const;

  std::unique_ptr<SlowPath> path_;
  uint16_t index_;
  const std::vector<NicStatisticsReader>& nic_statistics_;
  uint32_t burst_ = 32;
  unsigned lcore_ = 0;
  std::atomic<uint64_t> rounds_ = 0;
  std::atomic<bool> running_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> armed_ = false;
  std::function<void()> doorbell_;
  Precedence engine_, own_;  // of the thread that decides, and of the lcore
  bool has_precedence_ = false;
  std::atomic<bool> rests_ = false;
  std::mutex asking_;  // one task at a time, and none while the lcore begins or ends
  std::atomic<const std::function<void()>*> task_ = nullptr;
  std::exception_ptr task_fault_;
};

}  // namespace sluice
