// Lets a thread that packets wait for go before whatever else runs on its CPU.
//
// An lcore and the thread that decides have a CPU each, but others take slices of it: 3 to 25 milliseconds of
// the kernel's own threads, of V8's, of a neighbour's process, in which thousands of first packets come.
// Under the kernel's usual policy niceness does not help: a slice that has begun is not taken back. So each
// of the two threads watches whether the other gets on. Where it has not for kLag although something waits
// for it, and has not run either, it has the lowest real-time priority for kTurn (SCHED_FIFO of sched(7)),
// and then what it had before.
//
// Always real-time they would starve their CPU, or stand still for 50 milliseconds of each second, which is
// all that the kernel keeps for others (sched_rt_runtime_us). This way others have kLag + kProbe out of each
// kTurn more, a tenth, and twice what the kernel wants. A thread for which kFew things and more have waited
// for kBusy has too much to do: what waits then waits for what came before it, and others, V8's compiler
// among them, have their share as usual.
#pragma once

#include <atomic>
#include <cstdint>

#include "slow_path/clock.h"

namespace sluice {

// Of one thread. What each function is called from is said there; times are those of one clock.
class Precedence {
 public:
  static constexpr Nanoseconds kLag = 80'000;
  static constexpr Nanoseconds kProbe = 20'000;  // for so long it is looked whether the thread runs
  static constexpr Nanoseconds kTurn = 1'000'000;
  static constexpr uint32_t kFew = 64;
  static constexpr Nanoseconds kBusy = 5'000'000;

  // From the thread itself: its progress is followed from now on. False, and nothing ever happens: it may not
  // be real-time (CAP_SYS_NICE, RLIMIT_RTPRIO), or somebody has given it another policy than the usual one.
  bool adopt_this_thread();
  // From the thread itself, or when nobody calls anything else: it has its usual policy for good.
  void release();

  // From the one that watches: how far the thread has come, in any unit, and how much waits for it.
  void follow(uint64_t progress, uint32_t waiting, Nanoseconds now);
  // From either: ends a turn that is over.
  void end_turn(Nanoseconds now);

  // How often it had a turn. From any thread.
  uint64_t turns() const { return turns_.load(std::memory_order_relaxed); }

 private:
  static bool set_policy(int thread, int policy, int priority);
  static Nanoseconds run_time(int thread);

  std::atomic<int> thread_ = 0;  // 0: none
  int usual_policy_ = 0;
  uint64_t progress_ = 0;
  Nanoseconds since_ = 0;               // it has been there and waited for
  Nanoseconds keeping_up_ = 0;          // when few things waited for it, last
  Nanoseconds probed_ = 0;              // since when it is looked whether it runs; 0: it is not
  Nanoseconds run_time_ = 0;            // that it had by then
  std::atomic<Nanoseconds> until_ = 0;  // of the turn; 0: it has none
  std::atomic<uint64_t> turns_ = 0;
};

}  // namespace sluice
