// Templates, growth, memory.
#include <algorithm>
#include <memory>

#include "engine_fixture.h"

namespace sluice::test {
namespace {

TEST(rows_of_a_template_share_its_masks_and_bring_their_values) {
  Engine engine;
  Rule table_rule;
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0xffffffff);
  table_rule.raw_item(RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr, 0);
  table_rule.raw_item(RTE_FLOW_ITEM_TYPE_IPV4, nullptr, &mask, nullptr, sizeof mask);
  table_rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC).action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT);
  RuleTable* table =
      engine.engine.create_table(table_rule.attr, table_rule.items(), table_rule.actions(), &engine.error);
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

// More than an engine keeps tables for once their rules are gone.
constexpr uint32_t kManyShapes = 400;

// A shape each: the mask says how much of the source counts, and which bit of the identification.
void add_many_shapes(Engine& engine) {
  for (uint32_t i = 0; i < kManyShapes; ++i) {
    rte_flow_item_ipv4 spec = ipv4_spec(kHost, kServer), mask = {};
    mask.hdr.src_addr = rte_cpu_to_be_32(0xffffffffu << (i % 20));
    mask.hdr.packet_id = rte_cpu_to_be_16(static_cast<uint16_t>(i / 20 + 1));
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask);
    engine.must_add(send_to(rule, static_cast<uint16_t>(i)));
  }
  CHECK_EQ(engine.engine.rules(), kManyShapes);
}

void expect_no_rules(Engine& engine) {
  CHECK_EQ(engine.engine.rules(), 0u);
  CHECK(!engine.hits(udp_frame()));
  engine.engine.for_each([](FlowRule*) { CHECK(false); }, true);
}

TEST(a_flush_of_more_shapes_than_are_kept_ends_all_of_them) {
  Engine engine;
  for (int round = 0; round < 2; ++round) {
    add_many_shapes(engine);
    engine.engine.flush();
    expect_no_rules(engine);
  }
}

TEST(whoever_is_shown_all_rules_may_destroy_them) {
  Engine engine;
  const auto destroy = [&engine](FlowRule* rule) { engine.engine.destroy(rule); };
  add_many_shapes(engine);
  engine.engine.for_each(destroy);
  expect_no_rules(engine);
  for (const uint32_t portion : {1u, 7u, 2 * kManyShapes}) {
    add_many_shapes(engine);
    FlowEngine::AgeCursor cursor;
    while (!engine.engine.visit(&cursor, portion, destroy)) {
    }
    expect_no_rules(engine);
  }
}

TEST(a_row_that_differs_from_its_template_is_refused) {
  Engine engine;
  Rule table_rule = plain_rule();
  table_rule.action(RTE_FLOW_ACTION_TYPE_DROP);
  RuleTable* table =
      engine.engine.create_table(table_rule.attr, table_rule.items(), table_rule.actions(), &engine.error);
  Rule shorter;
  shorter.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_DROP);
  CHECK(engine.engine.create_row(table, shorter.items(), shorter.actions(), 0, &engine.error) == nullptr);
  CHECK_EQ(engine.error.type, RTE_FLOW_ERROR_TYPE_ITEM);
  Rule other = plain_rule();
  other.action(RTE_FLOW_ACTION_TYPE_COUNT);
  CHECK(engine.engine.create_row(table, other.items(), other.actions(), 0, &engine.error) == nullptr);
  CHECK_EQ(engine.error.type, RTE_FLOW_ERROR_TYPE_ACTION);
}

// Of two operands that are wrong the first one is told, and what those before it brought is given back.
TEST(a_row_whose_operand_is_refused_holds_nothing) {
  Engine engine;
  Rule table_rule = plain_rule();
  add_vxlan_encap(table_rule, 1, kPublic);
  table_rule.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP).action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID);
  RuleTable* table =
      engine.engine.create_table(table_rule.attr, table_rule.items(), table_rule.actions(), &engine.error);
  CHECK(table != nullptr);
  const auto row = [] {
    Rule rule = plain_rule();
    return add_vxlan_encap(rule, 1, kPublic);
  };
  Rule good = row();
  good.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, rte_flow_action_of_set_vlan_pcp{7});
  good.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID, rte_flow_action_of_set_vlan_vid{rte_cpu_to_be_16(5)});
  engine.engine.destroy(engine.engine.create_row(table, good.items(), good.actions(), 0, &engine.error));
  const uint64_t before = engine.engine.memory_bytes();  // with the rows' first block
  const auto refused = [&](const Rule& row, size_t action, const std::string& message) {
    engine.error = {};
    CHECK(engine.engine.stage_row(table, row.items(), row.actions(), &engine.error) == nullptr);
    CHECK_EQ(engine.error.type, RTE_FLOW_ERROR_TYPE_ACTION_CONF);
    CHECK(engine.error.cause == &row.actions()[action]);
    CHECK(engine.error.message != nullptr && message == engine.error.message);
    CHECK_EQ(engine.engine.memory_bytes(), before);
    CHECK_EQ(engine.engine.rules(), 0u);
  };
  Rule out_of_range = row();
  out_of_range.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, rte_flow_action_of_set_vlan_pcp{8});
  out_of_range.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID);
  refused(out_of_range, 1, "OF_SET_VLAN_PCP: the priority has 3 bits");
  Rule missing = row();
  missing.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP, rte_flow_action_of_set_vlan_pcp{7});
  missing.action(RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID);
  refused(missing, 2, "OF_SET_VLAN_VID: needs a configuration");
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

// The index of 31 rules has no room for the next and moves half of its buckets; the others wait for one rule
// more.
TEST(rules_that_go_while_an_index_grows_do_not_come_back) {
  Engine engine;
  const auto frame_of = [](uint32_t i) {
    Ipv4 header;
    header.source = i;
    return ethernet(kEtherTypeIpv4, ipv4(header, {}));
  };
  std::vector<FlowRule*> rules;
  const auto add = [&](uint32_t i) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(i, 0x08080808));
    rules.push_back(engine.must_add(send_to(rule, 1)));
  };
  for (uint32_t i = 0; i < 32; ++i) add(i);
  for (uint32_t i = 0; i < 31; ++i) engine.engine.destroy(rules[i]);
  add(32);
  for (uint32_t i = 0; i < 31; ++i) CHECK(!engine.hits(frame_of(i)));
  CHECK(engine.hits(frame_of(31)) && engine.hits(frame_of(32)));
  // Rows are given out again: an entry left behind would name another rule's.
  for (uint32_t i = 33; i < 64; ++i) add(i);
  for (uint32_t i = 31; i < 64; ++i) CHECK(engine.hits(frame_of(i)));
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

// A rule that encapsulates with the VTEP's MAC ending in `vtep`: headers of different VTEPs have nothing in
// common.
Rule encapsulation(uint32_t host, uint32_t vtep) {
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(host, kServer));
  rule.item(RTE_FLOW_ITEM_TYPE_UDP);
  add_vxlan_encap(rule, 1, kPublic);
  const auto* encap =
      static_cast<const rte_flow_action_vxlan_encap*>(rule.actions()[rule.action_count() - 1].conf);
  auto* eth =
      const_cast<rte_flow_item_eth*>(static_cast<const rte_flow_item_eth*>(encap->definition[0].spec));
  for (int i = 0; i < 4; ++i) eth->hdr.src_addr.addr_bytes[5 - i] = static_cast<uint8_t>(vtep >> 8 * i);
  send_to(rule, 1);
  return rule;
}

TEST(an_encapsulation_header_that_is_gone_is_not_given_out_again) {
  Engine engine;
  engine.engine.destroy(engine.must_add(encapsulation(kHost, 1)));
  engine.must_add(encapsulation(kHost, 1));
  engine.must_add(encapsulation(kHost + 1, 2));
  Mbuf mbuf(udp_frame());
  CHECK_EQ(engine.process(mbuf).port_id, 1);
  CHECK_EQ(static_cast<int>(mbuf.frame()[11]), 1);
}

[[maybe_unused]] long resident_pages() {
  long all = 0, resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &all, &resident) != 2) resident = -1;
  if (file != nullptr) std::fclose(file);
  return resident;
}

TEST(a_million_rules_created_and_destroyed_leave_nothing) {
  Engine engine;
  // No header a second time: one that stayed would serve the next rule that has it.
  uint32_t header = 0;
  const auto round = [&](uint32_t rules) {
    for (uint32_t i = 0; i < rules; ++i) engine.engine.destroy(engine.must_add(encapsulation(i, ++header)));
  };
  round(1000);
  const uint64_t bytes = engine.engine.memory_bytes();
  [[maybe_unused]] const long pages = resident_pages();
  const char* all = std::getenv("SLUICE_CREATIONS");
  round(all == nullptr ? 100000 : static_cast<uint32_t>(std::strtoul(all, nullptr, 0)));
  CHECK_EQ(engine.engine.memory_bytes(), bytes);
#ifndef __SANITIZE_ADDRESS__              // which keeps what was freed for a while
  CHECK(resident_pages() <= pages + 64);  // of the allocator's own
#endif
}

TEST(a_group_of_many_tables_is_searched_to_its_end) {
  Engine engine;
  for (const int shapes : {20, 48, 100}) {
    engine.engine.flush();
    for (int i = 1; i <= shapes;
         ++i) {  // a shape each: another mask; only the last one's spec is the packet's
      rte_flow_item_ipv4 mask = {}, spec = {};
      mask.hdr.src_addr = rte_cpu_to_be_32(0xff000000 | static_cast<uint32_t>(i));
      spec.hdr.src_addr = rte_cpu_to_be_32(i == shapes ? kHost : 0x0b000000);
      Rule rule;
      rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask);
      engine.must_add(send_to(rule, static_cast<uint16_t>(i)));
      if (i != shapes) continue;
      for (uint32_t other = 1; other < 6; ++other) {  // too many to be copied
        spec.hdr.src_addr = rte_cpu_to_be_32(0x0c000000 + (other << 24));
        Rule more;
        more.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask);
        engine.must_add(send_to(more, 500));
      }
    }
    CHECK_EQ(static_cast<int>(engine.process(udp_frame()).port_id), shapes);
    Mbuf mbuf(udp_frame());
    PacketContext context = context_of(mbuf);
    PacketContext* burst = &context;
    Verdict verdict;
    engine.engine.process_burst(&burst, 1, &verdict);
    CHECK_EQ(static_cast<int>(verdict.port_id), shapes);
  }
}

// An index that grows empties its old buckets with later insertions: meanwhile a burst has to look into both.
TEST(a_burst_finds_every_rule_whatever_the_size_of_the_table) {
  constexpr uint32_t kRules = 600, kBurst = 32;
  Engine engine;
  std::vector<std::unique_ptr<Mbuf>> mbufs;
  for (uint32_t i = 0; i < kRules; ++i) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kHost + i, kServer));
    engine.must_add(send_to(rule, static_cast<uint16_t>(i)));
    Ipv4 header;
    header.source = kHost + i;
    header.destination = kServer;
    mbufs.push_back(std::make_unique<Mbuf>(ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {3})))));
    for (uint32_t first = 0; first <= i; first += kBurst) {
      PacketContext contexts[kBurst];
      PacketContext* burst[kBurst];
      Verdict verdicts[kBurst];
      const uint32_t count = std::min(kBurst, i + 1 - first);
      for (uint32_t k = 0; k < count; ++k) {
        contexts[k] = context_of(*mbufs[first + k]);
        burst[k] = &contexts[k];
      }
      engine.engine.process_burst(burst, count, verdicts);
      for (uint32_t k = 0; k < count; ++k) {
        CHECK(verdicts[k].fate != Fate::kMiss);
        CHECK_EQ(static_cast<uint32_t>(verdicts[k].port_id), first + k);
      }
    }
  }
}

TEST(all_indexed_tables_of_a_group_are_searched) {
  for (const int tables : {3, 6}) {
    Engine engine;
    for (int i = 1; i <= tables; ++i) {  // a shape each; only one rule of the last one's is the packet's
      rte_flow_item_ipv4 mask = {}, spec = {};
      mask.hdr.src_addr = rte_cpu_to_be_32(0xff000000 | ((1u << i) - 1));
      // Too many to be copied; and no bit that all have alike, or that would tell that a table need not be
      // searched.
      for (uint32_t other = 0; other < 6; ++other) {
        spec.hdr.src_addr = rte_cpu_to_be_32(i == tables && other == 4 ? kHost
                                             : other == 5              ? ~0x0b000000u
                                                                       : 0x0b000000 + (other << 24));
        Rule rule;
        rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask);
        engine.must_add(send_to(rule, static_cast<uint16_t>(i)));
      }
    }
    Mbuf mbuf(udp_frame());
    PacketContext context = context_of(mbuf);
    PacketContext* burst = &context;
    Verdict verdict;
    engine.engine.process_burst(&burst, 1, &verdict);
    CHECK_EQ(static_cast<int>(verdict.port_id), tables);
  }
}

TEST(a_burst_finds_rules_that_differ_in_any_word_of_their_key) {
  Engine engine;
  for (uint16_t i = 0; i < 8; ++i) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kHost, kServer));
    rule.item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(static_cast<uint16_t>(1000 + i), 53));
    engine.must_add(send_to(rule, i));
  }
  for (uint16_t i = 0; i < 9; ++i) {
    Mbuf mbuf(udp_frame(static_cast<uint16_t>(1000 + i)));
    PacketContext context = context_of(mbuf);
    PacketContext* burst = &context;
    Verdict verdict;
    engine.engine.process_burst(&burst, 1, &verdict);
    CHECK_EQ(verdict.fate != Fate::kMiss, i < 8);
    if (i < 8) CHECK_EQ(verdict.port_id, i);
  }
}

TEST(a_table_that_cannot_have_the_key_hides_none_behind_it) {
  Engine engine;
  const auto add = [&](uint32_t source, uint32_t bits, uint16_t port) {
    rte_flow_item_ipv4 mask = {}, spec = {};
    mask.hdr.src_addr = rte_cpu_to_be_32(bits);
    spec.hdr.src_addr = rte_cpu_to_be_32(source);
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, spec, &mask);
    engine.must_add(send_to(rule, port));
  };
  add(0x0c000000, 0xff000000, 1);  // a constant rule: then tables are searched one by one
  for (uint32_t i = 0; i < 5; ++i) add(0x0b000000 + (i << 8), 0xffffff00, 2);
  for (uint32_t i = 0; i < 5; ++i) add(kHost + i, 0xffffffff, 3);
  for (uint32_t i = 0; i < 5; ++i) add(~kHost + (i << 1), 0xfffffffe, 4);
  Mbuf mbuf(udp_frame());
  PacketContext context = context_of(mbuf);
  PacketContext* burst = &context;
  Verdict verdict;
  engine.engine.process_burst(&burst, 1, &verdict);
  CHECK_EQ(verdict.port_id, 3);
}

TEST(what_stands_behind_a_jump_is_done_in_a_burst_too) {
  Engine engine;
  Rule jump;
  jump.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_JUMP, rte_flow_action_jump{1});
  jump.action(RTE_FLOW_ACTION_TYPE_MARK, rte_flow_action_mark{7});
  engine.must_add(jump);
  Rule next = plain_rule();
  next.attr.group = 1;
  engine.must_add(send_to(next, 3));
  Mbuf mbuf(udp_frame());
  PacketContext context = context_of(mbuf);
  PacketContext* burst = &context;
  Verdict verdict;
  engine.engine.process_burst(&burst, 1, &verdict);
  CHECK_EQ(verdict.port_id, 3);
  CHECK_EQ(context.mark, 7u);
}

TEST(what_a_thread_remembers_of_its_bursts_follows_every_change) {
  Engine engine;
  BurstMemory memory;
  const auto port = [&] {
    Mbuf mbuf(udp_frame());
    PacketContext context = context_of(mbuf);
    PacketContext* burst = &context;
    Verdict verdict;
    engine.engine.process_burst(&burst, 1, &verdict, nullptr, &memory);
    return verdict.fate == Fate::kMiss ? -1 : static_cast<int>(verdict.port_id);
  };
  CHECK_EQ(port(), -1);
  Rule low = plain_rule();
  low.attr.priority = 1;
  engine.must_add(send_to(low, 1));
  CHECK_EQ(port(), 1);
  Rule high;
  high.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kHost, kServer));
  FlowRule* added = engine.must_add(send_to(high, 2));
  CHECK_EQ(port(), 2);
  engine.engine.destroy(added);
  CHECK_EQ(port(), 1);
  engine.engine.flush();
  CHECK_EQ(port(), -1);
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
  shape.raw_item(RTE_FLOW_ITEM_TYPE_VXLAN, nullptr, &vni_mask, nullptr, sizeof vni_mask)
      .item(RTE_FLOW_ITEM_TYPE_ETH);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_IPV4, nullptr, &ip_mask, nullptr, sizeof ip_mask);
  shape.raw_item(RTE_FLOW_ITEM_TYPE_UDP, nullptr, &port_mask, nullptr, sizeof port_mask);
  const auto actions = [](Rule& rule, uint32_t i) {
    rte_flow_action_age age = {};
    age.timeout = 300;
    rte_flow_action_set_mac mac = {};
    rule.action(RTE_FLOW_ACTION_TYPE_VXLAN_DECAP)
        .action(RTE_FLOW_ACTION_TYPE_COUNT)
        .action(RTE_FLOW_ACTION_TYPE_AGE, age);
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
