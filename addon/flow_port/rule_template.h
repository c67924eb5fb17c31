// A rule template of the compiler as rte_flow sees it: items and actions in memory of their own, and the
// places in them that a flow's arguments are copied to.
#pragma once

#include <rte_flow.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "generated/records.h"

namespace sluice {

// As it crosses the boundary; layouts in src/compiler/template.ts.
struct TemplateSource {
  using Bytes = std::vector<uint8_t>;
  struct Item {
    ItemType type = ItemType::kEnd;
    std::optional<Bytes> spec, mask, last;
    bool operator==(const Item&) const = default;
  };
  struct Action {
    ActionType type = ActionType::kEnd;
    Bytes conf;
    bool operator==(const Action&) const = default;
  };
  struct Patch {
    PatchTarget target = PatchTarget::kItem;
    uint32_t index = 0, offset = 0, width = 0, argument = 0;
    bool big_endian = false;
    bool operator==(const Patch&) const = default;
  };
  uint32_t group = 0;
  uint32_t priority = 0;
  bool transfer = false;
  std::vector<Item> items;
  std::vector<Action> actions;
  std::vector<Patch> patches;
  // The rule that packets go on to by their tag, where one rule cannot do all. None or one.
  std::vector<TemplateSource> second;
  bool operator==(const TemplateSource&) const = default;
};

class RuleTemplate {
 public:
  // `port_ids` maps gateway port indices to ethdev ids. Throws NativeFault TEMPLATE with causeIndex.
  RuleTemplate(const TemplateSource& source, const std::vector<uint16_t>& port_ids);
  RuleTemplate(const RuleTemplate&) = delete;
  RuleTemplate& operator=(const RuleTemplate&) = delete;

  // How an argument is copied: arguments are little-endian numbers, or MACs as they stand.
  enum class Copy : uint8_t { kMac, kLittle, kBig8, kBig16, kBig24, kBig32 };
  static constexpr size_t kCopies = 6;
  struct Place {
    uint8_t* memory;  // in the items and actions
    uint16_t argument;
    uint8_t width;
    Copy copy;
  };

  // Writes a flow's values into the items and actions. They stay until the next fill: one user at a time.
  void fill(const FlowArguments& arguments, void* age_context);

  const rte_flow_attr& attr() const { return attr_; }
  const rte_flow_item* items() const { return items_.data(); }
  const rte_flow_action* actions() const { return actions_.data(); }
  // As rte_flow_actions_template_create takes them: what no flow changes is constant.
  const rte_flow_action* action_masks() const { return masks_.data(); }
  // What COUNT's bytes have in front of the innermost IPv4 packet, for frames that arrive with
  // `ingress_bytes` there: a decapsulation or a tag before COUNT changes it.
  uint32_t counted_overhead(uint32_t ingress_bytes) const;
  // Index of the item or action that an rte_flow error points to, −1 when it points elsewhere.
  int cause_index(const rte_flow_error& error) const;
  // Where fill() writes, by Copy. Whoever writes there puts it back.
  const std::vector<Place>& places() const { return places_; }

 private:
  // Where a stretch of the compiler's bytes lies in rte_flow's structures.
  struct Segment {
    uint32_t offset, length;
    uint8_t* memory;
  };

  template <typename T>
  T* make();
  uint8_t* allocate(size_t bytes);
  void add_item(const TemplateSource::Item& item, const std::vector<uint16_t>& port_ids, size_t index);
  void add_action(const TemplateSource::Action& action, const std::vector<uint16_t>& port_ids, size_t index);
  void* vxlan_encap(const TemplateSource::Bytes& conf, size_t index);
  void* modify_field(const TemplateSource::Bytes& conf, size_t index);
  void add_patch(const TemplateSource::Patch& patch);
  void sort_places();
  void make_masks(const TemplateSource& source);

  rte_flow_attr attr_ = {};
  std::vector<rte_flow_item> items_;
  std::vector<rte_flow_action> actions_;
  std::vector<rte_flow_action> masks_;
  std::vector<std::vector<Segment>> item_segments_, action_segments_;
  std::vector<Place> places_;                        // by Copy
  std::array<const Place*, kCopies + 1> ends_ = {};  // where those of each Copy begin
  std::vector<std::unique_ptr<uint64_t[]>> memory_;
  rte_flow_action_age* age_ = nullptr;
  bool counts_ = false;
  bool decapsulated_before_count_ = false;
  int32_t tag_bytes_before_count_ = 0;
};

}  // namespace sluice
