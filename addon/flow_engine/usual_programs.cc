#include "flow_engine/usual_programs.h"

#include "packet/rewrite.h"

namespace sluice {
namespace {

// Rewrites of the outermost addresses, ports and TTL, whose checksums can be repaired in one go.
bool is_translation(OpKind kind) {
  return kind == OpKind::kSetIpv4 || kind == OpKind::kSetTp || kind == OpKind::kDecTtl;
}

OperandPlace place_of(const Op& op) { return {op.operand, op.constant}; }

// False: the same field is written twice.
bool add_to(Translation* translation, const Op& op) {
  uint8_t bit = Translation::kDecTtl;
  const bool source = static_cast<Direction>(op.which) == Direction::kSource;
  if (op.kind == OpKind::kSetIpv4) {
    bit = source ? Translation::kIpv4Source : Translation::kIpv4Destination;
    (source ? translation->source : translation->destination) = place_of(op);
  } else if (op.kind == OpKind::kSetTp) {
    bit = source ? Translation::kSourcePort : Translation::kDestinationPort;
    (source ? translation->source_port : translation->destination_port) = place_of(op);
  }
  const bool again = (translation->sets & bit) != 0;
  translation->sets |= bit;
  return !again;
}

// Of several runs the first; where it writes a field twice there is none.
void find_translation(ActionProgram* program) {
  uint8_t first = 0;
  while (first < program->ops && !is_translation(program->op[first].kind)) ++first;
  Translation translation;
  uint8_t end = first;
  for (; end < program->ops && is_translation(program->op[end].kind); ++end) {
    if (!add_to(&translation, program->op[end])) return;
  }
  if (end == first) return;
  program->translation = translation;
  program->op[first].run = static_cast<uint8_t>(end - first);
}

// Operations of one step write different bytes, and the fate is apart from all: only the order of steps
// counts.
void find_straight(ActionProgram* program) {
  enum Step : uint8_t { kCounting, kLeaving, kRewriting, kEntering };
  StraightProgram straight;
  uint8_t step = kCounting;
  const auto is_at = [&step](Step wanted) {
    if (step > wanted) return false;
    step = wanted;
    return true;
  };
  for (uint8_t i = 0; i < program->ops; ++i) {
    const Op& op = program->op[i];
    bool fits = false;
    switch (op.kind) {
      case OpKind::kCount:
        fits = is_at(kCounting) && !straight.counts;
        straight.counts = true;
        break;
      case OpKind::kAge:
        fits = is_at(kCounting);
        straight.ages = true;
        break;
      case OpKind::kVxlanDecap:
        fits = is_at(kLeaving) && !straight.leaves_tunnel;
        straight.leaves_tunnel = true;
        break;
      case OpKind::kSetMac:
        fits = is_at(kRewriting) && !straight.sets_mac[op.which];
        straight.sets_mac[op.which] = true;
        straight.mac[op.which] = place_of(op);
        break;
      case OpKind::kVxlanEncap:
        fits = is_at(kEntering) && straight.encap == StraightProgram::kNone;
        straight.encap = i;
        break;
      case OpKind::kQueue:
      case OpKind::kPortRepresentor:
      case OpKind::kRepresentedPort:
        fits = straight.fate == StraightProgram::kNone;
        straight.fate = i;
        break;
      default:
        if (op.run == 0 || !is_at(kRewriting)) return;
        fits = true;
        straight.translation = i;
        i = static_cast<uint8_t>(i + op.run - 1);
    }
    if (!fits) return;
  }
  straight.is_whole = true;
  program->straight = straight;
}

}  // namespace

void recognise_usual(ActionProgram* program) {
  find_translation(program);
  find_straight(program);
}

}  // namespace sluice
