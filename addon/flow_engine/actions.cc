#include "flow_engine/actions.h"

#include <cerrno>
#include <cstring>

#include "flow_engine/encapsulation.h"
#include "flow_engine/flow_engine.h"
#include "flow_engine/flow_error.h"
#include "flow_engine/usual_programs.h"
#include "packet/rewrite.h"
#include "packet/wire.h"

namespace sluice {
namespace {

struct ModifyField {
  int field;
  uint8_t bits;
  uint8_t bytes;  // of the immediate value, as in the rte_flow_item it belongs to
  bool translates;
};
// dst fields of MODIFY_FIELD. A DSCP's value is the six bits themselves, VLAN_ID's a big-endian TCI; META,
// MARK and TAG are numbers in the host's order.
constexpr ModifyField kModifyFields[] = {
    {RTE_FLOW_FIELD_MAC_DST, 48, 6, false},      {RTE_FLOW_FIELD_MAC_SRC, 48, 6, false},
    {RTE_FLOW_FIELD_VLAN_ID, 12, 2, false},      {RTE_FLOW_FIELD_IPV4_DSCP, 6, 1, false},
    {RTE_FLOW_FIELD_IPV4_TTL, 8, 1, false},      {RTE_FLOW_FIELD_IPV4_SRC, 32, 4, true},
    {RTE_FLOW_FIELD_IPV4_DST, 32, 4, true},      {RTE_FLOW_FIELD_TCP_PORT_SRC, 16, 2, true},
    {RTE_FLOW_FIELD_TCP_PORT_DST, 16, 2, true},  {RTE_FLOW_FIELD_UDP_PORT_SRC, 16, 2, true},
    {RTE_FLOW_FIELD_UDP_PORT_DST, 16, 2, true},  {RTE_FLOW_FIELD_IPV6_DSCP, 6, 1, false},
    {RTE_FLOW_FIELD_IPV6_HOPLIMIT, 8, 1, false}, {RTE_FLOW_FIELD_IPV6_SRC, 128, 16, true},
    {RTE_FLOW_FIELD_IPV6_DST, 128, 16, true},    {RTE_FLOW_FIELD_TAG, 32, 4, false},
    {RTE_FLOW_FIELD_MARK, 32, 4, false},         {RTE_FLOW_FIELD_META, 32, 4, false},
};

bool rewrites_frame(OpKind kind) {
  switch (kind) {
    case OpKind::kCount:
    case OpKind::kAge:
    case OpKind::kMark:
    case OpKind::kFlag:
    case OpKind::kJump:
    case OpKind::kQueue:
    case OpKind::kDrop:
    case OpKind::kPortRepresentor:
    case OpKind::kRepresentedPort:
    case OpKind::kRss:
    case OpKind::kSetMeta:
    case OpKind::kSetTag:
    case OpKind::kIndirectCount:
    case OpKind::kIndirectAge: return false;
    default: return true;
  }
}

class Compiler {
 public:
  Compiler(const rte_flow_attr& attr, const rte_flow_action* masks, PatternMode mode,
           const PatternContent& pattern, const EngineOptions& options, ActionProgram* out,
           rte_flow_error* error)
      : attr_(attr),
        masks_(masks),
        mode_(mode),
        pattern_(pattern),
        options_(options),
        out_(out),
        error_(error) {
    tunnels_ = pattern.vxlan ? 1 : 0;
  }
  int run(const rte_flow_action* actions);

 private:
  int refuse(rte_flow_error_type type, const char* text, int code = ENOTSUP) {
    return fail(error_, code, type, action_, named_message(action_name(type_of(*action_)), text));
  }
  int add(OpKind kind, uint8_t operand_bytes, bool translates = false, Direction which = Direction::kSource) {
    const bool constant = operand_bytes != 0 && is_constant(kind, operand_bytes);
    if (constant && action_->conf == nullptr)
      return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "its mask says constant, but there is no value", EINVAL);
    uint16_t& offset = constant ? out_->constant_bytes : out_->operand_bytes;
    out_->rewrites = out_->rewrites || rewrites_frame(kind);
    out_->op[out_->ops++] =
        Op{kind, static_cast<uint8_t>(which), index_, operand_bytes, offset, constant, translates, 0, 0, 0, 0};
    offset = static_cast<uint16_t>(offset + operand_bytes);
    return 0;
  }
  int add_with_conf(OpKind kind, uint8_t operand_bytes, bool translates = false,
                    Direction which = Direction::kSource) {
    if (const int code = need_conf()) return code;
    return add(kind, operand_bytes, translates, which);
  }
  int need_conf() {
    if (action_->conf != nullptr || mode_ == PatternMode::kTemplate) return 0;
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "needs a configuration", EINVAL);
  }
  int need_item(bool present, const char* text) {
    return present ? 0 : refuse(RTE_FLOW_ERROR_TYPE_ACTION, text, EINVAL);
  }
  int fate(OpKind kind, uint8_t operand_bytes) {
    if (fate_) return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "a rule has at most one fate action", EINVAL);
    fate_ = true;
    return operand_bytes == 0 ? add(kind, 0) : add_with_conf(kind, operand_bytes);
  }
  int switch_fate(OpKind kind) {
    if (!attr_.transfer) return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "needs the transfer attribute", EINVAL);
    return fate(kind, 2);
  }
  bool is_constant(OpKind kind, uint8_t operand_bytes) const;
  int add_action();
  int add_age();
  int add_indirect();
  int add_decap();
  int add_raw_decap();
  int add_raw_encap();
  int add_modify();
  int add_dscp();
  int add_set_tag();

  const rte_flow_attr& attr_;
  const rte_flow_action* const masks_;
  const PatternMode mode_;
  const PatternContent& pattern_;
  const EngineOptions& options_;
  ActionProgram* out_;
  rte_flow_error* error_;
  const rte_flow_action* action_ = nullptr;
  uint8_t index_ = 0;
  bool fate_ = false;
  bool counts_elsewhere_ = false, ages_elsewhere_ = false;  // indirect actions
  bool bare_l3_ = false;  // after RAW_DECAP of Ethernet, until RAW_ENCAP puts another
  const rte_flow_action* bare_cause_ = nullptr;
  int tunnels_ = 0;
};

// rte_flow_actions_template_create: what is not 0 in the mask is the template's.
bool Compiler::is_constant(OpKind kind, uint8_t operand_bytes) const {
  if (mode_ != PatternMode::kTemplate || masks_ == nullptr || masks_[index_].conf == nullptr) return false;
  const void* mask = masks_[index_].conf;
  const uint8_t* value = static_cast<const uint8_t*>(mask);
  switch (kind) {
    case OpKind::kAge: return static_cast<const rte_flow_action_age*>(mask)->context != nullptr;
    case OpKind::kIndirectCount:
    case OpKind::kIndirectAge: return true;  // the handle itself
    case OpKind::kModify: value = static_cast<const rte_flow_action_modify_field*>(mask)->src.value; break;
    case OpKind::kRss: return static_cast<const rte_flow_action_rss*>(mask)->queue_num != 0;
    case OpKind::kReplaceL2:
    case OpKind::kVxlanEncap:
      if (type_of(*action_) == RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP)
        return static_cast<const rte_flow_action_vxlan_encap*>(mask)->definition != nullptr;
      return static_cast<const rte_flow_action_raw_encap*>(mask)->data != nullptr;
    default: break;
  }
  for (uint8_t i = 0; i < operand_bytes; ++i) {
    if (value[i] != 0) return true;
  }
  return false;
}

int Compiler::add_age() {
  if (out_->ages || ages_elsewhere_)
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "may appear only once", EINVAL);
  if (const int code = need_conf()) return code;
  out_->ages = true;
  out_->age_op = out_->ops;
  out_->age_action = index_;
  if (mode_ == PatternMode::kTemplate && masks_ != nullptr && masks_[index_].conf != nullptr &&
      static_cast<const rte_flow_action_age*>(masks_[index_].conf)->timeout != 0) {
    const auto* age = static_cast<const rte_flow_action_age*>(action_->conf);
    if (age == nullptr || age->timeout == 0)
      return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "the timeout must not be zero", EINVAL);
    out_->age_timeout = age->timeout;
  }
  return add(OpKind::kAge, sizeof(void*));
}

int Compiler::add_indirect() {
  const auto* handle = static_cast<const IndirectAction*>(action_->conf);
  if (const int code = need_conf()) return code;
  auto kind = IndirectAction::Kind::kGone;
  if (masks_ != nullptr && masks_[index_].type == RTE_FLOW_ACTION_TYPE_COUNT) {
    kind = IndirectAction::Kind::kCount;
  } else if (masks_ != nullptr && masks_[index_].type == RTE_FLOW_ACTION_TYPE_AGE) {
    kind = IndirectAction::Kind::kAge;
  } else if (handle != nullptr) {
    kind = handle->kind;
    if (kind == IndirectAction::Kind::kGone)
      return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "there is no such handle", ENOENT);
  } else {
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "the mask must tell the type of the action behind the handle",
                  EINVAL);
  }
  const bool count = kind == IndirectAction::Kind::kCount;
  if (count ? out_->counts || counts_elsewhere_ : out_->ages || ages_elsewhere_) {
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION,
                  count ? "COUNT may appear only once" : "AGE may appear only once", EINVAL);
  }
  (count ? counts_elsewhere_ : ages_elsewhere_) = true;
  return add(count ? OpKind::kIndirectCount : OpKind::kIndirectAge, sizeof(void*));
}

int Compiler::add_decap() {
  if (tunnels_ == 0) {
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "the pattern has no VXLAN item whose tunnel could be removed",
                  EINVAL);
  }
  --tunnels_;
  return add(OpKind::kVxlanDecap, 0);
}

int Compiler::add_raw_decap() {
  const auto* conf = static_cast<const rte_flow_action_raw_decap*>(action_->conf);
  if (conf == nullptr) return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "needs a configuration", EINVAL);
  // What is taken off is a number of bytes: mlx5 looks at nothing else, and testpmd writes masks in place of
  // values.
  switch (classify_raw(nullptr, conf->size, options_.vxlan_udp_port)) {
    case RawKind::kVxlan: return add_decap();
    case RawKind::kEthernet:
      if (const int code = need_item(pattern_.eth, "needs an ETH item in the pattern")) return code;
      bare_l3_ = true;
      bare_cause_ = action_;
      return 0;
    default:
      return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF,
                    "only as long as Ethernet, or as Ethernet, IPv4, UDP and VXLAN, is supported");
  }
}

int Compiler::add_raw_encap() {
  const auto* conf = static_cast<const rte_flow_action_raw_encap*>(action_->conf);
  if (conf == nullptr) return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "needs a configuration", EINVAL);
  VxlanHeader header;
  if (const char* wrong = read_raw_encapsulation(conf->data, conf->size, options_.vxlan_udp_port, &header)) {
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, wrong);
  }
  const bool ethernet = classify_raw(conf->data, conf->size, options_.vxlan_udp_port) == RawKind::kEthernet;
  if (ethernet != bare_l3_) {
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION,
                  ethernet ? "Ethernet alone may only follow RAW_DECAP of Ethernet"
                           : "a tunnel without an inner Ethernet header is not supported");
  }
  bare_l3_ = false;
  if (ethernet) return add(OpKind::kReplaceL2, sizeof(uint32_t));
  ++tunnels_;
  return add(OpKind::kVxlanEncap, sizeof(EncapOperand));
}

int Compiler::add_modify() {
  const auto* conf = static_cast<const rte_flow_action_modify_field*>(action_->conf);
  if (conf == nullptr) return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "needs a configuration", EINVAL);
  const auto bad = [&](const char* text) { return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, text); };
  if (conf->operation > RTE_FLOW_MODIFY_SUB) return bad("only set, add and sub are supported");
  if (conf->src.field != RTE_FLOW_FIELD_VALUE && conf->src.field != RTE_FLOW_FIELD_POINTER)
    return bad("only an immediate value or a pointer to one is supported as the source");
  const ModifyField* field = nullptr;
  for (const ModifyField& candidate : kModifyFields) {
    if (candidate.field == static_cast<int>(conf->dst.field)) field = &candidate;
  }
  if (field == nullptr) return bad("the destination field is not supported");
  if (conf->dst.offset != 0 || conf->width != field->bits) return bad("only whole fields are supported");
  const bool is_tag = conf->dst.field == RTE_FLOW_FIELD_TAG;
  if (is_tag && conf->dst.level >= kTags) return bad("tags are numbered 0 to 7");
  if (!is_tag && conf->dst.level > 2) return bad("levels above 2 are not supported");
  if (const int code = add(OpKind::kModify, field->bytes, field->translates)) return code;
  Op& op = out_->op[out_->ops - 1];
  op.operation = static_cast<uint8_t>(conf->operation);
  op.field = static_cast<uint8_t>(conf->dst.field);
  op.level = is_tag ? static_cast<uint8_t>(conf->dst.level) : conf->dst.level == 2 ? 2 : 1;
  return 0;
}

// SET_IPV4_DSCP and SET_IPV6_DSCP are what MODIFY_FIELD does to these fields.
int Compiler::add_dscp() {
  const bool v4 = type_of(*action_) == RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP;
  if (const int code =
          need_item(v4 ? pattern_.ipv4 : pattern_.ipv6,
                    v4 ? "needs an IPV4 item in the pattern" : "needs an IPV6 item in the pattern")) {
    return code;
  }
  if (const int code = add_with_conf(OpKind::kSetDscp, 1)) return code;
  Op& op = out_->op[out_->ops - 1];
  op.operation = RTE_FLOW_MODIFY_SET;
  op.field = v4 ? RTE_FLOW_FIELD_IPV4_DSCP : RTE_FLOW_FIELD_IPV6_DSCP;
  op.level = 1;
  return 0;
}

// The index is part of the table: rules that set different tags have different tables.
int Compiler::add_set_tag() {
  const auto* conf = static_cast<const rte_flow_action_set_tag*>(action_->conf);
  if (conf == nullptr) return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "needs a configuration", EINVAL);
  if (conf->index >= kTags) return refuse(RTE_FLOW_ERROR_TYPE_ACTION_CONF, "tags are numbered 0 to 7");
  if (const int code = add(OpKind::kSetTag, 8)) return code;
  out_->op[out_->ops - 1].which = conf->index;
  return 0;
}

int Compiler::add_action() {
  // Which items a rewrite needs: rte_flow guide, section of each action ("must be used with a valid ...
  // item").
  const bool ports = pattern_.tcp || pattern_.udp;
  switch (type_of(*action_)) {
    case RTE_FLOW_ACTION_TYPE_COUNT:
      if (options_.keeper != nullptr) break;
      if (out_->counts || counts_elsewhere_)
        return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "may appear only once", EINVAL);
      out_->counts = true;
      return add(OpKind::kCount, 0);
    case RTE_FLOW_ACTION_TYPE_AGE:
      if (options_.keeper != nullptr) break;
      return add_age();
    case RTE_FLOW_ACTION_TYPE_INDIRECT: return add_indirect();
    case RTE_FLOW_ACTION_TYPE_MARK: return add_with_conf(OpKind::kMark, 4);
    case RTE_FLOW_ACTION_TYPE_JUMP: return fate(OpKind::kJump, 4);
    case RTE_FLOW_ACTION_TYPE_QUEUE: return fate(OpKind::kQueue, 2);
    case RTE_FLOW_ACTION_TYPE_DROP: return fate(OpKind::kDrop, 0);
    case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR: return switch_fate(OpKind::kPortRepresentor);
    case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT: return switch_fate(OpKind::kRepresentedPort);
    case RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP:
      ++tunnels_;
      return add_with_conf(OpKind::kVxlanEncap, sizeof(EncapOperand));
    case RTE_FLOW_ACTION_TYPE_VXLAN_DECAP: return add_decap();
    case RTE_FLOW_ACTION_TYPE_RAW_ENCAP: return add_raw_encap();
    case RTE_FLOW_ACTION_TYPE_RAW_DECAP: return add_raw_decap();
    case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_MAC_DST:
      if (const int code = need_item(pattern_.eth, "needs an ETH item in the pattern")) return code;
      return add_with_conf(OpKind::kSetMac, 6, false,
                           type_of(*action_) == RTE_FLOW_ACTION_TYPE_SET_MAC_SRC ? Direction::kSource
                                                                                 : Direction::kDestination);
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST:
      if (const int code = need_item(pattern_.ipv4, "needs an IPV4 item in the pattern")) return code;
      return add_with_conf(OpKind::kSetIpv4, 4, true,
                           type_of(*action_) == RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC ? Direction::kSource
                                                                                  : Direction::kDestination);
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_DST:
      if (const int code = need_item(pattern_.ipv6, "needs an IPV6 item in the pattern")) return code;
      return add_with_conf(OpKind::kSetIpv6, 16, true,
                           type_of(*action_) == RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC ? Direction::kSource
                                                                                  : Direction::kDestination);
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP:
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP: return add_dscp();
    case RTE_FLOW_ACTION_TYPE_FLAG: return add(OpKind::kFlag, 0);
    case RTE_FLOW_ACTION_TYPE_SET_META: return add_with_conf(OpKind::kSetMeta, 8);
    case RTE_FLOW_ACTION_TYPE_SET_TAG: return add_set_tag();
    case RTE_FLOW_ACTION_TYPE_RSS: return fate(OpKind::kRss, 4);
    case RTE_FLOW_ACTION_TYPE_SET_TP_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_TP_DST:
      if (const int code = need_item(ports, "needs a TCP or UDP item in the pattern")) return code;
      return add_with_conf(OpKind::kSetTp, 2, true,
                           type_of(*action_) == RTE_FLOW_ACTION_TYPE_SET_TP_SRC ? Direction::kSource
                                                                                : Direction::kDestination);
    case RTE_FLOW_ACTION_TYPE_DEC_TTL:
    case RTE_FLOW_ACTION_TYPE_SET_TTL: {
      if (const int code =
              need_item(pattern_.ipv4 || pattern_.ipv6, "needs an IPV4 or IPV6 item in the pattern")) {
        return code;
      }
      if (type_of(*action_) == RTE_FLOW_ACTION_TYPE_DEC_TTL) return add(OpKind::kDecTtl, 0);
      return add_with_conf(OpKind::kSetTtl, 1);
    }
    case RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN: return add_with_conf(OpKind::kPushVlan, 2);
    case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID: return add_with_conf(OpKind::kSetVlanVid, 2);
    case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP: return add_with_conf(OpKind::kSetVlanPcp, 1);
    case RTE_FLOW_ACTION_TYPE_OF_POP_VLAN: return add(OpKind::kPopVlan, 0);
    case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD: return add_modify();
    case kActionSetIcmpIdent:
      if (!options_.private_actions) break;
      if (const int code = need_item(pattern_.icmp, "needs an ICMP item in the pattern")) return code;
      return add_with_conf(OpKind::kSetIcmpIdent, 2, true);
    default: break;
  }
  return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "is not supported");
}

int Compiler::run(const rte_flow_action* actions) {
  *out_ = ActionProgram{};
  for (size_t i = 0; type_of(actions[i]) != RTE_FLOW_ACTION_TYPE_END; ++i) {
    action_ = &actions[i];
    if (i == kMaxActions) {
      return fail(error_, ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION_NUM, action_, "too many actions");
    }
    index_ = static_cast<uint8_t>(i);
    out_->type[i] = type_of(*action_);
    out_->actions = static_cast<uint8_t>(i + 1);
    if (type_of(*action_) == RTE_FLOW_ACTION_TYPE_VOID) continue;
    if (masks_ != nullptr && type_of(*action_) != RTE_FLOW_ACTION_TYPE_INDIRECT &&
        type_of(masks_[i]) != type_of(*action_)) {
      return refuse(RTE_FLOW_ERROR_TYPE_ACTION, "the masks have another action in its place", EINVAL);
    }
    if (const int code = add_action()) return code;
  }
  if (bare_l3_) {
    action_ = bare_cause_;
    return refuse(RTE_FLOW_ERROR_TYPE_ACTION,
                  "leaves a packet without Ethernet header: RAW_ENCAP must follow", EINVAL);
  }
  recognise_usual(out_);
  list_row_operands(out_);
  return 0;
}

}  // namespace

int compile_actions(const rte_flow_attr& attr, const rte_flow_action* actions, const rte_flow_action* masks,
                    PatternMode mode, const PatternContent& pattern, const EngineOptions& options,
                    ActionProgram* out, rte_flow_error* error) {
  return Compiler(attr, masks, mode, pattern, options, out, error).run(actions);
}

bool ActionProgram::equals(const ActionProgram& other) const {
  if (ops != other.ops || actions != other.actions) return false;
  for (uint8_t i = 0; i < ops; ++i) {
    if (!(op[i] == other.op[i])) return false;
  }
  return std::memcmp(type, other.type, actions * sizeof type[0]) == 0;
}

uint64_t ActionProgram::hash() const {
  uint64_t h = ops;
  for (uint8_t i = 0; i < ops; ++i) {
    h = (h ^ (static_cast<uint64_t>(op[i].kind) << 16 | op[i].which << 8 | op[i].field)) *
        0x9e3779b97f4a7c15ull;
    h ^= h >> 31;
  }
  return h;
}

}  // namespace sluice
