#include "flow_engine/items.h"

#include "flow_engine/flow_engine.h"
#include "packet/wire.h"

namespace sluice {
namespace {

// rte_ether.h, rte_ip.h, rte_tcp.h, rte_udp.h, rte_icmp.h, rte_vxlan.h: the headers in wire order.
constexpr ItemField kEthFields[] = {{0, 6}, {6, 6}, {12, 2}};
constexpr ItemField kVlanFields[] = {{0, 2}, {2, 2}};
constexpr ItemField kIpv4Fields[] = {{0, 1}, {1, 1}, {2, 2},  {4, 2},  {6, 2},
                                     {8, 1}, {9, 1}, {10, 2}, {12, 4}, {16, 4}};
constexpr ItemField kIpv6Fields[] = {{0, 4}, {4, 2}, {6, 1}, {7, 1}, {8, 16}, {24, 16}};
constexpr ItemField kUdpFields[] = {{0, 2}, {2, 2}, {4, 2}, {6, 2}};
constexpr ItemField kTcpFields[] = {{0, 2},  {2, 2},  {4, 4},  {8, 4}, {12, 1},
                                    {13, 1}, {14, 2}, {16, 2}, {18, 2}};
constexpr ItemField kIcmpFields[] = {{0, 1}, {1, 1}, {2, 2}, {4, 2}, {6, 2}};
constexpr ItemField kIcmpv6Fields[] = {{0, 1}, {1, 1}, {2, 2}};
constexpr ItemField kVxlanFields[] = {{0, 1}, {1, 3}, {4, 3}, {7, 1}};

struct ByteRange {
  uint8_t begin, end;
};

constexpr ItemDescription header_item(rte_flow_item_type type, const char* name, uint8_t bytes,
                                      ByteRange default_mask, const ItemField* fields, size_t count) {
  ItemDescription item{type, name, bytes, {}, fields, static_cast<uint8_t>(count)};
  for (uint8_t i = default_mask.begin; i < default_mask.end; ++i) item.default_mask[i] = 0xff;
  return item;
}

constexpr ItemDescription vlan_item() {
  ItemDescription item = header_item(RTE_FLOW_ITEM_TYPE_VLAN, "VLAN", kVlanBytes, {1, 2}, kVlanFields, 2);
  item.default_mask[0] = 0x0f;  // the VID, 12 bits
  return item;
}

// Default masks: rte_flow.h, rte_flow_item_*_mask.
constexpr ItemDescription kItems[] = {
    header_item(RTE_FLOW_ITEM_TYPE_ETH, "ETH", kEthernetBytes, {0, 12}, kEthFields, 3),
    vlan_item(),
    header_item(RTE_FLOW_ITEM_TYPE_IPV4, "IPV4", kIpv4Bytes, {12, 20}, kIpv4Fields, 10),
    header_item(RTE_FLOW_ITEM_TYPE_IPV6, "IPV6", kIpv6Bytes, {8, 40}, kIpv6Fields, 6),
    header_item(RTE_FLOW_ITEM_TYPE_UDP, "UDP", kUdpBytes, {0, 4}, kUdpFields, 4),
    header_item(RTE_FLOW_ITEM_TYPE_TCP, "TCP", kTcpBytes, {0, 4}, kTcpFields, 9),
    header_item(RTE_FLOW_ITEM_TYPE_ICMP, "ICMP", kIcmpBytes, {0, 2}, kIcmpFields, 5),
    header_item(RTE_FLOW_ITEM_TYPE_ICMP6, "ICMP6", 4, {0, 2}, kIcmpv6Fields, 3),
    header_item(RTE_FLOW_ITEM_TYPE_META, "META", 0, {0, 0}, nullptr, 0),
    header_item(RTE_FLOW_ITEM_TYPE_MARK, "MARK", 0, {0, 0}, nullptr, 0),
    header_item(RTE_FLOW_ITEM_TYPE_TAG, "TAG", 0, {0, 0}, nullptr, 0),
    header_item(RTE_FLOW_ITEM_TYPE_VXLAN, "VXLAN", kVxlanBytes, {4, 7}, kVxlanFields, 4),
    header_item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, "REPRESENTED_PORT", 0, {0, 0}, nullptr, 0),
    header_item(RTE_FLOW_ITEM_TYPE_INTEGRITY, "INTEGRITY", 0, {0, 0}, nullptr, 0),
};

}  // namespace

const ItemDescription* describe_item(int type) {
  for (const ItemDescription& item : kItems) {
    if (static_cast<int>(item.type) == type) return &item;
  }
  return nullptr;
}

const char* item_name(int type) {
  const char* name = nullptr;
  if (type >= 0 &&
      rte_flow_conv(RTE_FLOW_CONV_OP_ITEM_NAME_PTR, &name, sizeof name,
                    reinterpret_cast<const void*>(static_cast<uintptr_t>(type)), nullptr) > 0 &&
      name != nullptr) {
    return name;
  }
  return "item of unknown type";
}

const char* action_name(int type) {
  if (type == kActionSetIcmpIdent) return "SET_ICMP_IDENT";
  const char* name = nullptr;
  if (type >= 0 &&
      rte_flow_conv(RTE_FLOW_CONV_OP_ACTION_NAME_PTR, &name, sizeof name,
                    reinterpret_cast<const void*>(static_cast<uintptr_t>(type)), nullptr) > 0 &&
      name != nullptr) {
    return name;
  }
  return "action of unknown type";
}

}  // namespace sluice
