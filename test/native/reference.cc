#include "reference.h"

#include <cstring>

#include "reference_packet.h"

namespace sluice::test {
namespace {

using namespace reference;

ReferenceRule* find(std::vector<ReferenceRule>& rules, std::map<std::string, uint64_t>& reached,
                    const Packet& packet, uint16_t port, uint32_t group) {
  ReferenceRule* best = nullptr;
  for (ReferenceRule& rule : rules) {
    if (rule.attr.group != group || (best != nullptr && rule.attr.priority >= best->attr.priority)) continue;
    bool in_range = false;
    if (!matches(rule.items, packet, port, &in_range)) continue;
    best = &rule;
    if (in_range) ++reached["match: range"];
  }
  return best;
}

ReferenceVerdict run(std::vector<ReferenceRule>& rules, std::map<std::string, uint64_t>& reached,
                     Packet* packet, uint16_t port) {
  Bytes* frame = &packet->bytes;
  ReferenceVerdict verdict{"miss"};
  uint32_t group = 0;
  for (bool again = true; again;) {
    again = false;
    ReferenceRule* rule = find(rules, reached, *packet, port, group);
    if (rule == nullptr) {
      ++reached[group == 0 ? "miss" : "miss after a jump"];
      verdict.fate = "miss";
      verdict.value = 0;
      return verdict;
    }
    for (const rte_flow_item* item = rule->items; item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
      ++reached["item " + std::to_string(item->type)];
    }
    for (const rte_flow_action* action = rule->actions; action->type != RTE_FLOW_ACTION_TYPE_END; ++action) {
      ++reached["action " + std::to_string(static_cast<int>(action->type))];
      switch (static_cast<int>(action->type)) {
        case RTE_FLOW_ACTION_TYPE_COUNT:
          ++rule->packets;
          rule->bytes += counted(*packet);
          break;
        case RTE_FLOW_ACTION_TYPE_MARK:
          verdict.marked = true;
          packet->mark = static_cast<const rte_flow_action_mark*>(action->conf)->id;
          break;
        case RTE_FLOW_ACTION_TYPE_FLAG: verdict.flagged = true; break;
        case RTE_FLOW_ACTION_TYPE_SET_META: {
          const auto* conf = static_cast<const rte_flow_action_set_meta*>(action->conf);
          packet->meta = (packet->meta & ~conf->mask) | (conf->data & conf->mask);
          verdict.has_meta = true;
          break;
        }
        case RTE_FLOW_ACTION_TYPE_SET_TAG: {
          const auto* conf = static_cast<const rte_flow_action_set_tag*>(action->conf);
          uint32_t& tag = packet->tag[conf->index];
          tag = (tag & ~conf->mask) | (conf->data & conf->mask);
          break;
        }
        case RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP:
        case RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP: {
          rte_flow_action_modify_field conf = {};
          conf.dst.field = action->type == RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP ? RTE_FLOW_FIELD_IPV4_DSCP
                                                                              : RTE_FLOW_FIELD_IPV6_DSCP;
          conf.src.field = RTE_FLOW_FIELD_VALUE;
          conf.src.value[0] = static_cast<const rte_flow_action_set_dscp*>(action->conf)->dscp;
          modify(packet, conf);
          break;
        }
        case RTE_FLOW_ACTION_TYPE_RSS:
          spread(*packet, *static_cast<const rte_flow_action_rss*>(action->conf), &verdict);
          break;
        case RTE_FLOW_ACTION_TYPE_RAW_DECAP:
          if (static_cast<const rte_flow_action_raw_decap*>(action->conf)->size < 20) break;  // see RAW_ENCAP
          if (decapsulate(packet)) break;
          verdict.fate = "drop";
          return verdict;
        case RTE_FLOW_ACTION_TYPE_RAW_ENCAP: {
          const auto* conf = static_cast<const rte_flow_action_raw_encap*>(action->conf);
          if (conf->size < 20) {
            replace_ethernet(packet, *conf);
          } else {
            encapsulate(packet, Bytes(conf->data, conf->data + conf->size), conf->size - 36);
          }
          break;
        }
        case RTE_FLOW_ACTION_TYPE_JUMP:
          group = static_cast<const rte_flow_action_jump*>(action->conf)->group;
          again = true;
          break;
        case RTE_FLOW_ACTION_TYPE_DROP: verdict.fate = "drop"; break;
        case RTE_FLOW_ACTION_TYPE_QUEUE:
          verdict.fate = "queue";
          verdict.value = static_cast<const rte_flow_action_queue*>(action->conf)->index;
          break;
        case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
        case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
          verdict.fate = action->type == RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT ? "port" : "representor";
          verdict.value = static_cast<const rte_flow_action_ethdev*>(action->conf)->port_id;
          break;
        case RTE_FLOW_ACTION_TYPE_VXLAN_DECAP:
          if (decapsulate(packet)) break;
          ++reached["drop: no inner frame"];
          verdict.fate = "drop";
          return verdict;
        case RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP:
          encapsulate(packet, *static_cast<const rte_flow_action_vxlan_encap*>(action->conf));
          break;
        case RTE_FLOW_ACTION_TYPE_DEC_TTL: decrement_ttl(packet); break;
        case RTE_FLOW_ACTION_TYPE_MODIFY_FIELD:
          switch (static_cast<const rte_flow_action_modify_field*>(action->conf)->dst.field) {
            case RTE_FLOW_FIELD_MARK: verdict.marked = true; break;
            case RTE_FLOW_FIELD_META: verdict.has_meta = true; break;
            default: break;
          }
          ++reached["modify " + std::to_string(static_cast<const rte_flow_action_modify_field*>(action->conf)
                                                   ->dst.field)];
          modify(packet, *static_cast<const rte_flow_action_modify_field*>(action->conf));
          break;
        case RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN: {
          const auto* conf = static_cast<const uint8_t*>(action->conf);
          const Bytes tag = {conf[0], conf[1], 0, 0};
          frame->insert(frame->begin() + 12, tag.begin(), tag.end());
          break;
        }
        case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID:
          if (const std::vector<Header> headers = headers_of(*packet);
              headers.size() > 1 && headers[1].kind == Kind::kVlan) {
            uint8_t* tci = &(*frame)[14];
            put(tci, 2,
                (number(tci, 2) & 0xf000) | (number(static_cast<const uint8_t*>(action->conf), 2) & 0x0fff));
          }
          break;
        case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP:
          if (const std::vector<Header> headers = headers_of(*packet);
              headers.size() > 1 && headers[1].kind == Kind::kVlan) {
            uint8_t* tci = &(*frame)[14];
            tci[0] = static_cast<uint8_t>((tci[0] & 0x1f) | *static_cast<const uint8_t*>(action->conf) << 5);
          }
          break;
        case RTE_FLOW_ACTION_TYPE_OF_POP_VLAN:
          if (const std::vector<Header> headers = headers_of(*packet);
              headers.size() > 1 && headers[1].kind == Kind::kVlan) {
            frame->erase(frame->begin() + 12, frame->begin() + 16);
          }
          break;
        default: apply_set(packet, *action); break;
      }
    }
    if (!again) {
      ++reached["fate: " + verdict.fate];
      if (rule->attr.priority != 0) ++reached["match: lower priority"];
    }
  }
  return verdict;
}

}  // namespace

ReferenceVerdict Reference::process(Bytes* frame, uint16_t port) {
  Packet packet{*frame};
  packet.tunnel = is_tunnel(packet);
  ReferenceVerdict verdict = run(rules, reached, &packet, port);
  verdict.mark = packet.mark;
  verdict.meta = packet.meta;
  *frame = packet.bytes;
  return verdict;
}

}  // namespace sluice::test
