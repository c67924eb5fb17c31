#include "flow_engine/shape_memo.h"

#include "flow_engine/items.h"

namespace sluice {
namespace {

// The tunnel's UDP port is a value, and another one than the device's is refused.
bool asks_port(const rte_flow_item& vxlan, const rte_flow_item* before) {
  return type_of(vxlan) == RTE_FLOW_ITEM_TYPE_VXLAN && before != nullptr &&
         type_of(*before) == RTE_FLOW_ITEM_TYPE_UDP && before->spec != nullptr;
}
uint16_t asked_port(const rte_flow_item& udp) {
  const auto* mask = static_cast<const rte_flow_item_udp*>(udp.mask);
  const uint16_t port = static_cast<const rte_flow_item_udp*>(udp.spec)->hdr.dst_port;
  return mask == nullptr ? port : port & mask->hdr.dst_port;
}

// Bytes of a mask that are looked at; 0: of its type nothing is known here.
uint8_t mask_bytes(int type) {
  switch (type) {
    case RTE_FLOW_ITEM_TYPE_ETH: return sizeof(rte_flow_item_eth);
    case RTE_FLOW_ITEM_TYPE_VLAN: return sizeof(rte_flow_item_vlan);
    case RTE_FLOW_ITEM_TYPE_IPV4: return sizeof(rte_flow_item_ipv4);
    case RTE_FLOW_ITEM_TYPE_IPV6: return sizeof(rte_flow_item_ipv6);
    case RTE_FLOW_ITEM_TYPE_UDP: return sizeof(rte_flow_item_udp);
    case RTE_FLOW_ITEM_TYPE_TCP: return sizeof(rte_flow_item_tcp);
    case RTE_FLOW_ITEM_TYPE_ICMP: return sizeof(rte_flow_item_icmp);
    case RTE_FLOW_ITEM_TYPE_VXLAN: return sizeof(rte_flow_item_vxlan);
    case RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT: return sizeof(rte_flow_item_ethdev);
    default: return 0;
  }
}

uint8_t pointers_of(const rte_flow_item& item) {
  return static_cast<uint8_t>((item.spec != nullptr) | (item.mask != nullptr) << 1 |
                              (item.last != nullptr) << 2);
}
constexpr int kMostPlaces = 32;  // of TargetPlaces
constexpr uint8_t kHasMask = 2, kHasLast = 4;

uint64_t word_at(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// Eight bytes at once, the last eight of them whatever was compared of them before: to call memcmp() takes as
// long as to compare a mask.
inline bool is_same(const uint8_t* known, const void* data, size_t bytes) {
  const auto* other = static_cast<const uint8_t*>(data);
  if (__builtin_expect(bytes < sizeof(uint64_t), 0)) return std::memcmp(known, other, bytes) == 0;
  const size_t last = bytes - sizeof(uint64_t);
  uint64_t difference = word_at(known + last) ^ word_at(other + last);
  for (size_t i = 0; i < last; i += sizeof(uint64_t)) difference |= word_at(known + i) ^ word_at(other + i);
  return difference == 0;
}

constexpr size_t kWord = sizeof(uint64_t), kBlock = sizeof(__m128i);

// Of 16 to 32 bytes.
inline bool is_same_block(const uint8_t* known, const void* data, size_t bytes) {
  const auto* other = static_cast<const uint8_t*>(data);
  const auto sixteen = [](const uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  };
  const size_t last = bytes - kBlock;
  const __m128i same = _mm_and_si128(_mm_cmpeq_epi8(sixteen(known), sixteen(other)),
                                     _mm_cmpeq_epi8(sixteen(known + last), sixteen(other + last)));
  return _mm_movemask_epi8(same) == 0xffff;
}

// Of a port: no mask and no configuration is so short.
constexpr uint8_t kPortBytes = 1;
static_assert(sizeof(rte_flow_item_ethdev) > kPortBytes);

// What of MODIFY_FIELD is not a value.
struct ModifyParts {
  uint32_t part[6];

  explicit ModifyParts(const rte_flow_action_modify_field& modify)
      : part{static_cast<uint32_t>(modify.operation),
             modify.width,
             static_cast<uint32_t>(modify.dst.field),
             modify.dst.level,
             modify.dst.offset,
             static_cast<uint32_t>(modify.src.field)} {}
};

}  // namespace

// What the signature begins each item and each action with.
struct RuleSignature::Head {
  int32_t type;
  uint8_t pointers;  // which of them are not null
  uint8_t bytes;     // of its mask, or of what counts of its configuration, that follow
  uint8_t port_of;   // items back to the one whose UDP port follows; 0: none does
  uint8_t unused;
};

// Compared in order, and what follows a head depends on nothing but it: at the first difference this stops,
// and until then it is inside the signature.
bool RuleSignature::is_of(const rte_flow_attr& attr, const rte_flow_item* pattern) const {
  if (pattern == nullptr || !is_same(byte_, &attr, sizeof attr)) return false;
  const uint8_t* at = byte_ + sizeof attr;
  for (const rte_flow_item* item = pattern;; ++item) {
    Head known;
    std::memcpy(&known, at, sizeof known);
    at += sizeof known;
    if (type_of(*item) != known.type) return false;
    if (known.type == RTE_FLOW_ITEM_TYPE_END) return true;
    if (pointers_of(*item) != known.pointers) return false;
    if (known.bytes != 0 && !is_same(at, item->mask, known.bytes)) return false;
    at += known.bytes;
    if (known.port_of == 0) continue;
    const uint16_t port = asked_port(*(item - known.port_of));
    if (std::memcmp(at, &port, sizeof port) != 0) return false;
    at += sizeof port;
  }
}

bool RuleSignature::is_of(const rte_flow_action* actions) const {
  if (actions == nullptr) return false;
  const uint8_t* at = byte_;
  for (const rte_flow_action* action = actions;; ++action) {
    Head known;
    std::memcpy(&known, at, sizeof known);
    at += sizeof known;
    if (type_of(*action) != known.type) return false;
    if (known.type == RTE_FLOW_ACTION_TYPE_END) return true;
    if (static_cast<uint8_t>(action->conf != nullptr) != known.pointers) return false;
    if (known.bytes == 0) continue;
    const ModifyParts parts(*static_cast<const rte_flow_action_modify_field*>(action->conf));
    if (!is_same(at, &parts, sizeof parts)) return false;
    at += sizeof parts;
  }
}

bool RuleSignature::is_still_of(const rte_flow_attr& attr, const rte_flow_item* pattern) const {
  if (!is_same(byte_, &attr, sizeof attr)) return false;
  for (const Part& part : blocks_) {
    if (!is_same_block(byte_ + part.at, pattern[part.place].mask, part.bytes)) return false;
  }
  for (const Part& part : words_) {
    const auto* mask = static_cast<const uint8_t*>(pattern[part.place].mask);
    if (word_at(byte_ + part.at) != word_at(mask)) return false;
  }
  for (const Part& part : rest_) {
    const rte_flow_item& item = pattern[part.place];
    if (part.bytes == kPortBytes) {
      const uint16_t port = asked_port(item);
      if (std::memcmp(byte_ + part.at, &port, sizeof port) != 0) return false;
    } else if (!is_same(byte_ + part.at, item.mask, part.bytes)) {
      return false;
    }
  }
  return true;
}

bool RuleSignature::is_still_of(const rte_flow_action* actions) const {
  for (const Part& part : rest_) {
    const ModifyParts parts(*static_cast<const rte_flow_action_modify_field*>(actions[part.place].conf));
    if (!is_same(byte_ + part.at, &parts, sizeof parts)) return false;
  }
  return true;
}

// There is room for all: of each place there is a mask and a port at most.
void RuleSignature::add_part(std::ptrdiff_t place, uint8_t bytes) {
  const Part part = {static_cast<uint8_t>(place), bytes, static_cast<uint16_t>(bytes_)};
  if (bytes == kWord && words_.add(part)) return;
  if (bytes >= kBlock && bytes <= 2 * kBlock && blocks_.add(part)) return;
  rest_.add(part);
}

bool RuleSignature::read(const rte_flow_attr& attr, const rte_flow_item* pattern) {
  clear();
  if (pattern == nullptr || !add(&attr, sizeof attr)) return false;
  const rte_flow_item* before = nullptr;
  for (const rte_flow_item* item = pattern;; ++item) {
    Head head = {type_of(*item), 0, 0, 0, 0};
    if (head.type == RTE_FLOW_ITEM_TYPE_END) return add(&head, sizeof head);
    if (item - pattern >= kMostPlaces) return false;
    head.pointers = pointers_of(*item);
    // Ranges are fields whose values differ, which the values tell.
    if ((head.pointers & kHasLast) != 0) return false;
    const bool is_void = head.type == RTE_FLOW_ITEM_TYPE_VOID;
    if (!is_void && (head.pointers & kHasMask) != 0) {
      head.bytes = mask_bytes(head.type);
      if (head.bytes == 0) return false;
    }
    if (asks_port(*item, before)) head.port_of = static_cast<uint8_t>(item - before);
    if (!add(&head, sizeof head)) return false;
    if (head.bytes != 0) add_part(item - pattern, head.bytes);
    if (!add(item->mask, head.bytes)) return false;
    if (head.port_of != 0) {
      const uint16_t port = asked_port(*before);
      add_part(before - pattern, kPortBytes);
      if (!add(&port, sizeof port)) return false;
    }
    if (!is_void) before = item;
  }
}

bool RuleSignature::read(const rte_flow_action* actions) {
  clear();
  if (actions == nullptr) return false;
  for (const rte_flow_action* action = actions;; ++action) {
    Head head = {type_of(*action), 0, 0, 0, 0};
    if (head.type == RTE_FLOW_ACTION_TYPE_END) return add(&head, sizeof head);
    if (action - actions >= kMostPlaces) return false;
    head.pointers = action->conf != nullptr;
    switch (head.type) {
      case RTE_FLOW_ACTION_TYPE_VOID:
      case RTE_FLOW_ACTION_TYPE_COUNT:
      case RTE_FLOW_ACTION_TYPE_AGE:
      case RTE_FLOW_ACTION_TYPE_MARK:
      case RTE_FLOW_ACTION_TYPE_FLAG:
      case RTE_FLOW_ACTION_TYPE_JUMP:
      case RTE_FLOW_ACTION_TYPE_QUEUE:
      case RTE_FLOW_ACTION_TYPE_DROP:
      case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
      case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
      case RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP:
      case RTE_FLOW_ACTION_TYPE_VXLAN_DECAP:
      case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_MAC_DST:
      case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST:
      case RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_IPV6_DST:
      case RTE_FLOW_ACTION_TYPE_SET_TP_SRC:
      case RTE_FLOW_ACTION_TYPE_SET_TP_DST:
      case RTE_FLOW_ACTION_TYPE_SET_TTL:
      case RTE_FLOW_ACTION_TYPE_DEC_TTL:
        if (!add(&head, sizeof head)) return false;
        break;
      case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD: {
        if (action->conf == nullptr) return false;
        const ModifyParts parts(*static_cast<const rte_flow_action_modify_field*>(action->conf));
        head.bytes = sizeof parts;
        if (!add(&head, sizeof head)) return false;
        rest_.add({static_cast<uint8_t>(action - actions), sizeof parts, static_cast<uint16_t>(bytes_)});
        if (!add(&parts, sizeof parts)) return false;
        break;
      }
      default: return false;
    }
  }
}

TargetPlaces places_of_targets(const rte_flow_item* pattern, const rte_flow_action* actions) {
  TargetPlaces places = {0, 0};
  for (int i = 0; i < kMostPlaces && type_of(pattern[i]) != RTE_FLOW_ITEM_TYPE_END; ++i) {
    if (type_of(pattern[i]) == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT) places.items |= 1u << i;
  }
  for (int i = 0; i < kMostPlaces && type_of(actions[i]) != RTE_FLOW_ACTION_TYPE_END; ++i) {
    if (names_target(type_of(actions[i]))) places.actions |= 1u << i;
  }
  return places;
}

}  // namespace sluice
