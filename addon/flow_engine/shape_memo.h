// What rules created lately were compiled to. Whoever creates rules one by one mostly creates the same kind
// again and again, in which only the values differ: then neither pattern nor actions have to be looked
// through.
#pragma once

#include <emmintrin.h>
#include <rte_flow.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "flow_engine/flow_engine.h"
#include "flow_engine/items.h"
#include "flow_engine/pattern.h"

namespace sluice {

struct RuleTable;

// All of a pattern, or of actions, that a rule's compilation looks at, as bytes. Two rules of which both
// agree are of one table, take their values from the same places, and are refused or not by their values
// alone.
class RuleSignature {
 public:
  // False: the rule has parts whose values decide about its compilation; it must be compiled. So must one
  // with neither pattern nor actions.
  bool read(const rte_flow_attr& attr, const rte_flow_item* pattern);
  bool read(const rte_flow_action* actions);

  // Whether reading these would give this signature; without reading them, for which this must not be empty.
  bool is_of(const rte_flow_attr& attr, const rte_flow_item* pattern) const;
  bool is_of(const rte_flow_action* actions) const;

  // The same where the arrays are those that were read, pointers and all: what these lead to is compared.
  bool is_still_of(const rte_flow_attr& attr, const rte_flow_item* pattern) const;
  bool is_still_of(const rte_flow_action* actions) const;

  bool equals(const RuleSignature& other) const {
    return bytes_ == other.bytes_ && std::memcmp(byte_, other.byte_, bytes_) == 0;
  }
  void copy(const RuleSignature& other) {
    bytes_ = other.bytes_;
    std::memcpy(byte_, other.byte_, bytes_);
    words_ = other.words_;
    blocks_ = other.blocks_;
    rest_ = other.rest_;
  }

 private:
  static constexpr size_t kMostBytes = 384;

  struct Head;
  // Where a mask's bytes are, or those of a configuration, or the port of a UDP item.
  struct Part {
    uint8_t place;  // of the item or action
    uint8_t bytes;
    uint16_t at;
  };
  template <size_t kMost>
  struct Parts {
    uint32_t count = 0;
    Part part[kMost];

    bool add(const Part& added) {
      if (count == kMost) return false;
      part[count++] = added;
      return true;
    }
    const Part* begin() const { return part; }
    const Part* end() const { return part + count; }
  };

  // What follows next, of the item or action of this place.
  void add_part(std::ptrdiff_t place, uint8_t bytes);
  void clear() {
    bytes_ = 0;
    words_.count = blocks_.count = rest_.count = 0;
  }

  // False: there is no room.
  bool add(const void* data, size_t bytes) {
    if (bytes > kMostBytes - bytes_) return false;
    if (bytes != 0) std::memcpy(byte_ + bytes_, data, bytes);
    bytes_ += bytes;
    return true;
  }

  size_t bytes_ = 0;
  // Mostly masks are of eight bytes or of twenty.
  Parts<6> words_, blocks_;
  Parts<64> rest_;
  uint8_t byte_[kMostBytes];
};

// An array of items or of actions as it was handed in, pointers and all: mostly the client builds the next
// rule in the same place.
template <typename Entry>
class SeenList {
 public:
  bool is(const Entry* list) const {
    if (count_ == 0) return false;
    const Entry* seen = entry_;
    const Entry* const end = entry_ + count_;
    do {  // an entry at a time: the first that differs may be the last of the list
      __m128i same = compared(seen, list, 0);
      if constexpr (sizeof(Entry) == 2 * sizeof same)
        same = _mm_and_si128(same, compared(seen, list, sizeof same));
      if (_mm_movemask_epi8(same) != 0xffff) return false;
      ++list;
    } while (++seen != end);
    return true;
  }
  void see(const Entry* list) {
    count_ = 0;
    for (size_t i = 0; i < kMost; ++i) {
      std::memcpy(&entry_[i], &list[i], sizeof(Entry));
      if (type_of(list[i]) != 0) continue;
      count_ = i + 1;
      return;
    }
  }
  // An array of the same kind was in another place. It is not looked at each time, for it may always be.
  void meet(const Entry* list) {
    if ((++unseen_ & 15) == 0) see(list);
  }
  void forget() { count_ = 0; }

 private:
  static constexpr size_t kMost = 12;  // longer ones are read each time
  static_assert(sizeof(Entry) == sizeof(__m128i) || sizeof(Entry) == 2 * sizeof(__m128i));
  static_assert(RTE_FLOW_ITEM_TYPE_END == 0 && RTE_FLOW_ACTION_TYPE_END == 0);

  static __m128i compared(const Entry* seen, const Entry* given, size_t at) {
    const auto* one = reinterpret_cast<const uint8_t*>(seen) + at;
    const auto* other = reinterpret_cast<const uint8_t*>(given) + at;
    return _mm_cmpeq_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(one)),
                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(other)));
  }

  size_t count_ = 0;
  uint8_t unseen_ = 0;
  alignas(16) Entry entry_[kMost];
};

// Where a rule names a port or a queue.
TargetPlaces places_of_targets(const rte_flow_item* pattern, const rte_flow_action* actions);

class ShapeMemo {
 public:
  struct Known {
    RuleSignature pattern, actions;
    PatternSources sources;
    TargetPlaces targets;
    RuleTable* table = nullptr;
    SeenList<rte_flow_item> seen_pattern;
    SeenList<rte_flow_action> seen_actions;

    bool is_of(const rte_flow_attr& attr, const rte_flow_item* its_pattern) {
      if (table == nullptr || its_pattern == nullptr) return false;
      if (seen_pattern.is(its_pattern)) return pattern.is_still_of(attr, its_pattern);
      if (!pattern.is_of(attr, its_pattern)) return false;
      seen_pattern.meet(its_pattern);
      return true;
    }
    bool has(const rte_flow_action* its_actions) {
      if (its_actions == nullptr) return false;
      if (seen_actions.is(its_actions)) return actions.is_still_of(its_actions);
      if (!actions.is_of(its_actions)) return false;
      seen_actions.meet(its_actions);
      return true;
    }
  };

  // One of this pattern, whatever its actions.
  Known* find(const rte_flow_attr& attr, const rte_flow_item* pattern) {
    if (known_[last_].is_of(attr, pattern)) return &known_[last_];
    for (size_t i = 0; i < kKept; ++i) {
      if (i == last_ || !known_[i].is_of(attr, pattern)) continue;
      last_ = i;
      return &known_[i];
    }
    return nullptr;
  }
  // `likely` is what find() gave for the pattern.
  const Known* find(Known* likely, const rte_flow_action* actions) {
    if (likely->has(actions)) return likely;
    for (size_t i = 0; i < kKept; ++i) {
      Known& known = known_[i];
      if (known.table == nullptr || !known.pattern.equals(likely->pattern) || !known.has(actions))
        continue;
      last_ = i;
      return &known;
    }
    return nullptr;
  }
  void keep(const RuleSignature& pattern, const RuleSignature& actions, const PatternSources& sources,
            const TargetPlaces& targets, RuleTable* table) {
    last_ = next_++ % kKept;
    Known& known = known_[last_];
    known.pattern.copy(pattern);
    known.actions.copy(actions);
    known.sources = sources;
    known.targets = targets;
    known.seen_pattern.forget();
    known.seen_actions.forget();
    known.table = table;
  }
  // The table is no more.
  void forget(const RuleTable* table) {
    for (Known& known : known_) {
      if (known.table == table) known.table = nullptr;
    }
  }

 private:
  // The two directions of a flow, with some to spare.
  static constexpr size_t kKept = 4;

  Known known_[kKept];
  size_t next_ = 0;
  size_t last_ = 0;  // what was found last is looked for first
};

}  // namespace sluice
