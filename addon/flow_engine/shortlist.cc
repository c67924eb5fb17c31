#include "flow_engine/shortlist.h"

namespace sluice {

void Shortlist::make(const Group* searched, const PacketView& view) {
  group_ = searched;
  presence_ = view.presence;
  meta_ = view.meta;
  constants_ = tables_ = 0;
  for (size_t i = 0; i < searched->constants.size(); ++i) {
    if (searched->constants[i].may_match(view)) constant_[constants_++] = static_cast<uint8_t>(i);
  }
  more_ = 0;
  if (searched->all_constant) more_ = static_cast<uint32_t>(searched->tables.size());
  for (; more_ < searched->tables.size() && tables_ < kMostTables; ++more_) {
    const Group::Candidate& candidate = searched->tables[more_];
    if (!candidate.copied && candidate.fits(view)) table_[tables_++] = static_cast<uint16_t>(more_);
  }
}

}  // namespace sluice
