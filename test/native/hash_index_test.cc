// The index of rows by hash, against a map, over the sizes at which it grows.
#include "flow_engine/hash_index.h"

#include <algorithm>
#include <random>
#include <unordered_map>
#include <vector>

#include "support.h"

namespace sluice::test {
namespace {

struct IsRow {
  uint32_t row;
  bool operator()(uint32_t other) const { return other == row; }
};

// Rows with the hash that each was inserted with; the highest number in use says how large the index is.
class Judged {
 public:
  explicit Judged(uint32_t seed) : random_(seed) {}

  // Rows are numbered as a slab does: the lowest that was never in use, or one that is free.
  void insert() {
    uint32_t row = static_cast<uint32_t>(hash_.size());
    if (!free_.empty()) {
      row = free_.back();
      free_.pop_back();
    } else {
      hash_.push_back(0);
    }
    hash_[row] = static_cast<uint32_t>(random_());
    index.prefetch(hash_[row]);
    live_.push_back(row);
    if (random_() % 2 == 0) {
      const auto added = index.add(hash_[row], row, IsRow{row});
      CHECK(added != HashIndex::Added::kIsThere);
      if (added == HashIndex::Added::kYes) {
        const auto again = index.add(hash_[row], row, IsRow{row});
        CHECK(again == HashIndex::Added::kIsThere);
        adds++;
        return;
      }
    }
    uint32_t* room;
    CHECK_EQ(index.find(hash_[row], IsRow{row}, &room), 0u);
    if (room == nullptr || !index.fill(room, hash_[row], row)) {
      slow_inserts++;
      CHECK(index.insert(hash_[row], row, [this](uint32_t other) { return hash_[other]; }));
    }
  }
  void erase_any() {
    const size_t at = random_() % live_.size();
    const uint32_t row = live_[at];
    live_[at] = live_.back();
    live_.pop_back();
    index.erase(hash_[row], row);
    CHECK_EQ(index.find(hash_[row], IsRow{row}), 0u);
    free_.push_back(row);
  }
  void check_all() const {
    CHECK_EQ(index.size(), live_.size());
    for (const uint32_t row : live_) CHECK_EQ(index.find(hash_[row], IsRow{row}), row);
  }
  void check_some() {
    const uint32_t row = live_[random_() % live_.size()];
    CHECK_EQ(index.find(hash_[row], IsRow{row}), row);
  }
  uint32_t rows() const { return static_cast<uint32_t>(hash_.size()) - 1; }

  HashIndex index;
  uint32_t slow_inserts = 0, adds = 0;

 private:
  std::mt19937 random_;
  std::vector<uint32_t> hash_ = {0};  // row 0 is none
  std::vector<uint32_t> live_, free_;
};

constexpr uint32_t kAheadRows =
    (8u << 15) - 1;  // the first level whose successor is had ahead has 2^14 buckets

TEST(rows_are_found_while_the_index_grows_and_its_next_level_is_had_ahead) {
  Judged judged(1);
  uint64_t before = 0, rises = 0;
  for (uint32_t i = 0; i < kAheadRows + 40000; i++) {
    judged.insert();
    if (i % 3 == 0) judged.check_some();
    if (i % 7 == 0) judged.erase_any();
    rises += judged.index.memory_bytes() > before;
    before = judged.index.memory_bytes();
  }
  CHECK(judged.rows() > kAheadRows / 2);
  CHECK(judged.slow_inserts > 1000);
  CHECK(judged.adds > 1000);
  CHECK(rises > 10);
  judged.check_all();
}

// A level of 1 MB has the next one beside it from the row on that leaves `free` places, and not before; that
// is in use from its last row on, with the old one beside it: no memory more.
void judge_doubling(Judged& judged, uint32_t last, uint32_t free) {
  while (judged.rows() < last - free) judged.insert();
  const uint64_t before = judged.index.memory_bytes();
  CHECK_EQ(before, 64ull << 14);
  judged.insert();
  const uint64_t with_next = judged.index.memory_bytes();
  CHECK_EQ(with_next, before + (64ull << 15));
  while (judged.rows() < last) judged.insert();
  CHECK_EQ(judged.index.memory_bytes(), with_next);
  judged.insert();
  CHECK_EQ(judged.index.memory_bytes(), with_next);
}

TEST(the_next_level_is_there_before_the_last_row_of_this_one) {
  Judged judged(2);
  const uint32_t last = (8u << 14) - 1;  // of 2^14 buckets, 1 MB
  judge_doubling(judged, last, last / 32);
  judged.check_all();
}

TEST(a_level_that_is_known_to_be_needed_is_there_when_a_quarter_of_the_one_before_is_free) {
  Judged judged(6);
  judged.index.expect((8u << 17) - 1);
  const uint32_t last = (8u << 14) - 1;
  judge_doubling(judged, last, last / 4);
  // All entries have moved when half of it is free, and only then has it one for all of them.
  while (judged.rows() < last + last / 4) judged.insert();
  CHECK_EQ(judged.index.memory_bytes(), (64ull << 15) + (64ull << 17));
  judged.check_all();
}

TEST(an_index_reserved_for_all_its_rows_ends_with_one_level_of_that_size) {
  Judged judged(3);
  const uint32_t last = (8u << 14) - 1;
  CHECK(judged.index.reserve(last));
  CHECK(judged.index.memory_bytes() > 64ull << 14);
  while (judged.rows() < last - last / 32) judged.insert();
  CHECK_EQ(judged.index.memory_bytes(), 64ull << 14);
  while (judged.rows() <= last) judged.insert();
  CHECK(judged.index.memory_bytes() > 64ull << 14);  // one more than that
  judged.check_all();
}

TEST(an_index_that_expects_its_rows_is_made_for_all_of_them_when_it_has_a_quarter) {
  for (const uint32_t rows : {0u, 1u, 100u, (8u << 12) - 1, 8u << 14, (8u << 16) - 1, (8u << 16) + 5}) {
    Judged judged(4);
    judged.index.expect(rows);
    std::vector<uint64_t> sizes;
    for (uint32_t i = 0; judged.rows() < std::max(rows, 100'000u); ++i) {
      judged.insert();
      if (i % 5 == 0) judged.check_some();
      if (i % 11 == 0) judged.erase_any();
      const uint64_t bytes = judged.index.memory_bytes();
      if (sizes.empty() || sizes.back() != bytes) sizes.push_back(bytes);
    }
    judged.check_all();
    if (rows == (8u << 16) - 1) {
      // A quarter has 1 MB, and is succeeded by all, without a step between: had from the half of it on.
      CHECK(std::find(sizes.begin(), sizes.end(), (64ull << 14) + (64ull << 16)) != sizes.end());
      CHECK(std::find(sizes.begin(), sizes.end(), (64ull << 14) + (64ull << 15)) == sizes.end());
      CHECK(std::find(sizes.begin(), sizes.end(), (64ull << 13) + (64ull << 16)) == sizes.end());
    }
  }
}

TEST(an_index_whose_reserved_level_is_not_cleared_yet_uses_smaller_ones) {
  // Another thread clears what was asked for before, 256 MB.
  constexpr size_t kBytes = 256u << 20;
  void* before = allocate_zeroed(kBytes);
  CHECK(before != nullptr);
  populate_soon(before, kBytes);
  Judged judged(5);
  CHECK(judged.index.reserve((8u << 16) - 1));
  bool was_small = false;
  uint64_t most = 0;
  for (uint32_t i = 0; i < 40'000; ++i) {
    judged.insert();
    if (i % 3 == 0) judged.check_some();
    was_small |= is_populating(before, kBytes) && judged.rows() > 1000;
    most = std::max(most, judged.index.memory_bytes());
  }
  CHECK(was_small);
  CHECK(most > (64ull << 16) + (64ull << 8));
  judged.check_all();
  release_zeroed(before, kBytes);
}

}  // namespace
}  // namespace sluice::test
