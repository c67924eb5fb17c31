// Tells of many comparisons at once that none of them holds, which is so for nearly every packet that meets a
// gateway's punts. A screen looks at single bytes: for a comparison to hold, one of the byte conditions that
// stand for it has to.
#pragma once

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "flow_engine/header_place.h"
#include "flow_engine/rule_group.h"

namespace sluice {

class Screen {
 public:
  void clear() { pairs_ = halves_ = 0; }
  // False, and nothing changed: there is no room, or no condition of single bytes that tells anything.
  bool add(const Comparison& comparison);
  // False: none of the comparisons holds. True: one may.
  bool may_hold(const uint8_t* frame, const ParsedPacket& headers) const {
    __m128i held = _mm_setzero_si128();
    for (const Pair *pair = pair_, *end = pair_ + pairs_; pair != end; ++pair) {
      const __m128i first =
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(pair->place[0].in(frame, headers)));
      const __m128i bytes = _mm_castps_si128(_mm_loadh_pi(
          _mm_castsi128_ps(first), reinterpret_cast<const __m64*>(pair->place[1].in(frame, headers))));
      const auto of = [](const uint8_t* sixteen) {
        return _mm_load_si128(reinterpret_cast<const __m128i*>(sixteen));
      };
      const __m128i above = _mm_sub_epi8(_mm_and_si128(bytes, of(pair->mask)), of(pair->low));
      held = _mm_or_si128(held, _mm_cmpeq_epi8(_mm_min_epu8(above, of(pair->span)), above));
    }
    return _mm_movemask_epi8(held) != 0;
  }

 private:
  static constexpr size_t kMostPairs = 4;
  static constexpr size_t kHalf = sizeof(uint64_t);

  // Eight bytes of a header, and eight of the same or another. A byte's condition: masked, it is low to low +
  // span. One without a condition is masked whole, and 0 is not 1.
  struct Pair {
    HeaderPlace place[2];
    alignas(16) uint8_t mask[2 * kHalf], low[2 * kHalf], span[2 * kHalf];
  };
  struct Condition {
    uint8_t mask = 0, low = 1, span = 0;
  };

  static bool find_conditions(const Comparison& comparison, Condition* of_bytes);
  bool has_room(size_t half, const HeaderPlace& place, const Condition* conditions) const;

  uint8_t pairs_ = 0, halves_ = 0;
  Pair pair_[kMostPairs];
};

}  // namespace sluice
