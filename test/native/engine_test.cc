// The engine's semantics, one sentence each (rte_flow guide; where the guide leaves a choice, ours).
#include <rte_errno.h>

#include <cerrno>
#include <cstring>

#include "packet/wire.h"
#include "support.h"

namespace sluice::test {
namespace {

constexpr uint32_t kHost = 0x0a000105, kServer = 0x08080808, kPublic = 0xcb00710a;

Bytes udp_frame(uint16_t source = 1000, uint16_t destination = 53, std::vector<uint16_t> tags = {}) {
  Ipv4 header;
  header.source = kHost;
  header.destination = kServer;
  return ethernet(kEtherTypeIpv4, ipv4(header, udp(source, destination, {1, 2, 3})), std::move(tags));
}

Rule plain_rule() {
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_UDP);
  return rule;
}
Rule& send_to(Rule& rule, uint16_t port) { return rule.action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, port_spec(port)); }

struct Engine {
  EngineOptions options;
  FlowEngine engine{options};
  rte_flow_error error = {};

  FlowRule* add(const Rule& rule, uint32_t now = 0) {
    error = {};
    return engine.create(rule.attr, rule.items(), rule.actions(), now, &error);
  }
  FlowRule* must_add(const Rule& rule, uint32_t now = 0) {
    FlowRule* added = add(rule, now);
    if (added == nullptr) fail_check(__FILE__, __LINE__, std::string("refused: ") + (error.message ? error.message : ""));
    return added;
  }
  Verdict process(Mbuf& mbuf, uint16_t port = 0, uint32_t now = 0) {
    PacketContext context = context_of(mbuf, port, now);
    return engine.process(context);
  }
  Verdict process(const Bytes& frame, uint16_t port = 0) {
    Mbuf mbuf(frame);
    return process(mbuf, port);
  }
  bool hits(const Bytes& frame) { return process(frame).fate != Fate::kMiss; }
  // validate and create answer the same.
  void refuses(const Rule& rule, rte_flow_error_type type, const void* cause, const std::string& message, int line) {
    rte_flow_error told = {};
    const int code = engine.validate(rule.attr, rule.items(), rule.actions(), &told);
    if (code >= 0) fail_check(__FILE__, line, "validate accepts: " + message);
    for (int round = 0; round < 2; ++round) {
      if (told.type != type) fail_check(__FILE__, line, "type " + std::to_string(told.type) + ": " + (told.message ? told.message : ""));
      if (told.cause != cause) fail_check(__FILE__, line, "cause");
      if (told.message == nullptr || message != told.message) {
        fail_check(__FILE__, line, std::string("message: ") + (told.message ? told.message : "none"));
      }
      if (round == 0) CHECK(add(rule) == nullptr);
      told = error;
    }
  }
};
#define REFUSES(engine, rule, type, cause, message) engine.refuses(rule, type, cause, message, __LINE__)

// --- matching ---

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
  rule.item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_VOID).item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(1000, 53));
  rule.action(RTE_FLOW_ACTION_TYPE_VOID);
  send_to(rule, 1).action(RTE_FLOW_ACTION_TYPE_VOID);
  engine.must_add(rule);
  CHECK(engine.hits(udp_frame()));
}

TEST(a_range_includes_both_ends) {
  Engine engine;
  const rte_flow_item_udp spec = udp_spec(1000, 53), last = udp_spec(1010, 0);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_UDP, spec, {}, &last);
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

TEST(integrity_sees_a_wrong_ipv4_checksum_at_either_level) {
  for (const uint32_t level : {0u, 1u, 2u}) {
    Engine engine;
    rte_flow_item_integrity spec = {}, mask = {};
    spec.level = level;
    mask.ipv4_csum_ok = 1;  // must be 0
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_INTEGRITY, spec, &mask).item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4);
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

// --- priorities ---

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

// --- actions ---

Bytes run(const Rule& rule, const Bytes& frame, Verdict* verdict = nullptr, PacketContext* context_out = nullptr) {
  Engine engine;
  engine.must_add(rule);
  Mbuf mbuf(frame);
  PacketContext context = context_of(mbuf);
  const Verdict got = engine.engine.process(context);
  if (verdict != nullptr) *verdict = got;
  ParsedPacket again;
  parse(rte_pktmbuf_mtod(context.mbuf, const uint8_t*), context.mbuf->data_len, ParseOptions{}, &again);
  // What apply() says of the headers is what a parser says.
  for (const auto& [mine, theirs] : {std::pair{&context.headers.outer, &again.outer}, {&context.headers.inner, &again.inner}}) {
    CHECK_EQ(mine->eth, theirs->eth);
    CHECK_EQ(mine->vlan, theirs->vlan);
    CHECK_EQ(mine->l3, theirs->l3);
    CHECK_EQ(mine->l4, theirs->l4);
    CHECK_EQ(mine->l3_end, theirs->l3_end);
    CHECK_EQ(mine->ether_type, theirs->ether_type);
    CHECK_EQ(mine->protocol, theirs->protocol);
    CHECK_EQ(mine->fragment, theirs->fragment);
  }
  CHECK_EQ(context.headers.vxlan, again.vxlan);
  CHECK_EQ(context.headers.has_inner, again.has_inner);
  CHECK_EQ(context.headers.tags, again.tags);
  if (context_out != nullptr) *context_out = context;
  return mbuf.frame();
}

TEST(a_vxlan_nat_rule_decapsulates_and_rewrites_with_right_checksums) {
  Rule rule = plain_rule();
  rule.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(100)).item(RTE_FLOW_ITEM_TYPE_ETH);
  rule.item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kHost, kServer)).item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(1000, 53));
  rule.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP);
  rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{rte_cpu_to_be_32(kPublic)});
  rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{rte_cpu_to_be_16(2000)});
  rule.action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
  Verdict verdict;
  const Bytes out = run(send_to(rule, 1), tunnel(100, udp_frame()), &verdict);
  Ipv4 expected;
  expected.source = kPublic;
  expected.destination = kServer;
  expected.ttl = 63;
  CHECK_EQ(out, ethernet(kEtherTypeIpv4, ipv4(expected, udp(2000, 53, {1, 2, 3}))));
  CHECK_EQ(verdict.port_id, 1);
}

TEST(encapsulation_completes_what_its_definition_leaves_out) {
  for (const bool tagged : {false, true}) {
    Rule rule = plain_rule();
    add_vxlan_encap(rule, 300, 0xac1e000c, tagged);
    const Bytes inner = udp_frame();
    const Bytes out = run(send_to(rule, 1), inner);
    Ipv4 outer;
    outer.source = 0xac1e0001;
    outer.destination = 0xac1e000c;
    outer.fragment = 0x4000;
    outer.id = 0;
    const std::vector<uint16_t> tags = tagged ? std::vector<uint16_t>{7} : std::vector<uint16_t>{};
    CHECK_EQ(out, ethernet(kEtherTypeIpv4, ipv4(outer, udp(49153, 4789, vxlan(300, inner), false)), tags, 0x101112131415,
                           0x202122232425));
  }
}

TEST(raw_decap_and_raw_encap_of_a_tunnel_do_what_their_vxlan_forms_do) {
  const Bytes inner = udp_frame();
  Bytes header = tunnel(300, {});
  for (const size_t at : {14u, 16u, 17u, 22u, 24u, 25u, 38u, 39u, 42u}) header[at] = 0;  // incomplete, as testpmd's
  header.resize(50);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_UDP).item(RTE_FLOW_ITEM_TYPE_VXLAN);
  rte_flow_action_raw_decap decap = {nullptr, 50};
  rte_flow_action_raw_encap encap = {static_cast<uint8_t*>(rule.keep(header.data(), 50)), nullptr, 50};
  rule.action(RTE_FLOW_ACTION_TYPE_RAW_DECAP, decap).action(RTE_FLOW_ACTION_TYPE_RAW_ENCAP, encap);
  CHECK_EQ(run(send_to(rule, 1), tunnel(100, inner)), tunnel(300, inner));
}

TEST(raw_decap_and_raw_encap_of_ethernet_replace_it_tags_included) {
  const Bytes header = ethernet(0x0800, {}, {9}, 0x0a0b0c0d0e0f, 0x010203040506);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH);
  rte_flow_action_raw_decap decap = {nullptr, 14};
  rte_flow_action_raw_encap encap = {static_cast<uint8_t*>(rule.keep(header.data(), 18)), nullptr, 18};
  rule.action(RTE_FLOW_ACTION_TYPE_RAW_DECAP, decap).action(RTE_FLOW_ACTION_TYPE_RAW_ENCAP, encap);
  send_to(rule, 1);
  for (const size_t tags : {0u, 1u, 2u, 3u}) {
    const Bytes in = udp_frame(1, 2, std::vector<uint16_t>(tags, 5));
    Bytes expected = header;
    expected.insert(expected.end(), in.begin() + 14 + static_cast<long>(tags) * 4, in.end());
    CHECK_EQ(run(rule, in), expected);
  }
}

TEST(vlan_tags_are_pushed_set_and_popped) {
  Rule push;
  push.item(RTE_FLOW_ITEM_TYPE_ETH);
  push.action(RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN, rte_flow_action_of_push_vlan{rte_cpu_to_be_16(0x8100)});
  push.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, rte_flow_action_of_set_vlan_vid{rte_cpu_to_be_16(44)});
  push.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, rte_flow_action_of_set_vlan_pcp{3});
  CHECK_EQ(run(send_to(push, 1), udp_frame()), udp_frame(1000, 53, {0x602c}));
  CHECK_EQ(run(push, udp_frame(1000, 53, {5})), udp_frame(1000, 53, {0x602c, 5}));
  Rule pop;
  pop.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_OF_POP_VLAN);
  CHECK_EQ(run(send_to(pop, 1), udp_frame(1000, 53, {5, 6})), udp_frame(1000, 53, {6}));
  CHECK_EQ(run(pop, udp_frame()), udp_frame());
}

TEST(a_tunnel_inside_a_decapsulated_tunnel_comes_into_view) {
  Rule rule = plain_rule();
  rule.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(1)).action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP);
  PacketContext context;
  run(send_to(rule, 1), tunnel(1, tunnel(2, udp_frame())), nullptr, &context);
  CHECK(context.headers.has_inner);
}

TEST(modify_field_sets_adds_and_subtracts_at_either_level) {
  struct Case {
    rte_flow_modify_op operation;
    rte_flow_field_id field;
    uint32_t level, width;
    Bytes value;
    uint32_t at, bytes, expected;
  };
  const Case cases[] = {
      {RTE_FLOW_MODIFY_SET, RTE_FLOW_FIELD_IPV4_SRC, 1, 32, {1, 2, 3, 4}, 26, 4, 0x01020304},
      {RTE_FLOW_MODIFY_SET, RTE_FLOW_FIELD_IPV4_DST, 2, 32, {1, 2, 3, 4}, 80, 4, 0x01020304},
      {RTE_FLOW_MODIFY_ADD, RTE_FLOW_FIELD_IPV4_TTL, 2, 8, {0xff}, 72, 1, 63},
      {RTE_FLOW_MODIFY_SUB, RTE_FLOW_FIELD_IPV4_TTL, 0, 8, {1}, 22, 1, 63},
      {RTE_FLOW_MODIFY_SET, RTE_FLOW_FIELD_IPV4_DSCP, 2, 6, {46}, 65, 1, 46 << 2},
      {RTE_FLOW_MODIFY_ADD, RTE_FLOW_FIELD_UDP_PORT_DST, 2, 16, {0, 10}, 86, 2, 63},
      {RTE_FLOW_MODIFY_SUB, RTE_FLOW_FIELD_UDP_PORT_SRC, 2, 16, {0, 1}, 84, 2, 999},
      {RTE_FLOW_MODIFY_SET, RTE_FLOW_FIELD_TCP_PORT_SRC, 2, 16, {0, 1}, 84, 2, 1000},  // no TCP header: nothing
  };
  for (const Case& test : cases) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH);
    rte_flow_action_modify_field conf = {};
    conf.operation = test.operation;
    conf.dst.field = test.field;
    conf.dst.level = test.level;
    conf.src.field = RTE_FLOW_FIELD_VALUE;
    std::memcpy(conf.src.value, test.value.data(), test.value.size());
    conf.width = test.width;
    rule.action(RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, conf);
    const Bytes out = run(send_to(rule, 1), tunnel(100, udp_frame()));
    uint32_t got = 0;
    for (uint32_t i = 0; i < test.bytes; ++i) got = got << 8 | out[test.at + i];
    CHECK_EQ(got, test.expected);
    CHECK(checksums_are_right(out));
  }
}

TEST(actions_run_in_order_on_the_outermost_header_at_that_point) {
  Rule rule = plain_rule();
  rule.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(100));
  const rte_flow_action_set_ipv4 one = {rte_cpu_to_be_32(0x01010101)}, two = {rte_cpu_to_be_32(0x02020202)};
  rule.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP).action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, one);
  add_vxlan_encap(rule, 5, 0xac1e000c);
  rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, two);
  const Bytes out = run(send_to(rule, 1), tunnel(100, udp_frame()));
  CHECK_EQ(load_be32(&out[26]), 0x02020202u);
  CHECK_EQ(load_be32(&out[76]), 0x01010101u);
  CHECK(checksums_are_right(out));
}

TEST(encapsulation_without_headroom_drops_and_says_so) {
  Engine engine;
  Rule rule = plain_rule();
  add_vxlan_encap(rule, 5, 1);
  engine.must_add(send_to(rule, 1));
  Mbuf mbuf(udp_frame(), 49);
  const Verdict verdict = engine.process(mbuf);
  CHECK_EQ(verdict.fate, Fate::kDrop);
  CHECK_EQ(verdict.cause, DropCause::kNoHeadroom);
}

TEST(decapsulation_without_a_whole_inner_header_drops) {
  Engine engine;
  Rule rule = plain_rule();
  rule.item(RTE_FLOW_ITEM_TYPE_VXLAN).action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP);
  engine.must_add(send_to(rule, 1));
  const Verdict verdict = engine.process(tunnel(1, Bytes(13)));
  CHECK_EQ(verdict.fate, Fate::kDrop);
  CHECK_EQ(verdict.cause, DropCause::kNoInnerFrame);
}

TEST(count_counts_to_the_end_of_the_innermost_ip_packet) {
  Engine engine;
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_COUNT);
  FlowRule* added = engine.must_add(send_to(rule, 1));
  Bytes padded = udp_frame();
  const uint64_t bytes = padded.size();
  padded.resize(60);
  engine.process(padded);
  CHECK_EQ(engine.engine.counters(added).bytes, bytes);
  engine.process(tunnel(1, padded));
  CHECK_EQ(engine.engine.counters(added).bytes, bytes + 50 + bytes);
  engine.process(arp());
  CHECK_EQ(engine.engine.counters(added).bytes, bytes + 50 + bytes + 42);
  CHECK_EQ(engine.engine.counters(added).packets, 3u);
  engine.engine.reset_counters(added);
  CHECK_EQ(engine.engine.counters(added).packets, 0u);
}

TEST(age_starts_at_creation_and_again_at_each_hit_and_is_reported_once) {
  Engine engine;
  Rule rule = plain_rule();
  int owner = 0;
  rte_flow_action_age age = {};
  age.timeout = 10;
  age.context = &owner;
  rule.action(RTE_FLOW_ACTION_TYPE_AGE, age);
  FlowRule* added = engine.must_add(send_to(rule, 1), 100);
  CHECK(engine.engine.age_context(added) == &owner);
  const auto aged = [&](uint32_t now) {
    int found = 0;
    engine.engine.collect_aged(now, [&](FlowRule*) { return ++found, true; });
    return found;
  };
  CHECK_EQ(aged(109), 0);
  CHECK_EQ(aged(110), 1);
  CHECK_EQ(aged(120), 0);
  Mbuf mbuf(udp_frame());
  engine.process(mbuf, 0, 120);
  CHECK_EQ(engine.engine.counters(added).last_hit_seconds, 120u);
  CHECK_EQ(aged(129), 0);
  CHECK_EQ(aged(130), 1);
}

TEST(an_age_without_context_gives_the_rule) {
  Engine engine;
  Rule rule = plain_rule();
  rte_flow_action_age age = {};
  age.timeout = 1;
  FlowRule* added = engine.must_add(send_to(rule.action(RTE_FLOW_ACTION_TYPE_AGE, age), 1));
  CHECK(engine.engine.age_context(added) == added);
}

TEST(a_rule_without_fate_goes_on_as_a_miss_with_its_mark) {
  Engine engine;
  Rule rule = plain_rule();
  engine.must_add(rule.action(RTE_FLOW_ACTION_TYPE_MARK, rte_flow_action_mark{7}));
  Mbuf mbuf(udp_frame());
  PacketContext context = context_of(mbuf);
  CHECK_EQ(engine.engine.process(context).fate, Fate::kMiss);
  CHECK(context.marked);
  CHECK_EQ(context.mark, 7u);
}

TEST(rewrites_of_a_later_fragment_skip_its_missing_header) {
  Engine engine;
  EngineOptions options;
  Rule rule = plain_rule();
  rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{rte_cpu_to_be_32(kPublic)});
  rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{rte_cpu_to_be_16(2000)});
  FlowRule* added = engine.must_add(send_to(rule, 1));
  Ipv4 header;
  header.fragment = 8;
  const Bytes before = ethernet(kEtherTypeIpv4, ipv4(header, Bytes(16, 5)));
  Mbuf mbuf(before);
  PacketContext context = context_of(mbuf);
  engine.engine.apply(added, context);
  header.source = kPublic;
  CHECK_EQ(mbuf.frame(), ethernet(kEtherTypeIpv4, ipv4(header, Bytes(16, 5))));
}

TEST(no_translation_scope_runs_everything_but_the_translation) {
  Engine engine;
  Rule rule = plain_rule();
  rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{rte_cpu_to_be_32(kPublic)});
  rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{rte_cpu_to_be_16(2000)});
  rule.action(RTE_FLOW_ACTION_TYPE_DEC_TTL).action(RTE_FLOW_ACTION_TYPE_COUNT);
  FlowRule* added = engine.must_add(send_to(rule, 4));
  Mbuf mbuf(udp_frame());
  PacketContext context = context_of(mbuf);
  CHECK_EQ(engine.engine.apply(added, context, ApplyScope::kNoTranslation).port_id, 4);
  Ipv4 header;
  header.ttl = 63;
  CHECK_EQ(mbuf.frame(), ethernet(kEtherTypeIpv4, ipv4(header, udp(1000, 53, {1, 2, 3}))));
  CHECK_EQ(engine.engine.counters(added).packets, 1u);
}

TEST(the_icmp_identifier_is_set_only_by_engines_that_allow_it) {
  Rule rule;
  rte_flow_item_icmp spec = {}, mask = {};
  spec.hdr.icmp_ident = rte_cpu_to_be_16(7);
  mask.hdr.icmp_ident = 0xffff;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_ICMP, spec, &mask);
  rule.action(kActionSetIcmpIdent, rte_cpu_to_be_16(9));
  send_to(rule, 1);
  Engine plain;
  REFUSES(plain, rule, RTE_FLOW_ERROR_TYPE_ACTION, &rule.actions()[0], "SET_ICMP_IDENT: is not supported");
  EngineOptions options;
  options.private_actions = true;
  FlowEngine engine(options);
  CHECK(engine.create(rule.attr, rule.items(), rule.actions(), 0, nullptr) != nullptr);
  Ipv4 header;
  header.protocol = 1;
  Mbuf mbuf(ethernet(kEtherTypeIpv4, ipv4(header, icmp_echo(8, 7, {1, 2}))));
  PacketContext context = context_of(mbuf);
  CHECK_EQ(engine.process(context).fate, Fate::kRepresentedPort);
  CHECK_EQ(mbuf.frame(), ethernet(kEtherTypeIpv4, ipv4(header, icmp_echo(8, 9, {1, 2}))));
}

// --- refusals ---

TEST(attributes_that_contradict_are_refused) {
  Engine engine;
  Rule rule = plain_rule();
  rule.action(RTE_FLOW_ACTION_TYPE_DROP);
  rule.attr.ingress = 1;
  REFUSES(engine, rule, RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER, &rule.attr, "transfer: ingress and egress must not be set with it");
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
      {{RTE_FLOW_ITEM_TYPE_VLAN, RTE_FLOW_ITEM_TYPE_VLAN, RTE_FLOW_ITEM_TYPE_VLAN}, "VLAN: more than two tags are not supported"},
      {{RTE_FLOW_ITEM_TYPE_GENEVE}, "GENEVE: is not supported"},
      {{RTE_FLOW_ITEM_TYPE_VXLAN, RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP, RTE_FLOW_ITEM_TYPE_VXLAN},
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
    REFUSES(engine, rule, last ? RTE_FLOW_ERROR_TYPE_ITEM_LAST : RTE_FLOW_ERROR_TYPE_ITEM_MASK, &rule.items()[0],
            last ? "UDP: last without spec" : "UDP: mask without spec");
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
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP).action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP); }, 1, kAction,
          "VXLAN_DECAP: the pattern has no VXLAN item whose tunnel could be removed", true);
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_DROP).action(RTE_FLOW_ACTION_TYPE_QUEUE, rte_flow_action_queue{}); }, 1,
          kAction, "QUEUE: a rule has at most one fate action");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_PASSTHRU); }, 0, kAction, "PASSTHRU: is not supported");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_SECURITY); }, 0, kAction, "SECURITY: is not supported");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_MARK); }, 0, kConf, "MARK: needs a configuration");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_JUMP, rte_flow_action_jump{0}); }, 0, kConf,
          "JUMP: only jumps to a higher group are supported");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_AGE, rte_flow_action_age{}); }, 0, kConf, "AGE: the timeout must not be zero");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_COUNT).action(RTE_FLOW_ACTION_TYPE_COUNT); }, 1, kAction,
          "COUNT: may appear only once");
  refused([](Rule& r) { r.action(RTE_FLOW_ACTION_TYPE_RAW_DECAP, rte_flow_action_raw_decap{nullptr, 14}); }, 0, kAction,
          "RAW_DECAP: leaves a packet without Ethernet header: RAW_ENCAP must follow");
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

// --- templates and tables ---

TEST(rows_of_a_template_share_its_masks_and_bring_their_values) {
  Engine engine;
  Rule table_rule;
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0xffffffff);
  table_rule.raw_item(RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr, 0);
  table_rule.raw_item(RTE_FLOW_ITEM_TYPE_IPV4, nullptr, &mask, nullptr, sizeof mask);
  table_rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC).action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT);
  RuleTable* table = engine.engine.create_table(table_rule.attr, table_rule.items(), table_rule.actions(), &engine.error);
  CHECK(table != nullptr);
  const auto row = [&](uint32_t source, uint16_t port) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(source, kServer, 44));
    rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{rte_cpu_to_be_32(kPublic)});
    send_to(rule, port);
    return engine.engine.create_row(table, rule.items(), rule.actions(), 0, &engine.error);
  };
  FlowRule* one = row(kHost, 1);
  FlowRule* two = row(kHost + 1, 2);
  CHECK(one != nullptr && two != nullptr && row(kHost, 3) == nullptr);
  CHECK_EQ(engine.process(udp_frame()).port_id, 1);
  engine.engine.destroy(one);
  CHECK(!engine.hits(udp_frame()));
  engine.engine.destroy(two);
  engine.engine.destroy_table(table);
  CHECK_EQ(engine.engine.rules(), 0u);
}

TEST(a_row_that_differs_from_its_template_is_refused) {
  Engine engine;
  Rule table_rule = plain_rule();
  table_rule.action(RTE_FLOW_ACTION_TYPE_DROP);
  RuleTable* table = engine.engine.create_table(table_rule.attr, table_rule.items(), table_rule.actions(), &engine.error);
  Rule shorter;
  shorter.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_DROP);
  CHECK(engine.engine.create_row(table, shorter.items(), shorter.actions(), 0, &engine.error) == nullptr);
  CHECK_EQ(engine.error.type, RTE_FLOW_ERROR_TYPE_ITEM);
  Rule other = plain_rule();
  other.action(RTE_FLOW_ACTION_TYPE_COUNT);
  CHECK(engine.engine.create_row(table, other.items(), other.actions(), 0, &engine.error) == nullptr);
  CHECK_EQ(engine.error.type, RTE_FLOW_ERROR_TYPE_ACTION);
}

TEST(a_table_finds_every_rule_while_it_grows_and_shrinks) {
  Engine engine;
  std::mt19937 random(5);
  std::vector<FlowRule*> rules(20000);
  std::vector<uint16_t> ports(rules.size());
  const auto toggle = [&](size_t i) {
    if (rules[i] != nullptr) {
      engine.engine.destroy(rules[i]);
      rules[i] = nullptr;
      return;
    }
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(static_cast<uint32_t>(i), kServer));
    ports[i] = static_cast<uint16_t>(i % 1000);
    rules[i] = engine.must_add(send_to(rule, ports[i]));
  };
  for (int round = 0; round < 60000; ++round) toggle(random() % (round < 30000 ? rules.size() : 500));
  uint32_t live = 0;
  for (size_t i = 0; i < rules.size(); ++i) {
    Ipv4 header;
    header.source = static_cast<uint32_t>(i);
    header.destination = kServer;
    const Verdict verdict = engine.process(ethernet(kEtherTypeIpv4, ipv4(header, {})));
    CHECK_EQ(verdict.fate != Fate::kMiss, rules[i] != nullptr);
    if (rules[i] != nullptr) CHECK_EQ(verdict.port_id, ports[i]);
    live += rules[i] != nullptr;
  }
  CHECK_EQ(engine.engine.rules(), live);
  engine.engine.flush();
  CHECK_EQ(engine.engine.rules(), 0u);
  CHECK(!engine.hits(udp_frame()));
}

TEST(everything_is_copied_when_a_rule_is_created) {
  Engine engine;
  {
    Rule rule = plain_rule();
    rule.item(RTE_FLOW_ITEM_TYPE_VXLAN, vxlan_spec(100));
    add_vxlan_encap(rule, 300, 0xac1e000c);
    engine.must_add(send_to(rule, 1));
  }
  Mbuf mbuf(tunnel(100, udp_frame()));
  CHECK_EQ(engine.process(mbuf).port_id, 1);
  CHECK_EQ(load_be32(&mbuf.frame()[30]), 0xac1e000cu);
}

TEST(a_templated_nat_row_costs_at_most_128_bytes_all_included) {
  EngineOptions options;
  options.max_rules = 1u << 20;
  FlowEngine engine(options);
  Rule shape;
  const rte_flow_item_ipv4 ip_mask = ipv4_spec(0xffffffff, 0xffffffff);
  const rte_flow_item_udp port_mask = udp_spec(0xffff, 0xffff);
  const rte_flow_item_vxlan vni_mask = vxlan_spec(0xffffff);
  const rte_flow_item_ethdev any_port = port_spec(0xffff);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, nullptr, &any_port, nullptr, sizeof any_port);
  shape.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4).item(RTE_FLOW_ITEM_TYPE_UDP);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_VXLAN, nullptr, &vni_mask, nullptr, sizeof vni_mask).item(RTE_FLOW_ITEM_TYPE_ETH);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_IPV4, nullptr, &ip_mask, nullptr, sizeof ip_mask);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_UDP, nullptr, &port_mask, nullptr, sizeof port_mask);
  const auto actions = [](Rule& rule, uint32_t i) {
    rte_flow_action_age age = {};
    age.timeout = 300;
    rte_flow_action_set_mac mac = {};
    rule.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP).action(RTE_FLOW_ACTION_TYPE_COUNT).action(RTE_FLOW_ACTION_TYPE_AGE, age);
    rule.action(RTE_FLOW_ACTION_TYPE_SET_MAC_DST, mac).action(RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, mac);
    rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{i});
    rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{static_cast<uint16_t>(i)});
    rule.action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
    send_to(rule, 1);
  };
  actions(shape, 0);
  rte_flow_error error = {};
  RuleTable* table = engine.create_table(shape.attr, shape.items(), shape.actions(), &error);
  CHECK(table != nullptr);
  constexpr uint32_t kRows = 500000;
  for (uint32_t i = 0; i < kRows; ++i) {
    rte_flow_item_ethdev port = port_spec(0);
    rte_flow_item_vxlan vni = vxlan_spec(100);
    rte_flow_item_ipv4 ip = ipv4_spec(i, kServer);
    rte_flow_item_udp ports = udp_spec(1000, 53);
    rte_flow_item items[9] = {};
    for (size_t at = 0; at < 9; ++at) items[at].type = shape.items()[at].type;
    items[0].spec = &port;
    items[4].spec = &vni;
    items[6].spec = &ip;
    items[7].spec = &ports;
    CHECK(engine.create_row(table, items, shape.actions(), 0, &error) != nullptr);
  }
  CHECK(engine.memory_bytes() / kRows <= 128);
}

}  // namespace
}  // namespace sluice::test
