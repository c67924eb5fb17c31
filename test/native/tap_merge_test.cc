// Copies of packets from several taps, asked one after the other.
#include "slow_path/tap_merge.h"

#include <cstring>

#include "slow_path/capture_tap.h"
#include "support.h"

namespace sluice::test {
namespace {

// A record of a frame of `name` bytes, so that it can be told from others.
void keep(std::vector<uint8_t>* records, uint64_t time, uint32_t name) {
  const size_t at = records->size();
  records->resize(at + CaptureTap::kHeadBytes + name);
  std::memcpy(records->data() + at, &name, 4);
  std::memcpy(records->data() + at + 8, &time, 8);
}

std::vector<uint32_t> names_of(const std::vector<uint8_t>& records) {
  std::vector<uint32_t> names;
  for (size_t at = 0; at < records.size(); at += CaptureTap::kHeadBytes + names.back()) {
    uint32_t name = 0;
    std::memcpy(&name, records.data() + at, 4);
    names.push_back(name);
  }
  return names;
}

TEST(records_of_several_taps_come_in_the_order_of_their_time) {
  std::vector<std::vector<uint8_t>> parts(3);
  keep(&parts[0], 10, 1);
  keep(&parts[0], 40, 4);
  keep(&parts[2], 20, 2);
  keep(&parts[2], 20, 20);
  keep(&parts[2], 30, 3);
  std::vector<uint8_t> out;
  TapMerge merge;
  merge.merge(parts, 100, &out);
  CHECK(names_of(out) == (std::vector<uint32_t>{1, 2, 20, 3, 4}));
}

TEST(what_is_newer_than_the_first_question_waits_for_what_the_others_tell_next) {
  TapMerge merge;
  std::vector<uint8_t> out;
  std::vector<std::vector<uint8_t>> parts(2);
  keep(&parts[0], 90, 1);
  keep(&parts[1], 95, 2);
  keep(&parts[1], 110, 4);  // asked after the first one, which had nothing of then yet
  merge.merge(parts, 100, &out);
  CHECK(names_of(out) == (std::vector<uint32_t>{1, 2}));
  out.clear();
  parts.assign(2, {});
  keep(&parts[0], 105, 3);
  keep(&parts[1], 190, 5);
  merge.merge(parts, 200, &out);
  CHECK(names_of(out) == (std::vector<uint32_t>{3, 4, 5}));
}

TEST(what_waits_is_forgotten_with_its_capture) {
  TapMerge merge;
  std::vector<uint8_t> out;
  std::vector<std::vector<uint8_t>> parts(2);
  keep(&parts[1], 110, 4);
  merge.merge(parts, 100, &out);
  merge.forget();
  merge.merge({{}, {}}, 200, &out);
  CHECK(out.empty());
}

}  // namespace
}  // namespace sluice::test
