// Rules of the software table staged from arguments, and the same ones from items and actions: every byte is compared.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "flow_engine/rule_table.h"
#include "slow_path/row_plan.h"
#include "slow_path/software_template.h"
#include "support.h"

namespace sluice::test {
namespace {

constexpr uint32_t kRowsEach = 64;

struct Named {
  std::string name;
  TemplateSource source;
};

// "-" is none; "=" and hexadecimal digits otherwise.
std::optional<TemplateSource::Bytes> bytes_of(const std::string& word) {
  if (word == "-") return std::nullopt;
  TemplateSource::Bytes bytes;
  for (size_t i = 1; i + 1 < word.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoul(word.substr(i, 2), nullptr, 16)));
  return bytes;
}

// What the compiler makes of sessions: test/compiler/software-templates.test.ts writes it.
std::vector<Named> compiled_templates() {
  std::ifstream file(SLUICE_TEST_GOLDEN "/software-templates.txt");
  std::vector<Named> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "template") {
      all.emplace_back();
      words >> all.back().name;
      continue;
    }
    TemplateSource& source = all.back().source;
    uint32_t type = 0;
    std::string spec, mask, last;
    if (kind == "attributes") {
      words >> source.group >> source.priority >> source.transfer;
    } else if (kind == "item") {
      words >> type >> spec >> mask >> last;
      source.items.push_back({static_cast<ItemType>(type), bytes_of(spec), bytes_of(mask), bytes_of(last)});
    } else if (kind == "action") {
      words >> type >> spec;
      source.actions.push_back({static_cast<ActionType>(type), *bytes_of(spec)});
    } else if (kind == "patch") {
      TemplateSource::Patch patch;
      uint32_t target = 0;
      words >> target >> patch.index >> patch.offset >> patch.width >> patch.argument;
      patch.target = static_cast<PatchTarget>(target);
      patch.big_endian = patch.width >= 256;  // PATCH_BIG_ENDIAN
      patch.width %= 256;
      source.patches.push_back(patch);
    }
  }
  return all;
}

EngineOptions engine_options(uint32_t max_rules = 1000) {
  EngineOptions options;
  options.max_rules = max_rules;
  options.private_actions = true;
  return options;
}

// A template as register_software() makes it.
struct Registered {
  explicit Registered(const TemplateSource& source, uint32_t max_rules = 1000)
      : engine(engine_options(max_rules)), rule(source, {0, 1}) {
    table = engine.create_table(rule.attr(), rule.items(), rule.actions(), &error);
    CHECK(table != nullptr);
    plan = RowPlan::make(engine, table, rule);
  }
  FlowRule* staged_from_items(const FlowArguments& arguments) {
    rule.fill(arguments, nullptr);
    return engine.stage_row(table, rule.items(), rule.actions(), &error);
  }
  FlowRule* staged_by_plan(const FlowArguments& arguments) { return plan->stage(engine, arguments, &error); }
  int commit(FlowRule* row) {
    int code;
    engine.commit_rows(&row, 1, 5, &code);
    return code;
  }

  rte_flow_error error = {};
  FlowEngine engine;
  RuleTemplate rule;
  RuleTable* table;
  std::unique_ptr<RowPlan> plan;
};

TemplateSource in_software(const TemplateSource& source) {
  SlowPathOptions options;
  const uint8_t mac[] = {2, 0, 0, 0, 0xf0, 1};
  std::copy_n(mac, sizeof mac, options.underlay_mac);
  return software_template(source, options);
}

FlowArguments random_arguments(std::mt19937& random) {
  FlowArguments arguments;
  auto* bytes = reinterpret_cast<uint8_t*>(&arguments);
  for (size_t i = 0; i < sizeof arguments; ++i) bytes[i] = static_cast<uint8_t>(random());
  return arguments;
}

// All but the number of the row.
bool same_rows(const Registered& made, const FlowRule* one, const FlowRule* other) {
  return std::memcmp(&one->history(), &other->history(), sizeof(RuleHistory)) == 0 &&
         one->life() == other->life() && one->tag == other->tag &&
         std::memcmp(FlowEngine::values(one), FlowEngine::values(other),
                     FlowEngine::value_bytes(made.table)) == 0;
}

TEST(rows_of_sessions_are_staged_by_plan_as_from_items_and_actions) {
  const std::vector<Named> all = compiled_templates();
  CHECK(all.size() > 100);
  std::mt19937 random(11);
  for (const Named& named : all) {
    Registered made(in_software(named.source));
    if (made.plan == nullptr) {
      fail_check(__FILE__, __LINE__, named.name + " has no plan");
      continue;
    }
    CHECK_EQ(made.engine.rules(), 0u);
    std::vector<FlowRule*> live;
    for (uint32_t i = 0; i < kRowsEach; ++i) {
      const FlowArguments arguments = random_arguments(random);
      FlowRule* from_items = made.staged_from_items(arguments);
      FlowRule* by_plan = made.staged_by_plan(arguments);
      if (from_items == nullptr || by_plan == nullptr || !same_rows(made, from_items, by_plan)) {
        fail_check(__FILE__, __LINE__, named.name + ": rows differ");
        break;
      }
      CHECK_EQ(made.engine.rules(), live.size() + 2);
      // In the table they are one rule: the second is refused, whichever comes first.
      FlowRule* first = i % 2 == 0 ? by_plan : from_items;
      FlowRule* second = i % 2 == 0 ? from_items : by_plan;
      CHECK_EQ(made.commit(first), 0);
      CHECK_EQ(made.commit(second), -EEXIST);
      made.engine.destroy(second);
      live.push_back(first);
    }
    // Headers are counted the same way: what is left of all rows is what the plan holds.
    made.engine.destroy(live.data(), live.size());
    CHECK_EQ(made.engine.rules(), 0u);
    FlowRule* again = made.staged_from_items(FlowArguments{});
    FlowRule* planned = made.staged_by_plan(FlowArguments{});
    CHECK(same_rows(made, again, planned));
  }
}

// What tells above that rows differ does so for each byte of them.
TEST(a_difference_of_one_byte_is_seen) {
  Registered made(in_software(compiled_templates().front().source));
  std::mt19937 random(12);
  const FlowArguments arguments = random_arguments(random);
  FlowRule* from_items = made.staged_from_items(arguments);
  FlowRule* by_plan = made.staged_by_plan(arguments);
  CHECK(same_rows(made, from_items, by_plan));
  auto* values = const_cast<uint8_t*>(FlowEngine::values(by_plan));
  for (size_t i = 0; i < FlowEngine::value_bytes(made.table); ++i) {
    values[i] ^= 1;
    CHECK(!same_rows(made, from_items, by_plan));
    values[i] ^= 1;
  }
}

TEST(a_full_table_refuses_a_planned_row_in_the_same_words) {
  Registered made(in_software(compiled_templates().front().source), 2);
  std::mt19937 random(13);
  for (int i = 0; i < 2; ++i) CHECK(made.staged_by_plan(random_arguments(random)) != nullptr);
  const FlowArguments arguments = random_arguments(random);
  CHECK(made.staged_from_items(arguments) == nullptr);
  const rte_flow_error from_items = made.error;
  made.error = {};
  CHECK(made.staged_by_plan(arguments) == nullptr);
  CHECK_EQ(made.error.type, from_items.type);
  CHECK_EQ(std::string(made.error.message), std::string(from_items.message));
}

constexpr uint32_t kAddress = offsetof(FlowArguments, match_source_address);

TemplateSource::Bytes padded(size_t size, size_t from, const TemplateSource::Bytes& values) {
  TemplateSource::Bytes all(size);
  std::copy(values.begin(), values.end(), all.begin() + static_cast<std::ptrdiff_t>(from));
  return all;
}

// ipv4 src = the flow's / into VXLAN, out of port 1.
TemplateSource encapsulating() {
  TemplateSource base;
  base.transfer = true;
  base.items = {{ItemType::kEth, std::nullopt, std::nullopt, std::nullopt},
                {ItemType::kIpv4, padded(20, 12, {}), padded(20, 12, {0xff, 0xff, 0xff, 0xff}), std::nullopt}};
  base.actions = {{ActionType::kVxlanEncap, padded(50, 0, {})}, {ActionType::kRepresentedPort, {1, 0}}};
  base.patches = {{PatchTarget::kItem, 1, 12, 4, kAddress, true}};
  return base;
}

TEST(of_an_argument_that_is_matched_in_part_that_part_is_copied) {
  std::mt19937 random(14);
  for (const TemplateSource::Bytes& mask : {TemplateSource::Bytes{0xff, 0xff, 0xff, 0xff}, {0xff, 0xff, 0, 0},
                                            {0, 0xff, 0, 0xff}, {0, 0, 0, 0}}) {
    TemplateSource source = encapsulating();
    source.items[1].mask = padded(20, 12, mask);
    Registered made(source);
    CHECK(made.plan != nullptr);
    for (uint32_t i = 0; i < kRowsEach; ++i) {
      const FlowArguments arguments = random_arguments(random);
      CHECK(same_rows(made, made.staged_from_items(arguments), made.staged_by_plan(arguments)));
    }
  }
}

// A header that was given back too often would be another's meanwhile.
TEST(planned_rows_hold_their_header_and_give_it_back_once) {
  Registered made(encapsulating());
  std::mt19937 random(15);
  for (int i = 0; i < 3; ++i) {
    FlowRule* row = made.staged_by_plan(random_arguments(random));
    CHECK_EQ(made.commit(row), 0);
    made.engine.destroy(row);
  }
  TemplateSource source = encapsulating();
  source.actions[0].conf = padded(50, 6, {2, 0, 0, 0, 0, 9});
  const RuleTemplate other(source, {0, 1});
  RuleTable* table = made.engine.create_table(other.attr(), other.items(), other.actions(), &made.error);
  CHECK(table != nullptr && made.engine.stage_row(table, other.items(), other.actions(), &made.error) != nullptr);
  const FlowArguments arguments = random_arguments(random);
  CHECK(same_rows(made, made.staged_from_items(arguments), made.staged_by_plan(arguments)));
}

TEST(a_row_that_is_no_copy_of_its_arguments_has_no_plan) {
  const TemplateSource base = encapsulating();
  CHECK(Registered(base).plan != nullptr);

  TemplateSource masked = base;  // some bits of a byte
  masked.items[1].mask = padded(20, 12, {0xff, 0xff, 0xff, 0xf0});
  CHECK(Registered(masked).plan == nullptr);

  TemplateSource header = base;  // rows with another TTL share no header
  header.patches.push_back({PatchTarget::kAction, 0, 14 + 8, 1, kAddress, true});
  CHECK(Registered(header).plan == nullptr);

  TemplateSource twice = base;  // the later patch would have to win
  twice.patches.push_back({PatchTarget::kItem, 1, 12, 4, kAddress + 4, true});
  CHECK(Registered(twice).plan == nullptr);

  TemplateSource aged = base;  // AGE's timeout is in the row's head
  aged.actions.insert(aged.actions.begin(), {ActionType::kAge, {60, 0, 0, 0}});
  CHECK(Registered(aged).plan == nullptr);

}

}  // namespace
}  // namespace sluice::test
