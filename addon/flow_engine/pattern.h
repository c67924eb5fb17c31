// From rte_flow pattern items to what the classifier compares: presence of headers (one bit each), masked
// header bytes gathered as 64-bit words, and ranges.
#pragma once

#include <rte_flow.h>

#include <cstdint>
#include <cstring>

#include "flow_engine/items.h"
#include "flow_engine/packet_view.h"
#include "packet/wire.h"

namespace sluice {

struct EngineOptions;

inline constexpr size_t kMaxKeyWords = 24;
inline constexpr size_t kMaxRanges = 8;
inline constexpr size_t kMaxRangeBytes = 16;
inline constexpr size_t kMaxItems = 32;

struct KeyWord {
  uint64_t mask;  // as it stands in memory
  Slot slot;
  int8_t offset;  // of the eight bytes, from the slot's start; negative only for VLAN, before which lies
                  // Ethernet

  uint64_t value_in(const PacketView& view) const {
    uint64_t value;
    std::memcpy(&value, view.base[static_cast<size_t>(slot)] + offset, sizeof value);
    return value & mask;
  }
};

// Fields compare as numbers of up to 128 bits, in host order.
using RangeValue = unsigned __int128;
static_assert(sizeof(RangeValue) == kMaxRangeBytes);

struct RangeField {
  Slot slot;
  uint8_t offset;
  uint8_t length;
  uint8_t mask[kMaxRangeBytes];  // in wire order, from the field's start

  RangeValue value_of(const uint8_t* field) const {
    RangeValue value = 0;
    for (uint8_t at = 0; at < length; ++at) value = value << 8 | (field[at] & mask[at]);
    return value;
  }
};

// What a pattern's rules have in common. Two patterns of the same shape share one table.
struct PatternShape {
  uint32_t required_mask = 0;  // over presence bits
  uint32_t required_value = 0;
  uint8_t words = 0;
  uint8_t ranges = 0;
  bool matches_integrity = false;
  KeyWord word[kMaxKeyWords];
  RangeField range[kMaxRanges];

  bool equals(const PatternShape& other) const;
  uint64_t hash() const;
};

// Where in the items the words' values come from.
struct PatternSources {
  struct Word {
    uint8_t item;
    uint8_t offset;  // in spec
    uint8_t shift;   // bits
    bool is_short;   // specs of four bytes: META, MARK, VLAN, ICMP6
    uint16_t spec;   // where the item's pointer to it stands in the list, in bytes
    uint64_t mask;   // the shape's
  };
  struct Meta {
    uint8_t item;
    uint8_t kind;  // rte_flow item it came from, see pattern.cc
    uint8_t shift;
  };
  Word word[kMaxKeyWords];  // the last is of `meta` where there is any
  uint8_t long_words = 0;   // the first so many are not short, and none of `meta`
  bool ends_with_port = false;  // REPRESENTED_PORT is all there is in `meta`
  bool is_plain = false;        // these are all
  uint8_t range_item[kMaxRanges];
  Meta meta[8];
  int type[kMaxItems];  // to tell a row whose items differ from the template's; as the items have them
  uint8_t metas = 0;
  uint8_t items = 0;  // without END
};

// Which headers the pattern names, for actions that need them.
struct PatternContent {
  bool eth = false, vlan = false, ipv4 = false, ipv6 = false, tcp = false, udp = false, icmp = false,
       vxlan = false;

  // What an actions template may count on before it meets a pattern.
  static PatternContent any() { return {true, true, true, true, true, true, true, true}; }
};

struct CompiledPattern {
  PatternShape shape;
  PatternSources sources;
  PatternContent content;
};

enum class PatternMode : uint8_t {
  kRule,      // spec, last and mask of one rule: a mask or last without spec is an error
  kTemplate,  // masks only; the specs come with each row
};

// 0, or -errno with `error` filled.
int compile_pattern(const rte_flow_attr& attr, const rte_flow_item* pattern, PatternMode mode,
                    const EngineOptions& options, CompiledPattern* out, rte_flow_error* error);

// Values of a rule: `words` gets shape.words masked words, `low` and `high` shape.ranges blocks of
// kMaxRangeBytes, each a RangeValue.
int gather_values(const PatternShape& shape, const PatternSources& sources, const rte_flow_item* pattern,
                  uint64_t* words, uint8_t* low, uint8_t* high, rte_flow_error* error);

// 0, or -EINVAL with `error` filled: a row's items must be of the types that the sources were made from.
int check_types(const PatternSources& sources, const rte_flow_item* pattern, rte_flow_error* error);
// gather_values() without check_types().
int gather_typed_values(const PatternShape& shape, const PatternSources& sources,
                        const rte_flow_item* pattern, uint64_t* words, uint8_t* low, uint8_t* high,
                        rte_flow_error* error);
// Only the words, of a pattern whose items are known to be of the sources' types.
int gather_any_words(const PatternShape& shape, const PatternSources& sources, const rte_flow_item* pattern,
                     uint64_t* words, rte_flow_error* error);
// The same, of most patterns without looking at the kind of each word. Part of whoever calls it: what a call
// takes is a third of it.
__attribute__((always_inline)) inline int gather_words(const PatternShape& shape,
                                                       const PatternSources& sources,
                                                       const rte_flow_item* pattern, uint64_t* words,
                                                       rte_flow_error* error) {
  const auto* list = reinterpret_cast<const uint8_t*>(pattern);
  const auto any = [&] { return gather_any_words(shape, sources, pattern, words, error); };
  if (__builtin_expect(!sources.is_plain, 0)) return any();
  const PatternSources::Word* word = sources.word;
  uint64_t* out = words;
  for (const PatternSources::Word* const end = word + sources.long_words; word != end; ++word) {
    const auto* spec = load_raw<const uint8_t*>(list + word->spec);
    if (__builtin_expect(spec == nullptr, 0)) return any();
    *out++ = load_raw<uint64_t>(spec + word->offset) & word->mask;
  }
  if (!sources.ends_with_port) return 0;
  const auto* port = load_raw<const rte_flow_item_ethdev*>(list + word->spec);
  if (__builtin_expect(port == nullptr, 0)) return any();
  *out = uint64_t{port->port_id} << word->shift & word->mask;
  return 0;
}

}  // namespace sluice
