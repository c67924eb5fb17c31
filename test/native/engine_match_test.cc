// What a rule matches, one sentence each (rte_flow guide; where the guide leaves a choice, ours).
#include "engine_fixture.h"

namespace sluice::test {
namespace {

TEST(a_spec_without_mask_uses_the_items_default_mask) {
  Engine engine;
  rte_flow_item_ipv4 spec = ipv4_spec(kHost, kServer, 99);  // the protocol is not in the default mask
  spec.hdr.time_to_live = 77;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, spec);
  engine.must_add(send_to(rule, 1));
  CHECK(engine.hits(udp_frame()));
}

TEST(bits_of_spec_outside_the_mask_do_not_count) {
  Engine engine;
  const rte_flow_item_ipv4 spec = ipv4_spec(0x0a0001ff, 0xffffffff), mask = ipv4_spec(0xffffff00, 0);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask);
  engine.must_add(send_to(rule, 1));
  CHECK(engine.hits(udp_frame()));
}

TEST(a_presence_only_item_still_requires_its_protocol) {
  Engine engine;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_TCP);
  engine.must_add(send_to(rule, 1));
  CHECK(!engine.hits(udp_frame()));
  CHECK(!engine.hits(arp()));
}

TEST(eth_alone_matches_tagged_and_untagged_but_eth_ipv4_only_untagged) {
  Engine alone, with_ip;
  Rule eth, eth_ip;
  eth.item(RTE_FLOW_ITEM_TYPE_ETH);
  eth_ip.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4);
  alone.must_add(send_to(eth, 1));
  with_ip.must_add(send_to(eth_ip, 1));
  CHECK(alone.hits(udp_frame(1, 2, {5})));
  CHECK(alone.hits(arp()));
  CHECK(with_ip.hits(udp_frame()));
  CHECK(!with_ip.hits(udp_frame(1, 2, {5})));
}

TEST(as_many_vlan_items_as_tags) {
  for (size_t items = 1; items <= 2; ++items) {
    Engine engine;
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH);
    for (size_t i = 0; i < items; ++i) rule.item(RTE_FLOW_ITEM_TYPE_VLAN);
    rule.item(RTE_FLOW_ITEM_TYPE_IPV4);
    engine.must_add(send_to(rule, 1));
    for (size_t tags = 0; tags <= 3; ++tags) {
      CHECK_EQ(engine.hits(udp_frame(1, 2, std::vector<uint16_t>(tags, 5))), tags == items);
    }
  }
}

TEST(a_vlan_spec_compares_the_vid_alone) {
  Engine engine;
  rte_flow_item_vlan spec = {};
  spec.hdr.vlan_tci = rte_cpu_to_be_16(0xe005);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_VLAN, spec);
  engine.must_add(send_to(rule, 1));
  CHECK(engine.hits(udp_frame(1, 2, {5})));
  CHECK(engine.hits(udp_frame(1, 2, {0x2005})));
  CHECK(!engine.hits(udp_frame(1, 2, {6})));
}

TEST(has_vlan_matches_by_the_presence_of_a_tag) {
  Engine engine;
  rte_flow_item_eth spec = {}, mask = {};
  mask.has_vlan = 1;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH, spec, &mask);
  engine.must_add(send_to(rule, 1));
  CHECK(engine.hits(udp_frame()));
  CHECK(!engine.hits(udp_frame(1, 2, {5})));
}

TEST(bottom_layers_may_be_omitted) {
  Engine engine;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(1000, 53));
  engine.must_add(send_to(rule, 1));
  CHECK(engine.hits(udp_frame()));
  CHECK(engine.hits(udp_frame(1000, 53, {5})));
  CHECK(engine.hits(ethernet(kEtherTypeIpv6, ipv6(17, udp(1000, 53, {})))));
  CHECK(!engine.hits(udp_frame(1001, 53)));
}

TEST(void_is_legal_anywhere) {
  Engine engine;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_VOID).item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_VOID);
  rule.item(RTE_FLOW_ITEM_TYPE_IPV4)
      .item(RTE_FLOW_ITEM_TYPE_VOID)
      .item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(1000, 53));
  rule.action(RTE_FLOW_ACTION_TYPE_VOID);
  send_to(rule, 1).action(RTE_FLOW_ACTION_TYPE_VOID);
  engine.must_add(rule);
  CHECK(engine.hits(udp_frame()));
}

TEST(a_range_includes_both_ends) {
  Engine engine;
  const rte_flow_item_udp spec = udp_spec(1000, 53), last = udp_spec(1010, 0);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH)
      .item(RTE_FLOW_ITEM_TYPE_IPV4)
      .item(RTE_FLOW_ITEM_TYPE_UDP, spec, {}, &last);
  engine.must_add(send_to(rule, 1));
  CHECK(!engine.hits(udp_frame(999, 53)));
  CHECK(engine.hits(udp_frame(1000, 53)));
  CHECK(engine.hits(udp_frame(1010, 53)));
  CHECK(!engine.hits(udp_frame(1011, 53)));
  CHECK(!engine.hits(udp_frame(1005, 54)));  // last 0: exact
}

TEST(the_mask_applies_to_both_ends_of_a_range_first) {
  Engine engine;
  const rte_flow_item_udp spec = udp_spec(0x1234, 0), last = udp_spec(0x14ff, 0), mask = udp_spec(0xff00, 0);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_UDP, spec, &mask, &last);
  engine.must_add(send_to(rule, 1));
  CHECK(engine.hits(udp_frame(0x1200, 1)));
  CHECK(engine.hits(udp_frame(0x14ff, 1)));
  CHECK(!engine.hits(udp_frame(0x1500, 1)));
}

TEST(l4_items_never_match_a_fragment_but_ipv4_does) {
  Ipv4 first, later;
  first.fragment = 0x2000;
  later.fragment = 8;
  for (const Ipv4& header : {first, later}) {
    const Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, udp(1000, 53, Bytes(8))));
    Engine l4, l3;
    Rule with_udp = plain_rule(), with_ip;
    with_ip.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4);
    l4.must_add(send_to(with_udp, 1));
    l3.must_add(send_to(with_ip, 1));
    CHECK(!l4.hits(frame));
    CHECK(l3.hits(frame));
  }
}

TEST(vxlan_needs_the_devices_udp_port_and_the_i_flag) {
  Engine engine;
  Rule rule = plain_rule();
  rule.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(100));
  engine.must_add(send_to(rule, 1));
  Bytes frame = tunnel(100, arp());
  CHECK(engine.hits(frame));
  CHECK(!engine.hits(tunnel(101, arp())));
  Bytes without_flag = frame;
  without_flag[42] = 0;
  CHECK(!engine.hits(without_flag));
  frame[36] = 1;
  CHECK(!engine.hits(frame));
}

TEST(represented_port_matches_the_wire_a_packet_came_from) {
  Engine engine;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, port_spec(2)).item(RTE_FLOW_ITEM_TYPE_ETH);
  engine.must_add(send_to(rule, 1));
  CHECK_EQ(engine.process(udp_frame(), 2).fate, Fate::kRepresentedPort);
  CHECK_EQ(engine.process(udp_frame(), 3).fate, Fate::kMiss);
}

TEST(a_masked_port_number_leaves_the_other_bits_open) {
  Engine engine;
  Rule rule;
  const rte_flow_item_ethdev spec = port_spec(1), mask = port_spec(1);
  rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, spec, &mask);
  rule.item(RTE_FLOW_ITEM_TYPE_ETH);
  engine.must_add(send_to(rule, 7));
  CHECK_EQ(engine.process(udp_frame(), 3).port_id, 7);
  CHECK(engine.process(udp_frame(), 2).fate == Fate::kMiss);
}

TEST(integrity_sees_a_wrong_ipv4_checksum_at_either_level) {
  for (const uint32_t level : {0u, 1u, 2u}) {
    Engine engine;
    rte_flow_item_integrity spec = {}, mask = {};
    spec.level = level;
    mask.ipv4_csum_ok = 1;  // must be 0
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_INTEGRITY, spec, &mask)
        .item(RTE_FLOW_ITEM_TYPE_ETH)
        .item(RTE_FLOW_ITEM_TYPE_IPV4);
    engine.must_add(rule.action(RTE_FLOW_ACTION_TYPE_DROP));
    Bytes frame = tunnel(100, udp_frame());
    CHECK(!engine.hits(frame));
    frame[level == 2 ? 74 : 24] ^= 1;
    CHECK(engine.hits(frame));
  }
}

TEST(a_packet_is_compared_after_the_rewrite_and_decapsulation_that_came_before_a_jump) {
  Engine engine;
  Rule first = plain_rule();
  first.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(100));
  rte_flow_action_jump jump = {7};
  first.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP);
  rte_flow_action_set_ipv4 set = {rte_cpu_to_be_32(kPublic)};
  first.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, set).action(RTE_FLOW_ACTION_TYPE_JUMP, jump);
  Rule second;
  second.attr.group = 7;
  second.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kPublic, kServer));
  engine.must_add(first);
  CHECK_EQ(engine.process(tunnel(100, udp_frame())).fate, Fate::kMiss);  // a group without a matching rule
  engine.must_add(send_to(second, 3));
  CHECK_EQ(engine.process(tunnel(100, udp_frame())).port_id, 3);
}

TEST(priority_zero_is_the_highest) {
  Engine engine;
  Rule low = plain_rule(), high;
  low.attr.priority = 1;
  high.item(RTE_FLOW_ITEM_TYPE_ETH);
  engine.must_add(send_to(low, 1));
  engine.must_add(send_to(high, 2));
  CHECK_EQ(engine.process(udp_frame()).port_id, 2);
}

TEST(of_overlapping_rules_of_one_priority_the_first_created_wins) {
  for (const bool udp_first : {false, true}) {
    Engine engine;
    Rule with_udp = plain_rule(), eth;
    eth.item(RTE_FLOW_ITEM_TYPE_ETH);
    send_to(with_udp, 1);
    send_to(eth, 2);
    engine.must_add(udp_first ? with_udp : eth);
    engine.must_add(udp_first ? eth : with_udp);
    CHECK_EQ(engine.process(udp_frame()).port_id, udp_first ? 1 : 2);
  }
}

TEST(the_same_pattern_twice_is_refused_whatever_the_actions) {
  Engine engine;
  Rule one = plain_rule(), two = plain_rule();
  FlowRule* rule = engine.must_add(send_to(one, 1));
  CHECK(engine.add(two.action(RTE_FLOW_ACTION_TYPE_DROP)) == nullptr);
  CHECK_EQ(rte_errno, EEXIST);
  engine.engine.destroy(rule);
  engine.must_add(two);
}

}  // namespace
}  // namespace sluice::test
