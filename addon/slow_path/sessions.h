// The sessions: the rows that JavaScript reads, what they have counted, and of those that are offloaded what
// concerns their rules in the NIC.
#pragma once

#include <rte_flow.h>
#include <rte_prefetch.h>

#include "flow_engine/flow_engine.h"
#include "flow_engine/row_slab.h"
#include "generated/records.h"
#include "slow_path/memory_region.h"

namespace sluice {

enum FlowDirection : uint8_t { kForward = 0, kReverse = 1 };
inline constexpr FlowDirection kBoth[] = {kForward, kReverse};

inline const FlowArguments& arguments_of(const Decision& decision, FlowDirection direction) {
  return direction == kForward ? decision.forward_arguments : decision.reverse_arguments;
}

// Row, generation and direction in the pointer that AGE carries: a late hit of a removed rule finds a row
// whose generation is another, and does no harm.
struct RuleContext {
  uint32_t row;
  uint32_t generation;
  uint8_t direction;

  static constexpr uint32_t kMaxRows = 1u << 30;  // joining_tag() has two bits more

  void* pack() const {
    return reinterpret_cast<void*>(static_cast<uint64_t>(generation) << 32 |
                                   static_cast<uint64_t>(direction) << 31 | row);
  }
  static RuleContext unpack(const void* context) {
    const auto bits = reinterpret_cast<uint64_t>(context);
    return {static_cast<uint32_t>(bits) & ~(1u << 31), static_cast<uint32_t>(bits >> 32),
            static_cast<uint8_t>(bits >> 31 & 1)};
  }
};

// The same in the tag of a rule of the software table. Such a rule comes and goes with its session: it needs
// no generation.
struct RuleTag {
  static uint32_t pack(uint32_t row, FlowDirection direction) { return uint32_t{direction} << 31 | row; }
  static uint32_t row(uint32_t tag) { return tag & ~(1u << 31); }
  static uint8_t direction(uint32_t tag) { return static_cast<uint8_t>(tag >> 31); }
};

struct Traffic {
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

// A rule in the NIC, as it was when it was last asked.
struct NicRule {
  rte_flow* flow = nullptr;
  Traffic counted;
  uint16_t made_from = kNoTemplate;
};

// The NIC's side of one direction of a session. Without flow: it has no rule.
struct NicDirection : NicRule {
  uint8_t installing = 0;  // installations under way: more than one when the session was made anew meanwhile
  bool replaces = false;   // it stands in the place of one in SlowPath::replaced_ that is still there
};

// Of a session that has or had rules in the NIC.
struct alignas(64) NicRules {
  NicDirection direction[2];
};
static_assert(sizeof(NicRules) == 64);

inline uint32_t& software_rule_of(SessionRow& row, uint8_t direction) {
  return direction == kForward ? row.software_forward_rule : row.software_reverse_rule;
}
inline uint16_t& software_template_of(SessionRow& row, uint8_t direction) {
  return direction == kForward ? row.software_forward_template : row.software_reverse_template;
}
inline uint8_t& path_of(SessionRow& row, uint8_t direction) {
  return direction == kForward ? row.forward_path : row.reverse_path;
}
inline uint8_t ingress_of(const SessionRow& row, uint8_t direction) {
  return direction == kForward ? row.forward_port : row.reverse_port;
}

inline void add_traffic(SessionCounters& counters, uint8_t direction, const Traffic& more) {
  double& packets = direction == kForward ? counters.forward_packets : counters.reverse_packets;
  double& bytes = direction == kForward ? counters.forward_bytes : counters.reverse_bytes;
  packets += static_cast<double>(more.packets);
  bytes += static_cast<double>(more.bytes);
}

// A session as a rule's context found it.
struct SessionRef {
  SessionRow* row = nullptr;
  uint32_t index = 0;
  uint8_t direction = kForward;

  explicit operator bool() const { return row != nullptr; }
};

class SessionTable {
 public:
  explicit SessionTable(uint32_t capacity)
      : capacity_(capacity),
        rows_(std::make_shared<MemoryRegion>(sizeof(SessionRow) * capacity)),
        counters_(std::make_shared<MemoryRegion>(sizeof(SessionCounters) * capacity)),
        nic_rules_(sizeof(NicRules), &arena_) {}

  // False when the row is out of range, free, or another session's.
  SessionRef find(uint32_t row, uint32_t generation, uint8_t direction = kForward) const {
    if (row >= capacity_ || generation == 0) return {};
    SessionRow* found = rows_->as<SessionRow>() + row;
    if (found->generation != generation) return {};
    return {found, row, direction};
  }
  SessionRef find(const RuleContext& context) const {
    return find(context.row, context.generation, context.direction);
  }
  // The session of a rule of the software table.
  SessionRef of(uint32_t rule_tag) const {
    const uint32_t row = RuleTag::row(rule_tag);
    return {rows_->as<SessionRow>() + row, row, RuleTag::direction(rule_tag)};
  }
  SessionRef at(uint32_t row) const { return {rows_->as<SessionRow>() + row, row, kForward}; }
  // What translating a packet touches: a row is in two lines, or in one. By rte_prefetch0: GCC takes a
  // function of nothing but __builtin_prefetch for one without effect, and drops the calls of it.
  void prefetch(uint32_t row) const {
    if (row >= capacity_) return;
    const auto* from = reinterpret_cast<const uint8_t*>(rows_->as<SessionRow>() + row);
    rte_prefetch0(from);
    rte_prefetch0(from + sizeof(SessionRow) - 1);
    rte_prefetch0(counters_->as<SessionCounters>() + row);
  }
  void prefetch_nic_rules(const SessionRow& row) const {
    if (row.nic_rules != 0) rte_prefetch0(nic_rules_.at(row.nic_rules));
  }
  SessionCounters& counters(uint32_t row) const { return counters_->as<SessionCounters>()[row]; }

  // Null: there never were any in the NIC.
  NicRules* nic_rules(const SessionRow& row) const {
    return row.nic_rules == 0 ? nullptr : reinterpret_cast<NicRules*>(nic_rules_.at(row.nic_rules));
  }
  // The direction's rule in the NIC, or null.
  NicDirection* nic(const SessionRef& session, uint8_t direction) const {
    NicRules* rules = nic_rules(*session.row);
    return rules == nullptr || rules->direction[direction].flow == nullptr ? nullptr
                                                                           : &rules->direction[direction];
  }
  // nic_rules() where there may be none yet. Null: no memory is left.
  NicRules* take_nic_rules(SessionRow& row) {
    if (row.nic_rules == 0) {
      const uint32_t taken = nic_rules_.allocate();
      if (taken == 0) return nullptr;
      *reinterpret_cast<NicRules*>(nic_rules_.at(taken)) = NicRules{};
      row.nic_rules = taken;
    }
    return nic_rules(row);
  }
  // Sessions are about to be offloaded: what all of them would need is cleared in the background. Where there
  // is no memory for it the first that has none stays in software.
  void reserve_nic_rules() { arena_.reserve(uint64_t{capacity_} * sizeof(NicRules)); }
  void free_row(SessionRow& row) {
    if (row.nic_rules != 0) nic_rules_.free(row.nic_rules);
    row.nic_rules = 0;
    row.generation = 0;
  }

  uint32_t capacity() const { return capacity_; }
  const SharedRegion& rows_memory() const { return rows_; }
  const SharedRegion& counters_memory() const { return counters_; }

 private:
  uint32_t capacity_;
  SharedRegion rows_;
  SharedRegion counters_;
  RowArena arena_;
  RowSlab nic_rules_;
};

}  // namespace sluice
