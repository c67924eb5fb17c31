#include "flow_engine/shortlist.h"

#include <algorithm>

namespace sluice {
namespace {

// For tables that no word has told from others yet: nothing is excluded.
constexpr uint64_t kTellsNothing[3] = {0, 0, 0};

bool has_same_words(const RuleTable& a, const RuleTable& b) {
  const PatternShape &one = a.pattern.shape, &other = b.pattern.shape;
  return one.words == other.words &&
         std::equal(one.word, one.word + one.words, other.word, [](const KeyWord& x, const KeyWord& y) {
           return x.mask == y.mask && x.slot == y.slot && x.offset == y.offset;
         });
}

}  // namespace

void Shortlist::make(const Group* searched, const PacketView& view) {
  group_ = searched;
  presence_ = view.presence;
  meta_ = view.meta;
  next_ = nullptr;
  list_constants(view);
  tables_ = 0;
  more_ = searched->all_constant ? static_cast<uint32_t>(searched->tables.size()) : 0;
  for (; more_ < searched->tables.size() && tables_ < kMostTables; ++more_) {
    const Group::Candidate& candidate = searched->tables[more_];
    if (candidate.copied || !candidate.fits(view)) continue;
    table_[tables_++] = static_cast<uint16_t>(more_);
  }
  plan(view);
}

void Shortlist::list_constants(const PacketView& view) {
  constants_ = checks_ = 0;
  otherwise_ = nullptr;
  screen_.clear();
  is_screened_ = true;
  for (size_t i = 0; i < group_->constants.size(); ++i) {
    if (group_->constants[i].may_match(view)) constant_[constants_++] = static_cast<uint8_t>(i);
  }
  // What is behind a rule that asks for nothing more is never come to.
  for (unchecked_ = 0; unchecked_ < constants_; ++unchecked_) {
    const Group::Constant& constant = group_->constants[constant_[unchecked_]];
    const size_t count = static_cast<size_t>(constant.end - constant.first);
    if (checks_ + count > kMostChecks) break;
    if (count == 0) {
      otherwise_ = &constant;
      constants_ = unchecked_;
      break;
    }
    bool is_screened = false;  // one comparison that does not hold is enough
    for (uint16_t at = constant.first; at != constant.end; ++at) {
      const Comparison& comparison = group_->comparisons[at];
      check_[checks_++] = {comparison, static_cast<uint8_t>(constant.end - at), constant_[unchecked_]};
      is_screened = is_screened || screen_.add(comparison);
    }
    is_screened_ = is_screened_ && is_screened;
  }
  if (unchecked_ != constants_) is_screened_ = false;
}

void Shortlist::plan(const PacketView& view) {
  keys_ = planned_count_ = 0;
  is_whole_ = !has_constants();
  for (uint8_t i = 0; i < tables_; ++i) {
    if (!plan(group_->tables[table_[i]], i, view)) is_whole_ = false;
  }
  for (size_t i = more_; i < group_->tables.size(); ++i) {
    const Group::Candidate& candidate = group_->tables[i];
    if (!candidate.copied && candidate.fits(view)) is_whole_ = false;
  }
}

// False: the table is looked up as it comes.
bool Shortlist::plan(const Group::Candidate& candidate, uint8_t place, const PacketView& view) {
  const RuleTable* table = candidate.table;
  if (table->is_listed() || planned_count_ == kMostPlanned) return false;
  uint8_t key = 0;
  while (key < keys_ && !has_same_words(*key_[key].table, *table)) ++key;
  if (key == keys_ && !add_key(table, view)) return false;
  // What is looked at of the packet must be there, though nothing is told by it yet.
  Gathered tested;
  if (key_[key].is_in_frame && key_[key].words != (key_[key].has_meta ? 1 : 0)) {
    tested = gathered_[key_[key].gathered];
  } else if ((view.presence & presence::kEth) == 0 || !tested.place.set(Slot::kOuterEth, 0)) {
    return false;
  }
  planned_[planned_count_++] = {table, kTellsNothing, tested, candidate.priority, key, place};
  return true;
}

bool Shortlist::add_key(const RuleTable* table, const PacketView& view) {
  const PatternShape& shape = table->pattern.shape;
  Key key = {};
  key.table = table;
  key.words = shape.words;
  if (keys_ != 0) {
    const Key& before = key_[keys_ - 1];
    key.at = static_cast<uint8_t>(before.at + before.words);
    key.gathered = static_cast<uint8_t>(before.gathered + before.words - before.has_meta);
  }
  if (keys_ == kMostKeys || key.at + key.words > kKeyWords) return false;
  key.has_meta = shape.words != 0 && shape.word[shape.words - 1].slot == Slot::kMeta;
  if (key.has_meta) key.meta = view.meta & shape.word[shape.words - 1].mask;
  key.is_in_frame = true;
  for (uint8_t i = 0; i + key.has_meta < shape.words; ++i) {
    Gathered& gathered = gathered_[key.gathered + i];
    gathered.mask = shape.word[i].mask;
    if (!gathered.place.set(shape.word[i].slot, shape.word[i].offset)) key.is_in_frame = false;
  }
  key_[keys_++] = key;
  return true;
}

void Shortlist::tell_by(const uint64_t* word, size_t number) {
  Planned& planned = planned_[number];
  const Key& key = key_[planned.key];
  for (uint8_t i = 0; key.is_in_frame && i + key.has_meta < key.words; ++i) {
    const RuleTable::Common& common = planned.table->common[i / 2];
    if (((word[i] ^ common.value[i % 2]) & common.mask[i % 2]) == 0) continue;
    planned.common = &common.value[i % 2];
    planned.tested = gathered_[key.gathered + i];
    return;
  }
}

const Group::Constant* Shortlist::find_unchecked(const PacketView& view) const {
  const Comparison* comparisons = group_->comparisons.data();
  for (uint8_t i = unchecked_; i < constants_; ++i) {
    const Group::Constant& constant = group_->constants[constant_[i]];
    uint16_t next = constant.first;
    while (next != constant.end && comparisons[next].holds(view)) ++next;
    if (next == constant.end) return &constant;
  }
  return nullptr;
}

}  // namespace sluice
