#include "slow_path/row_plan.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "packet/wire.h"

namespace sluice {
namespace {

using Values = std::vector<uint8_t>;

// A row as the engine makes it of the template's items and actions.
class Trial {
 public:
  Trial(FlowEngine& engine, RuleTable* table, const RuleTemplate& rule) : engine_(engine), table_(table) {
    rte_flow_error error = {};
    row_ = engine.stage_row(table, rule.items(), rule.actions(), &error);
    if (row_ == nullptr) return;
    const uint8_t* values = FlowEngine::values(row_);
    values_.assign(values, values + FlowEngine::value_bytes(table));
  }
  ~Trial() {
    if (row_ == nullptr) return;
    FlowEngine::abandon(row_);
    engine_.destroy(table_, row_);
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  FlowRule* row() const { return row_; }
  const Values& values() const { return values_; }

 private:
  FlowEngine& engine_;
  RuleTable* table_;
  FlowRule* row_;
  Values values_;
};

constexpr int kNowhere = -1;
constexpr size_t kMostBytes = 6;  // of an argument

// Where in the row the byte arrives; none: it changes the row in another way. The row has a 0 there before.
std::optional<int> arrival(const Values& before, const Values& after, uint8_t value) {
  int at = kNowhere;
  for (size_t i = 0; i < before.size(); i++) {
    if (before[i] == after[i]) continue;
    if (at != kNowhere || before[i] != 0 || after[i] != value) return std::nullopt;
    at = static_cast<int>(i);
  }
  return at;
}

// The same for any value.
std::optional<int> arrival(FlowEngine& engine, RuleTable* table, const RuleTemplate& rule, const Values& zero,
                           uint8_t* byte) {
  std::optional<int> found;
  for (const uint8_t value : {0xff, 0x5a, 0x01}) {
    *byte = value;
    const Trial trial(engine, table, rule);
    *byte = 0;
    if (trial.row() == nullptr) return std::nullopt;
    const std::optional<int> at = arrival(zero, trial.values(), value);
    if (!at || (found && *found != *at)) return std::nullopt;
    found = at;
  }
  return found;
}

// Of an argument, the byte that is copied to byte `i` of a place.
uint16_t source_of(const RuleTemplate::Place& place, uint8_t i) {
  const bool reversed = place.copy != RuleTemplate::Copy::kMac && place.copy != RuleTemplate::Copy::kLittle;
  return static_cast<uint16_t>(place.argument + (reversed ? place.width - 1 - i : i));
}

}  // namespace

std::unique_ptr<RowPlan> RowPlan::make(FlowEngine& engine, RuleTable* table, RuleTemplate& rule) {
  rule.fill(FlowArguments{}, nullptr);
  const Trial zero(engine, table, rule);  // holds its encapsulation header: another one has another number
  if (zero.row() == nullptr) return nullptr;
  auto plan = std::make_unique<RowPlan>();
  std::vector<bool> is_written(zero.values().size());
  for (const RuleTemplate::Place& place : rule.places()) {
    int at[kMostBytes];
    bool side_by_side = true;
    for (uint8_t i = 0; i < place.width; i++) {
      const std::optional<int> found = arrival(engine, table, rule, zero.values(), place.memory + i);
      if (!found) return nullptr;
      at[i] = *found;
      side_by_side = side_by_side && at[i] != kNowhere && at[i] == at[0] + i;
      if (at[i] == kNowhere) continue;
      if (is_written[static_cast<size_t>(at[i])]) return nullptr;
      is_written[static_cast<size_t>(at[i])] = true;
    }
    if (side_by_side) {
      plan->moves_.push_back({place.argument, static_cast<uint16_t>(at[0]), place.copy, place.width});
      continue;
    }
    // A key's words may part what is one field: byte by byte then.
    for (uint8_t i = 0; i < place.width; i++) {
      if (at[i] != kNowhere)
        plan->moves_.push_back({source_of(place, i), static_cast<uint16_t>(at[i]), RuleTemplate::Copy::kBig8, 1});
    }
  }
  if (!engine.image_of(table, zero.row(), &plan->image_)) return nullptr;
  plan->sort_moves();
  return plan;
}

// Written kind by kind, as RuleTemplate::fill() does.
void RowPlan::sort_moves() {
  std::stable_sort(moves_.begin(), moves_.end(), [](const Move& a, const Move& b) { return a.copy < b.copy; });
  const Move* move = moves_.data();
  const Move* const end = move + moves_.size();
  for (size_t copy = 0; copy < RuleTemplate::kCopies; copy++) {
    ends_[copy] = move;
    while (move != end && static_cast<size_t>(move->copy) == copy) move++;
  }
  ends_[RuleTemplate::kCopies] = end;
}

FlowRule* RowPlan::stage(FlowEngine& engine, const FlowArguments& arguments, rte_flow_error* error) const {
  using Copy = RuleTemplate::Copy;
  uint8_t* row;
  FlowRule* rule = engine.stage_copy(image_, &row, error);
  if (rule == nullptr) return nullptr;
  const auto* values = reinterpret_cast<const uint8_t*>(&arguments);
  const auto each = [&](Copy copy, auto&& write) {
    const Move* const end = ends_[static_cast<size_t>(copy) + 1];
    for (const Move* move = ends_[static_cast<size_t>(copy)]; move != end; move++)
      write(row + move->at, values + move->argument, move->width);
  };
  each(Copy::kMac, [](uint8_t* to, const uint8_t* value, uint8_t) { std::memcpy(to, value, 6); });
  each(Copy::kLittle, [](uint8_t* to, const uint8_t* value, uint8_t width) { copy_field(to, value, width); });
  each(Copy::kBig8, [](uint8_t* to, const uint8_t* value, uint8_t) { *to = *value; });
  each(Copy::kBig16, [](uint8_t* to, const uint8_t* value, uint8_t) {
    store_raw(to, __builtin_bswap16(load_raw<uint16_t>(value)));
  });
  each(Copy::kBig24, [](uint8_t* to, const uint8_t* value, uint8_t) {
    to[0] = value[2];
    to[1] = value[1];
    to[2] = value[0];
  });
  each(Copy::kBig32, [](uint8_t* to, const uint8_t* value, uint8_t) {
    store_raw(to, __builtin_bswap32(load_raw<uint32_t>(value)));
  });
  return rule;
}

}  // namespace sluice
