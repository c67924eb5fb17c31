// What a rule's translation makes of a tuple that is in no packet: the one that an ICMP error quotes.
#include "flow_engine/engine_state.h"
#include "packet/rewrite.h"
#include "packet/wire.h"

namespace sluice {

void FlowEngine::translate(const FlowRule* rule, RuleTuple* tuple) const {
  const RuleTable* table = self_->table_of(rule);
  const ActionProgram& program = table->program;
  const uint8_t* of_row = reinterpret_cast<const uint8_t*>(rule) + table->operands_at;
  for (uint8_t i = 0; i < program.ops; ++i) {
    const Op& op = program.op[i];
    const uint8_t* operand = (op.constant ? program.constants.data() : of_row) + op.operand;
    const bool is_source = static_cast<Direction>(op.which) == Direction::kSource;
    switch (op.kind) {
      case OpKind::kSetIpv4: (is_source ? tuple->source : tuple->destination) = load_be32(operand); break;
      case OpKind::kSetTp:
        (is_source ? tuple->source_port : tuple->destination_port) = load_be16(operand);
        break;
      case OpKind::kSetIcmpIdent: tuple->source_port = tuple->destination_port = load_be16(operand); break;
      default: break;
    }
  }
}

}  // namespace sluice
