#include "flow_engine/shortlist.h"

#include <algorithm>

namespace sluice {
namespace {

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
  constants_ = tables_ = checks_ = 0;
  otherwise_ = nullptr;
  like_before_ = 0;
  for (size_t i = 0; i < searched->constants.size(); ++i) {
    if (searched->constants[i].may_match(view)) constant_[constants_++] = static_cast<uint8_t>(i);
  }
  // What is behind a rule that asks for nothing more is never come to.
  for (unchecked_ = 0; unchecked_ < constants_; ++unchecked_) {
    const Group::Constant& constant = searched->constants[constant_[unchecked_]];
    const size_t count = static_cast<size_t>(constant.end - constant.first);
    if (checks_ + count > kMostChecks) break;
    if (count == 0) {
      otherwise_ = &constant;
      constants_ = unchecked_;
      break;
    }
    for (uint16_t at = constant.first; at != constant.end; ++at) {
      check_[checks_++] = {searched->comparisons[at], static_cast<uint8_t>(constant.end - at),
                           constant_[unchecked_]};
    }
  }
  more_ = 0;
  if (searched->all_constant) more_ = static_cast<uint32_t>(searched->tables.size());
  for (; more_ < searched->tables.size() && tables_ < kMostTables; ++more_) {
    const Group::Candidate& candidate = searched->tables[more_];
    if (candidate.copied || !candidate.fits(view)) continue;
    if (tables_ != 0 && has_same_words(*candidate.table, *searched->tables[table_[tables_ - 1]].table))
      like_before_ |= 1u << tables_;
    table_[tables_++] = static_cast<uint16_t>(more_);
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
