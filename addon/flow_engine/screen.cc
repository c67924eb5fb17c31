#include "flow_engine/screen.h"

namespace sluice {

// One byte is enough of a comparison with one value: the last, in which addresses and ports differ most. Of a
// range the first, unless that may be anything; then what begins above 0 is not 0, and one of its bytes is
// not.
bool Screen::find_conditions(const Comparison& comparison, Condition* of_bytes) {
  uint8_t mask[kHalf], low[kHalf], high[kHalf];
  std::memcpy(mask, &comparison.mask, kHalf);
  const uint64_t from = __builtin_bswap64(comparison.low),
                 to = __builtin_bswap64(comparison.low + comparison.span);
  std::memcpy(low, &from, kHalf);
  std::memcpy(high, &to, kHalf);
  size_t first = 0, last = kHalf;
  while (first < kHalf && mask[first] == 0) {
    if (low[first] != 0 || high[first] != 0) return false;
    ++first;
  }
  if (first == kHalf) return false;
  while (mask[last - 1] == 0) --last;
  if (comparison.span == 0) {
    of_bytes[last - 1] = {mask[last - 1], low[last - 1], 0};
    return true;
  }
  const bool may_be_anything = low[first] == 0 && high[first] >= mask[first];
  if (may_be_anything && comparison.low == 0) return false;
  if (!may_be_anything) {
    of_bytes[first] = {mask[first], low[first], static_cast<uint8_t>(high[first] - low[first])};
    return true;
  }
  for (size_t i = first; i < last; ++i) {
    if (mask[i] != 0) of_bytes[i] = {mask[i], 1, 0xfe};
  }
  return true;
}

bool Screen::has_room(size_t half, const HeaderPlace& place, const Condition* conditions) const {
  const Pair& pair = pair_[half / 2];
  const HeaderPlace& there = pair.place[half % 2];
  if (there.header != place.header || there.behind != place.behind) return false;
  for (size_t i = 0; i < kHalf; ++i) {
    if (conditions[i].mask != 0 && pair.mask[half % 2 * kHalf + i] != 0) return false;
  }
  return true;
}

bool Screen::add(const Comparison& comparison) {
  HeaderPlace place;
  Condition condition[kHalf];
  if (!place.set(comparison.slot, comparison.offset) || !find_conditions(comparison, condition)) return false;
  size_t half = 0;
  while (half < halves_ && !has_room(half, place, condition)) ++half;
  if (half == 2 * kMostPairs) return false;
  Pair& pair = pair_[half / 2];
  if (half == halves_) {
    ++halves_;
    if (half % 2 == 0) {
      ++pairs_;
      pair.place[0] = pair.place[1] = place;
      std::memset(pair.mask, 0, sizeof pair.mask);
      std::memset(pair.low, 1, sizeof pair.low);
      std::memset(pair.span, 0, sizeof pair.span);
    } else {
      pair.place[1] = place;
    }
  }
  for (size_t i = 0; i < kHalf; ++i) {
    if (condition[i].mask == 0) continue;
    const size_t at = half % 2 * kHalf + i;
    pair.mask[at] = condition[i].mask;
    pair.low[at] = condition[i].low;
    pair.span[at] = condition[i].span;
  }
  return true;
}

}  // namespace sluice
