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
  constants_ = tables_ = 0;
  like_before_ = 0;
  for (size_t i = 0; i < searched->constants.size(); ++i) {
    if (searched->constants[i].may_match(view)) constant_[constants_++] = static_cast<uint8_t>(i);
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

}  // namespace sluice
