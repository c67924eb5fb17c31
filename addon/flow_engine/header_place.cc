#include "flow_engine/header_place.h"

#include "packet/wire.h"

namespace sluice {

bool HeaderPlace::set(Slot slot, int8_t offset) {
  constexpr size_t kOuter = offsetof(ParsedPacket, outer), kInner = offsetof(ParsedPacket, inner);
  size_t field = 0;
  behind = offset;
  switch (slot) {
    case Slot::kOuterEth: field = kOuter + offsetof(LayerHeaders, eth); break;
    case Slot::kOuterVlan2: behind = static_cast<int16_t>(behind + kVlanBytes); [[fallthrough]];
    case Slot::kOuterVlan: field = kOuter + offsetof(LayerHeaders, vlan); break;
    case Slot::kOuterL3: field = kOuter + offsetof(LayerHeaders, l3); break;
    case Slot::kOuterL4: field = kOuter + offsetof(LayerHeaders, l4); break;
    case Slot::kVxlan: field = offsetof(ParsedPacket, vxlan); break;
    case Slot::kInnerEth: field = kInner + offsetof(LayerHeaders, eth); break;
    case Slot::kInnerVlan2: behind = static_cast<int16_t>(behind + kVlanBytes); [[fallthrough]];
    case Slot::kInnerVlan: field = kInner + offsetof(LayerHeaders, vlan); break;
    case Slot::kInnerL3: field = kInner + offsetof(LayerHeaders, l3); break;
    case Slot::kInnerL4: field = kInner + offsetof(LayerHeaders, l4); break;
    case Slot::kMeta:
    case Slot::kRegisters: return false;
  }
  header = static_cast<uint16_t>(field);
  return true;
}

}  // namespace sluice
