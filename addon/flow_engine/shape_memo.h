// What rules created lately were compiled to. Whoever creates rules one by one mostly creates the same kind
// again and again, in which only the values differ: then neither pattern nor actions have to be looked
// through.
#pragma once

#include <rte_flow.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

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

  bool equals(const RuleSignature& other) const {
    return bytes_ == other.bytes_ && std::memcmp(byte_, other.byte_, bytes_) == 0;
  }
  void copy(const RuleSignature& other) {
    bytes_ = other.bytes_;
    std::memcpy(byte_, other.byte_, bytes_);
  }

 private:
  static constexpr size_t kMostBytes = 384;

  // What is looked at of an item. False: of its type nothing is known here, or there is no room.
  bool add_mask(int type, const void* mask);
  template <typename T>
  bool add(const T* value) {
    if (sizeof(T) > kMostBytes - bytes_) return false;
    std::memcpy(byte_ + bytes_, value, sizeof(T));
    bytes_ += sizeof(T);
    return true;
  }

  size_t bytes_ = 0;
  uint8_t byte_[kMostBytes];
};

class ShapeMemo {
 public:
  struct Known {
    RuleSignature pattern, actions;
    PatternSources sources;
    RuleTable* table = nullptr;

    bool is_of(const rte_flow_attr& attr, const rte_flow_item* its_pattern) const {
      return table != nullptr && pattern.is_of(attr, its_pattern);
    }
  };

  // One of this pattern, whatever its actions.
  const Known* find(const rte_flow_attr& attr, const rte_flow_item* pattern) {
    if (known_[last_].is_of(attr, pattern)) return &known_[last_];
    for (size_t i = 0; i < kKept; ++i) {
      if (i == last_ || !known_[i].is_of(attr, pattern)) continue;
      last_ = i;
      return &known_[i];
    }
    return nullptr;
  }
  // `likely` is what find() gave for the pattern.
  const Known* find(const Known* likely, const rte_flow_action* actions) {
    if (likely->actions.is_of(actions)) return likely;
    for (size_t i = 0; i < kKept; ++i) {
      const Known& known = known_[i];
      if (known.table == nullptr || !known.pattern.equals(likely->pattern) || !known.actions.is_of(actions))
        continue;
      last_ = i;
      return &known;
    }
    return nullptr;
  }
  void keep(const RuleSignature& pattern, const RuleSignature& actions, const PatternSources& sources,
            RuleTable* table) {
    last_ = next_++ % kKept;
    Known& known = known_[last_];
    known.pattern.copy(pattern);
    known.actions.copy(actions);
    known.sources = sources;
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
