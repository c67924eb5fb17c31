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
          "MODIFY_FIELD: only an immediate value or a pointer to one is supported as the source");
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

TEST(registers_and_their_items_are_refused_beyond_what_there_is) {
  Engine engine;
  const auto refused = [&](rte_flow_item_type type, const void* spec, const void* mask, const void* last,
                           size_t size, rte_flow_error_type error, const std::string& message) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).raw_item(type, spec, mask, last, size);
    rule.action(RTE_FLOW_ACTION_TYPE_DROP);
    REFUSES(engine, rule, error, &rule.items()[1], message);
  };
  rte_flow_item_tag tag = {}, mask = {};
  tag.index = 8;
  refused(RTE_FLOW_ITEM_TYPE_TAG, &tag, nullptr, nullptr, sizeof tag, RTE_FLOW_ERROR_TYPE_ITEM_SPEC,
          "TAG: registers are numbered 0 to 7");
  tag.index = 1;
  mask.index = 1;
  refused(RTE_FLOW_ITEM_TYPE_TAG, &tag, &mask, nullptr, sizeof tag, RTE_FLOW_ERROR_TYPE_ITEM_MASK,
          "TAG: the index must be masked whole");
  refused(RTE_FLOW_ITEM_TYPE_TAG, nullptr, nullptr, nullptr, 0, RTE_FLOW_ERROR_TYPE_ITEM_SPEC,
          "TAG: needs a spec, whose index names the register");
  const rte_flow_item_meta meta = {5};
  refused(RTE_FLOW_ITEM_TYPE_META, &meta, nullptr, &meta, sizeof meta, RTE_FLOW_ERROR_TYPE_ITEM_LAST,
          "META: ranges are not supported");
  rte_flow_item_ipv6 ipv6 = {}, esp = {};
  esp.has_esp_ext = 1;
  refused(RTE_FLOW_ITEM_TYPE_IPV6, &ipv6, &esp, nullptr, sizeof ipv6, RTE_FLOW_ERROR_TYPE_ITEM_MASK,
          "IPV6: of the extension headers only has_frag_ext can be matched");
}

TEST(rss_is_refused_by_what_is_wrong_with_it) {
  const uint16_t queues[65] = {};
  const uint8_t key[52] = {};
  const auto refused = [&](const std::function<void(rte_flow_action_rss&)>& change,
                           const std::string& message) {
    Engine engine;
    rte_flow_action_rss rss = {};
    rss.queue = queues;
    rss.queue_num = 1;
    change(rss);
    Rule rule = plain_rule();
    rule.action(RTE_FLOW_ACTION_TYPE_RSS, rss);
    REFUSES(engine, rule, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &rule.actions()[0], message);
  };
  refused([](auto& rss) { rss.func = RTE_ETH_HASH_FUNCTION_SIMPLE_XOR; },
          "RSS: only the Toeplitz hash is supported");
  refused([](auto& rss) { rss.level = 3; }, "RSS: levels above 2 are not supported");
  refused([](auto& rss) { rss.types = 1ull << 40; }, "RSS: only types of IP, TCP and UDP are supported");
  refused([](auto& rss) { rss.queue_num = 0; }, "RSS: needs queues");
  refused([](auto& rss) { rss.queue_num = 65; }, "RSS: more than 64 queues are not supported");
  refused([&](auto& rss) { rss.key = key, rss.key_len = 52; }, "RSS: the key must have 40 bytes");
}

TEST(a_template_says_what_is_wrong_with_its_masks) {
  Engine engine;
  Rule rule = plain_rule();
  rule.action(RTE_FLOW_ACTION_TYPE_MARK, rte_flow_action_mark{1}).action(RTE_FLOW_ACTION_TYPE_DROP);
  const rte_flow_action_mark all = {UINT32_MAX};
  const auto refused = [&](std::vector<rte_flow_action> actions, std::vector<rte_flow_action> masks,
                           size_t cause, const std::string& message) {
    rte_flow_error error = {};
    CHECK(engine.engine.create_table(rule.attr, rule.items(), actions.data(), masks.data(), &error) ==
          nullptr);
    CHECK(error.cause == &actions[cause]);
    CHECK_EQ(std::string(error.message == nullptr ? "" : error.message), message);
  };
  const rte_flow_action end = {RTE_FLOW_ACTION_TYPE_END, nullptr},
                        drop = {RTE_FLOW_ACTION_TYPE_DROP, nullptr};
  refused({{RTE_FLOW_ACTION_TYPE_MARK, nullptr}, end}, {{RTE_FLOW_ACTION_TYPE_MARK, &all}, end}, 0,
          "MARK: its mask says constant, but there is no value");
  refused({drop, end}, {{RTE_FLOW_ACTION_TYPE_MARK, &all}, end}, 0,
          "DROP: the masks have another action in its place");
  refused({{RTE_FLOW_ACTION_TYPE_INDIRECT, nullptr}, drop, end},
          {{RTE_FLOW_ACTION_TYPE_INDIRECT, nullptr}, drop, end}, 0,
          "INDIRECT: the mask must tell the type of the action behind the handle");
}

}  // namespace
}  // namespace sluice::test
