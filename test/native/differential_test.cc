// Random rules and packets, engine against reference. SLUICE_ROUNDS (default 3000 rule sets) and SLUICE_SEED
// change the run; the run fails if a kind of item, action or outcome was never reached.
#include <cstdlib>
#include <cstring>

#include "packet/wire.h"
#include "random_rules.h"
#include "reference.h"
#include "support.h"

namespace sluice::test {
namespace {

// The same rule by way of a table of its own; some of its actions are the table's constants, which the row
// leaves out.
FlowRule* create_by_table(Random& random, FlowEngine& engine, const Rule& rule, rte_flow_error* error) {
  std::vector<rte_flow_action> masks(rule.actions(), rule.actions() + rule.action_count() + 1), row = masks;
  for (size_t i = 0; i < rule.action_count(); ++i) {
    const auto* conf = static_cast<const uint8_t*>(masks[i].conf);
    const bool zero = conf == nullptr || (conf[0] == 0 && masks[i].type != RTE_FLOW_ACTION_TYPE_RSS);
    if (zero || chance(random, 50)) {
      masks[i].conf = nullptr;
    } else if (static_cast<int>(masks[i].type) != RTE_FLOW_ACTION_TYPE_MODIFY_FIELD) {
      row[i].conf = nullptr;
    }
  }
  RuleTable* table = engine.create_table(rule.attr, rule.items(), rule.actions(), masks.data(), error);
  return table == nullptr ? nullptr : engine.create_row(table, rule.items(), row.data(), 0, error);
}

std::string fate_name(const Verdict& verdict) {
  switch (verdict.fate) {
    case Fate::kMiss: return "miss";
    case Fate::kDrop: return "drop";
    case Fate::kQueue: return "queue";
    case Fate::kPortRepresentor: return "representor";
    case Fate::kRepresentedPort: return "port";
  }
  return "?";
}

// 0 and 0xffff are the same one's complement number; which of them a wrong checksum ends up with is not
// defined.
bool same_frame(const Bytes& a, const Bytes& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    if (i + 1 < a.size() && a[i] == a[i + 1] && b[i] == b[i + 1] && (a[i] ^ b[i]) == 0xff &&
        (a[i] == 0 || a[i] == 0xff)) {
      ++i;
      continue;
    }
    return false;
  }
  return true;
}

TEST(the_engine_agrees_with_the_reference_on_random_rules_and_packets) {
  const char* rounds_text = std::getenv("SLUICE_ROUNDS");
  const char* seed_text = std::getenv("SLUICE_SEED");
  const long rounds = rounds_text == nullptr ? 3000 : std::atol(rounds_text);
  Random random(seed_text == nullptr ? 1 : std::strtoull(seed_text, nullptr, 0));
  std::map<std::string, uint64_t> reached;
  for (long round = 0; round < rounds; ++round) {
    EngineOptions options;
    FlowEngine engine(options);
    Reference reference;
    std::vector<std::unique_ptr<Rule>> texts;
    std::vector<FlowRule*> rules;
    std::vector<std::unique_ptr<Rule>> made;
    if (chance(random, 50)) made = family(random);
    for (int n = static_cast<int>(1 + random() % 12); n > 0; --n) {
      auto rule = std::make_unique<Rule>();
      rule->attr.group = chance(random, 60) ? 0 : chance(random, 80) ? 1 : 101;
      rule->attr.priority = static_cast<uint32_t>(random() % 3);
      if (chance(random, 20))
        rule->item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, port_spec(static_cast<uint16_t>(random() % 2)));
      if (chance(random, rule->attr.group == 0 ? 3 : 40)) add_registers(random, rule.get());
      bool vxlan = false, has_ports = false;
      add_layer(random, rule.get(), false, &reached, &vxlan, &has_ports);
      add_actions(random, rule.get(), vxlan, has_ports);
      made.insert(made.begin() + static_cast<long>(random() % (made.size() + 1)), std::move(rule));
    }
    for (std::unique_ptr<Rule>& rule : made) {
      rte_flow_error error = {};
      const int valid = engine.validate(rule->attr, rule->items(), rule->actions(), &error);
      bool has_ranges = false;
      for (size_t i = 0; i < rule->item_count(); ++i)
        has_ranges = has_ranges || rule->items()[i].last != nullptr;
      const bool by_table = !has_ranges && chance(random, 20);
      if (by_table) ++reached["by table"];
      FlowRule* added = by_table ? create_by_table(random, engine, *rule, &error)
                                 : engine.create(rule->attr, rule->items(), rule->actions(), 0, &error);
      if (added != nullptr && !by_table && chance(random, 30)) {
        ++reached["created again"];
        engine.destroy(added);
        added = engine.create(rule->attr, rule->items(), rule->actions(), 0, &error);
      }
      if (added == nullptr) {
        const bool twice =
            std::strcmp(error.message, "a rule with this pattern exists in the group at this priority") == 0;
        if (twice == (valid != 0)) fail_check(__FILE__, __LINE__, error.message);
        if (!twice) fail_check(__FILE__, __LINE__, std::string("refused: ") + error.message);
        ++reached["refused: exists"];
        continue;
      }
      reference.rules.push_back({rule->attr, rule->items(), rule->actions()});
      texts.push_back(std::move(rule));
      rules.push_back(added);
    }
    // In bursts of any size; one packet alone takes another way through the engine.
    for (int n = 0; n < 60;) {
      const size_t count = chance(random, 40) ? 1 : 1 + random() % 12;
      std::vector<Bytes> in, expected;
      std::vector<ReferenceVerdict> wanted;
      std::vector<std::unique_ptr<Mbuf>> mbufs;
      std::vector<PacketContext> contexts;
      for (size_t i = 0; i < count; ++i, ++n) {
        in.push_back(random_packet(random));
        const auto port = static_cast<uint16_t>(random() % 2);
        expected.push_back(in.back());
        wanted.push_back(reference.process(&expected.back(), port));
        mbufs.push_back(std::make_unique<Mbuf>(in.back(), 1024));
        contexts.push_back(context_of(*mbufs.back(), port));
      }
      std::vector<PacketContext*> burst;
      for (PacketContext& context : contexts) burst.push_back(&context);
      std::vector<Verdict> got(count);
      if (count == 1) {
        got[0] = engine.process(contexts[0]);
      } else {
        engine.process_burst(burst.data(), count, got.data());
      }
      for (size_t i = 0; i < count; ++i) {
        const uint32_t value = got[i].fate == Fate::kQueue ? got[i].queue : got[i].port_id;
        const PacketContext& context = contexts[i];
        const ReferenceVerdict& answer = wanted[i];
        const bool same_words = context.marked == answer.marked && context.mark == answer.mark &&
                                context.flagged == answer.flagged && context.has_meta == answer.has_meta &&
                                context.meta == answer.meta && context.hashed == answer.hashed &&
                                (!answer.hashed || context.hash == answer.hash);
        const bool same =
            fate_name(got[i]) == answer.fate && same_words &&
            (got[i].fate == Fate::kMiss || got[i].fate == Fate::kDrop || value == answer.value) &&
            (got[i].fate == Fate::kDrop || same_frame(mbufs[i]->frame(), expected[i]));
        if (same) continue;
        fail_check(__FILE__, __LINE__,
                   "round " + std::to_string(round) + " of " + std::to_string(count) + " packets, the " +
                       std::to_string(i) + "th " + show(in[i]) + (same_words ? "" : " (words differ)") +
                       "\n    engine    " + fate_name(got[i]) + " " + std::to_string(value) + " " +
                       show(mbufs[i]->frame()) + "\n    reference " + answer.fate + " " +
                       std::to_string(answer.value) + " " + show(expected[i]));
        return;
      }
    }
    for (size_t i = 0; i < rules.size(); ++i) {
      const RuleCounters counters = engine.counters(rules[i]);
      CHECK_EQ(counters.packets, reference.rules[i].packets);
      CHECK_EQ(counters.bytes, reference.rules[i].bytes);
    }
    for (const auto& [what, times] : reference.reached) reached[what] += times;
    // Half of the rules go; the others must not notice. The next packets are the next round's.
    for (size_t i = 0; i < rules.size(); i += 2) engine.destroy(rules[i]);
    CHECK_EQ(engine.rules(), static_cast<uint32_t>(rules.size() / 2));
  }
  std::vector<std::string> classes = {"miss",
                                      "miss after a jump",
                                      "match: range",
                                      "match: lower priority",
                                      "has_vlan",
                                      "has_frag_ext",
                                      "by table",
                                      "refused: exists",
                                      "drop: no inner frame",
                                      "fate: miss",
                                      "fate: drop",
                                      "fate: queue",
                                      "fate: representor",
                                      "fate: port"};
  for (const int item :
       {RTE_FLOW_ITEM_TYPE_VOID, RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_VLAN, RTE_FLOW_ITEM_TYPE_IPV4,
        RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_UDP, RTE_FLOW_ITEM_TYPE_TCP, RTE_FLOW_ITEM_TYPE_ICMP,
        RTE_FLOW_ITEM_TYPE_VXLAN, RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, RTE_FLOW_ITEM_TYPE_ICMP6,
        RTE_FLOW_ITEM_TYPE_META, RTE_FLOW_ITEM_TYPE_MARK, RTE_FLOW_ITEM_TYPE_TAG}) {
    classes.push_back("item " + std::to_string(item));
  }
  for (const int action : {RTE_FLOW_ACTION_TYPE_COUNT,
                           RTE_FLOW_ACTION_TYPE_MARK,
                           RTE_FLOW_ACTION_TYPE_JUMP,
                           RTE_FLOW_ACTION_TYPE_QUEUE,
                           RTE_FLOW_ACTION_TYPE_DROP,
                           RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR,
                           RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT,
                           RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP,
                           RTE_FLOW_ACTION_TYPE_VXLAN_DECAP,
                           RTE_FLOW_ACTION_TYPE_SET_MAC_SRC,
                           RTE_FLOW_ACTION_TYPE_SET_MAC_DST,
                           RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC,
                           RTE_FLOW_ACTION_TYPE_SET_IPV4_DST,
                           RTE_FLOW_ACTION_TYPE_SET_TP_SRC,
                           RTE_FLOW_ACTION_TYPE_SET_TP_DST,
                           RTE_FLOW_ACTION_TYPE_DEC_TTL,
                           RTE_FLOW_ACTION_TYPE_SET_TTL,
                           RTE_FLOW_ACTION_TYPE_OF_PUSH_VLAN,
                           RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_VID,
                           RTE_FLOW_ACTION_TYPE_OF_POP_VLAN,
                           RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP,
                           RTE_FLOW_ACTION_TYPE_FLAG,
                           RTE_FLOW_ACTION_TYPE_SET_META,
                           RTE_FLOW_ACTION_TYPE_SET_TAG,
                           RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC,
                           RTE_FLOW_ACTION_TYPE_SET_IPV6_DST,
                           RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP,
                           RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP,
                           RTE_FLOW_ACTION_TYPE_RSS,
                           RTE_FLOW_ACTION_TYPE_RAW_ENCAP,
                           RTE_FLOW_ACTION_TYPE_RAW_DECAP,
                           RTE_FLOW_ACTION_TYPE_MODIFY_FIELD}) {
    classes.push_back("action " + std::to_string(action));
  }
  for (const int field :
       {RTE_FLOW_FIELD_MAC_DST, RTE_FLOW_FIELD_VLAN_ID, RTE_FLOW_FIELD_IPV4_SRC, RTE_FLOW_FIELD_IPV6_DSCP,
        RTE_FLOW_FIELD_IPV6_HOPLIMIT, RTE_FLOW_FIELD_IPV6_SRC, RTE_FLOW_FIELD_IPV6_DST, RTE_FLOW_FIELD_TAG,
        RTE_FLOW_FIELD_MARK, RTE_FLOW_FIELD_META}) {
    classes.push_back("modify " + std::to_string(field));
  }
  for (const std::string& name : classes) {
    if (reached[name] == 0) fail_check(__FILE__, __LINE__, "never reached: " + name);
  }
  for (const auto& [what, times] : reached)
    std::printf("  %-24s %llu\n", what.c_str(), static_cast<unsigned long long>(times));
}

}  // namespace
}  // namespace sluice::test
