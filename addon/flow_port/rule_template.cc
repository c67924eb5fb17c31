#include "flow_port/rule_template.h"

#include <algorithm>
#include <cstring>

#include "flow_engine/flow_engine.h"
#include "packet/wire.h"
#include "slow_path/native_fault.h"

namespace sluice {
namespace {

constexpr uint32_t kMaxAgeSeconds = 0xffffff;  // AGE's timeout has 24 bits
constexpr size_t kModifyFieldBytes = 24;
constexpr size_t kVxlanEncapBytes = kEthernetBytes + kIpv4Bytes + kUdpBytes + kVxlanBytes;

[[noreturn]] void refuse(const std::string& what, size_t index) {
  NativeFault fault("TEMPLATE", what, EINVAL);
  fault.cause_index = static_cast<int>(index);
  throw fault;
}

struct ItemLayout {
  rte_flow_item_type type;
  uint32_t
      wire_bytes;  // of spec, mask and last as the compiler writes them; they begin the rte_flow structure
  size_t size;
};

ItemLayout layout_of(ItemType type, size_t index) {
  switch (type) {
    case ItemType::kEnd: return {RTE_FLOW_ITEM_TYPE_END, 0, 0};
    case ItemType::kVoid: return {RTE_FLOW_ITEM_TYPE_VOID, 0, 0};
    case ItemType::kRepresentedPort:
      return {RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, 2, sizeof(rte_flow_item_ethdev)};
    case ItemType::kEth: return {RTE_FLOW_ITEM_TYPE_ETH, 14, sizeof(rte_flow_item_eth)};
    case ItemType::kVlan: return {RTE_FLOW_ITEM_TYPE_VLAN, 4, sizeof(rte_flow_item_vlan)};
    case ItemType::kIpv4: return {RTE_FLOW_ITEM_TYPE_IPV4, 20, sizeof(rte_flow_item_ipv4)};
    case ItemType::kIpv6: return {RTE_FLOW_ITEM_TYPE_IPV6, 40, sizeof(rte_flow_item_ipv6)};
    case ItemType::kUdp: return {RTE_FLOW_ITEM_TYPE_UDP, 8, sizeof(rte_flow_item_udp)};
    case ItemType::kTcp: return {RTE_FLOW_ITEM_TYPE_TCP, 20, sizeof(rte_flow_item_tcp)};
    case ItemType::kIcmp: return {RTE_FLOW_ITEM_TYPE_ICMP, 8, sizeof(rte_flow_item_icmp)};
    case ItemType::kVxlan: return {RTE_FLOW_ITEM_TYPE_VXLAN, 8, sizeof(rte_flow_item_vxlan)};
    case ItemType::kIntegrity: return {RTE_FLOW_ITEM_TYPE_INTEGRITY, 2, sizeof(rte_flow_item_integrity)};
    case ItemType::kTag: return {RTE_FLOW_ITEM_TYPE_TAG, 5, sizeof(rte_flow_item_tag)};
  }
  refuse("unknown item type " + std::to_string(static_cast<int>(type)), index);
}

struct ActionLayout {
  int type;
  int bytes;  // −1: any length
};

ActionLayout layout_of(ActionType type, size_t index) {
  switch (type) {
    case ActionType::kEnd: return {RTE_FLOW_ACTION_TYPE_END, 0};
    case ActionType::kVoid: return {RTE_FLOW_ACTION_TYPE_VOID, 0};
    case ActionType::kCount: return {RTE_FLOW_ACTION_TYPE_COUNT, 0};
    case ActionType::kAge: return {RTE_FLOW_ACTION_TYPE_AGE, 4};
    case ActionType::kJump: return {RTE_FLOW_ACTION_TYPE_JUMP, 4};
    case ActionType::kMark: return {RTE_FLOW_ACTION_TYPE_MARK, 4};
    case ActionType::kQueue: return {RTE_FLOW_ACTION_TYPE_QUEUE, 2};
    case ActionType::kDrop: return {RTE_FLOW_ACTION_TYPE_DROP, 0};
    case ActionType::kPortRepresentor: return {RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, 2};
    case ActionType::kRepresentedPort: return {RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, 2};
    case ActionType::kVxlanEncap: return {RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP, kVxlanEncapBytes};
    case ActionType::kVxlanDecap: return {RTE_FLOW_ACTION_TYPE_VXLAN_DECAP, 0};
    case ActionType::kSetMacSource: return {RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, 6};
    case ActionType::kSetMacDestination: return {RTE_FLOW_ACTION_TYPE_SET_MAC_DST, 6};
    case ActionType::kSetIpv4Source: return {RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, 4};
    case ActionType::kSetIpv4Destination: return {RTE_FLOW_ACTION_TYPE_SET_IPV4_DST, 4};
    case ActionType::kSetTpSource: return {RTE_FLOW_ACTION_TYPE_SET_TP_SRC, 2};
    case ActionType::kSetTpDestination: return {RTE_FLOW_ACTION_TYPE_SET_TP_DST, 2};
    case ActionType::kDecTtl: return {RTE_FLOW_ACTION_TYPE_DEC_TTL, 0};
    case ActionType::kSetTtl: return {RTE_FLOW_ACTION_TYPE_SET_TTL, 1};
    case ActionType::kModifyField: return {RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, kModifyFieldBytes};
    case ActionType::kSetIcmpIdent: return {kActionSetIcmpIdent, 2};
    case ActionType::kRawEncap: return {RTE_FLOW_ACTION_TYPE_RAW_ENCAP, -1};
    case ActionType::kRawDecap: return {RTE_FLOW_ACTION_TYPE_RAW_DECAP, -1};
    case ActionType::kOfPushVlan: return {RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, 2};
    case ActionType::kOfSetVlanVid: return {RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, 2};
    case ActionType::kOfPopVlan: return {RTE_FLOW_ACTION_TYPE_OF_POP_VLAN, 0};
    case ActionType::kSetTag: return {RTE_FLOW_ACTION_TYPE_SET_TAG, 9};
  }
  refuse("unknown action type " + std::to_string(static_cast<int>(type)), index);
}

uint16_t port_id_of(const uint8_t* bytes, const std::vector<uint16_t>& port_ids, size_t index) {
  const uint16_t port = load_raw<uint16_t>(bytes);
  if (port >= port_ids.size()) refuse("no gateway port " + std::to_string(port), index);
  return port_ids[port];
}

void fill_integrity(rte_flow_item_integrity* out, const uint8_t* bytes, bool is_mask) {
  if (!is_mask) out->level = bytes[0];
  out->l3_ok = bytes[1] & 1;
  out->ipv4_csum_ok = bytes[1] >> 1 & 1;
}

// FlowArguments' fields and their kinds, to catch a patch that straddles two of them.
bool is_mac_argument(uint32_t offset) {
  return offset == offsetof(FlowArguments, outer_destination_mac) ||
         offset == offsetof(FlowArguments, inner_destination_mac);
}

}  // namespace

uint8_t* RuleTemplate::allocate(size_t bytes) {
  memory_.push_back(std::make_unique<uint64_t[]>((bytes + 7) / 8 + 1));
  return reinterpret_cast<uint8_t*>(memory_.back().get());
}

template <typename T>
T* RuleTemplate::make() {
  static_assert(alignof(T) <= alignof(uint64_t));
  return new (allocate(sizeof(T))) T{};
}

RuleTemplate::RuleTemplate(const TemplateSource& source, const std::vector<uint16_t>& port_ids) {
  attr_.group = source.group;
  attr_.priority = source.priority;
  if (source.transfer) {
    attr_.transfer = 1;
  } else {
    attr_.ingress = 1;
  }
  for (size_t i = 0; i < source.items.size(); i++) add_item(source.items[i], port_ids, i);
  items_.push_back({RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr});
  for (size_t i = 0; i < source.actions.size(); i++) add_action(source.actions[i], port_ids, i);
  actions_.push_back({RTE_FLOW_ACTION_TYPE_END, nullptr});
  for (const TemplateSource::Patch& patch : source.patches) add_patch(patch);
  sort_places();
  make_masks(source);
}

void RuleTemplate::add_item(const TemplateSource::Item& item, const std::vector<uint16_t>& port_ids,
                            size_t index) {
  const ItemLayout layout = layout_of(item.type, index);
  rte_flow_item out = {};
  out.type = layout.type;
  std::vector<Segment> segments;
  const auto convert = [&](const std::optional<TemplateSource::Bytes>& bytes, bool is_mask) -> uint8_t* {
    if (!bytes) return nullptr;
    if (bytes->size() != layout.wire_bytes || layout.size == 0) refuse("item has the wrong size", index);
    uint8_t* memory = allocate(layout.size);
    if (item.type == ItemType::kIntegrity) {
      fill_integrity(reinterpret_cast<rte_flow_item_integrity*>(memory), bytes->data(), is_mask);
    } else if (item.type == ItemType::kRepresentedPort && !is_mask) {
      reinterpret_cast<rte_flow_item_ethdev*>(memory)->port_id = port_id_of(bytes->data(), port_ids, index);
    } else {
      std::memcpy(memory, bytes->data(), layout.wire_bytes);
    }
    return memory;
  };
  uint8_t* spec = convert(item.spec, false);
  out.spec = spec;
  out.mask = convert(item.mask, true);
  out.last = convert(item.last, false);
  const bool patchable = item.type != ItemType::kIntegrity && item.type != ItemType::kRepresentedPort;
  if (spec != nullptr && patchable) segments.push_back({0, layout.wire_bytes, spec});
  items_.push_back(out);
  item_segments_.push_back(std::move(segments));
}

void RuleTemplate::add_action(const TemplateSource::Action& action, const std::vector<uint16_t>& port_ids,
                              size_t index) {
  const ActionLayout layout = layout_of(action.type, index);
  const TemplateSource::Bytes& conf = action.conf;
  if (layout.bytes >= 0 && conf.size() != static_cast<size_t>(layout.bytes)) {
    refuse("action has " + std::to_string(conf.size()) + " bytes, not " + std::to_string(layout.bytes),
           index);
  }
  action_segments_.emplace_back();
  const auto plain = [&](size_t size) {  // the structure begins with the bytes as they are
    uint8_t* memory = allocate(size);
    std::memcpy(memory, conf.data(), conf.size());
    action_segments_.back().push_back({0, static_cast<uint32_t>(conf.size()), memory});
    return memory;
  };
  void* out = nullptr;
  switch (action.type) {
    case ActionType::kCount:
      out = make<rte_flow_action_count>();
      counts_ = true;
      break;
    case ActionType::kAge: {
      age_ = make<rte_flow_action_age>();
      age_->timeout = std::min(load_raw<uint32_t>(conf.data()), kMaxAgeSeconds) & kMaxAgeSeconds;
      // timeout is the low 24 bits of the first word; fill() clamps what a patch writes there.
      action_segments_.back().push_back({0, 4, reinterpret_cast<uint8_t*>(age_)});
      out = age_;
      break;
    }
    case ActionType::kJump: out = plain(sizeof(rte_flow_action_jump)); break;
    case ActionType::kMark: out = plain(sizeof(rte_flow_action_mark)); break;
    case ActionType::kQueue: out = plain(sizeof(rte_flow_action_queue)); break;
    case ActionType::kPortRepresentor:
    case ActionType::kRepresentedPort: {
      auto* ethdev = make<rte_flow_action_ethdev>();
      ethdev->port_id = port_id_of(conf.data(), port_ids, index);
      out = ethdev;
      break;
    }
    case ActionType::kVxlanEncap: out = vxlan_encap(conf, index); break;
    case ActionType::kModifyField: out = modify_field(conf, index); break;
    case ActionType::kSetMacSource:
    case ActionType::kSetMacDestination: out = plain(sizeof(rte_flow_action_set_mac)); break;
    case ActionType::kSetIpv4Source:
    case ActionType::kSetIpv4Destination: out = plain(sizeof(rte_flow_action_set_ipv4)); break;
    case ActionType::kSetTpSource:
    case ActionType::kSetTpDestination: out = plain(sizeof(rte_flow_action_set_tp)); break;
    case ActionType::kSetTtl: out = plain(sizeof(rte_flow_action_set_ttl)); break;
    case ActionType::kSetIcmpIdent: out = plain(sizeof(rte_be16_t)); break;
    case ActionType::kOfPushVlan: out = plain(sizeof(rte_flow_action_of_push_vlan)); break;
    case ActionType::kOfSetVlanVid: out = plain(sizeof(rte_flow_action_of_set_vlan_vid)); break;
    case ActionType::kSetTag: out = plain(sizeof(rte_flow_action_set_tag)); break;
    case ActionType::kRawEncap: {
      auto* raw = make<rte_flow_action_raw_encap>();
      raw->data = plain(conf.size());
      raw->size = conf.size();
      out = raw;
      break;
    }
    case ActionType::kRawDecap: {
      auto* raw = make<rte_flow_action_raw_decap>();
      raw->data = plain(conf.size());
      raw->size = conf.size();
      out = raw;
      break;
    }
    case ActionType::kVxlanDecap:
      if (!counts_) decapsulated_before_count_ = true;
      break;
    case ActionType::kOfPopVlan:
      if (!counts_) tag_bytes_before_count_ -= kVlanBytes;
      break;
    default: break;  // no configuration
  }
  actions_.push_back({static_cast<rte_flow_action_type>(layout.type), out});
}

void* RuleTemplate::vxlan_encap(const TemplateSource::Bytes& conf, size_t) {
  constexpr uint32_t kIpv4At = kEthernetBytes, kUdpAt = kIpv4At + kIpv4Bytes, kVxlanAt = kUdpAt + kUdpBytes;
  auto* eth = make<rte_flow_item_eth>();
  auto* ipv4 = make<rte_flow_item_ipv4>();
  auto* udp = make<rte_flow_item_udp>();
  auto* vxlan = make<rte_flow_item_vxlan>();
  std::vector<Segment>& segments = action_segments_.back();
  const auto place = [&](void* memory, uint32_t offset, uint32_t length) {
    std::memcpy(memory, conf.data() + offset, length);
    segments.push_back({offset, length, static_cast<uint8_t*>(memory)});
  };
  place(eth, 0, kEthernetBytes);
  place(ipv4, kIpv4At, kIpv4Bytes);
  place(udp, kUdpAt, kUdpBytes);
  place(vxlan, kVxlanAt, kVxlanBytes);
  auto* definition = reinterpret_cast<rte_flow_item*>(allocate(5 * sizeof(rte_flow_item)));
  definition[0] = {RTE_FLOW_ITEM_TYPE_ETH, eth, nullptr, nullptr};
  definition[1] = {RTE_FLOW_ITEM_TYPE_IPV4, ipv4, nullptr, nullptr};
  definition[2] = {RTE_FLOW_ITEM_TYPE_UDP, udp, nullptr, nullptr};
  definition[3] = {RTE_FLOW_ITEM_TYPE_VXLAN, vxlan, nullptr, nullptr};
  definition[4] = {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr};
  auto* encap = make<rte_flow_action_vxlan_encap>();
  encap->definition = definition;
  return encap;
}

void* RuleTemplate::modify_field(const TemplateSource::Bytes& conf, size_t index) {
  auto* modify = make<rte_flow_action_modify_field>();
  if (conf[0] > 2) refuse("unknown modify-field operation " + std::to_string(conf[0]), index);
  constexpr rte_flow_modify_op kOperations[] = {RTE_FLOW_MODIFY_SET, RTE_FLOW_MODIFY_ADD,
                                                RTE_FLOW_MODIFY_SUB};
  modify->operation = kOperations[conf[0]];
  modify->width = conf[1];
  modify->dst.field = static_cast<rte_flow_field_id>(load_raw<uint16_t>(conf.data() + 4));
  modify->dst.level = conf[2];
  modify->dst.offset = conf[3];
  modify->src.field = RTE_FLOW_FIELD_VALUE;
  std::memcpy(modify->src.value, conf.data() + 8, sizeof modify->src.value);
  action_segments_.back().push_back({8, sizeof modify->src.value, modify->src.value});
  return modify;
}

void RuleTemplate::add_patch(const TemplateSource::Patch& patch) {
  const auto& segments = patch.target == PatchTarget::kItem ? item_segments_ : action_segments_;
  const bool mac = is_mac_argument(patch.argument);
  const bool width_fits = mac ? patch.width == 6 : patch.width >= 1 && patch.width <= 4;
  if (patch.index >= segments.size() || !width_fits ||
      patch.argument + (mac ? 6 : 4) > sizeof(FlowArguments)) {
    refuse("patch is out of range", patch.index);
  }
  for (const Segment& segment : segments[patch.index]) {
    if (patch.offset >= segment.offset && patch.offset + patch.width <= segment.offset + segment.length) {
      constexpr Copy kBig[] = {Copy::kBig8, Copy::kBig16, Copy::kBig24, Copy::kBig32};
      const Copy copy = mac ? Copy::kMac : patch.big_endian ? kBig[patch.width - 1] : Copy::kLittle;
      places_.push_back({segment.memory + (patch.offset - segment.offset),
                         static_cast<uint16_t>(patch.argument), static_cast<uint8_t>(patch.width), copy});
      return;
    }
  }
  refuse("patch does not lie in spec or conf", patch.index);
}

// Plain configurations that no patch reaches are the same for all flows. Of MODIFY_FIELD all but the value
// is. What lies behind pointers (encapsulations) and AGE, whose context is the flow's, each rule brings.
void RuleTemplate::make_masks(const TemplateSource& source) {
  for (size_t i = 0; i < source.actions.size(); i++) {
    const bool varies =
        std::any_of(source.patches.begin(), source.patches.end(), [i](const TemplateSource::Patch& patch) {
          return patch.target == PatchTarget::kAction && patch.index == i;
        });
    uint8_t* mask = nullptr;
    switch (source.actions[i].type) {
      case ActionType::kModifyField: {
        mask = allocate(sizeof(rte_flow_action_modify_field));
        std::memset(mask, 0xff, sizeof(rte_flow_action_modify_field));
        if (varies) {
          auto* modify = reinterpret_cast<rte_flow_action_modify_field*>(mask);
          std::memset(modify->src.value, 0, sizeof modify->src.value);
        }
        break;
      }
      case ActionType::kPortRepresentor:
      case ActionType::kRepresentedPort:
        mask = allocate(sizeof(rte_flow_action_ethdev));
        std::memset(mask, 0xff, sizeof(rte_flow_action_ethdev));
        break;
      case ActionType::kAge:
      case ActionType::kVxlanEncap:
      case ActionType::kRawEncap:
      case ActionType::kRawDecap: break;
      default:
        if (varies || source.actions[i].conf.empty()) break;
        mask = allocate(source.actions[i].conf.size());
        std::memset(mask, 0xff, source.actions[i].conf.size());
    }
    // Copied whole: a private action's type is none of the enum's.
    rte_flow_action masked = actions_[i];
    masked.conf = mask;
    masks_.push_back(masked);
  }
  masks_.push_back({RTE_FLOW_ACTION_TYPE_END, nullptr});
}

// A flow's values are written kind by kind: a jump by the kind of each cost more than the copies. Patches
// write places of their own, in any order.
void RuleTemplate::sort_places() {
  std::stable_sort(places_.begin(), places_.end(),
                   [](const Place& a, const Place& b) { return a.copy < b.copy; });
  const Place* place = places_.data();
  const Place* const end = place + places_.size();
  for (size_t copy = 0; copy < kCopies; copy++) {
    ends_[copy] = place;
    while (place != end && static_cast<size_t>(place->copy) == copy) place++;
  }
  ends_[kCopies] = end;
}

void RuleTemplate::fill(const FlowArguments& arguments, void* age_context) {
  const auto* values = reinterpret_cast<const uint8_t*>(&arguments);
  const auto each = [&](Copy copy, auto&& write) {
    const Place* const end = ends_[static_cast<size_t>(copy) + 1];
    for (const Place* place = ends_[static_cast<size_t>(copy)]; place != end; place++)
      write(*place, values + place->argument);
  };
  each(Copy::kMac, [](const Place& place, const uint8_t* value) { std::memcpy(place.memory, value, 6); });
  each(Copy::kLittle,
       [](const Place& place, const uint8_t* value) { copy_field(place.memory, value, place.width); });
  each(Copy::kBig8, [](const Place& place, const uint8_t* value) { *place.memory = *value; });
  each(Copy::kBig16, [](const Place& place, const uint8_t* value) {
    store_raw(place.memory, __builtin_bswap16(load_raw<uint16_t>(value)));
  });
  each(Copy::kBig24, [](const Place& place, const uint8_t* value) {
    place.memory[0] = value[2];
    place.memory[1] = value[1];
    place.memory[2] = value[0];
  });
  each(Copy::kBig32, [](const Place& place, const uint8_t* value) {
    store_raw(place.memory, __builtin_bswap32(load_raw<uint32_t>(value)));
  });
  if (age_ != nullptr) {
    if (reinterpret_cast<const uint8_t*>(age_)[3] != 0) age_->timeout = kMaxAgeSeconds;
    age_->reserved = 0;
    age_->context = age_context;
  }
}

uint32_t RuleTemplate::counted_overhead(uint32_t ingress_bytes) const {
  if (decapsulated_before_count_) return kEthernetBytes;
  return static_cast<uint32_t>(static_cast<int32_t>(ingress_bytes) + tag_bytes_before_count_);
}

int RuleTemplate::cause_index(const rte_flow_error& error) const {
  const auto* cause = static_cast<const uint8_t*>(error.cause);
  const auto within = [cause](const auto& list) -> int {
    const auto* begin = reinterpret_cast<const uint8_t*>(list.data());
    const size_t bytes = list.size() * sizeof(list[0]);
    if (cause < begin || cause >= begin + bytes) return -1;
    return static_cast<int>(static_cast<size_t>(cause - begin) / sizeof(list[0]));
  };
  if (cause == nullptr) return -1;
  const int item = within(items_);
  return item >= 0 ? item : within(actions_);
}

}  // namespace sluice
