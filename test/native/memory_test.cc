// Memory of large tables, cleared in the background.
#include "flow_engine/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "support.h"

namespace sluice::test {
namespace {

constexpr size_t kSmallPage = 4096;

// How many of the small pages have memory (mincore(2)).
size_t resident_pages(void* memory, size_t bytes) {
  std::vector<unsigned char> pages((bytes + kSmallPage - 1) / kSmallPage);
  CHECK_EQ(mincore(memory, bytes, pages.data()), 0);
  return static_cast<size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

void wait_until_cleared(const void* memory, size_t bytes) {
  for (int look = 0; look < 10'000 && is_populating(memory, bytes); ++look) usleep(1000);
  CHECK(!is_populating(memory, bytes));
}

TEST(all_of_a_table_is_cleared_in_the_background_whatever_its_size) {
  for (const size_t bytes : {kHugePage, kHugePage + 64, 2 * kHugePage + kHugePage / 2, 3 * kHugePage - 8}) {
    void* memory = allocate_zeroed(bytes);
    CHECK(memory != nullptr);
    CHECK_EQ(resident_pages(memory, bytes), 0u);
    populate_soon(memory, bytes);
    wait_until_cleared(memory, bytes);
    CHECK_EQ(resident_pages(memory, bytes), (bytes + kSmallPage - 1) / kSmallPage);
    release_zeroed(memory, bytes);
  }
}

TEST(what_is_written_while_pages_are_cleared_stays) {
  constexpr size_t kBytes = 64u << 20, kStep = 4096;
  auto* memory = static_cast<uint8_t*>(allocate_zeroed(kBytes));
  CHECK(memory != nullptr);
  populate_soon(memory, kBytes);
  uint64_t rounds = 0, lost = 0;
  // Where each small page begins, in place and from behind, so that the two meet.
  for (uint8_t value = 1; rounds < 3 || is_populating(memory, kBytes); ++rounds, value = value % 200 + 1) {
    for (size_t at = kBytes; at != 0; at -= kStep) memory[at - kStep] = value;
    for (size_t at = 0; at < kBytes; at += kStep) lost += memory[at] != value;
  }
  CHECK_EQ(lost, 0u);
  release_zeroed(memory, kBytes);
}

}  // namespace
}  // namespace sluice::test
