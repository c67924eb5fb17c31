// Whether a packet fits a pattern.
#include <cstring>

#include "reference_packet.h"

namespace sluice::test::reference {
namespace {

struct Known {
  rte_flow_item_type type;
  Kind kind;
  std::vector<int> fields;        // lengths in bytes, in wire order
  std::vector<uint8_t> standard;  // default mask
};

std::vector<uint8_t> mask_of(size_t bytes, size_t begin, size_t end) {
  std::vector<uint8_t> mask(bytes);
  for (size_t i = begin; i < end; ++i) mask[i] = 0xff;
  return mask;
}

const std::vector<Known>& known() {
  static const std::vector<Known> items = {
      {RTE_FLOW_ITEM_TYPE_ETH, Kind::kEth, {6, 6, 2}, mask_of(14, 0, 12)},
      {RTE_FLOW_ITEM_TYPE_VLAN, Kind::kVlan, {2, 2}, {0x0f, 0xff, 0, 0}},
      {RTE_FLOW_ITEM_TYPE_IPV4, Kind::kIpv4, {1, 1, 2, 2, 2, 1, 1, 2, 4, 4}, mask_of(20, 12, 20)},
      {RTE_FLOW_ITEM_TYPE_IPV6, Kind::kIpv6, {4, 2, 1, 1, 16, 16}, mask_of(40, 8, 40)},
      {RTE_FLOW_ITEM_TYPE_UDP, Kind::kUdp, {2, 2, 2, 2}, mask_of(8, 0, 4)},
      {RTE_FLOW_ITEM_TYPE_TCP, Kind::kTcp, {2, 2, 4, 4, 1, 1, 2, 2, 2}, mask_of(20, 0, 4)},
      {RTE_FLOW_ITEM_TYPE_ICMP, Kind::kIcmp, {1, 1, 2, 2, 2}, mask_of(8, 0, 2)},
      {RTE_FLOW_ITEM_TYPE_ICMP6, Kind::kIcmp6, {1, 1, 2}, mask_of(4, 0, 2)},
      {RTE_FLOW_ITEM_TYPE_VXLAN, Kind::kVxlan, {1, 3, 3, 1}, mask_of(8, 4, 7)},
  };
  return items;
}

bool header_matches(const Known& item, const rte_flow_item& given, const uint8_t* header, bool* in_range) {
  if (given.spec == nullptr) return true;
  const auto* spec = static_cast<const uint8_t*>(given.spec);
  const auto* mask = given.mask != nullptr ? static_cast<const uint8_t*>(given.mask) : item.standard.data();
  const auto* last = static_cast<const uint8_t*>(given.last);
  size_t at = 0;
  for (const int length : item.fields) {
    Bytes value, low, high;
    bool range = false;
    for (int i = 0; i < length; ++i) {
      value.push_back(header[at + static_cast<size_t>(i)] & mask[at + static_cast<size_t>(i)]);
      low.push_back(spec[at + static_cast<size_t>(i)] & mask[at + static_cast<size_t>(i)]);
      high.push_back(last == nullptr ? 0
                                     : last[at + static_cast<size_t>(i)] & mask[at + static_cast<size_t>(i)]);
      range = range || high.back() != 0;
    }
    if (!range) high = low;
    if (high != low) *in_range = true;
    if (value < low || value > high) return false;
    at += static_cast<size_t>(length);
  }
  return true;
}

}  // namespace

bool matches(const rte_flow_item* items, const Packet& packet, uint16_t port, bool* in_range) {
  const Bytes& frame = packet.bytes;
  const std::vector<Header> headers = headers_of(packet);
  size_t at = 0;  // next header to be named
  bool started = false;
  bool skip_tags = false;
  for (const rte_flow_item* item = items; item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
    if (item->type == RTE_FLOW_ITEM_TYPE_VOID) continue;
    if (item->type == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT) {
      if (item->spec != nullptr && static_cast<const rte_flow_item_ethdev*>(item->spec)->port_id != port)
        return false;
      continue;
    }
    if (item->type == RTE_FLOW_ITEM_TYPE_META || item->type == RTE_FLOW_ITEM_TYPE_MARK ||
        item->type == RTE_FLOW_ITEM_TYPE_TAG) {
      if (item->spec == nullptr) continue;
      const uint32_t wanted = *static_cast<const uint32_t*>(item->spec);
      const uint32_t mask = item->mask == nullptr ? UINT32_MAX : *static_cast<const uint32_t*>(item->mask);
      const uint32_t value = item->type == RTE_FLOW_ITEM_TYPE_META ? packet.meta
                             : item->type == RTE_FLOW_ITEM_TYPE_MARK
                                 ? packet.mark
                                 : packet.tag[static_cast<const rte_flow_item_tag*>(item->spec)->index];
      if ((value & mask) != (wanted & mask)) return false;
      continue;
    }
    const Known* description = nullptr;
    for (const Known& candidate : known()) {
      if (candidate.type == item->type) description = &candidate;
    }
    if (description == nullptr) return false;
    if (!started) {
      // Bottom layers may be omitted: the first item named is looked for in the outer packet.
      while (at < headers.size() && headers[at].kind != description->kind && headers[at].level == 0) ++at;
      started = true;
    } else if (skip_tags && description->kind != Kind::kVlan) {
      while (at < headers.size() && headers[at].kind == Kind::kVlan) ++at;
    }
    if (at == headers.size() || headers[at].kind != description->kind) return false;
    if (!header_matches(*description, *item, &frame[headers[at].at], in_range)) return false;
    if (item->type == RTE_FLOW_ITEM_TYPE_IPV6 && item->mask != nullptr &&
        static_cast<const rte_flow_item_ipv6*>(item->mask)->has_frag_ext &&
        static_cast<const rte_flow_item_ipv6*>(item->spec)->has_frag_ext != headers[at].fragment) {
      return false;
    }
    if (item->type == RTE_FLOW_ITEM_TYPE_ETH && item->mask != nullptr) {
      const auto* mask = static_cast<const rte_flow_item_eth*>(item->mask);
      const bool tagged = at + 1 < headers.size() && headers[at + 1].kind == Kind::kVlan;
      if (mask->has_vlan && static_cast<const rte_flow_item_eth*>(item->spec)->has_vlan != tagged)
        return false;
      skip_tags = mask->has_vlan;
    }
    ++at;
  }
  return true;
}

}  // namespace sluice::test::reference
