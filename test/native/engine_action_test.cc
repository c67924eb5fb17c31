// What a rule's actions do, one sentence each.
#include "engine_fixture.h"

namespace sluice::test {
namespace {

Bytes run(const Rule& rule, const Bytes& frame, Verdict* verdict = nullptr,
          PacketContext* context_out = nullptr) {
  Engine engine;
  engine.must_add(rule);
  Mbuf mbuf(frame);
  PacketContext context = context_of(mbuf);
  const Verdict got = engine.engine.process(context);
  if (verdict != nullptr) *verdict = got;
  ParsedPacket again;
  parse(rte_pktmbuf_mtod(context.mbuf, const uint8_t*), context.mbuf->data_len, ParseOptions{}, &again);
  // What apply() says of the headers is what a parser says.
  for (const auto& [mine, theirs] :
       {std::pair{&context.headers.outer, &again.outer}, {&context.headers.inner, &again.inner}}) {
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
  rule.item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kHost, kServer))
      .item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(1000, 53));
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
    CHECK_EQ(out, ethernet(kEtherTypeIpv4, ipv4(outer, udp(49153, 4789, vxlan(300, inner), false)), tags,
                           0x101112131415, 0x202122232425));
  }
}

TEST(raw_decap_and_raw_encap_of_a_tunnel_do_what_their_vxlan_forms_do) {
  const Bytes inner = udp_frame();
  Bytes header = tunnel(300, {});
  for (const size_t at : {14u, 16u, 17u, 22u, 24u, 25u, 38u, 39u, 42u})
    header[at] = 0;  // incomplete, as testpmd's
  header.resize(50);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH)
      .item(RTE_FLOW_ITEM_TYPE_IPV4)
      .item(RTE_FLOW_ITEM_TYPE_UDP)
      .item(RTE_FLOW_ITEM_TYPE_VXLAN);
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
      {RTE_FLOW_MODIFY_SET, RTE_FLOW_FIELD_TCP_PORT_SRC, 2, 16, {0, 1}, 84, 2, 1000},  // no TCP header:
                                                                                       // nothing
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

TEST(a_udp_checksum_that_a_translation_makes_zero_is_sent_as_all_ones) {
  Engine engine;
  Rule rule = plain_rule();
  rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{rte_cpu_to_be_32(kPublic)});
  rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{rte_cpu_to_be_16(2000)});
  engine.must_add(send_to(rule, 1));
  int zeros = 0;
  for (uint32_t word = 0; word < 0x10000; ++word) {  // one of them makes the sum come out so
    Ipv4 header;
    header.source = kHost;
    header.destination = kServer;
    Mbuf mbuf(ethernet(kEtherTypeIpv4, ipv4(header, udp(1000, 53, {static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word)}))));
    engine.process(mbuf);
    const uint16_t checksum = load_be16(&mbuf.frame()[14 + 20 + 6]);
    CHECK(checksum != 0);
    zeros += checksum == 0xffff;
  }
  CHECK_EQ(zeros, 1);
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
  engine.engine.take_counters(added);
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

TEST(a_rule_that_counts_rewrites_and_sends_leaves_out_its_translation_where_it_is_told_to) {
  Engine engine;
  Rule rule = plain_rule();
  rule.action(RTE_FLOW_ACTION_TYPE_COUNT)
      .action(RTE_FLOW_ACTION_TYPE_SET_MAC_DST, rte_flow_action_set_mac{{2, 0, 0, 0, 0, 9}})
      .action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, rte_flow_action_set_ipv4{rte_cpu_to_be_32(kPublic)})
      .action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, rte_flow_action_set_tp{rte_cpu_to_be_16(4000)});
  FlowRule* added = engine.must_add(send_to(rule, 4));
  const Bytes sent = udp_frame();
  Mbuf mbuf(sent);
  PacketContext context = context_of(mbuf);
  CHECK_EQ(engine.engine.apply(added, context, ApplyScope::kNoTranslation).port_id, 4);
  Bytes expected = sent;
  std::copy_n("\x02\0\0\0\0\x09", 6, expected.begin());
  CHECK_EQ(mbuf.frame(), expected);
  CHECK_EQ(engine.engine.counters(added).packets, 1u);
}

TEST(of_two_encapsulations_both_are_done) {
  Engine engine;
  Rule rule = plain_rule();
  add_vxlan_encap(rule, 100, 0xac1e000b);
  add_vxlan_encap(rule, 200, 0xac1e000c);
  engine.must_add(send_to(rule, 1));
  const Bytes sent = udp_frame();
  Mbuf mbuf(sent);
  CHECK_EQ(engine.process(mbuf).port_id, 1);
  const Bytes frame = mbuf.frame();
  CHECK_EQ(frame.size(), sent.size() + 2 * 50);
  CHECK_EQ(load_be32(&frame[46]), 200u << 8);
  CHECK_EQ(load_be32(&frame[96]), 100u << 8);
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
  const FlowRule* added = engine.create(rule.attr, rule.items(), rule.actions(), 0, nullptr);
  CHECK(added != nullptr);
  RuleTuple tuple = {1, 2, 7, 7};
  engine.translate(added, &tuple);
  CHECK(tuple.source == 1 && tuple.destination == 2 && tuple.source_port == 9 && tuple.destination_port == 9);
  Ipv4 header;
  header.protocol = 1;
  Mbuf mbuf(ethernet(kEtherTypeIpv4, ipv4(header, icmp_echo(8, 7, {1, 2}))));
  PacketContext context = context_of(mbuf);
  CHECK_EQ(engine.process(context).fate, Fate::kRepresentedPort);
  CHECK_EQ(mbuf.frame(), ethernet(kEtherTypeIpv4, ipv4(header, icmp_echo(8, 9, {1, 2}))));
}

}  // namespace
}  // namespace sluice::test
