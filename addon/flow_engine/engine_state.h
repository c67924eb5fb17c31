// The engine's state: tables, groups, shared headers. flow_engine.cc changes rules, burst.cc looks them up.
#pragma once

#include <unordered_map>
#include <vector>

#include "flow_engine/execute.h"
#include "flow_engine/flow_engine.h"
#include "flow_engine/rule_group.h"
#include "flow_engine/rule_table.h"
#include "flow_engine/shape_memo.h"
#include "flow_engine/shortlist.h"

namespace sluice {

inline constexpr size_t kEmptyTablesKept = 256;
inline constexpr uint32_t kSmallGroups = 64;  // found by index; others by hash

// Tables of a group whose look-ups are prepared; of further ones each is looked up as it comes.
inline constexpr size_t kPrepared = 4;

// A packet's look-up in one group.
struct Lookup {
  struct Prepared {
    const RuleTable* table;
    FlowRule* likely;  // the first whose tag in the index fits; null: the table has no rule for the packet
    uint32_t hash;
    uint32_t priority;
    uint32_t key;  // where the packet's key of that table begins in `word`
  };
  PacketView view;
  bool is_placed;  // the view says where headers are
  bool is_whole;   // none but the prepared tables has a rule for the packet
  uint8_t prepared;
  uint16_t packet;  // index in the burst
  uint32_t
      excluded;  // bit by table, in the order in which the shortlist has them: it has no rule for the packet
  const Group* group;
  const PacketContext* context;
  Prepared table[kPrepared];
  uint64_t word[Shortlist::kKeyWords + 2];  // the last two are no key's, see may_have()
};

struct FlowEngine::Implementation {
  Implementation(const EngineOptions& engine_options, uint64_t secret)
      : options(engine_options), seed(secret) {}
  ~Implementation() {
    for (RuleTable* table : tables) delete table;
  }

  RuleTable* table_of(const FlowRule* rule) const {
    return options.keeper == nullptr ? tables[rule->history().table()] : options.keeper->table_of(rule->tag);
  }
  int check_attributes(const rte_flow_attr& attr, rte_flow_error* error) const;
  int compile(const rte_flow_attr& attr, const rte_flow_item* pattern, const rte_flow_action* actions,
              const rte_flow_action* masks, PatternMode mode, CompiledPattern* compiled,
              ActionProgram* program, rte_flow_error* error) const;
  RuleTable* add_table(const rte_flow_attr& attr, const CompiledPattern& pattern,
                       const ActionProgram& program, rte_flow_error* error);
  RuleTable* derived_table(const rte_flow_attr& attr, const CompiledPattern& pattern,
                           const ActionProgram& program, rte_flow_error* error);
  void remove_table(RuleTable* table);
  void drop_empty_tables();
  // A rule's key, made before its row is.
  struct Key {
    uint32_t hash;
    uint64_t word[kMaxKeyWords];
  };
  // The steps of rules.cc. add_rule is stage and commit of one rule; with a key, of a pattern without ranges.
  FlowRule* stage(RuleTable* table, const rte_flow_item* pattern, const rte_flow_action* actions,
                  rte_flow_error* error);
  FlowRule* stage_typed(RuleTable* table, const rte_flow_item* pattern, const rte_flow_action* actions,
                        uint32_t* hash, rte_flow_error* error);
  template <typename TableOf>
  void commit_all(TableOf&& table_at, FlowRule* const* staged, size_t count, uint32_t now_seconds,
                  int* codes);
  void commit(FlowRule* const* staged, size_t count, uint32_t now_seconds, int* codes);
  void commit(RuleTable* const* of, FlowRule* const* staged, size_t count, uint32_t now_seconds, int* codes);
  int commit(FlowRule* staged, uint32_t hash, uint32_t now_seconds);
  template <typename TableOf>
  void remove_all(TableOf&& table_at, FlowRule* const* gone, size_t count);
  void remove(FlowRule* const* gone, size_t count);
  void remove(RuleTable* const* of, FlowRule* const* gone, size_t count);
  void remove(RuleTable* table, FlowRule* gone);
  void take_out(RuleTable* table, FlowRule* gone, uint32_t hash);
  FlowRule* add_rule(RuleTable* table, const PatternSources& sources, const rte_flow_item* pattern,
                     const rte_flow_action* actions, uint32_t now_seconds, rte_flow_error* error);
  FlowRule* add_rule(RuleTable* table, const Key& key, const rte_flow_action* actions, uint32_t now_seconds,
                     rte_flow_error* error);
  uint32_t take_row(RuleTable* table, rte_flow_error* error);
  FlowRule* allocate_row(RuleTable* table, rte_flow_error* error);
  FlowRule* allocate_row(RuleTable* table, const PatternSources& sources, const rte_flow_item* pattern,
                         rte_flow_error* error);
  void give_back(RuleTable* table, FlowRule* rule);
  FlowRule* copy_row(RuleTable* table, const uint64_t* image, rte_flow_error* error);
  bool fill_row(RuleTable* table, FlowRule* rule, const rte_flow_action* actions, rte_flow_error* error);
  FlowRule* fill_and_settle(RuleTable* table, FlowRule* rule, uint32_t hash, const rte_flow_action* actions,
                            uint32_t now_seconds, rte_flow_error* error);
  int settle(RuleTable* table, FlowRule* rule, uint32_t hash, uint32_t now_seconds);
  int settle_any(RuleTable* table, FlowRule* rule, uint32_t hash, uint32_t now_seconds);
  bool collides(RuleTable* table, FlowRule* rule, uint32_t hash, uint32_t** room) const;

  void make_live(RuleTable* table, FlowRule* rule, uint32_t now_seconds);
  void note_age_clock(uint32_t now_seconds) {
    if (is_before(age_clock, now_seconds)) age_clock = now_seconds;
  }
  // Rules whose place in the index is not written yet: its cache line has been asked for and is on its way.
  // Whoever looks anything up calls link() before.
  void link() {
    if (__builtin_expect(unlinked_count != 0, 0)) link_all();
  }
  void link_all();
  void link_first();

  const Group* group(uint32_t number) const {
    if (number < kSmallGroups) return &small_groups[number];
    const auto found = large_groups.find(number);
    return found == large_groups.end() ? nullptr : &found->second;
  }
  Group* group_to_change(uint32_t number) {
    return number < kSmallGroups ? &small_groups[number] : &large_groups[number];
  }
  void rules_changed(const RuleTable& table);
  // Calls `visit(table, rule)` for every row that was ever in use, in portions of so many; true: that was
  // all. No table is held over a call: with a rule that `visit` destroys its table may go, and other empty
  // ones.
  template <typename Visit>
  bool each_row(AgeCursor* cursor, uint32_t rows, Visit&& visit) const {
    for (; cursor->table < tables.size(); ++cursor->table, cursor->row = 1) {
      while (RuleTable* table = tables[cursor->table]) {
        if (cursor->row > table->slab.high()) break;
        if (rows-- == 0) return false;
        visit(table, table->rule(cursor->row++));
      }
    }
    return true;
  }
  template <typename Visit>
  void each_row(Visit&& visit) const {
    AgeCursor cursor;
    while (!each_row(&cursor, UINT32_MAX, visit)) {
    }
  }
  FlowRule* match(const PacketContext& packet, uint32_t group_number) const;
  uint32_t run(FlowRule* rule, PacketContext& packet, ApplyScope scope, Verdict* verdict) const {
    return run(table_of(rule), rule, packet, scope, verdict);
  }
  uint32_t run(const RuleTable* table, FlowRule* rule, PacketContext& packet, ApplyScope scope,
               Verdict* verdict) const {
    return execute(*table, rule, shared, {options.vxlan_udp_port, is_shared}, scope, packet, verdict);
  }
  bool enter(Lookup* lookup, Shortlists* shortlists, PacketContext& packet, uint32_t* group_number,
             Verdict* verdict, GroupCounters* counters) const;
  Verdict follow(const RuleTable* table, FlowRule* rule, PacketContext& packet, ApplyScope scope) const;
  void process_burst(PacketContext* const* packets, size_t count, Verdict* verdicts, GroupCounters* counters,
                     Shortlists* shortlists) const;
  static uint64_t next_version();

  const EngineOptions options;
  const uint64_t seed;
  RowArena arena;
  uint64_t expected_bytes = 0, most_expected_bytes = 0;  // of all tables' rows, of one's
  std::vector<RuleTable*> tables;                        // by id; null where free
  std::unordered_multimap<uint64_t, RuleTable*> derived;
  Group small_groups[kSmallGroups];
  std::unordered_map<uint32_t, Group> large_groups;
  SharedOperands shared;
  ShapeMemo memo;
  struct Unlinked {
    RuleTable* table;
    uint32_t row, hash;
  };
  static constexpr uint32_t kUnlinked = 8;
  Unlinked unlinked[kUnlinked];  // a ring
  uint32_t unlinked_first = 0, unlinked_count = 0;
  uint64_t next_sequence = 0;
  uint32_t age_clock = 0;  // the latest by which horizons of AGE were made
  uint32_t rules = 0;
  bool is_shared = false;
  uint64_t version = next_version();  // of what shortlists are made from
  size_t empty_derived = 0;
  Lookup ahead[kMaxBurst];  // of look_ahead()
  Shortlists ahead_shortlists;
};

}  // namespace sluice
