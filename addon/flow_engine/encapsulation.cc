#include "flow_engine/encapsulation.h"

#include <cstring>
#include <iterator>

#include "flow_engine/items.h"
#include "packet/wire.h"

namespace sluice {
namespace {

// Where the next header goes.
template <uint16_t kBytes>
uint16_t append(VxlanHeader* header, uint16_t at, const void* spec) {
  std::memcpy(header->bytes + at, spec, kBytes);
  return static_cast<uint16_t>(at + kBytes);
}

}  // namespace

const char* read_vxlan_definition(const rte_flow_item* definition, uint16_t vxlan_udp_port,
                                  VxlanHeader* header) {
  *header = VxlanHeader{};
  // The only order there is: ETH, VLAN if wanted, IPV4, UDP, VXLAN. VOID may stand anywhere (rte_flow guide).
  int stage = 0;
  uint16_t at = 0;
  for (const rte_flow_item* item = definition; type_of(*item) != RTE_FLOW_ITEM_TYPE_END; ++item) {
    if (type_of(*item) == RTE_FLOW_ITEM_TYPE_VOID) continue;
    int next;
    switch (type_of(*item)) {
      case RTE_FLOW_ITEM_TYPE_ETH: next = 1; break;
      case RTE_FLOW_ITEM_TYPE_VLAN: next = 2; break;
      case RTE_FLOW_ITEM_TYPE_IPV4: next = 3; break;
      case RTE_FLOW_ITEM_TYPE_UDP: next = 4; break;
      case RTE_FLOW_ITEM_TYPE_VXLAN: next = 5; break;
      case RTE_FLOW_ITEM_TYPE_IPV6: return "an IPv6 underlay is not supported";
      default: return "the definition holds an item other than ETH, VLAN, IPV4, UDP, VXLAN";
    }
    const bool in_order = next == stage + 1 || (stage == 1 && next == 3);
    if (!in_order) return "the definition must be ETH, VLAN if wanted, IPV4, UDP, VXLAN in this order";
    if (item->spec == nullptr) return "an item of the definition has no spec";
    stage = next;
    switch (next) {
      case 1: at = append<kEthernetBytes>(header, at, item->spec); break;
      case 2:
        header->tagged = true;
        at = append<kVlanBytes>(header, at, item->spec);
        break;
      case 3:
        if (const uint8_t version_and_length = *static_cast<const uint8_t*>(item->spec);
            version_and_length != 0 && version_and_length != 0x45) {
          return "IPv4 options in the definition are not supported";
        }
        at = append<kIpv4Bytes>(header, at, item->spec);
        break;
      case 4: at = append<kUdpBytes>(header, at, item->spec); break;
      default: at = append<kVxlanBytes>(header, at, item->spec);
    }
  }
  if (stage != 5) return "the definition must be ETH, VLAN if wanted, IPV4, UDP, VXLAN in this order";
  complete_vxlan_header(header, vxlan_udp_port);
  return nullptr;
}

namespace {

// The words of KnownDefinition: without the destination MAC and address, the source port and the VNI.
constexpr int kKnownItems[] = {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP,
                               RTE_FLOW_ITEM_TYPE_VXLAN, RTE_FLOW_ITEM_TYPE_END};
constexpr uint16_t kEthSource = 6;
static_assert(kEthSource + 8 == kEthernetBytes && kIpv4Destination == 16 && kUdpBytes == 8 &&
              kVxlanBytes == 8);
// As they stand in memory, little endian.
constexpr uint64_t kSourcePortMask = 0xffffull << 8 * kL4SourcePort, kVniMask = 0xffffffull << 8 * kVxlanVni;

const uint8_t* spec_of(const rte_flow_item& item) { return static_cast<const uint8_t*>(item.spec); }

}  // namespace

inline KnownDefinition::Words KnownDefinition::words_of(const rte_flow_item* definition) {
  const uint8_t* ipv4 = spec_of(definition[1]);
  return {load_raw<uint64_t>(spec_of(definition[0]) + kEthSource),
          {load_raw<uint64_t>(ipv4), load_raw<uint64_t>(ipv4 + 8)},
          load_raw<uint64_t>(spec_of(definition[2])) & ~kSourcePortMask,
          load_raw<uint64_t>(spec_of(definition[3])) & ~kVniMask};
}

bool KnownDefinition::is_like(const rte_flow_item* definition, VxlanFields* fields) const {
  if (first_other(definition, kKnownItems, std::size(kKnownItems)) != nullptr) return false;
  if (definition[0].spec == nullptr || definition[1].spec == nullptr || definition[2].spec == nullptr ||
      definition[3].spec == nullptr)
    return false;
  const Words words = words_of(definition);
  if (((words.eth ^ words_.eth) | (words.ipv4[0] ^ words_.ipv4[0]) | (words.ipv4[1] ^ words_.ipv4[1]) |
       (words.udp ^ words_.udp) | (words.vxlan ^ words_.vxlan)) != 0)
    return false;
  std::memcpy(fields->destination_mac, spec_of(definition[0]), sizeof fields->destination_mac);
  fields->destination_be = load_raw<uint32_t>(spec_of(definition[1]) + kIpv4Destination);
  fields->source_port_be = load_raw<uint16_t>(spec_of(definition[2]) + kL4SourcePort);
  std::memcpy(fields->vni, spec_of(definition[3]) + kVxlanVni, sizeof fields->vni);
  return true;
}

void KnownDefinition::know(const rte_flow_item* definition, uint32_t header) {
  if (first_other(definition, kKnownItems, std::size(kKnownItems)) != nullptr) return;
  words_ = words_of(definition);
  header_ = header;
}

RawKind classify_raw(const uint8_t* data, size_t size, uint16_t vxlan_udp_port) {
  if (size == kEthernetBytes || size == kEthernetBytes + kVlanBytes) {
    const bool tagged = data != nullptr && is_vlan_type(load_be16(data + 12));
    if (data == nullptr || tagged == (size != kEthernetBytes)) return RawKind::kEthernet;
    return RawKind::kUnsupported;
  }
  constexpr size_t kPlain = kEthernetBytes + kIpv4Bytes + kUdpBytes + kVxlanBytes;
  if (size != kPlain && size != kPlain + kVlanBytes) return RawKind::kUnsupported;
  if (data == nullptr) return RawKind::kVxlan;
  const size_t ip = size - kPlain + kEthernetBytes;
  const uint16_t type = load_be16(data + ip - 2);
  const uint16_t port = load_be16(data + ip + kIpv4Bytes + kL4DestinationPort);
  const bool tagged = is_vlan_type(load_be16(data + 12));
  if (tagged != (size != kPlain) || (type != kEtherTypeIpv4 && type != 0) ||
      (data[ip] != 0 && data[ip] != 0x45) ||
      (data[ip + kIpv4Protocol] != 0 && data[ip + kIpv4Protocol] != kProtocolUdp) ||
      (port != 0 && port != vxlan_udp_port)) {
    return RawKind::kUnsupported;
  }
  return RawKind::kVxlan;
}

const char* read_raw_encapsulation(const uint8_t* data, size_t size, uint16_t vxlan_udp_port,
                                   VxlanHeader* header) {
  *header = VxlanHeader{};
  const RawKind kind = data == nullptr ? RawKind::kUnsupported : classify_raw(data, size, vxlan_udp_port);
  if (kind == RawKind::kUnsupported)
    return "only Ethernet, or Ethernet, IPv4, UDP and VXLAN, is supported as data";
  std::memcpy(header->bytes, data, size);
  header->tagged = is_vlan_type(load_be16(data + 12));
  header->length = static_cast<uint8_t>(size);
  if (kind == RawKind::kVxlan) complete_vxlan_header(header, vxlan_udp_port);
  return nullptr;
}

}  // namespace sluice
