// Rules of the software table staged from a flow's arguments, without rte_flow items and actions in between.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "flow_engine/flow_engine.h"
#include "flow_port/rule_template.h"

namespace sluice {

// What all rows of a template have in common, and where in a row each argument goes.
//
// It is found by trying: a row is staged from the template's items and actions with all arguments 0, and others with
// one byte set that an argument is written to. Where that byte arrives in the row as it is, in one place or in none, it
// can be written there at once. So a plan knows nothing of how the engine makes keys and operands, and cannot differ
// from it.
class RowPlan {
 public:
  // Null where an argument does more than arrive in the row (a mask of some bits, an encapsulation's header other than
  // the fields that each row has of its own): such rows are staged from items and actions. Leaves the template's
  // values 0.
  static std::unique_ptr<RowPlan> make(FlowEngine& engine, RuleTable* table, RuleTemplate& rule);

  // As FlowEngine::stage_row of the filled template.
  FlowRule* stage(FlowEngine& engine, const FlowArguments& arguments, rte_flow_error* error) const;

 private:
  struct Move {
    uint16_t argument;
    uint16_t at;  // in the row's values
    RuleTemplate::Copy copy;
    uint8_t width;
  };
  void sort_moves();

  RowImage image_;
  std::vector<Move> moves_;                                        // by Copy
  std::array<const Move*, RuleTemplate::kCopies + 1> ends_ = {};  // where those of each Copy begin
};

}  // namespace sluice
