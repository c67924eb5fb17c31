#include "flow_engine/packet_view.h"

#include <initializer_list>

#include "packet/checksum.h"
#include "packet/wire.h"

namespace sluice {
namespace {

// Presence bits of a transport header, by kind of L3 and protocol: a look-up where branches would be guessed
// wrong.
struct L4Presence {
  uint16_t bits[3][256] = {};

  constexpr L4Presence() {
    for (const L3 kind : {L3::kIpv4, L3::kIpv6}) {
      uint16_t* of = bits[static_cast<size_t>(kind)];
      of[kProtocolUdp] = presence::kUdp;
      of[kProtocolTcp] = presence::kTcp;
    }
    bits[static_cast<size_t>(L3::kIpv4)][kProtocolIcmp] = presence::kIcmp;
    bits[static_cast<size_t>(L3::kIpv6)][kProtocolIcmpv6] = presence::kIcmpv6;
  }
};
constexpr L4Presence kL4Presence;
constexpr uint32_t kL3Presence[] = {0, presence::kIpv4, presence::kIpv6};  // by L3
constexpr uint32_t kTagPresence[] = {0, presence::kTag, presence::kTag | presence::kTag2,
                                     presence::kTag | presence::kTag2 | presence::kTag3};

uint32_t layer_presence(const LayerHeaders& layer) {
  const auto kind = static_cast<size_t>(layer.l3_kind);
  const uint32_t l4 = kL4Presence.bits[kind][layer.protocol];
  return (layer.eth != kAbsent ? presence::kEth : 0) | kL3Presence[kind] |
         (layer.l4 != kAbsent && !layer.fragment ? l4 : 0);
}

// What tags add: to presence, and from a bit on to what is known beside the bytes.
void describe_tags(uint8_t tags, int presence_shift, int meta_shift, PacketView* view) {
  view->presence |= kTagPresence[tags < 3 ? tags : 3] << presence_shift;
  view->meta |= (tags > 1 ? 3ull : 1ull) << meta_shift;
}
static_assert(meta::kOuterMoreTagsShift == meta::kOuterTagShift + 1);
static_assert(meta::kInnerMoreTagsShift == meta::kInnerTagShift + 1);

// The parser counts tags of the outer frame only. Two more than one are all the same to rules.
uint8_t inner_tags(const uint8_t* frame, const ParsedPacket& headers) {
  if (headers.inner.vlan == kAbsent) return 0;
  const uint8_t* tag = frame + headers.inner.vlan;
  if (headers.fault_in_inner && headers.fault == ParseFault::kTruncatedEthernet) return 1;
  uint8_t tags = 1;
  for (; tags < 3 && is_vlan_type(load_be16(tag + 2)); tag += kVlanBytes) ++tags;
  return tags;
}

uint64_t integrity_bits(const uint8_t* frame, const LayerHeaders& layer, bool fault) {
  uint64_t bits = 0;
  if (layer.eth != kAbsent) bits |= meta::kL2Ok;
  bool l3_bad = false;
  if (layer.l3_kind == L3::kIpv4) {
    const uint8_t* ip = frame + layer.l3;
    const bool good = (ip[0] == 0x45 ? checksum_sum_words(ip, kIpv4Bytes / 4)
                                     : checksum_sum_words(ip, ip[0] & 0x0fu)) == 0xffff;
    bits |= meta::kL3LengthOk;
    if (good) bits |= meta::kIpv4ChecksumOk | meta::kL3Ok;
    l3_bad = !good;
  } else if (layer.l3_kind == L3::kIpv6) {
    bits |= meta::kL3LengthOk | meta::kL3Ok;
  }
  if (layer.l4 != kAbsent) bits |= meta::kL4Ok;
  if (layer.eth != kAbsent && !fault && !l3_bad) bits |= meta::kPacketOk;
  return bits;
}

}  // namespace

void describe_packet(const uint8_t* frame, const ParsedPacket& headers, uint16_t ingress_port_id,
                     bool integrity, PacketView* view) {
  const LayerHeaders& outer = headers.outer;
  view->presence = layer_presence(outer);
  view->meta = ingress_port_id | static_cast<uint64_t>(outer.fragment) << meta::kOuterFragmentShift;
  if (headers.tags != 0) describe_tags(headers.tags, 0, meta::kOuterTagShift, view);
  if (headers.vxlan != kAbsent) view->presence |= presence::kVxlan;
  if (headers.has_inner) {
    const LayerHeaders& inner = headers.inner;
    view->presence |= layer_presence(inner) << presence::kInnerShift;
    view->meta |= static_cast<uint64_t>(inner.fragment) << meta::kInnerFragmentShift;
    if (const uint8_t tags = inner_tags(frame, headers))
      describe_tags(tags, presence::kInnerShift, meta::kInnerTagShift, view);
  }
  if (integrity) {
    const bool outer_fault = headers.fault != ParseFault::kNone && !headers.fault_in_inner;
    view->meta |= integrity_bits(frame, outer, outer_fault) << meta::kOuterIntegrityShift;
    if (headers.has_inner) {
      view->meta |= integrity_bits(frame, headers.inner, headers.fault_in_inner)
                    << meta::kInnerIntegrityShift;
    }
  }
}

void place_headers(const uint8_t* frame, const ParsedPacket& headers, PacketView* view) {
  const auto at = [frame](uint16_t offset) { return offset == kAbsent ? frame : frame + offset; };
  const auto set = [view](Slot slot, const uint8_t* base) { view->base[static_cast<size_t>(slot)] = base; };
  const LayerHeaders &outer = headers.outer, &inner = headers.inner;
  set(Slot::kOuterEth, at(outer.eth));
  set(Slot::kOuterVlan, at(outer.vlan));
  set(Slot::kOuterVlan2, at(outer.vlan) + kVlanBytes);
  set(Slot::kOuterL3, at(outer.l3));
  set(Slot::kOuterL4, at(outer.l4));
  set(Slot::kVxlan, at(headers.vxlan));
  set(Slot::kMeta, reinterpret_cast<const uint8_t*>(&view->meta));
  if (!headers.has_inner) return;
  set(Slot::kInnerEth, at(inner.eth));
  set(Slot::kInnerVlan, at(inner.vlan));
  set(Slot::kInnerVlan2, at(inner.vlan) + kVlanBytes);
  set(Slot::kInnerL3, at(inner.l3));
  set(Slot::kInnerL4, at(inner.l4));
}

}  // namespace sluice
