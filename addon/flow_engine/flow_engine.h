// rte_flow semantics in software: a classifier (one hash table per pattern shape, priorities, groups) and an
// action executor. net_softflow is a DPDK driver around it; the slow path uses it as its software table.
#pragma once

#include <rte_flow.h>
#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "packet/parse.h"

namespace sluice {

struct FlowRule;   // opaque: one installed rule
struct RuleTable;  // opaque: one pattern template with one actions template, in a group at a priority

// Actions beyond rte_flow's, private to this engine (rte_flow keeps negative types for drivers).
// conf: rte_be16_t; the echo identifier is set, the ICMP checksum repaired.
inline constexpr int kActionSetIcmpIdent = -0x51c0;
inline constexpr int kItemIcmpIdent = RTE_FLOW_ITEM_TYPE_ICMP;

inline constexpr size_t kTags = 8;  // registers of SET_TAG

struct RuleTable;

// The engine's user as the one who knows of each rule which table it is of, and what has hit it. Rules take
// 32 bytes less then, and have neither COUNT nor AGE. Nor is it known when they were created: of two that a
// packet hits at one priority it gets either.
class RuleKeeper {
 public:
  // Of a committed rule with this tag, or one about to be committed.
  virtual RuleTable* table_of(uint32_t tag) const = 0;

 protected:
  ~RuleKeeper() = default;
};

struct EngineOptions {
  uint32_t max_rules = 1u << 20;
  uint32_t rows_of_table = 0;  // as many as one of create_table()'s will have, where that is known
  uint16_t vxlan_udp_port = kVxlanUdpPort;
  bool private_actions = false;  // accept kActionSetIcmpIdent
  // Null: the engine keeps it all itself.
  const RuleKeeper* keeper = nullptr;
};

// A row that others of its table are copied from, see FlowEngine::stage_copy.
struct RowImage {
  RuleTable* table = nullptr;
  std::vector<uint64_t> words;   // of the whole row, staged
  std::vector<uint16_t> headers;  // where in its operands ids of encapsulation headers stand
};

// A packet on its way through the engine. The frame is one contiguous segment.
struct PacketContext {
  rte_mbuf* mbuf = nullptr;
  ParsedPacket headers;
  uint16_t ingress_port_id = 0;  // what REPRESENTED_PORT items are compared with
  uint32_t now_seconds = 0;      // clock for AGE
  // Registers that rules set and later groups match. Items see 0 where nobody has set anything.
  uint32_t meta = 0;
  uint32_t mark = 0;
  uint32_t tag[kTags] = {};
  uint32_t hash = 0;  // of RSS
  bool marked = false, flagged = false, has_meta = false, hashed = false;

  // As they are of a new packet.
  void clear_registers() {
    meta = mark = hash = 0;
    for (uint32_t& one : tag) one = 0;
    marked = flagged = has_meta = hashed = false;
  }
};

// Packets by the group that they were looked up in; the last entry stands for all further groups.
struct GroupCounters {
  static constexpr size_t kShown = 4;
  uint64_t hits[kShown + 1] = {}, misses[kShown + 1] = {};
  static size_t index(uint32_t group) { return group < kShown ? group : kShown; }
};

enum class Fate : uint8_t { kMiss, kDrop, kQueue, kPortRepresentor, kRepresentedPort };

// Why a verdict is kDrop: a rule said so, or its actions could not be done whole.
enum class DropCause : uint8_t { kAction, kNoHeadroom, kTooLong, kNoInnerFrame };
inline constexpr size_t kDropCauses = 4;

struct Verdict {
  Fate fate = Fate::kMiss;
  uint16_t port_id = 0;
  uint16_t queue = 0;
  DropCause cause = DropCause::kAction;
};

// Host order.
struct RuleTuple {
  uint32_t source = 0, destination = 0;
  uint16_t source_port = 0, destination_port = 0;
};

// Which of a rule's actions apply() runs.
enum class ApplyScope : uint8_t {
  kAll,
  kNoTranslation,  // everything but SET_IPV4_*, SET_IPV6_*, SET_TP_*, SET_ICMP_IDENT and their MODIFY_FIELD
                   // forms: for ICMP errors, whose addresses the caller has already rewritten
};

struct RuleCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;  // up to the end of the innermost IP packet: L2 padding and trailers do not count
  uint32_t last_hit_seconds = 0;  // of AGE; creation time until the first hit
};

// Items and actions of a rule that name a port or a queue, by their place, a bit each.
struct TargetPlaces {
  uint32_t items, actions;
};
// Which ports and queues there are only the engine's user knows. `check` is called before the rule is made, with
// the places that name one where they are known; null: any may. 0 or -errno with `error` filled.
struct TargetCheck {
  int (*check)(const void* user, const rte_flow_item* pattern, const rte_flow_action* actions,
               const TargetPlaces* places, rte_flow_error* error);
  const void* user;
};

class Shortlists;

// What a thread's bursts remember of which rules packets of each kind may hit. Optional; it saves making that
// anew for each burst.
class BurstMemory {
 public:
  BurstMemory();
  ~BurstMemory();

 private:
  friend class FlowEngine;
  std::unique_ptr<Shortlists> shortlists_;
};

class FlowEngine {
 public:
  explicit FlowEngine(const EngineOptions& options);
  ~FlowEngine();
  FlowEngine(const FlowEngine&) = delete;
  FlowEngine& operator=(const FlowEngine&) = delete;

  // rte_flow, synchronous. Return 0 or -errno with `error` filled, as rte_flow_validate/create.
  int validate(const rte_flow_attr& attr, const rte_flow_item* pattern, const rte_flow_action* actions,
               rte_flow_error* error);
  FlowRule* create(const rte_flow_attr& attr, const rte_flow_item* pattern, const rte_flow_action* actions,
                   uint32_t now_seconds, rte_flow_error* error, const TargetCheck* targets = nullptr);
  // Whether several threads run process() at once, so that they count atomically; not unless said. Like every
  // change, and like take_counters(), this needs a lock around the engine that keeps process() out.
  void set_shared(bool shared);

  // Creating leaves the last entries of an index to be written when their memory has come. Look-ups see to
  // that by themselves; where several threads run process() at once somebody has to, with the lock that keeps
  // process() out.
  bool has_unlinked() const;
  void link();

  void destroy(FlowRule* rule);
  void destroy(FlowRule* const* rules, size_t count);  // faster than one by one: their cache misses overlap
  // The same of rules whose tables the caller knows.
  void destroy(RuleTable* table, FlowRule* rule);
  void destroy(RuleTable* const* tables, FlowRule* const* rules, size_t count);
  void flush();

  // Templates: masks of `pattern` and confs of `actions` are fixed once; rows bring specs and confs.
  // `actions` of create_row has the same types in the same order as the table's. Rows share everything that
  // does not vary.
  //
  // create_table looks at masks only (null with a spec: the item's default mask; both null: presence). Confs
  // may be null except those of MODIFY_FIELD (what is modified) and RAW_* (the kind of data).
  // `masks` (may be null) as of rte_flow_actions_template_create: a conf that is not zero there makes the
  // value of `actions` part of the table, whatever a row says; the row's conf may be null then, and it takes
  // no room in rows.
  RuleTable* create_table(const rte_flow_attr& attr, const rte_flow_item* pattern,
                          const rte_flow_action* actions, const rte_flow_action* masks,
                          rte_flow_error* error);
  RuleTable* create_table(const rte_flow_attr& attr, const rte_flow_item* pattern,
                          const rte_flow_action* actions, rte_flow_error* error) {
    return create_table(attr, pattern, actions, nullptr, error);
  }
  // What can be said of one template without the other: either `pattern`, or `actions` with `masks`.
  int validate_template(const rte_flow_attr& attr, const rte_flow_item* pattern,
                        const rte_flow_action* actions, const rte_flow_action* masks,
                        rte_flow_error* error) const;
  // Takes the memory for so many rows of a table now, so that inserting does not wait for it. Its pages are
  // cleared in the background, and the index is a smaller one until they are. Several tables' rows share
  // twice what the one with most needs: a flow has two directions, and a shape. What is more than a sixteenth
  // of the machine's memory, or than an index of four million, comes as the rows do. False: no memory.
  bool reserve(RuleTable* table, uint32_t rows);
  // Takes memory for rows of so many bytes in all, of whatever tables.
  bool reserve(uint64_t row_bytes);
  void destroy_table(RuleTable* table);  // it must be empty
  FlowRule* create_row(RuleTable* table, const rte_flow_item* pattern, const rte_flow_action* actions,
                       uint32_t now_seconds, rte_flow_error* error);

  // create_row in two steps. No packet hits a staged row, and staging one disturbs no thread that looks rules
  // up. commit_rows sets a code each: 0, -EEXIST or -ENOMEM; a row that failed stays until it is destroyed.
  FlowRule* stage_row(RuleTable* table, const rte_flow_item* pattern, const rte_flow_action* actions,
                      rte_flow_error* error);
  void commit_rows(FlowRule* const* rows, size_t count, uint32_t now_seconds, int* codes);
  void commit_rows(RuleTable* const* tables, FlowRule* const* rows, size_t count, uint32_t now_seconds,
                   int* codes);
  // The two steps for who checks types by himself and stages rows long before they are committed: has_types()
  // is what stage_row begins with, stage_typed_row the rest of it. `hash` is for commit_row, which returns
  // the code.
  static bool has_types(const RuleTable* table, const rte_flow_item* pattern, const rte_flow_action* actions);
  FlowRule* stage_typed_row(RuleTable* table, const rte_flow_item* pattern, const rte_flow_action* actions,
                            uint32_t* hash, rte_flow_error* error);
  int commit_row(FlowRule* row, uint32_t hash, uint32_t now_seconds);
  // Rows without items and actions: copies of one that was staged from them, in which the caller writes what differs.
  // `values`: a row's key and operands, value_bytes() of its table in all. An image holds the encapsulation headers of
  // its row for as long as the engine lives. False: there is none of rows with ranges, AGE or other shared operands.
  bool image_of(RuleTable* table, FlowRule* staged, RowImage* image);
  FlowRule* stage_copy(const RowImage& image, uint8_t** values, rte_flow_error* error);
  static const uint8_t* values(const FlowRule* row);
  static size_t value_bytes(const RuleTable* table);
  // Something of the caller's that a table's rules lead back to.
  static void set_owner(RuleTable* table, void* owner);
  void* owner(const FlowRule* rule) const;

  // The whole way from group 0: classify, execute, follow jumps (each to a higher group only; else a miss).
  Verdict process(PacketContext& packet, GroupCounters* counters = nullptr);
  // The same for up to kMaxBurst packets side by side: what their look-ups touch is fetched for all of them
  // before the first one waits for it. Packets of a burst do not see each other's actions (there is no such
  // action).
  static constexpr size_t kMaxBurst = 64;
  void process_burst(PacketContext* const* packets, size_t count, Verdict* verdicts,
                     GroupCounters* counters = nullptr, BurstMemory* memory = nullptr);

  // match() in group 0 in two steps, for up to kMaxBurst packets side by side: first the memory that the
  // look-ups touch is asked for, then each is done. Between the two neither rules nor the packets' headers
  // change. `likely` gets the rule that each will probably hit, null where none will: a guess, of use for
  // further prefetching alone.
  void look_ahead(PacketContext* const* packets, size_t count, const FlowRule** likely);
  FlowRule* match_ahead(size_t index);
  // The two steps apart, for one group: the caller looks at the rule's context before it decides to run it.
  // Of tables of one priority the rule created first wins. -EEXIST refuses a rule equal to one of the same
  // shape.
  FlowRule* match(const PacketContext& packet, uint32_t group);
  // Whether a rule's pattern fits a packet, whatever other rules do.
  bool hits(const FlowRule* rule, const PacketContext& packet) const;
  // A rule that jumps goes on in that group, with the same scope.
  Verdict apply(FlowRule* rule, PacketContext& packet, ApplyScope scope = ApplyScope::kAll);
  Verdict apply(const RuleTable* table, FlowRule* rule, PacketContext& packet, ApplyScope scope);

  void* age_context(const FlowRule* rule) const;  // AGE's context verbatim (the rule itself when NULL)
  RuleCounters counters(const FlowRule* rule) const;
  RuleCounters take_counters(FlowRule* rule);  // and resets them
  uint32_t rules() const;
  uint64_t memory_bytes() const;  // of tables, rows, indexes and what rules share
  bool has_rules() const { return rules() != 0; }

  // Calls `visit` for every rule, table by table. It may destroy the rule it is given. `unfinished`: also for
  // rows that are only staged, or whose commit failed.
  void for_each(const std::function<void(FlowRule*)>& visit, bool unfinished = false);
  // Calls `visit` for rules whose AGE time has passed at `now_seconds` and that were not reported since their
  // last hit; what it returns says whether this was the report. It destroys nothing.
  void collect_aged(uint32_t now_seconds, const std::function<bool(FlowRule*)>& visit);
  // The same in portions of some so many rows, from `cursor` on; a run of rows none of which can have aged
  // counts as one. True: all rules have been seen. The clock may be set back as long as somebody collects
  // before it is as late again as it was.
  struct AgeCursor {
    size_t table = 0;
    uint32_t row = 1;
  };
  bool collect_aged(uint32_t now_seconds, AgeCursor* cursor, uint32_t rows,
                    const std::function<bool(FlowRule*)>& visit);
  static bool has_aged(uint32_t now_seconds, uint32_t last_hit_seconds, uint32_t timeout) {
    // A hit may carry a clock a little ahead of the caller's.
    const uint32_t idle = now_seconds - last_hit_seconds;
    return timeout != 0 && static_cast<int32_t>(idle) >= 0 && idle >= timeout;
  }
  bool ages(const FlowRule* rule) const;
  // Every live rule, in portions of so many rows. A rule that lives all the time is met once. `visit` may
  // destroy the rule it is given.
  bool visit(AgeCursor* cursor, uint32_t rows, const std::function<void(FlowRule*)>& visit);
  // Its creation has succeeded, and packets can hit it.
  static bool is_live(const FlowRule* rule);
  // Its creation has succeeded or failed, and nobody has retired it.
  static bool is_finished(const FlowRule* rule);
  static void retire(FlowRule* rule);     // so that it is not destroyed twice
  static void abandon(FlowRule* staged);  // instead of commit_rows: as if that had failed
  static bool counts(const RuleTable* table);
  static bool ages(const RuleTable* table);
  uint32_t age_timeout(const FlowRule* rule) const;  // seconds; 0 without AGE
  bool counts(const FlowRule* rule) const;
  // A rule by its table and number, which stays the same as long as the rule is there. Numbers begin with 1.
  static FlowRule* rule(const RuleTable* table, uint32_t row);
  static uint32_t row(const FlowRule* rule);
  // What a rule's SET_IPV4_*, SET_TP_* and SET_ICMP_IDENT (which sets both ports here) make of a tuple; what
  // they do not set stays. MODIFY_FIELD is not looked at.
  void translate(const FlowRule* rule, RuleTuple* tuple) const;
  // A number of the caller's, kept with the rule.
  static void set_tag(FlowRule* rule, uint32_t tag);
  static uint32_t tag(const FlowRule* rule);
  const rte_flow_attr& attributes(const FlowRule* rule) const;
  // One line: attributes, key, operands and counters, for rte_flow_dev_dump.
  void dump(const FlowRule* rule, FILE* file) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> self_;
};

}  // namespace sluice
