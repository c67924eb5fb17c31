// Threads that packets wait for. What is waited for and what time it is are the test's own, the threads and
// their policies the kernel's.
#include "slow_path/precedence.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <semaphore>
#include <thread>

#include "support.h"

namespace sluice::test {
namespace {

constexpr Nanoseconds kBegin = 1'000'000'000'000;
constexpr Nanoseconds kStep = 1000;

// Threads of whoever may not be real-time never are: then there is nothing to see but that.
bool may_be_real_time() {
  bool may = false;
  std::thread([&may] { may = Precedence().adopt_this_thread(); }).join();
  return may;
}

// A thread that adopts itself, and then stands still, runs, or makes another thread, until it is told to end.
class Thread {
 public:
  enum class Doing { kStandsStill, kRuns };

  explicit Thread(Precedence& precedence, Doing doing = Doing::kStandsStill, int policy = SCHED_OTHER)
      : thread_([this, &precedence, doing, policy] {
          const sched_param parameters = {policy == SCHED_RR ? 1 : 0};
          sched_setscheduler(0, policy, &parameters);
          adopted_ = precedence.adopt_this_thread();
          id_ = gettid();
          ready_.release();
          if (doing == Doing::kRuns)
            while (!ends_) continue;
          told_.acquire();
          if (makes_another_) std::thread([this] { policy_of_another_ = sched_getscheduler(0); }).join();
        }) {
    ready_.acquire();
    if (doing == Doing::kStandsStill) wait_until_it_stands_still();
  }
  ~Thread() { end(); }
  void end() {
    if (!thread_.joinable()) return;
    ends_ = true;
    told_.release();
    thread_.join();
  }
  void end_after_another_thread() {
    makes_another_ = true;
    end();
  }

  // What it still runs after it was adopted is over.
  void wait_until_it_stands_still() const {
    for (Nanoseconds before = run_time(); usleep(2000) == 0 && run_time() != before;) before = run_time();
  }
  void run_for_a_millisecond() const {
    for (const Nanoseconds begin = run_time(); run_time() - begin < 1'000'000;) usleep(100);
  }
  bool adopted() const { return adopted_; }
  int policy() const { return sched_getscheduler(id_) & ~SCHED_RESET_ON_FORK; }
  int policy_of_another() const { return policy_of_another_ & ~SCHED_RESET_ON_FORK; }

 private:
  Nanoseconds run_time() const {
    clockid_t clock;
    CHECK_EQ(pthread_getcpuclockid(handle_, &clock), 0);
    timespec time = {};
    clock_gettime(clock, &time);
    return static_cast<Nanoseconds>(time.tv_sec) * kNanosecondsPerSecond +
           static_cast<Nanoseconds>(time.tv_nsec);
  }

  std::binary_semaphore ready_{0}, told_{0};
  std::atomic<bool> ends_ = false, makes_another_ = false;
  std::atomic<int> id_ = 0, policy_of_another_ = -1;
  std::atomic<bool> adopted_ = false;
  std::thread thread_;  // last but for its handle: it uses the others
  const pthread_t handle_ = thread_.native_handle();
};

// Says each microsecond that so much waits and that nothing has been done. When the thread had its next turn;
// 0: it had none.
Nanoseconds turn_while_waiting(Precedence& precedence, Nanoseconds from, Nanoseconds until,
                               uint32_t waiting = 1) {
  const uint64_t before = precedence.turns();
  for (Nanoseconds now = from; now <= until; now += kStep) {
    precedence.follow(7, waiting, now);
    if (precedence.turns() != before) return now;
  }
  return 0;
}

TEST(a_thread_that_stands_still_while_something_waits_has_a_turn_and_then_its_policy_back) {
  if (!may_be_real_time()) return;
  Precedence precedence;
  const Thread thread(precedence);
  CHECK(thread.adopted());
  CHECK_EQ(thread.policy(), SCHED_OTHER);
  precedence.follow(7, 0, kBegin);
  const Nanoseconds turn = turn_while_waiting(precedence, kBegin + kStep, kBegin + Precedence::kTurn);
  CHECK(turn > kBegin + Precedence::kLag + Precedence::kProbe);
  CHECK(turn <= kBegin + Precedence::kLag + Precedence::kProbe + 4 * kStep);
  CHECK_EQ(thread.policy(), SCHED_FIFO);
  precedence.end_turn(turn + Precedence::kTurn - 1);
  CHECK_EQ(thread.policy(), SCHED_FIFO);
  precedence.end_turn(turn + Precedence::kTurn);
  CHECK_EQ(thread.policy(), SCHED_OTHER);
  // Others have their time before the next one.
  precedence.follow(7, 1, turn + Precedence::kTurn);
  const Nanoseconds next =
      turn_while_waiting(precedence, turn + Precedence::kTurn, turn + 2 * Precedence::kTurn);
  CHECK(next - (turn + Precedence::kTurn) > Precedence::kLag);
  CHECK_EQ(precedence.turns(), 2u);
  precedence.release();
  CHECK_EQ(thread.policy(), SCHED_OTHER);
  CHECK_EQ(turn_while_waiting(precedence, next + kStep, next + Precedence::kTurn), 0u);
}

TEST(a_thread_whose_turn_is_over_but_not_ended_is_let_go_first_again) {
  if (!may_be_real_time()) return;
  Precedence precedence;
  const Thread thread(precedence);
  precedence.follow(7, 0, kBegin);
  const Nanoseconds turn = turn_while_waiting(precedence, kBegin, kBegin + Precedence::kTurn);
  // Whoever should end it is what is kept from its CPU.
  const Nanoseconds next = turn_while_waiting(precedence, turn + kStep, turn + 2 * Precedence::kTurn);
  CHECK(next > turn + Precedence::kTurn + Precedence::kLag);
  precedence.end_turn(turn + Precedence::kTurn);
  CHECK_EQ(thread.policy(), SCHED_FIFO);
  precedence.end_turn(next + Precedence::kTurn);
  CHECK_EQ(thread.policy(), SCHED_OTHER);
}

TEST(a_thread_that_gets_on_or_that_nothing_waits_for_has_no_turn) {
  if (!may_be_real_time()) return;
  Precedence precedence;
  const Thread thread(precedence);
  Nanoseconds now = kBegin;
  for (uint64_t progress = 0; progress < 100; ++progress, now += Precedence::kLag)
    precedence.follow(progress, 1, now);
  for (int i = 0; i < 100; ++i, now += Precedence::kLag) precedence.follow(99, 0, now);
  // For the time of a probe, each time.
  for (int i = 0; i < 100; ++i) {
    turn_while_waiting(precedence, now, now + Precedence::kLag + Precedence::kProbe - kStep);
    now += 2 * Precedence::kLag;
    precedence.follow(8, 1, now);
  }
  CHECK_EQ(precedence.turns(), 0u);
}

TEST(a_thread_that_is_busy_has_no_turn) {
  if (!may_be_real_time()) return;
  Precedence precedence;
  const Thread thread(precedence, Thread::Doing::kRuns);
  Nanoseconds now = kBegin;
  precedence.follow(7, 0, now);
  for (int i = 0; i < 20; ++i) {
    now += Precedence::kLag + kStep;
    precedence.follow(7, 1, now);
    thread.run_for_a_millisecond();  // while the probe's 20 microseconds pass
    now += Precedence::kProbe + kStep;
    precedence.follow(7, 1, now);
  }
  CHECK_EQ(precedence.turns(), 0u);
}

TEST(a_thread_with_much_to_do_all_the_time_has_no_turn) {
  if (!may_be_real_time()) return;
  Precedence precedence;
  const Thread thread(precedence);
  CHECK_EQ(turn_while_waiting(precedence, kBegin, kBegin + 10 * Precedence::kTurn, Precedence::kFew), 0u);
  // But where it was keeping up until now.
  const Nanoseconds then = kBegin + 11 * Precedence::kTurn;
  precedence.follow(6, Precedence::kFew - 1, then);
  CHECK(turn_while_waiting(precedence, then, then + Precedence::kBusy, Precedence::kFew) != 0);
}

TEST(threads_that_are_made_meanwhile_have_the_usual_policy) {
  if (!may_be_real_time()) return;
  Precedence precedence;
  Thread thread(precedence);
  precedence.follow(7, 0, kBegin);
  CHECK(turn_while_waiting(precedence, kBegin, kBegin + Precedence::kTurn) != 0);
  CHECK_EQ(thread.policy(), SCHED_FIFO);
  thread.end_after_another_thread();
  CHECK_EQ(thread.policy_of_another(), SCHED_OTHER);
}

TEST(a_policy_that_somebody_has_chosen_stays) {
  if (!may_be_real_time()) return;
  Precedence precedence, other;
  const Thread batch(precedence, Thread::Doing::kStandsStill, SCHED_BATCH);
  CHECK(batch.adopted());
  precedence.follow(7, 0, kBegin);
  const Nanoseconds turn = turn_while_waiting(precedence, kBegin, kBegin + Precedence::kTurn);
  CHECK_EQ(batch.policy(), SCHED_FIFO);
  precedence.end_turn(turn + Precedence::kTurn);
  CHECK_EQ(batch.policy(), SCHED_BATCH);
  const Thread real_time(other, Thread::Doing::kStandsStill, SCHED_RR);
  CHECK(!real_time.adopted());
  CHECK_EQ(turn_while_waiting(other, kBegin, kBegin + Precedence::kTurn), 0u);
  CHECK_EQ(real_time.policy(), SCHED_RR);
}

TEST(who_may_not_be_real_time_has_no_turns) {
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    const rlimit none = {};
    setrlimit(RLIMIT_RTPRIO, &none);
    const bool gave_up = setresuid(kNobody, kNobody, kNobody) == 0 || geteuid() != 0;
    Precedence precedence;
    const bool adopted = precedence.adopt_this_thread();
    precedence.follow(7, 0, kBegin);
    const Nanoseconds turn = turn_while_waiting(precedence, kBegin, kBegin + Precedence::kTurn);
    _exit(gave_up && !adopted && turn == 0 && sched_getscheduler(0) == SCHED_OTHER ? 0 : 1);
  }
  int status = -1;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
}

}  // namespace
}  // namespace sluice::test
