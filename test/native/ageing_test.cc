// Collecting aged rules against a plain walk over all of them, at random.
#include <algorithm>
#include <map>
#include <tuple>

#include "engine_fixture.h"
#include "flow_engine/rule_table.h"

namespace sluice::test {
namespace {

using Random = std::mt19937_64;
using Place = std::tuple<size_t, uint32_t>;  // table, row

Place place_of(const FlowRule* rule) { return {rule->history().table(), rule->row()}; }

// What a rule of the engine should be.
struct Twin {
  uint32_t last_hit = 0, timeout = 0;
  uint16_t port = 0, source = 0, table = 0;
  bool is_staged = false, is_aged = false;
  bool was_reported = false, is_in_a_used_row = false, was_hit_late = false;
};

class World {
 public:
  World(uint64_t seed, uint32_t clock) : random_(seed), now_(clock) {
    for (uint16_t table = 0; table < kTables; ++table) {
      Rule rule = rule_of(table, 0, kOwn);
      const rte_flow_action_age fixed = {.timeout = kFixed, .reserved = 0, .context = nullptr};
      Rule masks;
      rte_flow_action_age all = {};
      all.timeout = 0xffffff;
      masks.action(RTE_FLOW_ACTION_TYPE_AGE, table == 0 ? all : rte_flow_action_age{});
      masks.action(RTE_FLOW_ACTION_TYPE_DROP);
      Rule actions;
      if (table != kWithoutAge) actions.action(RTE_FLOW_ACTION_TYPE_AGE, fixed);
      actions.action(RTE_FLOW_ACTION_TYPE_DROP);
      if (table == kDerived) continue;  // of rules created one by one
      const rte_flow_action* fixed_parts = table == kWithoutAge ? nullptr : masks.actions();
      tables_[table] = engine_.engine.create_table(rule.attr, rule.items(), actions.actions(), fixed_parts,
                                                   &engine_.error);
      CHECK(tables_[table] != nullptr);
    }
  }

  void step() {
    const uint64_t what = random_() % 100;
    if (what < 40) return create();
    if (what < 65) return hit();
    if (what < 75) return destroy();
    if (what < 80) return commit();
    if (what < 92) return pass_time();
    collect();
  }

  std::map<std::string, uint64_t> seen;

 private:
  static constexpr uint16_t kTables = 4, kDerived = 2, kWithoutAge = 3;
  static constexpr uint32_t kFixed = 7, kLongest = 0xffffff;
  static constexpr uint16_t kOwn = 0;
  static constexpr size_t kMost = 2000;

  Rule rule_of(uint16_t table, uint16_t source, uint32_t timeout) {
    Rule rule;
    rule.attr.priority = table;
    const rte_flow_item_udp mask = udp_spec(0xffff, 0xffff);
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4);
    rule.item(RTE_FLOW_ITEM_TYPE_UDP, udp_spec(source, static_cast<uint16_t>(5000 + table)), &mask);
    if (table != kWithoutAge) {
      rte_flow_action_age age = {};
      age.timeout = timeout & 0xffffff;
      rule.action(RTE_FLOW_ACTION_TYPE_AGE, age);
    }
    rule.action(RTE_FLOW_ACTION_TYPE_DROP);
    return rule;
  }

  void create() {
    if (twins_.size() >= kMost) return destroy();
    Twin twin;
    twin.table = static_cast<uint16_t>(random_() % kTables);
    twin.port = static_cast<uint16_t>(random_() % 2);
    // Of few values, so that some exist.
    twin.source = static_cast<uint16_t>(random_() % 2000);
    const uint32_t own = random_() % 50 == 0 ? kLongest - random_() % 3 : random_() % 40;
    twin.timeout = twin.table == 0 ? kFixed : twin.table == kWithoutAge ? 0 : own;
    const Rule rule = rule_of(twin.table, twin.source, own);
    FlowRule* made;
    if (twin.table == kDerived) {
      made = engine_.add(rule, now_);
    } else {
      made = engine_.engine.stage_row(tables_[twin.table], rule.items(), rule.actions(), &engine_.error);
      twin.is_staged = true;
    }
    if (made == nullptr) return void(++seen["refused"]);
    CHECK(twins_.find(made) == twins_.end());
    FlowEngine::set_tag(made, twin.port);
    twin.last_hit = now_;
    twin.is_in_a_used_row = !used_.insert({place_of(made), 0}).second;
    twins_[made] = twin;
    if (twin.is_staged && random_() % 2 == 0) commit(made);
  }

  void commit() {
    for (auto& [rule, twin] : twins_) {
      if (twin.is_staged) return commit(rule);
    }
  }
  void commit(FlowRule* rule) {
    Twin& twin = twins_[rule];
    int code = 0;
    engine_.engine.commit_rows(&rule, 1, now_, &code);
    twin.is_staged = false;
    twin.last_hit = now_;
    ++seen[code == 0 ? "committed" : "failed"];
    if (code == 0) return;
    engine_.engine.destroy(rule);
    twins_.erase(rule);
  }

  FlowRule* any() {
    if (twins_.empty()) return nullptr;
    auto at = twins_.begin();
    std::advance(at, random_() % twins_.size());
    return at->first;
  }

  void hit() {
    FlowRule* rule = any();
    if (rule == nullptr) return;
    if (twins_[rule].is_staged) return;  // another of its key may be live
    Twin& twin = twins_[rule];
    const uint64_t drawn = random_() % 8;
    const uint32_t clock = drawn == 0 ? now_ - 1 : drawn == 1 ? now_ + 1 : now_;
    Mbuf mbuf(udp_frame(twin.source, static_cast<uint16_t>(5000 + twin.table)));
    CHECK_EQ(engine_.process(mbuf, 0, clock).fate, Fate::kDrop);
    if (twin.table != kWithoutAge) {
      twin.last_hit = clock;
      twin.was_hit_late = drawn == 0;
      twin.is_aged = false;
    }
    ++seen[drawn == 0 ? "hit late" : drawn == 1 ? "hit early" : "hit"];
  }

  void destroy() {
    FlowRule* rule = any();
    if (rule == nullptr) return;
    if (twins_[rule].is_aged) ++seen["destroyed aged"];
    engine_.engine.destroy(rule);
    twins_.erase(rule);
  }

  void pass_time() {
    const uint64_t drawn = random_() % 200;
    if (drawn == 0 && !is_set_back_) {
      now_ -= 2 + static_cast<uint32_t>(random_() % 60);
      is_set_back_ = true;
      ++seen["clock set back"];
    } else if (is_set_back_) {
      return;  // somebody collects first
    } else if (drawn == 1) {
      now_ += kLongest - 40 + static_cast<uint32_t>(random_() % 80);
    } else {
      now_ += static_cast<uint32_t>(random_() % (drawn < 40 ? 12 : 2));
    }
  }

  bool is_due(const Twin& twin) const {
    const uint32_t idle = now_ - twin.last_hit;
    if (twin.is_staged || twin.is_aged || twin.timeout == 0) return false;
    return static_cast<int32_t>(idle) >= 0 && idle >= twin.timeout;
  }

  // In portions, between which rules are made, hit and destroyed.
  void collect() {
    is_set_back_ = false;
    const uint64_t kind = random_() % 4;  // all, some, only counted, only announced
    const auto port = static_cast<uint16_t>(random_() % 2);
    size_t room = kind == 0 ? SIZE_MAX : kind == 1 ? random_() % 6 : 0;
    const uint32_t rows = random_() % 2 == 0 ? UINT32_MAX : 1 + static_cast<uint32_t>(random_() % 200);
    FlowEngine::AgeCursor cursor;
    const uint32_t begun = now_;
    for (bool done = false; !done;) {
      const Place from = {cursor.table, cursor.row};
      std::vector<FlowRule*> visited, reported;
      done = engine_.engine.collect_aged(now_, &cursor, rows, [&](FlowRule* rule) {
        visited.push_back(rule);
        if (FlowEngine::tag(rule) != port || room == 0) return false;
        --room;
        reported.push_back(rule);
        return true;
      });
      const Place to = done ? Place{SIZE_MAX, 0} : Place{cursor.table, cursor.row};
      std::vector<FlowRule*> expected;
      engine_.engine.for_each([&](FlowRule* rule) {
        const Place place = place_of(rule);
        if (place >= from && place < to && is_due(twins_.at(rule))) expected.push_back(rule);
      });
      CHECK_EQ(visited.size(), expected.size());
      CHECK(visited == expected);
      for (FlowRule* rule : visited) note(twins_[rule], rule, port, kind, reported);
      for (FlowRule* rule : reported) twins_[rule].is_aged = true;
      if (done) break;
      ++seen["portions"];
      for (uint64_t changes = random_() % 4; changes != 0; --changes) {
        const uint64_t what = random_() % 3;
        what == 0 ? create() : what == 1 ? hit() : destroy();
      }
    }
    CHECK_EQ(now_, begun);
  }

  void note(Twin& twin, const FlowRule* rule, uint16_t port, uint64_t kind,
            const std::vector<FlowRule*>& reported) {
    if (std::find(reported.begin(), reported.end(), rule) == reported.end()) {
      ++seen[twin.port != port ? "other port" : kind == 1 ? "no room" : kind == 2 ? "counted" : "announced"];
      return;
    }
    ++seen[twin.was_reported ? "reported again" : "reported"];
    if (twin.timeout > kLongest - 3) ++seen["reported after the longest time"];
    if (twin.is_in_a_used_row) ++seen["reported in a row used before"];
    if (twin.was_hit_late) ++seen["reported after a late hit"];
    twin.was_reported = true;
  }

  Random random_;
  Engine engine_;
  RuleTable* tables_[kTables] = {};
  std::map<FlowRule*, Twin> twins_;
  std::map<Place, int> used_;
  uint32_t now_;
  bool is_set_back_ = false;
};

TEST(what_has_aged_is_what_a_plain_walk_over_all_rules_finds) {
  std::map<std::string, uint64_t> seen;
  // One clock starts at nothing, one at what a machine has been up, one wraps, one is half way round.
  for (const uint32_t clock : {0u, 1000000u, UINT32_MAX - 3000u, 0x80000000u - 3000u}) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      World world(seed * 97 + clock, clock);
      for (int i = 0; i < 20000; ++i) world.step();
      for (const auto& [outcome, times] : world.seen) seen[outcome] += times;
    }
  }
  for (const char* outcome :
       {"refused", "committed", "failed", "hit", "hit late", "hit early", "destroyed aged", "clock set back",
        "portions", "reported", "reported again", "reported after the longest time",
        "reported in a row used before", "reported after a late hit", "other port", "no room", "counted",
        "announced"}) {
    if (seen[outcome] < 20) fail_check(__FILE__, __LINE__, std::string("hardly ever: ") + outcome);
  }
}

Rule ageing_rule(uint32_t number, uint32_t timeout) {
  Rule rule;
  const rte_flow_item_ipv4 mask = ipv4_spec(UINT32_MAX, 0);
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(number, 0), &mask);
  rte_flow_action_age age = {};
  age.timeout = timeout & 0xffffff;
  rule.action(RTE_FLOW_ACTION_TYPE_AGE, age).action(RTE_FLOW_ACTION_TYPE_DROP);
  return rule;
}

TEST(rules_whose_time_has_not_come_are_passed_64_at_a_time) {
  constexpr uint32_t kRules = 6400;
  Engine engine;
  const uint64_t before = engine.engine.memory_bytes();
  for (uint32_t i = 0; i < kRules; ++i) engine.must_add(ageing_rule(i, 100), 1000);
  CHECK(engine.engine.memory_bytes() > before);
  const auto portions = [&](uint32_t now, uint32_t rows, bool reports) {
    FlowEngine::AgeCursor cursor;
    uint32_t count = 1;
    while (!engine.engine.collect_aged(now, &cursor, rows, [&](FlowRule*) { return reports; })) ++count;
    return count;
  };
  constexpr uint32_t kRuns = kRules / AgeHorizons::kRunRows;
  CHECK_EQ(portions(1050, kRuns, true), 1u);
  // When it comes, a portion is as many rows as it says.
  CHECK_EQ(portions(1100, AgeHorizons::kRunRows, false), kRuns);
  CHECK_EQ(portions(1101, AgeHorizons::kRunRows, true), kRuns);
  // Reported rules wait for a hit.
  CHECK_EQ(portions(1102, kRuns, true), 1u);
  CHECK_EQ(portions(1199, kRuns, true), 1u);
}

}  // namespace
}  // namespace sluice::test
