#include "slow_path/precedence.h"

#include <sched.h>
#include <unistd.h>

namespace sluice {
namespace {

constexpr int kLowestPriority = 1;

}  // namespace

bool Precedence::adopt_this_thread() {
  thread_ = 0;
  const int policy = sched_getscheduler(0);
  if (policy < 0) return false;
  usual_policy_ = policy & ~SCHED_RESET_ON_FORK;
  if (usual_policy_ != SCHED_OTHER && usual_policy_ != SCHED_BATCH) return false;
  const int thread = gettid();
  if (!set_policy(thread, SCHED_FIFO, kLowestPriority) || !set_policy(thread, usual_policy_, 0)) return false;
  since_ = keeping_up_ = probed_ = 0;
  until_ = 0;
  thread_.store(thread, std::memory_order_release);
  return true;
}

void Precedence::release() {
  if (until_.load(std::memory_order_acquire) != 0) set_policy(thread_, usual_policy_, 0);
  thread_ = 0;
  until_ = 0;
}

void Precedence::follow(uint64_t progress, uint32_t waiting, Nanoseconds now) {
  const int thread = thread_.load(std::memory_order_acquire);
  if (thread == 0) return;
  if (waiting < kFew) keeping_up_ = now;
  // A turn that is over may not have been ended yet: who should end it may be what is kept from its CPU.
  if (progress != progress_ || waiting == 0 || now < until_.load(std::memory_order_relaxed)) {
    progress_ = progress;
    since_ = now;
    probed_ = 0;
  } else if (now - since_ <= kLag || now - keeping_up_ > kBusy) {
    return;
  } else if (probed_ == 0) {
    probed_ = now;
    run_time_ = run_time(thread);
  } else if (now - probed_ > kProbe) {
    if ((run_time(thread) - run_time_) * 2 > now - probed_) {
      since_ = now;  // it is busy with something
      probed_ = 0;
    } else if (set_policy(thread, SCHED_FIFO, kLowestPriority)) {
      until_.store(now + kTurn, std::memory_order_release);
      turns_.store(turns_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      since_ = now;  // it may not any more
      probed_ = 0;
    }
  }
}

void Precedence::end_turn(Nanoseconds now) {
  Nanoseconds until = until_.load(std::memory_order_acquire);
  if (until == 0 || now < until) return;
  // First the one, then the other: the thread may lose its CPU in that call, and must be seen to have no turn
  // then. A new turn that has come meanwhile is not this one's to end; at worst it is cut short.
  if (until_.compare_exchange_strong(until, 0, std::memory_order_acq_rel))
    set_policy(thread_, usual_policy_, 0);
}

// Threads that it makes meanwhile are usual ones. (Who may be real-time by a limit alone cannot take that
// flag back.)
bool Precedence::set_policy(int thread, int policy, int priority) {
  sched_param parameters = {};
  parameters.sched_priority = priority;
  return sched_setscheduler(thread, policy | SCHED_RESET_ON_FORK, &parameters) == 0;
}

Nanoseconds Precedence::run_time(int thread) {
  // The clock of a thread's CPU time, as pthread_getcpuclockid(3) makes it of a number.
  constexpr clockid_t kThreadClock = 6;
  timespec time = {};
  clock_gettime(static_cast<clockid_t>(~static_cast<unsigned>(thread) << 3) | kThreadClock, &time);
  return static_cast<Nanoseconds>(time.tv_sec) * kNanosecondsPerSecond +
         static_cast<Nanoseconds>(time.tv_nsec);
}

}  // namespace sluice
