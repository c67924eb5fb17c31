// An engine whose user keeps what rules would otherwise carry: which table they are of, what has hit them.
#include <cstring>
#include <map>
#include <random>

#include "engine_fixture.h"
#include "flow_engine/rule_table.h"

namespace sluice::test {
namespace {

struct Keeper final : RuleKeeper {
  std::map<uint32_t, RuleTable*> tables;
  RuleTable* table_of(uint32_t tag) const override { return tables.at(tag); }
};

EngineOptions options_of(const RuleKeeper* keeper) {
  EngineOptions options;
  options.keeper = keeper;
  options.private_actions = true;
  return options;
}

struct KeptEngine {
  Keeper keeper;
  FlowEngine engine{options_of(&keeper)};
  rte_flow_error error = {};

  RuleTable* table(const Rule& rule) {
    RuleTable* made = engine.create_table(rule.attr, rule.items(), rule.actions(), &error);
    CHECK(made != nullptr);
    return made;
  }
  FlowRule* add(RuleTable* of, const Rule& rule, uint32_t tag) {
    FlowRule* row = engine.stage_row(of, rule.items(), rule.actions(), &error);
    CHECK(row != nullptr);
    keeper.tables[tag] = of;
    FlowEngine::set_tag(row, tag);
    int code = 0;
    engine.commit_rows(&of, &row, 1, 0, &code);
    if (code == 0) return row;
    engine.destroy(of, row);
    return nullptr;
  }
  FlowRule* match(const Bytes& frame) {
    Mbuf mbuf(frame);
    return engine.match(context_of(mbuf), 0);
  }
};

Bytes from(uint32_t source) {
  Ipv4 header;
  header.source = source;
  header.destination = kServer;
  return ethernet(kEtherTypeIpv4, ipv4(header, udp(1000, 53, {1})));
}

TEST(count_and_age_are_refused_where_the_user_keeps_them) {
  KeptEngine kept;
  for (const int type : {RTE_FLOW_ACTION_TYPE_COUNT, RTE_FLOW_ACTION_TYPE_AGE}) {
    Rule rule = plain_rule();
    type == RTE_FLOW_ACTION_TYPE_COUNT ? rule.action(type) : rule.action(type, rte_flow_action_age{});
    send_to(rule, 1);
    CHECK(kept.engine.create_table(rule.attr, rule.items(), rule.actions(), &kept.error) == nullptr);
    CHECK(kept.error.cause == rule.actions());
  }
}

TEST(rules_of_many_tables_come_and_go_by_their_tags) {
  constexpr uint32_t kTags = 400;
  KeptEngine kept;
  RuleTable* tables[3];
  // A table a destination port: what a rule does tells which table it was taken for.
  std::vector<Rule> shapes;
  for (uint16_t i = 0; i < 3; ++i) {
    shapes.emplace_back();
    rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0xffffffff);
    shapes.back().item(RTE_FLOW_ITEM_TYPE_ETH);
    shapes.back().raw_item(RTE_FLOW_ITEM_TYPE_IPV4, nullptr, &mask, nullptr, sizeof mask);
    if (i == 1) shapes.back().action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
    if (i == 2) shapes.back().action(RTE_FLOW_ACTION_TYPE_FLAG);
    shapes.back().action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT);
    tables[i] = kept.table(shapes.back());
  }
  const auto rule_of = [&](uint32_t tag) {
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(kHost + tag, kServer));
    if (tag % 3 == 1) rule.action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
    if (tag % 3 == 2) rule.action(RTE_FLOW_ACTION_TYPE_FLAG);
    return send_to(rule, static_cast<uint16_t>(tag));
  };
  std::map<uint32_t, FlowRule*> there;
  std::mt19937 random(7);
  size_t refused = 0, batches = 0;
  for (int step = 0; step < 6000; ++step) {
    const uint32_t tag = random() % kTags;
    const auto found = there.find(tag);
    if (found == there.end()) {
      there[tag] = kept.add(tables[tag % 3], rule_of(tag), tag);
      CHECK(there[tag] != nullptr);
      CHECK(FlowEngine::rule(tables[tag % 3], FlowEngine::row(there[tag])) == there[tag]);
    } else if (random() % 4 == 0) {
      // Its like is refused, and what was staged of it leaves nothing behind.
      CHECK(kept.add(tables[tag % 3], rule_of(tag), tag) == nullptr);
      ++refused;
    } else if (random() % 2 == 0 || there.size() < 2) {
      kept.engine.destroy(found->second);
      there.erase(found);
    } else {
      const auto other = found == there.begin() ? std::prev(there.end()) : there.begin();
      RuleTable* of[] = {tables[found->first % 3], tables[other->first % 3]};
      FlowRule* rules[] = {found->second, other->second};
      kept.engine.destroy(of, rules, 2);
      there.erase(other);
      there.erase(tag);
      ++batches;
    }
    CHECK_EQ(kept.engine.rules(), there.size());
    const uint32_t asked = random() % kTags;
    const auto expected = there.find(asked);
    FlowRule* rule = kept.match(from(kHost + asked));
    CHECK(rule == (expected == there.end() ? nullptr : expected->second));
    if (rule == nullptr) continue;
    CHECK_EQ(FlowEngine::tag(rule), asked);
    Mbuf mbuf(from(kHost + asked));
    PacketContext context = context_of(mbuf);
    const Verdict verdict = random() % 2 == 0
                                ? kept.engine.apply(rule, context)
                                : kept.engine.apply(tables[asked % 3], rule, context, ApplyScope::kAll);
    CHECK_EQ(verdict.port_id, asked);
    CHECK_EQ(int{mbuf.frame()[14 + kIpv4Ttl]}, asked % 3 == 1 ? 63 : 64);
    CHECK_EQ(kept.engine.counters(rule).packets, 0u);
  }
  CHECK(refused > 500 && batches > 500);
  kept.engine.flush();
  CHECK_EQ(kept.engine.rules(), 0u);
  CHECK(kept.match(from(kHost)) == nullptr);
}

// A tuple as it stands in a frame of udp_frame().
RuleTuple tuple_in(const Bytes& frame) {
  const uint8_t* ip = frame.data() + 14;
  return {load_be32(ip + kIpv4Source), load_be32(ip + kIpv4Destination), load_be16(ip + 20),
          load_be16(ip + 22)};
}

TEST(a_tuple_is_translated_as_a_packet_is) {
  for (unsigned sets = 0; sets < 16; ++sets) {
    for (const bool constant : {false, true}) {
      Engine plain;
      Rule rule = plain_rule();
      const rte_flow_action_set_ipv4 source = {rte_cpu_to_be_32(kPublic)},
                                     destination = {rte_cpu_to_be_32(kPublic + 7)};
      const rte_flow_action_set_tp from_port = {rte_cpu_to_be_16(40001)}, to_port = {rte_cpu_to_be_16(8053)};
      if ((sets & 1) != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, source);
      if ((sets & 2) != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_IPV4_DST, destination);
      if ((sets & 4) != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_SRC, from_port);
      if ((sets & 8) != 0) rule.action(RTE_FLOW_ACTION_TYPE_SET_TP_DST, to_port);
      rule.action(RTE_FLOW_ACTION_TYPE_DEC_TTL);
      send_to(rule, 1);
      // With masks the values are the table's, not the rule's.
      RuleTable* table = plain.engine.create_table(rule.attr, rule.items(), rule.actions(),
                                                   constant ? rule.actions() : nullptr, &plain.error);
      CHECK(table != nullptr);
      FlowRule* added = plain.engine.create_row(table, rule.items(), rule.actions(), 0, &plain.error);
      CHECK(added != nullptr);
      const Bytes frame = udp_frame(1000, 53);
      Mbuf mbuf(frame);
      CHECK_EQ(plain.process(mbuf).port_id, 1);
      RuleTuple tuple = tuple_in(frame);
      plain.engine.translate(added, &tuple);
      const RuleTuple expected = tuple_in(mbuf.frame());
      CHECK_EQ(tuple.source, expected.source);
      CHECK_EQ(tuple.destination, expected.destination);
      CHECK_EQ(tuple.source_port, expected.source_port);
      CHECK_EQ(tuple.destination_port, expected.destination_port);
      CHECK_EQ(tuple.source == kPublic, (sets & 1) != 0);
      CHECK_EQ(tuple.destination_port == 8053, (sets & 8) != 0);
    }
  }
}

}  // namespace
}  // namespace sluice::test
