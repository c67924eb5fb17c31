#include "flow_engine/pattern.h"

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "flow_engine/flow_engine.h"
#include "flow_engine/flow_error.h"
#include "packet/wire.h"

namespace sluice {
namespace {

// How far up the stack of headers the pattern has come, per tunnel level.
enum class Layer : uint8_t { kBottom, kEth, kVlan, kVlan2, kIpv4, kIpv6, kL4, kUdp, kTunnel };

constexpr uint8_t kMetaPort = 0, kMetaHasVlan = 1, kMetaHasMoreVlan = 2, kMetaIntegrity = 3,
                  kMetaHasFragment = 4;

class Compiler {
 public:
  Compiler(const rte_flow_attr& attr, PatternMode mode, const EngineOptions& options, CompiledPattern* out,
           rte_flow_error* error)
      : attr_(attr), mode_(mode), options_(options), out_(out), error_(error) {}

  int run(const rte_flow_item* pattern);

 private:
  int refuse(rte_flow_error_type type, const char* name, const char* text, int code = ENOTSUP) {
    return fail(error_, code, type, item_, named_message(name, text));
  }
  int add_item(const ItemDescription& description);
  int check_masks(const ItemDescription& description);
  int place(const ItemDescription& description, Slot* slot);
  int add_header(const ItemDescription& description, Slot slot);
  int add_range_fields(const ItemDescription& description, Slot slot, uint8_t* mask);
  int add_words(const ItemDescription& description, Slot slot, uint8_t* mask);
  int add_meta(uint64_t mask, uint8_t kind, int shift);
  int add_port();
  int add_integrity();
  int add_register(const ItemDescription& description);
  void require(uint32_t bits) {
    out_->shape.required_mask |= level(bits);
    out_->shape.required_value |= level(bits);
  }
  void require_absent(uint32_t bits) { out_->shape.required_mask |= level(bits); }
  uint32_t level(uint32_t bits) const { return inner_ ? bits << presence::kInnerShift : bits; }
  void require_last_tag_before_l3();
  void plan_words();

  const rte_flow_attr& attr_;
  const PatternMode mode_;
  const EngineOptions& options_;
  CompiledPattern* out_;
  rte_flow_error* error_;
  const rte_flow_item* item_ = nullptr;
  uint8_t index_ = 0;
  Layer layer_ = Layer::kBottom;
  bool inner_ = false;
  bool tag_may_vary_ = false;  // ETH.has_vlan or VLAN.has_more_vlan is matched, so tags are not implied
  uint64_t meta_mask_ = 0;
};

int Compiler::check_masks(const ItemDescription& description) {
  if (mode_ == PatternMode::kTemplate) {
    if (item_->last != nullptr) {
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM_LAST, description.name,
                    "ranges are not supported in a template");
    }
    return 0;
  }
  if (item_->spec == nullptr && item_->mask != nullptr) {
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM_MASK, description.name, "mask without spec", EINVAL);
  }
  if (item_->spec == nullptr && item_->last != nullptr) {
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM_LAST, description.name, "last without spec", EINVAL);
  }
  return 0;
}

// An `eth / ipv4` pattern needs EtherType IPv4, an `eth / vlan / ipv4` one exactly one tag, and so on.
void Compiler::require_last_tag_before_l3() {
  if (tag_may_vary_) return;
  if (layer_ == Layer::kEth) require_absent(presence::kTag);
  if (layer_ == Layer::kVlan) require_absent(presence::kTag2);
  if (layer_ == Layer::kVlan2) require_absent(presence::kTag3);
}

// Checks the order of headers (bottom layers may be omitted, middle ones not) and requires their presence.
int Compiler::place(const ItemDescription& description, Slot* slot) {
  const char* name = description.name;
  PatternContent& content = out_->content;
  const auto misplaced = [&](const char* text) {
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM, name, text, EINVAL);
  };
  switch (description.type) {
    case RTE_FLOW_ITEM_TYPE_ETH:
      if (layer_ == Layer::kTunnel) {
        inner_ = true;
      } else if (layer_ != Layer::kBottom) {
        return misplaced("must be the first header or follow a tunnel");
      }
      require(presence::kEth);
      layer_ = Layer::kEth;
      content.eth = true;
      *slot = inner_ ? Slot::kInnerEth : Slot::kOuterEth;
      return 0;
    case RTE_FLOW_ITEM_TYPE_VLAN:
      if (layer_ == Layer::kVlan2)
        return refuse(RTE_FLOW_ERROR_TYPE_ITEM, name, "more than two tags are not supported");
      if (layer_ != Layer::kBottom && layer_ != Layer::kEth && layer_ != Layer::kVlan) {
        return misplaced("must follow ETH or VLAN");
      }
      content.vlan = true;
      if (layer_ == Layer::kVlan) {
        require(presence::kTag2);
        layer_ = Layer::kVlan2;
        *slot = inner_ ? Slot::kInnerVlan2 : Slot::kOuterVlan2;
      } else {
        require(presence::kTag);
        layer_ = Layer::kVlan;
        *slot = inner_ ? Slot::kInnerVlan : Slot::kOuterVlan;
      }
      return 0;
    case RTE_FLOW_ITEM_TYPE_IPV4:
    case RTE_FLOW_ITEM_TYPE_IPV6: {
      if (layer_ != Layer::kBottom && layer_ != Layer::kEth && layer_ != Layer::kVlan &&
          layer_ != Layer::kVlan2) {
        return misplaced("must follow ETH or VLAN");
      }
      require_last_tag_before_l3();
      const bool v4 = description.type == RTE_FLOW_ITEM_TYPE_IPV4;
      (v4 ? content.ipv4 : content.ipv6) = true;
      require(v4 ? presence::kIpv4 : presence::kIpv6);
      layer_ = v4 ? Layer::kIpv4 : Layer::kIpv6;
      *slot = inner_ ? Slot::kInnerL3 : Slot::kOuterL3;
      return 0;
    }
    case RTE_FLOW_ITEM_TYPE_UDP:
    case RTE_FLOW_ITEM_TYPE_TCP:
    case RTE_FLOW_ITEM_TYPE_ICMP: {
      const bool icmp = description.type == RTE_FLOW_ITEM_TYPE_ICMP;
      if (layer_ != Layer::kBottom && layer_ != Layer::kIpv4 && (icmp || layer_ != Layer::kIpv6)) {
        return misplaced(icmp ? "must follow IPV4" : "must follow IPV4 or IPV6");
      }
      const bool udp = description.type == RTE_FLOW_ITEM_TYPE_UDP;
      (udp ? content.udp : icmp ? content.icmp : content.tcp) = true;
      require(udp ? presence::kUdp : icmp ? presence::kIcmp : presence::kTcp);
      layer_ = udp ? Layer::kUdp : Layer::kL4;
      *slot = inner_ ? Slot::kInnerL4 : Slot::kOuterL4;
      return 0;
    }
    case RTE_FLOW_ITEM_TYPE_ICMP6:
      if (layer_ != Layer::kBottom && layer_ != Layer::kIpv6) return misplaced("must follow IPV6");
      require(presence::kIcmpv6);
      layer_ = Layer::kL4;
      *slot = inner_ ? Slot::kInnerL4 : Slot::kOuterL4;
      return 0;
    case RTE_FLOW_ITEM_TYPE_VXLAN:
      if (inner_) return refuse(RTE_FLOW_ERROR_TYPE_ITEM, name, "a tunnel inside a tunnel is not supported");
      if (layer_ != Layer::kBottom && layer_ != Layer::kUdp) return misplaced("must follow UDP");
      out_->shape.required_mask |= presence::kVxlan;
      out_->shape.required_value |= presence::kVxlan;
      content.vxlan = true;
      layer_ = Layer::kTunnel;
      *slot = Slot::kVxlan;
      return 0;
    default: return refuse(RTE_FLOW_ERROR_TYPE_ITEM, name, "is not supported");
  }
}

int Compiler::add_range_fields(const ItemDescription& description, Slot slot, uint8_t* mask) {
  const auto* spec = static_cast<const uint8_t*>(item_->spec);
  const auto* last = static_cast<const uint8_t*>(item_->last);
  PatternShape& shape = out_->shape;
  for (uint8_t i = 0; i < description.field_count; ++i) {
    const ItemField field = description.fields[i];
    bool zero = true, equal = true;
    for (uint8_t at = field.offset; at < field.offset + field.length; ++at) {
      zero = zero && (last[at] & mask[at]) == 0;
      equal = equal && (last[at] & mask[at]) == (spec[at] & mask[at]);
    }
    if (zero || equal) continue;  // rte_flow: such fields are matched exactly
    if (shape.ranges == kMaxRanges) {
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM_LAST, description.name, "too many ranges in the pattern");
    }
    out_->sources.range_item[shape.ranges] = index_;
    RangeField& range = shape.range[shape.ranges++];
    range = RangeField{slot, field.offset, field.length, {}};
    std::memcpy(range.mask, mask + field.offset, field.length);
    std::memset(mask + field.offset, 0, field.length);
  }
  return 0;
}

int Compiler::add_words(const ItemDescription& description, Slot slot, uint8_t* mask) {
  PatternShape& shape = out_->shape;
  for (uint8_t at = 0; at < description.header_bytes; ++at) {
    if (mask[at] == 0) continue;
    if (shape.words == kMaxKeyWords) {
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM_NUM, description.name, "the pattern matches too many bytes");
    }
    KeyWord& word = shape.word[shape.words];
    PatternSources::Word& source = out_->sources.word[shape.words];
    ++shape.words;
    word.slot = slot;
    uint8_t bytes[8] = {};
    if (description.header_bytes < 8) {
      // VLAN: the eight bytes end where the tag ends, so that they never leave the frame.
      word.offset = static_cast<int8_t>(description.header_bytes - 8);
      std::memcpy(bytes + 8 - description.header_bytes, mask, description.header_bytes);
      source = {index_, 0, static_cast<uint8_t>(8 * (8 - description.header_bytes)), true, 0, 0};
      std::memset(mask, 0, description.header_bytes);
    } else {
      const uint8_t start =
          at + 8 <= description.header_bytes ? at : static_cast<uint8_t>(description.header_bytes - 8);
      word.offset = static_cast<int8_t>(start);
      std::memcpy(bytes, mask + start, 8);
      std::memset(mask + start, 0, 8);
      source = {index_, start, 0, false, 0, 0};
    }
    word.mask = load_raw<uint64_t>(bytes);
  }
  return 0;
}

int Compiler::add_header(const ItemDescription& description, Slot slot) {
  uint8_t mask[kMaxHeaderBytes] = {};
  const void* given = item_->mask;
  if (given != nullptr) {
    std::memcpy(mask, given, description.header_bytes);
  } else if (item_->spec != nullptr) {
    std::memcpy(mask, description.default_mask, description.header_bytes);
  }
  if (given != nullptr && description.type == RTE_FLOW_ITEM_TYPE_ETH) {
    const auto* eth = static_cast<const rte_flow_item_eth*>(given);
    if (eth->reserved != 0)
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM_MASK, "ETH", "reserved bits must be zero", EINVAL);
    if (eth->has_vlan) {
      tag_may_vary_ = true;
      if (const int code = add_meta(1, kMetaHasVlan, inner_ ? meta::kInnerTagShift : meta::kOuterTagShift))
        return code;
    }
  }
  if (given != nullptr && description.type == RTE_FLOW_ITEM_TYPE_VLAN) {
    const auto* vlan = static_cast<const rte_flow_item_vlan*>(given);
    if (vlan->reserved != 0)
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM_MASK, "VLAN", "reserved bits must be zero", EINVAL);
    if (vlan->has_more_vlan) {
      if (layer_ == Layer::kVlan2) {
        return refuse(RTE_FLOW_ERROR_TYPE_ITEM_MASK, "VLAN",
                      "has_more_vlan of a second tag is not supported");
      }
      tag_may_vary_ = true;
      const int shift = inner_ ? meta::kInnerMoreTagsShift : meta::kOuterMoreTagsShift;
      if (const int code = add_meta(1, kMetaHasMoreVlan, shift)) return code;
    }
  }
  if (given != nullptr && description.type == RTE_FLOW_ITEM_TYPE_IPV6) {
    const auto* ipv6 = static_cast<const rte_flow_item_ipv6*>(given);
    if (ipv6->has_hop_ext || ipv6->has_route_ext || ipv6->has_auth_ext || ipv6->has_esp_ext ||
        ipv6->has_dest_ext || ipv6->has_mobil_ext || ipv6->has_hip_ext || ipv6->has_shim6_ext ||
        ipv6->reserved) {
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM_MASK, "IPV6",
                    "of the extension headers only has_frag_ext can be matched");
    }
    if (ipv6->has_frag_ext) {
      const int shift = inner_ ? meta::kInnerFragmentShift : meta::kOuterFragmentShift;
      if (const int code = add_meta(1, kMetaHasFragment, shift)) return code;
    }
  }
  if (item_->last != nullptr) {
    if (const int code = add_range_fields(description, slot, mask)) return code;
  }
  return add_words(description, slot, mask);
}

int Compiler::add_meta(uint64_t mask, uint8_t kind, int shift) {
  PatternSources& sources = out_->sources;
  if ((meta_mask_ & mask << shift) != 0 || sources.metas == std::size(sources.meta)) {
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM, item_name(type_of(*item_)), "may appear only once", EINVAL);
  }
  meta_mask_ |= mask << shift;
  sources.meta[sources.metas++] = {index_, kind, static_cast<uint8_t>(shift)};
  return 0;
}

int Compiler::add_port() {
  if (!attr_.transfer) {
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM, "REPRESENTED_PORT", "needs the transfer attribute", EINVAL);
  }
  if (item_->last != nullptr) {
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM_LAST, "REPRESENTED_PORT", "ranges are not supported");
  }
  if (item_->spec == nullptr && item_->mask == nullptr) return 0;  // any port: what every packet has
  const auto* mask = static_cast<const rte_flow_item_ethdev*>(item_->mask);
  const uint16_t bits = mask == nullptr ? 0xffff : mask->port_id;
  return bits == 0 ? 0 : add_meta(bits, kMetaPort, 0);
}

int Compiler::add_integrity() {
  if (item_->last != nullptr)
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM_LAST, "INTEGRITY", "ranges are not supported");
  const auto* mask = static_cast<const rte_flow_item_integrity*>(item_->mask);
  if (mask == nullptr || mask->value == 0) return 0;  // the default mask is empty
  const auto* spec = static_cast<const rte_flow_item_integrity*>(item_->spec);
  const uint32_t level = spec != nullptr ? spec->level : mask->level;
  if (level > 2)
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM_SPEC, "INTEGRITY", "levels above 2 are not supported");
  if ((mask->value & ~meta::kIntegrityBits) != 0) {
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM_MASK, "INTEGRITY",
                  "l2_crc_ok, l4_csum_ok and reserved bits are not supported");
  }
  out_->shape.matches_integrity = true;
  return add_meta(mask->value, kMetaIntegrity,
                  level == 2 ? meta::kInnerIntegrityShift : meta::kOuterIntegrityShift);
}

// META, MARK and TAG: one word each, whose value begins the item's spec.
int Compiler::add_register(const ItemDescription& description) {
  const auto refuse_value = [&](rte_flow_error_type type, const char* text, int code) {
    return refuse(type, description.name, text, code);
  };
  if (item_->last != nullptr)
    return refuse_value(RTE_FLOW_ERROR_TYPE_ITEM_LAST, "ranges are not supported", ENOTSUP);
  uint32_t mask = item_->mask != nullptr   ? load_raw<uint32_t>(item_->mask)
                  : item_->spec != nullptr ? UINT32_MAX
                                           : 0;
  uint8_t at = description.type == RTE_FLOW_ITEM_TYPE_META ? registers::kMeta : registers::kMark;
  if (description.type == RTE_FLOW_ITEM_TYPE_TAG) {
    const auto* spec = static_cast<const rte_flow_item_tag*>(item_->spec);
    const auto* tag_mask = static_cast<const rte_flow_item_tag*>(item_->mask);
    if (spec == nullptr)  // which register it is must be known, also in a template
      return refuse_value(RTE_FLOW_ERROR_TYPE_ITEM_SPEC, "needs a spec, whose index names the register",
                          EINVAL);
    if (tag_mask != nullptr && tag_mask->index != 0xff)
      return refuse_value(RTE_FLOW_ERROR_TYPE_ITEM_MASK, "the index must be masked whole", EINVAL);
    if (spec->index >= kTags)
      return refuse_value(RTE_FLOW_ERROR_TYPE_ITEM_SPEC, "registers are numbered 0 to 7", ENOTSUP);
    at = static_cast<uint8_t>(registers::kTags + 4 * spec->index);
  }
  if (mask == 0) return 0;
  PatternShape& shape = out_->shape;
  if (shape.words == kMaxKeyWords)
    return refuse(RTE_FLOW_ERROR_TYPE_ITEM_NUM, description.name, "the pattern matches too many bytes");
  uint8_t bytes[8] = {};
  std::memcpy(bytes + at % 8, &mask, sizeof mask);
  // Specs may be shorter than eight bytes; see gather_values.
  out_->sources.word[shape.words] = {index_, 0, static_cast<uint8_t>(8 * (at % 8)), true, 0, 0};
  shape.word[shape.words++] = {load_raw<uint64_t>(bytes), Slot::kRegisters, static_cast<int8_t>(at / 8 * 8)};
  return 0;
}

int Compiler::add_item(const ItemDescription& description) {
  if (const int code = check_masks(description)) return code;
  if (description.type == RTE_FLOW_ITEM_TYPE_META || description.type == RTE_FLOW_ITEM_TYPE_MARK ||
      description.type == RTE_FLOW_ITEM_TYPE_TAG) {
    return add_register(description);
  }
  if (description.type == RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT) return add_port();
  if (description.type == RTE_FLOW_ITEM_TYPE_INTEGRITY) return add_integrity();
  Slot slot;
  if (const int code = place(description, &slot)) return code;
  if (const int code = add_header(description, slot)) return code;
  // VXLAN on another port than the device's would never be seen as VXLAN: say so instead of never matching.
  if (description.type == RTE_FLOW_ITEM_TYPE_VXLAN && index_ > 0 && mode_ == PatternMode::kRule) {
    const rte_flow_item* udp = item_ - 1;
    while (udp->type == RTE_FLOW_ITEM_TYPE_VOID && udp != item_ - index_) --udp;
    if (udp->type == RTE_FLOW_ITEM_TYPE_UDP && udp->spec != nullptr && udp->last == nullptr) {
      const auto* spec = static_cast<const rte_flow_item_udp*>(udp->spec);
      const auto* mask = static_cast<const rte_flow_item_udp*>(udp->mask);
      const uint16_t bits = mask == nullptr ? 0xffff : mask->hdr.dst_port;
      const uint16_t expected = rte_cpu_to_be_16(options_.vxlan_udp_port);
      if ((spec->hdr.dst_port & bits) != (expected & bits)) {
        return refuse(RTE_FLOW_ERROR_TYPE_ITEM, "VXLAN",
                      "the UDP destination port before it is not this device's VXLAN port");
      }
    }
  }
  return 0;
}

int Compiler::run(const rte_flow_item* pattern) {
  *out_ = CompiledPattern{};
  for (size_t i = 0; type_of(pattern[i]) != RTE_FLOW_ITEM_TYPE_END; ++i) {
    item_ = &pattern[i];
    if (i == kMaxItems) return refuse(RTE_FLOW_ERROR_TYPE_ITEM_NUM, "pattern", "too many items");
    index_ = static_cast<uint8_t>(i);
    out_->sources.type[i] = type_of(*item_);
    out_->sources.items = static_cast<uint8_t>(i + 1);
    if (type_of(*item_) == RTE_FLOW_ITEM_TYPE_VOID) continue;
    const ItemDescription* description = describe_item(type_of(*item_));
    if (description == nullptr)
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM, item_name(type_of(*item_)), "is not supported");
    if (const int code = add_item(*description)) return code;
  }
  if (meta_mask_ != 0) {
    if (out_->shape.words == kMaxKeyWords) {
      return refuse(RTE_FLOW_ERROR_TYPE_ITEM_NUM, "pattern", "the pattern matches too many bytes");
    }
    out_->sources.word[out_->shape.words] = {0, 0, 0, false, 0, 0};
    out_->shape.word[out_->shape.words++] = {meta_mask_, Slot::kMeta, 0};
  }
  plan_words();
  return 0;
}

// What gather_words() goes by.
void Compiler::plan_words() {
  PatternSources& sources = out_->sources;
  const uint8_t words = out_->shape.words;
  sources.ends_with_port = sources.metas == 1 && sources.meta[0].kind == kMetaPort;
  if (sources.ends_with_port)
    sources.word[words - 1] = {sources.meta[0].item, 0, sources.meta[0].shift, true, 0, 0};
  for (uint8_t i = 0; i < words; ++i) {
    PatternSources::Word& word = sources.word[i];
    word.spec = static_cast<uint16_t>(word.item * sizeof(rte_flow_item) + offsetof(rte_flow_item, spec));
    word.mask = out_->shape.word[i].mask;
  }
  const uint8_t from_specs = sources.metas == 0 ? words : static_cast<uint8_t>(words - 1);
  while (sources.long_words < from_specs && !sources.word[sources.long_words].is_short) ++sources.long_words;
  sources.is_plain = sources.long_words + sources.ends_with_port == words;
}

uint64_t meta_value(const PatternSources::Meta& source, const rte_flow_item* pattern) {
  const void* spec = pattern[source.item].spec;
  uint64_t value = 0;
  switch (source.kind) {
    case kMetaPort: value = static_cast<const rte_flow_item_ethdev*>(spec)->port_id; break;
    case kMetaHasVlan: value = static_cast<const rte_flow_item_eth*>(spec)->has_vlan; break;
    case kMetaHasFragment: value = static_cast<const rte_flow_item_ipv6*>(spec)->has_frag_ext; break;
    case kMetaHasMoreVlan: value = static_cast<const rte_flow_item_vlan*>(spec)->has_more_vlan; break;
    default: value = static_cast<const rte_flow_item_integrity*>(spec)->value & meta::kIntegrityBits; break;
  }
  return value << source.shift;
}

bool same(const KeyWord& a, const KeyWord& b) {
  return a.mask == b.mask && a.slot == b.slot && a.offset == b.offset;
}
bool same(const RangeField& a, const RangeField& b) {
  return a.slot == b.slot && a.offset == b.offset && a.length == b.length &&
         std::memcmp(a.mask, b.mask, a.length) == 0;
}

}  // namespace

int compile_pattern(const rte_flow_attr& attr, const rte_flow_item* pattern, PatternMode mode,
                    const EngineOptions& options, CompiledPattern* out, rte_flow_error* error) {
  return Compiler(attr, mode, options, out, error).run(pattern);
}

int gather_any_words(const PatternShape& shape, const PatternSources& sources, const rte_flow_item* pattern,
                     uint64_t* words, rte_flow_error* error) {
  const auto missing = [&](uint8_t item) {
    return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, &pattern[item],
                named_message(item_name(type_of(pattern[item])), "the template's mask needs a spec"));
  };
  const uint8_t from_specs = sources.metas == 0 ? shape.words : static_cast<uint8_t>(shape.words - 1);
  for (uint8_t i = 0; i < from_specs; ++i) {
    const PatternSources::Word source = sources.word[i];
    const auto* spec = static_cast<const uint8_t*>(pattern[source.item].spec);
    if (__builtin_expect(spec == nullptr, 0)) return missing(source.item);
    const uint64_t value =
        source.is_short ? uint64_t{load_raw<uint32_t>(spec)} << source.shift : load_raw<uint64_t>(spec + source.offset);
    words[i] = value & shape.word[i].mask;
  }
  if (from_specs == shape.words) return 0;
  uint64_t value = 0;
  for (uint8_t m = 0; m < sources.metas; ++m) {
    if (pattern[sources.meta[m].item].spec == nullptr) return missing(sources.meta[m].item);
    value |= meta_value(sources.meta[m], pattern);
  }
  words[from_specs] = value & shape.word[from_specs].mask;
  return 0;
}

int check_types(const PatternSources& sources, const rte_flow_item* pattern, rte_flow_error* error) {
  const rte_flow_item* other = first_other(pattern, sources.type, sources.items);
  if (__builtin_expect(other == nullptr, 1)) return 0;
  return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM, other, "item differs from the template's");
}

int gather_values(const PatternShape& shape, const PatternSources& sources, const rte_flow_item* pattern,
                  uint64_t* words, uint8_t* low, uint8_t* high, rte_flow_error* error) {
  if (const int code = check_types(sources, pattern, error)) return code;
  return gather_typed_values(shape, sources, pattern, words, low, high, error);
}

int gather_typed_values(const PatternShape& shape, const PatternSources& sources,
                        const rte_flow_item* pattern, uint64_t* words, uint8_t* low, uint8_t* high,
                        rte_flow_error* error) {
  if (const int code = gather_words(shape, sources, pattern, words, error)) return code;
  for (uint8_t i = 0; i < shape.ranges; ++i) {
    const RangeField& range = shape.range[i];
    const rte_flow_item& item = pattern[sources.range_item[i]];
    const auto* spec = static_cast<const uint8_t*>(item.spec) + range.offset;
    const auto* last = static_cast<const uint8_t*>(item.last) + range.offset;
    const RangeValue from = range.value_of(spec), to = range.value_of(last);
    std::memcpy(low + i * kMaxRangeBytes, &from, sizeof from);
    std::memcpy(high + i * kMaxRangeBytes, &to, sizeof to);
    if (to < from) {
      return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_LAST, &item,
                  named_message(item_name(type_of(item)), "last is below spec"));
    }
  }
  return 0;
}

bool PatternShape::equals(const PatternShape& other) const {
  if (required_mask != other.required_mask || required_value != other.required_value ||
      words != other.words || ranges != other.ranges || matches_integrity != other.matches_integrity) {
    return false;
  }
  for (uint8_t i = 0; i < words; ++i) {
    if (!same(word[i], other.word[i])) return false;
  }
  for (uint8_t i = 0; i < ranges; ++i) {
    if (!same(range[i], other.range[i])) return false;
  }
  return true;
}

uint64_t PatternShape::hash() const {
  uint64_t h = required_mask * 0x9e3779b97f4a7c15ull ^ required_value;
  const auto add = [&h](uint64_t value) {
    h = (h ^ value) * 0x9e3779b97f4a7c15ull;
    h ^= h >> 29;
  };
  for (uint8_t i = 0; i < words; ++i) {
    add(word[i].mask);
    add(static_cast<uint64_t>(word[i].slot) << 8 | static_cast<uint8_t>(word[i].offset));
  }
  for (uint8_t i = 0; i < ranges; ++i) add(static_cast<uint64_t>(range[i].slot) << 8 | range[i].offset);
  return h;
}

}  // namespace sluice
