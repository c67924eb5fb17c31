// Rows copied from an image of one: what a user stages who knows which of their bytes differ.
#include <cerrno>
#include <cstring>

#include "flow_engine/engine_state.h"
#include "flow_engine/flow_error.h"
#include "packet/wire.h"

namespace sluice {

const uint8_t* FlowEngine::values(const FlowRule* row) { return reinterpret_cast<const uint8_t*>(row->key()); }

size_t FlowEngine::value_bytes(const RuleTable* table) {
  return table->operands_at + table->program.operand_bytes - sizeof(FlowRule);
}

bool FlowEngine::image_of(RuleTable* table, FlowRule* staged, RowImage* image) {
  const ActionProgram& program = table->program;
  if (table->pattern.shape.ranges != 0 || program.ages) return false;
  std::vector<uint16_t> headers;
  for (uint8_t i = 0; i < program.row_operands; ++i) {
    const OpKind kind = program.op[program.row_operand[i].op].kind;
    if (kind == OpKind::kVxlanEncap || kind == OpKind::kReplaceL2) headers.push_back(program.row_operand[i].offset);
    if (kind == OpKind::kRss || kind == OpKind::kIndirectCount || kind == OpKind::kIndirectAge) return false;
  }
  image->table = table;
  image->headers = std::move(headers);
  // Behind the operands stands what the row's memory was used for before.
  image->words.assign((table->row_bytes - table->rule_at) / sizeof(uint64_t), 0);
  std::memcpy(image->words.data(), staged, sizeof(FlowRule) + value_bytes(table));
  for (const uint16_t at : image->headers)
    self_->shared.headers.acquire_again(load_raw<uint32_t>(table->operands(staged) + at));
  return true;
}

FlowRule* FlowEngine::stage_copy(const RowImage& image, uint8_t** values, rte_flow_error* error) {
  RuleTable* table = image.table;
  FlowRule* rule = self_->copy_row(table, image.words.data(), error);
  if (rule == nullptr) return nullptr;
  *values = reinterpret_cast<uint8_t*>(rule->key());
  for (const uint16_t at : image.headers)
    self_->shared.headers.acquire_again(load_raw<uint32_t>(table->operands(rule) + at));
  return rule;
}

}  // namespace sluice
