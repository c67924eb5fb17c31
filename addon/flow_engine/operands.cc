// A rule's operands: packed from the confs of its actions, and what they hold of others.
#include <cerrno>
#include <cstring>

#include "flow_engine/actions.h"
#include "flow_engine/encapsulation.h"
#include "flow_engine/flow_engine.h"
#include "flow_engine/flow_error.h"
#include "packet/wire.h"

namespace sluice {
namespace {

// Whose conf structure begins with the value itself, in the order that is stored.
constexpr bool is_plain(OpKind kind) {
  switch (kind) {
    case OpKind::kAge:
    case OpKind::kIndirectCount:
    case OpKind::kIndirectAge:
    case OpKind::kJump:
    case OpKind::kSetVlanPcp:
    case OpKind::kPushVlan:
    case OpKind::kModify:
    case OpKind::kRss:
    case OpKind::kSetTag:
    case OpKind::kReplaceL2:
    case OpKind::kVxlanEncap: return false;
    default: return true;
  }
}

// Null when well, otherwise what is wrong with the conf. `shared` null: only looks. Not of plain operations.
const char* encode(const ActionProgram& program, const Op& op, const rte_flow_action& action,
                   const rte_flow_attr& attr, const EngineOptions& options, SharedOperands* shared,
                   uint8_t* operand) {
  const void* conf = action.conf;
  if (conf == nullptr) {
    if (op.kind != OpKind::kAge || program.age_timeout == 0) return "needs a configuration";
    store_raw<void*>(operand, nullptr);
    return nullptr;
  }
  switch (op.kind) {
    case OpKind::kAge: {
      const auto* age = static_cast<const rte_flow_action_age*>(conf);
      if (age->reserved != 0) return "reserved bits must be zero";
      if (age->timeout == 0 && program.age_timeout == 0) return "the timeout must not be zero";
      store_raw(operand, age->context);
      return nullptr;
    }
    case OpKind::kIndirectCount:
    case OpKind::kIndirectAge: {
      auto* handle = static_cast<IndirectAction*>(const_cast<void*>(conf));
      if (handle->kind == IndirectAction::Kind::kGone) return "there is no such handle";
      if ((handle->kind == IndirectAction::Kind::kCount) != (op.kind == OpKind::kIndirectCount))
        return "the handle's action is of another type than the template's";
      if (!(attr.transfer ? handle->for_transfer : handle->for_ingress))
        return "the handle was made for rules of another direction";
      if (shared != nullptr) ++handle->references;
      store_raw(operand, handle);
      return nullptr;
    }
    case OpKind::kJump: {
      const uint32_t group = static_cast<const rte_flow_action_jump*>(conf)->group;
      if (group <= attr.group) return "only jumps to a higher group are supported";
      store_raw(operand, group);
      return nullptr;
    }
    case OpKind::kSetVlanPcp:
      if (*static_cast<const uint8_t*>(conf) > 7) return "the priority has 3 bits";
      *operand = *static_cast<const uint8_t*>(conf);
      return nullptr;
    case OpKind::kPushVlan:
      if (!is_vlan_type(load_be16(static_cast<const uint8_t*>(conf))))
        return "the TPID must be 0x8100 or 0x88a8";
      std::memcpy(operand, conf, 2);
      return nullptr;
    case OpKind::kModify: {
      const auto& source = static_cast<const rte_flow_action_modify_field*>(conf)->src;
      const void* value = source.field == RTE_FLOW_FIELD_POINTER ? source.pvalue : source.value;
      if (value == nullptr) return "the pointer to the value is null";
      copy_field(operand, value, op.operand_bytes);
      return nullptr;
    }
    case OpKind::kRss: {
      RssSpread spread;
      if (const char* wrong = read_rss(*static_cast<const rte_flow_action_rss*>(conf), &spread)) return wrong;
      store_raw(operand, shared == nullptr ? 0 : shared->spreads.acquire(spread));
      return nullptr;
    }
    case OpKind::kSetTag:
      if (static_cast<const rte_flow_action_set_tag*>(conf)->index != op.which)
        return "the index differs from the template's";
      copy_field(operand, conf, op.operand_bytes);
      return nullptr;
    case OpKind::kReplaceL2:
    case OpKind::kVxlanEncap: {
      VxlanHeader header;
      const char* wrong;
      if (type_of(action) == RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP) {
        const auto* encap = static_cast<const rte_flow_action_vxlan_encap*>(conf);
        if (encap->definition == nullptr) return "needs a definition";
        wrong = read_vxlan_definition(encap->definition, options.vxlan_udp_port, &header);
      } else {
        const auto* encap = static_cast<const rte_flow_action_raw_encap*>(conf);
        wrong = read_raw_encapsulation(encap->data, encap->size, options.vxlan_udp_port, &header);
      }
      if (wrong != nullptr) return wrong;
      const bool l2 = header.length <= kEthernetBytes + kVlanBytes;
      if (l2 != (op.kind == OpKind::kReplaceL2)) return "the kind of data differs from the template's";
      EncapOperand encap{};
      if (!l2) encap.fields = split_vxlan_header(&header);
      encap.header = shared == nullptr ? 0 : shared->headers.acquire(header);
      if (shared != nullptr && type_of(action) == RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP) {
        shared->definition.know(static_cast<const rte_flow_action_vxlan_encap*>(conf)->definition,
                                encap.header);
      }
      if (l2) {
        store_raw(operand, encap.header);
      } else {
        store_raw(operand, encap);
      }
      return nullptr;
    }
    default: return nullptr;
  }
}

void release(const Op& op, const uint8_t* operands, SharedOperands* shared) {
  if (op.kind == OpKind::kVxlanEncap || op.kind == OpKind::kReplaceL2) {
    const auto header = load_raw<uint32_t>(operands + op.operand);
    if (shared->headers.release(header)) shared->definition.forget(header);
  } else if (op.kind == OpKind::kRss) {
    shared->spreads.release(load_raw<uint32_t>(operands + op.operand));
  } else if (op.kind == OpKind::kIndirectCount || op.kind == OpKind::kIndirectAge) {
    --load_raw<IndirectAction*>(operands + op.operand)->references;
  }
}

// Operands of the first `ops` operations that are constants, or are not.
void release(const ActionProgram& program, uint8_t ops, bool constants, const uint8_t* operands,
             SharedOperands* shared) {
  for (uint8_t i = 0; i < ops; ++i) {
    if (program.op[i].constant == constants) release(program.op[i], operands, shared);
  }
}

// An operand that is no plain copy, or whose conf is missing. On failure nothing that the operations before it
// brought is held in `shared`.
__attribute__((noinline)) int encode_op(const ActionProgram& program, uint8_t index, const rte_flow_action* actions,
                                        const rte_flow_attr& attr, const EngineOptions& options,
                                        SharedOperands* shared, uint8_t* operands, rte_flow_error* error) {
  const Op& op = program.op[index];
  const rte_flow_action& action = actions[op.action];
  const char* wrong = encode(program, op, action, attr, options, shared, operands + op.operand);
  if (__builtin_expect(wrong == nullptr, 1)) return 0;
  if (shared != nullptr) release(program, index, op.constant, operands, shared);
  return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &action,
              named_message(action_name(type_of(action)), wrong));
}

}  // namespace

void list_row_operands(ActionProgram* program) {
  for (uint8_t i = 0; i < program->ops; ++i) {
    const Op& op = program->op[i];
    if (op.operand_bytes == 0 || op.constant) continue;
    program->row_operand[program->row_operands++] = {
        i, op.action, is_plain(op.kind) ? op.operand_bytes : uint8_t{0}, op.operand};
  }
  uint8_t copies = 0;
  for (uint8_t width = 0; width < ActionProgram::kCopies; ++width) {
    for (uint8_t i = 0; i < program->row_operands; ++i) {
      const RowOperand& operand = program->row_operand[i];
      if (operand.copied != 2 * (width + 1)) continue;
      const size_t conf = operand.action * sizeof(rte_flow_action) + offsetof(rte_flow_action, conf);
      program->copy[copies++] = {static_cast<uint16_t>(conf), operand.offset};
    }
    program->copies_end[width] = copies;
  }
  for (uint8_t i = 0; i < program->row_operands; ++i) {
    const RowOperand& operand = program->row_operand[i];
    if (program->op[operand.op].kind == OpKind::kAge) {
      program->row_brings_age = true;
    } else if (operand.copied != 2 && operand.copied != 4 && operand.copied != 6) {
      program->other[program->others++] = i;
    }
  }
}

int check_types(const ActionProgram& program, const rte_flow_action* actions, rte_flow_error* error) {
  const rte_flow_action* other = first_other(actions, program.type, program.actions);
  if (__builtin_expect(other == nullptr, 1)) return 0;
  return fail(error, EINVAL, RTE_FLOW_ERROR_TYPE_ACTION, other, "action differs from the template's");
}

int encode_in_order(const ActionProgram& program, const rte_flow_action* actions, const rte_flow_attr& attr,
                    const EngineOptions& options, SharedOperands* shared, uint8_t* operands,
                    rte_flow_error* error) {
  const RowOperand* const end = program.row_operand + program.row_operands;
  for (const RowOperand* at = program.row_operand; at != end; ++at) {
    const void* conf = actions[at->action].conf;
    if (at->copied != 0 && conf != nullptr) {
      copy_field(operands + at->offset, conf, at->copied);
    } else if (const int code = encode_op(program, at->op, actions, attr, options, shared, operands, error)) {
      return code;
    }
  }
  return 0;
}

// Of a VXLAN_ENCAP whose header is known. False: it has to be read.
static inline bool encode_known(const rte_flow_action& action, SharedOperands* shared, uint8_t* operand) {
  if (type_of(action) != RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP || action.conf == nullptr || shared == nullptr)
    return false;
  const rte_flow_item* definition = static_cast<const rte_flow_action_vxlan_encap*>(action.conf)->definition;
  auto* encap = reinterpret_cast<EncapOperand*>(operand);
  if (definition == nullptr || !shared->definition.is(definition, &encap->fields)) return false;
  encap->header = shared->definition.header();
  shared->headers.acquire_again(encap->header);
  return true;
}

// Those of `other` from the one of this index on.
__attribute__((noinline)) static int encode_rest(const ActionProgram& program, uint8_t i,
                                                 const rte_flow_action* actions, const rte_flow_attr& attr,
                                                 const EngineOptions& options, SharedOperands* shared,
                                                 uint8_t* operands, rte_flow_error* error) {
  for (; i < program.others; ++i) {
    const RowOperand& operand = program.row_operand[program.other[i]];
    const rte_flow_action& action = actions[operand.action];
    if (operand.copied != 0 && action.conf != nullptr) {
      copy_field(operands + operand.offset, action.conf, operand.copied);
    } else if (const int code =
                   encode_op(program, operand.op, actions, attr, options, shared, operands, error)) {
      return code;
    }
  }
  return 0;
}

int encode_others(const ActionProgram& program, const rte_flow_action* actions, const rte_flow_attr& attr,
                  const EngineOptions& options, SharedOperands* shared, uint8_t* operands,
                  rte_flow_error* error) {
  const RowOperand& first = program.row_operand[program.other[0]];
  const bool is_known = encode_known(actions[first.action], shared, operands + first.offset);
  if (is_known && program.others == 1) return 0;
  return encode_rest(program, is_known ? 1 : 0, actions, attr, options, shared, operands, error);
}

int encode_constants(ActionProgram* program, const rte_flow_action* actions, const rte_flow_attr& attr,
                     const EngineOptions& options, SharedOperands* shared, rte_flow_error* error) {
  program->constants.assign(program->constant_bytes, 0);
  uint8_t* constants = program->constants.data();
  for (uint8_t i = 0; i < program->ops; ++i) {
    const Op& op = program->op[i];
    if (op.operand_bytes == 0 || !op.constant) continue;
    const void* conf = actions[op.action].conf;
    if (is_plain(op.kind) && conf != nullptr) {
      copy_field(constants + op.operand, conf, op.operand_bytes);
    } else if (const int code = encode_op(*program, i, actions, attr, options, shared, constants, error)) {
      return code;
    }
  }
  return 0;
}

void release_constants(const ActionProgram& program, SharedOperands* shared) {
  release(program, program.ops, true, program.constants.data(), shared);
}

void release_operands(const ActionProgram& program, const uint8_t* operands, SharedOperands* shared) {
  for (uint8_t i = 0; i < program.row_operands; ++i) {
    const RowOperand& operand = program.row_operand[i];
    if (operand.copied == 0) release(program.op[operand.op], operands, shared);
  }
}

}  // namespace sluice
