// The sessions: the rows that JavaScript reads, and beside each row what only the lcore needs.
#pragma once

#include <rte_flow.h>
#include <rte_prefetch.h>

#include "flow_engine/flow_engine.h"
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

  Traffic& operator+=(const Traffic& more) {
    packets += more.packets;
    bytes += more.bytes;
    return *this;
  }
};

// One direction of a session. What its NIC rules counted goes over to the software rule when they are
// destroyed.
struct SessionDirection {
  FlowRule* software_rule = nullptr;
  rte_flow* nic_rule = nullptr;
  uint64_t nic_hits_seen = 0;  // packets of the NIC rule at the last query
  uint16_t nic_template = kNoTemplate;
  uint8_t installing = 0;  // installations under way: more than one when the session was made anew meanwhile
  bool state_event_owed = false;  // the session's, and kept in direction 0: the event ring was full
  bool replaces = false;          // nic_rule stands in the place of a ReplacedRule that is still there
};

// A NIC's rule that goes when the one in its place is there.
struct ReplacedRule {
  rte_flow* flow = nullptr;
  uint64_t hits_seen = 0;
  uint16_t nic_template = kNoTemplate;
};

struct alignas(64) SessionState {
  SessionDirection direction[2];

  bool& state_event_owed() { return direction[kForward].state_event_owed; }
};
static_assert(sizeof(SessionState) == 64);

// A session as a rule's context found it.
struct SessionRef {
  SessionRow* row = nullptr;
  SessionState* state = nullptr;
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
        states_(std::make_shared<MemoryRegion>(sizeof(SessionState) * capacity)) {}

  // False when the row is out of range, free, or another session's.
  SessionRef find(uint32_t row, uint32_t generation, uint8_t direction = kForward) const {
    if (row >= capacity_ || generation == 0) return {};
    SessionRow* found = rows_->as<SessionRow>() + row;
    if (found->generation != generation) return {};
    return {found, states_->as<SessionState>() + row, row, direction};
  }
  SessionRef find(const RuleContext& context) const {
    return find(context.row, context.generation, context.direction);
  }
  // The session of a rule of the software table.
  SessionRef of(uint32_t rule_tag) const {
    const uint32_t row = RuleTag::row(rule_tag);
    return {rows_->as<SessionRow>() + row, states_->as<SessionState>() + row, row,
            RuleTag::direction(rule_tag)};
  }
  SessionRef at(uint32_t row) const {
    return {rows_->as<SessionRow>() + row, states_->as<SessionState>() + row, row, kForward};
  }
  // What translating a packet touches. By rte_prefetch0: GCC takes a function of nothing but
  // __builtin_prefetch for one without effect, and drops the calls of it.
  void prefetch_row(uint32_t row) const { rte_prefetch0(rows_->as<SessionRow>() + row); }
  void prefetch(uint32_t row) const {
    if (row >= capacity_) return;
    prefetch_row(row);
    rte_prefetch0(states_->as<SessionState>() + row);
  }
  // The row will hold another session.
  void prefetch_all(uint32_t row) const {
    if (row >= capacity_) return;
    prefetch(row);
    rte_prefetch0(counters_->as<SessionCounters>() + row);
  }
  SessionCounters& counters(uint32_t row) const { return counters_->as<SessionCounters>()[row]; }

  uint32_t capacity() const { return capacity_; }
  const SharedRegion& rows_memory() const { return rows_; }
  const SharedRegion& counters_memory() const { return counters_; }
  const SharedRegion& states_memory() const { return states_; }

 private:
  uint32_t capacity_;
  SharedRegion rows_;
  SharedRegion counters_;
  SharedRegion states_;  // SessionState, zero = a new one but for nic_template
};

}  // namespace sluice
