// Rows staged the fast way, and the same ones word by word and in the order of their operations: every byte,
// every refusal and every id of a shared header is compared. SLUICE_ROUNDS (default 3000 templates) and
// SLUICE_SEED change the run; it fails if an outcome was never reached.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "flow_engine/rule_table.h"
#include "random_rules.h"

namespace sluice::test {
namespace {

constexpr int kRowsEach = 24;

// The last comparison of lists there is to make, and no byte behind it.
TEST(the_first_type_that_differs_is_found_and_nothing_behind_it_is_read) {
  for (uint8_t count = 0; count <= 13; ++count) {
    std::vector<int> types;
    for (uint8_t i = 0; i < count; ++i) types.push_back(100 + i);
    for (uint8_t other = 0; other <= count; ++other) {
      const size_t there = other == count ? count : other + 1u;
      const auto list = std::make_unique<rte_flow_action[]>(there);
      for (size_t i = 0; i < there; ++i) std::memcpy(&list[i].type, &types[i], sizeof(int));
      if (other != count) list[other].type = RTE_FLOW_ACTION_TYPE_END;
      CHECK(first_other(list.get(), types.data(), count) == (other == count ? nullptr : &list[other]));
    }
  }
}

struct Answer {
  int code = 0;
  rte_flow_error error = {};
  std::vector<uint64_t> words;
  Bytes operands;
};

bool same(const Answer& a, const Answer& b) {
  if (a.code != b.code) return false;
  if (a.code == 0) return a.words == b.words && a.operands == b.operands;
  return a.error.type == b.error.type && a.error.cause == b.error.cause &&
         std::strcmp(a.error.message, b.error.message) == 0;
}

// One table's rows, staged one of the two ways.
struct Side {
  EngineOptions options;
  SharedOperands shared;
  CompiledPattern pattern;
  ActionProgram program;
  std::vector<Bytes> rows;

  bool compile(const Rule& rule, const rte_flow_action* masks) {
    rte_flow_error error = {};
    program = {};
    return compile_pattern(rule.attr, rule.items(), PatternMode::kTemplate, options, &pattern, &error) == 0 &&
           pattern.shape.ranges == 0 &&
           compile_actions(rule.attr, rule.actions(), masks, PatternMode::kTemplate, pattern.content, options,
                           &program, &error) == 0 &&
           encode_constants(&program, rule.actions(), rule.attr, options, &shared, &error) == 0;
  }
  template <typename Words, typename Operands>
  Answer stage(const rte_flow_attr& attr, const rte_flow_item* items, const rte_flow_action* actions,
               Words&& words, Operands&& encode) {
    Answer answer;
    answer.words.assign(pattern.shape.words, 0xaa);
    answer.operands.assign(program.operand_bytes, 0xaa);
    answer.code = words(pattern.shape, pattern.sources, items, answer.words.data(), &answer.error);
    if (answer.code == 0)
      answer.code = encode(program, actions, attr, options, &shared, answer.operands.data(), &answer.error);
    if (answer.code == 0) rows.push_back(answer.operands);
    return answer;
  }
  void release(size_t row) {
    release_operands(program, rows[row].data(), &shared);
    rows[row] = rows.back();
    rows.pop_back();
  }
  void clear() {
    while (!rows.empty()) release(rows.size() - 1);
    release_constants(program, &shared);
  }
};

// Of a conf that begins with its value, whatever it is.
bool begins_with_value(int type) {
  switch (type) {
    case RTE_FLOW_ACTION_TYPE_SET_MAC_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_MAC_DST:
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_IPV4_DST:
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_IPV6_DST:
    case RTE_FLOW_ACTION_TYPE_SET_TP_SRC:
    case RTE_FLOW_ACTION_TYPE_SET_TP_DST:
    case RTE_FLOW_ACTION_TYPE_SET_TTL:
    case RTE_FLOW_ACTION_TYPE_MARK:
    case RTE_FLOW_ACTION_TYPE_OF_SET_VLAN_PCP: return true;
    default: return false;
  }
}

void change_byte(Random& random, const void* data, size_t bytes) {
  const_cast<uint8_t*>(static_cast<const uint8_t*>(data))[random() % bytes] = static_cast<uint8_t>(random());
}

// Underlays of few values, so that one often follows its like; now and then with something else in it.
void change_definition(Random& random, rte_flow_item* definition) {
  const auto bytes_of = [](int type) -> size_t {
    const ItemDescription* item = describe_item(type);
    return item == nullptr ? 0 : item->header_bytes;
  };
  if (definition[1].type == RTE_FLOW_ITEM_TYPE_VOID && chance(random, 90))
    std::copy(definition + 2, definition + 6, definition + 1);
  for (rte_flow_item* item = definition; item->type != RTE_FLOW_ITEM_TYPE_END; ++item) {
    const size_t bytes = bytes_of(type_of(*item));
    if (chance(random, 3) && bytes != 0) change_byte(random, item->spec, bytes);
    if (chance(random, 1)) item->spec = nullptr;
    if (chance(random, 1)) item->type = RTE_FLOW_ITEM_TYPE_IPV6;
    if (chance(random, 1)) item->type = RTE_FLOW_ITEM_TYPE_END;
    if (item->type == RTE_FLOW_ITEM_TYPE_END) return;
  }
}

TEST(a_row_is_the_same_staged_at_one_go_and_step_by_step) {
  const char* rounds_text = std::getenv("SLUICE_ROUNDS");
  const char* seed_text = std::getenv("SLUICE_SEED");
  const long rounds = rounds_text == nullptr ? 3000 : std::atol(rounds_text);
  Random random(seed_text == nullptr ? 1 : std::strtoull(seed_text, nullptr, 0));
  std::map<std::string, uint64_t> reached, ignored;
  for (long round = 0; round < rounds; ++round) {
    Rule rule;
    if (chance(random, 40))
      rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, port_spec(static_cast<uint16_t>(random() % 2)));
    if (chance(random, 10)) add_registers(random, &rule);
    bool vxlan = false, has_ports = false;
    add_layer(random, &rule, false, &ignored, &vxlan, &has_ports);
    if (chance(random, 50)) rule.action(RTE_FLOW_ACTION_TYPE_AGE, rte_flow_action_age{60, 0, &rule});
    if (chance(random, 40)) add_vxlan_encap(rule, 7, 0x0a000001);
    add_actions(random, &rule, vxlan, has_ports);
    for (size_t i = 0; i < rule.item_count(); ++i) rule.item_at(i).last = nullptr;
    std::vector<rte_flow_action> masks(rule.actions(), rule.actions() + rule.action_count() + 1);
    for (rte_flow_action& mask : masks) {
      if (!begins_with_value(mask.type) || chance(random, 70)) mask.conf = nullptr;
    }
    Side fast, slow;
    if (!fast.compile(rule, masks.data()) || !slow.compile(rule, masks.data())) {
      ++reached["no template"];
      continue;
    }
    for (int n = 0; n < kRowsEach; ++n) {
      std::vector<rte_flow_item> items(rule.items(), rule.items() + rule.item_count() + 1);
      std::vector<rte_flow_action> actions(rule.actions(), rule.actions() + rule.action_count() + 1);
      for (rte_flow_item& item : items) {
        const ItemDescription* is = describe_item(item.type);
        if (is != nullptr && is->header_bytes != 0 && item.spec != nullptr && chance(random, 60))
          change_byte(random, item.spec, is->header_bytes);
        if (chance(random, 2)) item.spec = nullptr;
      }
      rte_flow_action_age age = {60, 0, &actions};
      // The definition that a row brings is its own from row to row.
      std::vector<std::unique_ptr<Rule>> encaps;
      const rte_flow_item* definition = nullptr;
      bool is_bare = false;
      for (rte_flow_action& action : actions) {
        if (begins_with_value(action.type) && chance(random, 60)) change_byte(random, action.conf, 1);
        if (action.type == RTE_FLOW_ACTION_TYPE_AGE) {
          constexpr uint32_t kTimeouts[] = {60, 1, 0xffffff, 0};
          age.timeout = kTimeouts[random() % (chance(random, 10) ? 4 : 3)];
          age.reserved = chance(random, 3) ? random() % 256 : 0;
          action.conf = &age;
        }
        if (action.type == RTE_FLOW_ACTION_TYPE_VXLAN_ENCAP) {
          encaps.push_back(std::make_unique<Rule>());
          add_vxlan_encap(*encaps.back(), static_cast<uint32_t>(random() % 5),
                          static_cast<uint32_t>(random() % 3), chance(random, 10));
          action.conf = encaps.back()->actions()[0].conf;
          definition = static_cast<const rte_flow_action_vxlan_encap*>(action.conf)->definition;
          change_definition(random, const_cast<rte_flow_item*>(definition));
        }
        if (chance(random, 2) && action.conf != nullptr) {
          action.conf = nullptr;
          is_bare = true;
        }
      }
      VxlanFields fields;
      const bool is_known = encaps.size() == 1 && fast.shared.definition.is(definition, &fields);
      const Answer at_once =
          fast.stage(rule.attr, items.data(), actions.data(), gather_words, encode_operands);
      const Answer by_step =
          slow.stage(rule.attr, items.data(), actions.data(), gather_any_words, encode_in_order);
      if (!same(at_once, by_step)) {
        fail_check(__FILE__, __LINE__,
                   "round " + std::to_string(round) + " row " + std::to_string(n) + ": " +
                       (at_once.code == 0 ? show(at_once.operands) : at_once.error.message) + " and " +
                       (by_step.code == 0 ? show(by_step.operands) : by_step.error.message));
        return;
      }
      if (at_once.code == 0) {
        ++reached["a row"];
        if (is_bare) ++reached["a row without what its table has"];
        if (encaps.size() == 1) ++reached[is_known ? "a known header" : "a header that was read"];
        if (fast.program.row_brings_age) ++reached["a row with AGE"];
        if (fast.pattern.sources.ends_with_port) ++reached["a row with a port"];
      } else {
        const std::string message = at_once.error.message;
        ++reached[at_once.error.type == RTE_FLOW_ERROR_TYPE_ITEM_SPEC ? "refused: no spec"
                  : message.starts_with("AGE")                        ? "refused: AGE"
                  : message.ends_with("needs a configuration")        ? "refused: no conf"
                  : message.starts_with("VXLAN_ENCAP")                ? "refused: definition"
                                                                      : "refused: " + message];
      }
      if (!fast.rows.empty() && chance(random, 40)) {
        const size_t gone = random() % fast.rows.size();
        const uint32_t known = fast.shared.definition.header();
        fast.release(gone);
        slow.release(gone);
        if (known != 0 && fast.shared.definition.header() == 0) ++reached["a known header that went"];
      }
    }
    fast.clear();
    slow.clear();
    CHECK_EQ(fast.shared.headers.memory_bytes(), uint64_t{0});
    CHECK_EQ(fast.shared.definition.header(), 0u);
  }
  for (const char* name :
       {"a row", "a row without what its table has", "a known header", "a header that was read",
        "a row with AGE", "a row with a port", "refused: no spec", "refused: AGE", "refused: no conf",
        "refused: definition", "a known header that went"}) {
    if (reached[name] == 0) fail_check(__FILE__, __LINE__, std::string("never reached: ") + name);
  }
  for (const auto& [what, times] : reached)
    std::printf("  %-34s %llu\n", what.c_str(), static_cast<unsigned long long>(times));
}

}  // namespace
}  // namespace sluice::test
