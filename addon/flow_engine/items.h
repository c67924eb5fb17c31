// What the engine knows of each pattern item, as data: where its header lies, which bytes can be matched, its
// default mask and its fields (for ranges).
#pragma once

#include <rte_flow.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice {

// Where a header of the packet is found. A pattern names each at most once.
enum class Slot : uint8_t {
  kOuterEth,
  kOuterVlan,
  kOuterVlan2,
  kOuterL3,
  kOuterL4,
  kVxlan,
  kInnerEth,
  kInnerVlan,
  kInnerVlan2,
  kInnerL3,
  kInnerL4,
  kMeta,       // what is known of a packet beside its bytes
  kRegisters,  // what rules have set: META, MARK, TAG
};
inline constexpr size_t kSlots = 13;

struct ItemField {
  uint8_t offset;
  uint8_t length;
};

inline constexpr size_t kMaxHeaderBytes = 40;

struct ItemDescription {
  rte_flow_item_type type;
  const char* name;
  uint8_t header_bytes;  // of the wire header at the start of spec; 0 for items that are not headers
  uint8_t default_mask[kMaxHeaderBytes];
  const ItemField* fields;
  uint8_t field_count;
};

// Drivers' private types are negative, which rte_flow's enums do not cover: read as numbers, they are no
// undefined behaviour.
inline int type_of(const rte_flow_item& item) {
  int type;
  std::memcpy(&type, &item.type, sizeof type);
  return type;
}
// Actions that name a port or a queue, which only the engine's user knows.
inline bool names_target(int action_type) {
  constexpr uint64_t kTargets = 1ull << RTE_FLOW_ACTION_TYPE_QUEUE | 1ull << RTE_FLOW_ACTION_TYPE_RSS |
                                1ull << RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR |
                                1ull << RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT;
  static_assert(RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR < 64 && RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT < 64);
  return static_cast<uint32_t>(action_type) < 64 && (kTargets >> action_type & 1) != 0;
}
inline int type_of(const rte_flow_action& action) {
  int type;
  std::memcpy(&type, &action.type, sizeof type);
  return type;
}

// The first of a list's items or actions that is not of the type expected in its place; null: all are. None
// behind it is read, for a shorter list ends there. Four at a time, then two: each is a load, a comparison
// and a jump then.
template <typename Entry>
inline const Entry* first_other(const Entry* list, const int* types, uint8_t count) {
  for (const int* const fours = types + (count & ~3); types != fours; list += 4, types += 4) {
    if (type_of(list[0]) != types[0]) return list;
    if (type_of(list[1]) != types[1]) return list + 1;
    if (type_of(list[2]) != types[2]) return list + 2;
    if (type_of(list[3]) != types[3]) return list + 3;
  }
  if ((count & 2) != 0) {
    if (type_of(list[0]) != types[0]) return list;
    if (type_of(list[1]) != types[1]) return list + 1;
    list += 2;
    types += 2;
  }
  return (count & 1) == 0 || type_of(*list) == *types ? nullptr : list;
}

// Null for an item that the engine does not know.
const ItemDescription* describe_item(int type);
// Also for items that are not supported: rte_flow's own name where it is known.
const char* item_name(int type);
const char* action_name(int type);

}  // namespace sluice
