// Rule arrays out of a fuzzer's input: any items, items that a given frame hits, any actions.
#pragma once

#include "flow_engine/indirect.h"
#include "input.h"
#include "support.h"

namespace fuzz {

// What rules point to beside their own structures, for as long as they may be asked.
struct Shared {
  Shared();

  sluice::IndirectAction handles[4];  // a counter, an age, one of ingress rules, one that is gone
  std::vector<std::unique_ptr<sluice::test::Rule>> definitions;  // of VXLAN_ENCAP
};

inline constexpr size_t kRoom = 128;  // more than any item's or action's structure

// Of an item's structure; 0 for one that has none.
size_t size_of(int type);
void any_attributes(Input& in, sluice::test::Rule& rule);
const rte_flow_item* any_items(Input& in, sluice::test::Rule& rule, uint8_t most);
// Items of the frame's own headers, as many as the input says, with masks under which the frame hits; now and
// then a range instead of a mask. The rule's attributes are such that it can be hit.
void items_of(Input& in, sluice::test::Rule& rule, const sluice::test::Bytes& frame);
void any_actions(Input& in, sluice::test::Rule& rule, Shared& shared);

}  // namespace fuzz
