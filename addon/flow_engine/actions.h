// From rte_flow actions to a program: operations shared by all rules of a table, and operands packed per
// rule.
#pragma once

#include <rte_flow.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "flow_engine/content_store.h"
#include "flow_engine/encapsulation.h"
#include "flow_engine/indirect.h"
#include "flow_engine/pattern.h"
#include "flow_engine/rss.h"
#include "packet/tunnel.h"
#include "packet/wire.h"

namespace sluice {

enum class OpKind : uint8_t {
  kCount,
  kAge,    // context pointer; the timeout is in the rule's header
  kMark,   // u32
  kJump,   // u32 group
  kQueue,  // u16
  kDrop,
  kPortRepresentor,  // u16 ethdev
  kRepresentedPort,  // u16 ethdev
  kVxlanEncap,       // EncapOperand
  kVxlanDecap,
  kReplaceL2,  // u32 header id: RAW_DECAP of Ethernet followed by RAW_ENCAP of another
  kSetMac,     // 6 bytes; `which` is a Direction, as below
  kSetIpv4,    // u32 big endian
  kSetTp,      // u16 big endian
  kDecTtl,
  kSetTtl,      // u8
  kPushVlan,    // u16 TPID
  kSetVlanVid,  // u16 big endian
  kSetVlanPcp,  // u8
  kPopVlan,
  kModify,        // immediate value, as long as the field
  kSetIcmpIdent,  // u16 big endian
  kFlag,
  kSetIpv6,        // 16 bytes
  kSetDscp,        // u8, which kModify's function writes
  kSetMeta,        // u32 data, u32 mask
  kSetTag,         // u32 data, u32 mask; `which` is the index
  kRss,            // u32 id in SharedOperands::spreads
  kIndirectCount,  // IndirectAction*
  kIndirectAge,    // IndirectAction*
};

// What a VXLAN encapsulation has of its own; the rest is shared by all that agree on it.
struct __attribute__((packed)) EncapOperand {
  uint32_t header;  // id in SharedOperands::headers
  VxlanFields fields;
};

struct Op {
  OpKind kind;
  uint8_t which;   // Direction
  uint8_t action;  // index in the action list, where a row's conf is found
  uint8_t operand_bytes;
  uint16_t operand;  // offset in the row's packed operands, or in the program's constants
  bool constant;     // the operand is one of the program's
  bool translates;   // not run in ApplyScope::kNoTranslation
  uint8_t run;        // so many operations from here on are the program's Translation; 0: not the first of it
  // kModify
  uint8_t operation;  // rte_flow_modify_op
  uint8_t field;      // rte_flow_field_id
  uint8_t level;      // 1 outermost, 2 inner

  bool operator==(const Op&) const = default;
};

inline constexpr size_t kMaxActions = 32;
inline constexpr size_t kMaxOperandBytes = 24;
static_assert(sizeof(EncapOperand) <= kMaxOperandBytes);

// Where an operand is.
struct OperandPlace {
  uint16_t offset = 0;
  bool constant = false;  // in the program's constants; otherwise in the row's operands

  const uint8_t* in(const uint8_t* const* operands) const { return operands[constant] + offset; }
};

// A run of SET_IPV4_*, SET_TP_* and DEC_TTL, each at most once: whatever their order, they are done at one go.
struct Translation {
  static constexpr uint8_t kIpv4Source = 1, kIpv4Destination = 2, kSourcePort = 4, kDestinationPort = 8, kDecTtl = 16;

  uint8_t sets = 0;
  OperandPlace source, destination, source_port, destination_port;
};

// What a program does that counts, then leaves a tunnel, then rewrites, then enters one, as most rules of a gateway do:
// it is run without going through its operations.
struct StraightProgram {
  static constexpr uint8_t kNone = 0xff;

  bool is_whole = false;  // this is all that the program does
  bool counts = false, ages = false, leaves_tunnel = false;
  bool sets_mac[2] = {};  // by Direction
  OperandPlace mac[2];
  uint8_t translation = kNone, encap = kNone, fate = kNone;  // indexes of operations
};

// An operand that each row brings.
struct RowOperand {
  uint8_t op;       // index of its operation
  uint8_t action;   // index of the action whose conf it is read from
  uint8_t copied;   // bytes that are copied as they begin the conf; 0: there is more to it
  uint16_t offset;  // in the row's packed operands
};

// One of those that are copied, of as many bytes as most are: 2, 4 or 6.
struct OperandCopy {
  uint16_t conf;    // where the action's pointer to it stands in the list, in bytes
  uint16_t offset;  // in the row's packed operands
};

struct ActionProgram {
  uint8_t ops = 0;
  uint8_t actions = 0;  // length of the list without END
  uint16_t operand_bytes = 0;
  uint16_t constant_bytes = 0;
  bool counts = false;  // has COUNT of its own; indirect ones are counted elsewhere
  bool ages = false;
  bool rewrites = false;  // may change the frame
  uint8_t age_op = 0;
  uint8_t age_action = 0;
  uint32_t age_timeout = 0;  // of all rules; 0: each brings its own
  Translation translation;  // the first run of them
  StraightProgram straight;
  std::vector<uint8_t> constants;
  Op op[kMaxActions];
  int type[kMaxActions];  // as rows' actions have them, so that a comparison is one instruction
  // In the order of the operations: staging a row goes through nothing else.
  RowOperand row_operand[kMaxActions];
  uint8_t row_operands = 0;
  // The same by what there is to do: those of 2, 4 and 6 bytes end at `copies_end`, then AGE, then what is in
  // `other`, indexes of row_operand.
  static constexpr uint8_t kCopies = 3;
  OperandCopy copy[kMaxActions];
  uint8_t copies_end[kCopies] = {};
  uint8_t other[kMaxActions];
  uint8_t others = 0;
  bool row_brings_age = false;

  bool equals(const ActionProgram& other) const;
  uint64_t hash() const;
};

// What rules share beside their table.
struct SharedOperands {
  ContentStore<VxlanHeader> headers;
  ContentStore<RssSpread> spreads;
  KnownDefinition definition;  // of VXLAN_ENCAP, of one of `headers`
};

// 0, or -errno with `error` filled. `kTemplate`: a conf may be null where the row brings it; `masks` (may be
// null) tell what no row brings.
int compile_actions(const rte_flow_attr& attr, const rte_flow_action* actions, const rte_flow_action* masks,
                    PatternMode mode, const PatternContent& pattern, const EngineOptions& options,
                    ActionProgram* out, rte_flow_error* error);

// Last step of compile_actions: which operations have an operand of the row's.
void list_row_operands(ActionProgram* program);

// 0, or -EINVAL with `error` filled: a row's actions must be of the types that the program was made from.
int check_types(const ActionProgram& program, const rte_flow_action* actions, rte_flow_error* error);
// Packs a rule's operands; the actions' types are the program's. On failure nothing is held in `shared`.
int encode_in_order(const ActionProgram& program, const rte_flow_action* actions, const rte_flow_attr& attr,
                    const EngineOptions& options, SharedOperands* shared, uint8_t* operands,
                    rte_flow_error* error);
// What all rows have in common, once for the table. On failure nothing is held in `shared`.
int encode_constants(ActionProgram* program, const rte_flow_action* actions, const rte_flow_attr& attr,
                     const EngineOptions& options, SharedOperands* shared, rte_flow_error* error);
void release_constants(const ActionProgram& program, SharedOperands* shared);
void release_operands(const ActionProgram& program, const uint8_t* operands, SharedOperands* shared);

// What encode_operands() leaves of the row's operands: those in `other`, of which there is one at least.
int encode_others(const ActionProgram& program, const rte_flow_action* actions, const rte_flow_attr& attr,
                  const EngineOptions& options, SharedOperands* shared, uint8_t* operands,
                  rte_flow_error* error);

// False: one has no conf.
template <size_t kBytes>
inline bool copy_operands(const OperandCopy* copy, const OperandCopy* end, const uint8_t* actions,
                          uint8_t* operands) {
  for (; copy != end; ++copy) {
    const auto* conf = load_raw<const void*>(actions + copy->conf);
    if (__builtin_expect(conf == nullptr, 0)) return false;
    std::memcpy(operands + copy->offset, conf, kBytes);
  }
  return true;
}

// The same as encode_in_order(), kind by kind. Where anything is wrong that one says what: the first of them.
__attribute__((always_inline)) inline int encode_operands(
    const ActionProgram& program, const rte_flow_action* actions, const rte_flow_attr& attr,
    const EngineOptions& options, SharedOperands* shared, uint8_t* operands, rte_flow_error* error) {
  constexpr uint32_t kMostAgeSeconds = (1u << 24) - 1;
  const auto in_order = [&] {
    return encode_in_order(program, actions, attr, options, shared, operands, error);
  };
  const auto* list = reinterpret_cast<const uint8_t*>(actions);
  const OperandCopy *twos = program.copy, *fours = twos + program.copies_end[0],
                    *sixes = twos + program.copies_end[1], *end = twos + program.copies_end[2];
  if (__builtin_expect(!copy_operands<2>(twos, fours, list, operands) ||
                           !copy_operands<4>(fours, sixes, list, operands) ||
                           !copy_operands<6>(sixes, end, list, operands),
                       0))
    return in_order();
  if (program.row_brings_age) {
    const auto* age = static_cast<const rte_flow_action_age*>(actions[program.age_action].conf);
    // A timeout of 1 and more, and zeros in the reserved bits above its 24.
    if (__builtin_expect(age == nullptr || load_raw<uint32_t>(age) - 1 >= kMostAgeSeconds, 0))
      return in_order();
    store_raw(operands + program.op[program.age_op].operand, age->context);
  }
  return program.others == 0 ? 0 : encode_others(program, actions, attr, options, shared, operands, error);
}

}  // namespace sluice
