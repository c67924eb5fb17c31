#include "slow_path/populate.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <thread>

namespace sluice {
namespace {

// A call holds the address space's lock against those who map and unmap: in pieces.
constexpr size_t kPiece = 32u << 20;

struct Queue {
  std::mutex mutex;
  std::deque<SharedRegion> regions;
  bool running = false;
};

// Never destroyed: the thread may outlive main's end.
Queue& queue() {
  static auto* made = new Queue;
  return *made;
}

void populate_region(const MemoryRegion& region) {
  for (size_t at = 0; at < region.bytes(); at += kPiece)
    populate(region.as<uint8_t>() + at, std::min(kPiece, region.bytes() - at));
}

void work() {
  Queue& waiting = queue();
  for (;;) {
    SharedRegion region;
    {
      const std::lock_guard lock(waiting.mutex);
      if (waiting.regions.empty()) {
        waiting.running = false;
        return;
      }
      region = std::move(waiting.regions.front());
      waiting.regions.pop_front();
    }
    populate_region(*region);
  }
}

}  // namespace

void populate_soon(SharedRegion region) {
  Queue& waiting = queue();
  const std::lock_guard lock(waiting.mutex);
  waiting.regions.push_back(std::move(region));
  if (waiting.running) return;
  waiting.running = true;
  std::thread(work).detach();
}

}  // namespace sluice
