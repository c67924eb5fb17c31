#include "slow_path/software_template.h"

#include <algorithm>

#include "packet/wire.h"

namespace sluice {
namespace {

bool is_patched(const TemplateSource& source, PatchTarget target, size_t index) {
  return std::any_of(source.patches.begin(), source.patches.end(), [=](const TemplateSource::Patch& patch) {
    return patch.target == target && patch.index == index;
  });
}

// Whether a mask asks for these bytes, all of them, and for nothing else.
bool masks_only(const TemplateSource::Item& item, size_t offset, size_t bytes) {
  if (!item.spec || !item.mask || item.last) return false;
  for (size_t i = 0; i < item.mask->size(); i++) {
    if ((*item.mask)[i] != (i >= offset && i < offset + bytes ? 0xff : 0)) return false;
  }
  return item.mask->size() >= offset + bytes;
}

bool is_vxlan_port(const TemplateSource::Item& item, uint16_t port) {
  return item.type == ItemType::kUdp && masks_only(item, kL4DestinationPort, 2) &&
         load_be16(item.spec->data() + kL4DestinationPort) == port;
}

bool is_for_mac(const TemplateSource::Item& item, const uint8_t* mac) {
  return item.type == ItemType::kEth && masks_only(item, 0, 6) && std::memcmp(item.spec->data(), mac, 6) == 0;
}

void forget_values(TemplateSource::Item& item) { item.spec = item.mask = item.last = std::nullopt; }

}  // namespace

TemplateSource software_template(TemplateSource source, const SlowPathOptions& options) {
  for (size_t i = 0; i < source.actions.size(); i++) {
    TemplateSource::Action& action = source.actions[i];
    if (action.type != ActionType::kCount && action.type != ActionType::kAge) continue;
    action = {ActionType::kVoid, {}};
    std::erase_if(source.patches, [i](const TemplateSource::Patch& patch) {
      return patch.target == PatchTarget::kAction && patch.index == i;
    });
  }
  const auto vxlan =
      std::find_if(source.items.begin(), source.items.end(),
                   [](const TemplateSource::Item& item) { return item.type == ItemType::kVxlan; });
  if (vxlan == source.items.end()) return source;
  const auto tunnel = static_cast<size_t>(vxlan - source.items.begin());
  for (size_t i = 0; i < source.items.size(); i++) {
    TemplateSource::Item& item = source.items[i];
    if (is_patched(source, PatchTarget::kItem, i)) continue;
    if (item.type == ItemType::kRepresentedPort) {
      item = {ItemType::kVoid, std::nullopt, std::nullopt, std::nullopt};
    } else if (i < tunnel ? is_vxlan_port(item, options.vxlan_udp_port)
                          : is_for_mac(item, options.underlay_mac)) {
      forget_values(item);
    }
  }
  return source;
}

}  // namespace sluice
