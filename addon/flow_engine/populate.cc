// Pages cleared in the background. One thread a process, made when it is first needed and never ended: it
// waits.
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "flow_engine/memory.h"

namespace sluice {
namespace {

// What is released meanwhile waits for the piece at hand.
constexpr size_t kPiece = kHugePage;
constexpr int kNiceness = 5;

struct Span {
  const uint8_t* begin = nullptr;
  size_t bytes = 0;

  bool meets(const Span& other) const {
    return begin < other.begin + other.bytes && other.begin < begin + bytes;
  }
};

struct Queue {
  std::mutex mutex;
  std::condition_variable wake, done;
  std::deque<Span> waiting;
  Span current;
  bool has_thread = false;
};

// Never destroyed: the thread outlives main's end.
Queue& queue() {
  static auto* made = new Queue;
  return *made;
}

// CPUs of the process when this was loaded: later it may keep most of its threads from some of them.
struct Cpus {
  cpu_set_t set;
  bool known;
};
Cpus cpus_of_process() {
  Cpus cpus = {};
  cpus.known = sched_getaffinity(getpid(), sizeof cpus.set, &cpus.set) == 0;
  return cpus;
}
const Cpus cpus_at_first = cpus_of_process();

// Whoever asks may be bound to a core that it needs for itself: this thread takes whatever CPU has time, an
// lcore's that sleeps too. A higher niceness keeps it from the CPU for so long under load that an index has
// filled before its next level is cleared, and the lcore clears the rest of it.
void leave_core() {
  if (cpus_at_first.known) sched_setaffinity(0, sizeof cpus_at_first.set, &cpus_at_first.set);
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNiceness);
  pthread_setname_np(pthread_self(), "sluice-pages");
}

void work() {
  leave_core();
  Queue& spans = queue();
  std::unique_lock lock(spans.mutex);
  for (;;) {
    spans.wake.wait(lock, [&spans] { return !spans.waiting.empty(); });
    Span& first = spans.waiting.front();
    spans.current = {first.begin, std::min(first.bytes, kPiece)};
    first = {first.begin + spans.current.bytes, first.bytes - spans.current.bytes};
    if (first.bytes == 0) spans.waiting.pop_front();
    lock.unlock();
    populate(const_cast<uint8_t*>(spans.current.begin), spans.current.bytes);
    lock.lock();
    spans.current = {};
    spans.done.notify_all();
  }
}

}  // namespace

void populate_soon(void* memory, size_t bytes) {
  // Less was cleared when it was allocated, or is little of a larger block.
  if (bytes < kPiece) return;
  Queue& spans = queue();
  const std::lock_guard lock(spans.mutex);
  if (!spans.has_thread) {
    try {
      std::thread(work).detach();
    } catch (const std::system_error&) {
      return;  // the first touch clears, as ever
    }
    spans.has_thread = true;
  }
  spans.waiting.push_back({static_cast<uint8_t*>(memory), bytes});
  spans.wake.notify_one();
}

bool is_populating(const void* memory, size_t bytes) {
  const Span asked{static_cast<const uint8_t*>(memory), bytes};
  Queue& spans = queue();
  const std::lock_guard lock(spans.mutex);
  return spans.current.meets(asked) || std::any_of(spans.waiting.begin(), spans.waiting.end(),
                                                   [&](const Span& span) { return span.meets(asked); });
}

void stop_populating(void* memory, size_t bytes) {
  const Span gone{static_cast<uint8_t*>(memory), bytes};
  Queue& spans = queue();
  std::unique_lock lock(spans.mutex);
  if (!spans.has_thread) return;
  std::erase_if(spans.waiting, [&gone](const Span& span) { return span.meets(gone); });
  spans.done.wait(lock, [&] { return !spans.current.meets(gone); });
}

}  // namespace sluice
