// What the engine refuses, and how it says so.
#include "engine_fixture.h"

namespace sluice::test {
namespace {

TEST(attributes_that_contradict_are_refused) {
  Engine engine;
  Rule rule = plain_rule();
  rule.action(RTE_FLOW_ACTION_TYPE_DROP);
  rule.attr.ingress = 1;
  REFUSES(engine, rule, RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER, &rule.attr,
          "transfer: ingress and egress must not be set with it");
  rule.attr.transfer = rule.attr.ingress = 0;
  REFUSES(engine, rule, RTE_FLOW_ERROR_TYPE_ATTR, &rule.attr, "one of ingress and transfer must be set");
  rule.attr.egress = 1;
  REFUSES(engine, rule, RTE_FLOW_ERROR_TYPE_ATTR_EGRESS, &rule.attr, "egress rules are not supported");
}

TEST(items_in_a_wrong_order_are_refused_by_name) {
  struct Case {
    std::vector<rte_flow_item_type> items;
    const char* message;
  };
  const Case cases[] = {
      {{RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_UDP}, "UDP: must follow IPV4 or IPV6"},
      {{RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_ETH}, "ETH: must be the first header or follow a tunnel"},
      {{RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_ICMP}, "ICMP: must follow IPV4"},
      {{RTE_FLOW_ITEM_TYPE_TCP, RTE_FLOW_ITEM_TYPE_VXLAN}, "VXLAN: must follow UDP"},
      {{RTE_FLOW_ITEM_TYPE_VXLAN, RTE_FLOW_ITEM_TYPE_IPV4}, "IPV4: must follow ETH or VLAN"},
      {{RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_VLAN}, "VLAN: must follow ETH or VLAN"},
      {{RTE_FLOW_ITEM_TYPE_VLAN, RTE_FLOW_ITEM_TYPE_VLAN, RTE_FLOW_ITEM_TYPE_VLAN},
       "VLAN: more than two tags are not supported"},
      {{RTE_FLOW_ITEM_TYPE_GENEVE}, "GENEVE: is not supported"},
      {{RTE_FLOW_ITEM_TYPE_VXLAN, RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP,
        RTE_FLOW_ITEM_TYPE_VXLAN},
       "VXLAN: a tunnel inside a tunnel is not supported"},
  };
  for (const Case& test : cases) {
    Engine engine;
    Rule rule;
    for (const rte_flow_item_type type : test.items) rule.item(type);
    rule.action(RTE_FLOW_ACTION_TYPE_DROP);
    REFUSES(engine, rule, RTE_FLOW_ERROR_TYPE_ITEM, &rule.items()[rule.item_count() - 1], test.message);
  }
}

TEST(mask_or_last_without_spec_is_refused) {
  Engine engine;
  const rte_flow_item_udp any = udp_spec(1, 1);
  for (const bool last : {false, true}) {
    Rule rule;
    rule.raw_item(RTE_FLOW_ITEM_TYPE_UDP, nullptr, last ? nullptr : &any, last ? &any : nullptr, sizeof any);
    rule.action(RTE_FLOW_ACTION_TYPE_DROP);
    REFUSES(engine, rule, last ? RTE_FLOW_ERROR_TYPE_ITEM_LAST : RTE_FLOW_ERROR_TYPE_ITEM_MASK,
            &rule.items()[0], last ? "UDP: last without spec" : "UDP: mask without spec");
  }
}

TEST(actions_that_cannot_be_are_refused_by_name) {
  const auto refused = [](const std::function<void(Rule&)>& build, size_t index, rte_flow_error_type type,
                          const std::string& message, bool with_vxlan = false) {
    Engine engine;
    Rule rule = plain_rule();
    if (with_vxlan) rule.item(RTE_FLOW_ITEM_TYPE_VXLAN);
    build(rule);
    REFUSES(engine, rule, type, &rule.actions()[index], message);
  };
  constexpr auto kAction = RTE_FLOW_ERROR_TYPE_ACTION, kConf = RTE_FLOW_ERROR_TYPE_ACTION_CONF;
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP); }, 0, kAction,
          "VXLAN_DECAP: the pattern has no VXLAN item whose tunnel could be removed");
  refused(
      [](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP).action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP); }, 1,
      kAction, "VXLAN_DECAP: the pattern has no VXLAN item whose tunnel could be removed", true);
  refused(
      [](Rule& r) {
        r.action(RTE_FLOW_ACTION_TYPE_DROP).action(RTE_FLOW_ACTION_TYPE_QUEUE, rte_flow_action_queue{});
      },
      1, kAction, "QUEUE: a rule has at most one fate action");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_PASSTHRU); }, 0, kAction, "PASSTHRU: is not supported");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_SECURITY); }, 0, kAction, "SECURITY: is not supported");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_MARK); }, 0, kConf, "MARK: needs a configuration");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_JUMP, rte_flow_action_jump{0}); }, 0, kConf,
          "JUMP: only jumps to a higher group are supported");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_AGE, rte_flow_action_age{}); }, 0, kConf,
          "AGE: the timeout must not be zero");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_COUNT).action(RTE_FLOW_ACTION_TYPE_COUNT); }, 1,
          kAction, "COUNT: may appear only once");
  refused(
      [](Rule& r) {
        r.action(RTE_FLOW_ACTION_TYPE_RAW_DECAP, rte_flow_action_raw_decap{nullptr, 14});
      },
      0, kAction, "RAW_DECAP: leaves a packet without Ethernet header: RAW_ENCAP must follow");
  rte_flow_action_modify_field modify = {};
  modify.dst.field = RTE_FLOW_FIELD_IPV4_TTL;
  modify.src.field = RTE_FLOW_FIELD_TAG;
  modify.width = 8;
  refused([&](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, modify); }, 0, kConf,
          "MODIFY_FIELD: only an immediate value is supported as the source");
  modify.src.field = RTE_FLOW_FIELD_VALUE;
  modify.width = 4;
  refused([&](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, modify); }, 0, kConf,
          "MODIFY_FIELD: only whole fields are supported");

  Engine engine;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{});
  REFUSES(engine, rule, kAction, &rule.actions()[0], "SET_TP_SRC: needs a TCP or UDP item in the pattern");
  rule = plain_rule();
  rule.attr.transfer = 0;
  rule.attr.ingress = 1;
  send_to(rule, 1);
  REFUSES(engine, rule, kAction, &rule.actions()[0], "REPRESENTED_PORT: needs the transfer attribute");
}

TEST(more_rules_than_max_rules_are_refused_and_room_comes_back) {
  EngineOptions options;
  options.max_rules = 2;
  FlowEngine engine(options);
  const auto add = [&](uint16_t port) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(port, 1)).action(RTE_FLOW_ACTION_TYPE_DROP);
    rte_flow_error error = {};
    return engine.create(rule.attr, rule.items(), rule.actions(), 0, &error);
  };
  FlowRule* first = add(1);
  CHECK(first != nullptr && add(2) != nullptr && add(3) == nullptr);
  CHECK_EQ(rte_errno, ENOSPC);
  engine.destroy(first);
  CHECK(add(3) != nullptr);
}

}  // namespace
}  // namespace sluice::test
