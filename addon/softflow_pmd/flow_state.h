// What a port's flow API holds beside its rules: flow queues, templates, tables and indirect actions.
#pragma once

#include <rte_flow.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "flow_engine/flow_engine.h"
#include "flow_engine/indirect.h"
#include "flow_engine/row_slab.h"

namespace sluice::softflow {

inline constexpr uint32_t kMaxFlowQueues = 64;
inline constexpr uint32_t kMaxFlowQueueSize = 65536;
inline constexpr uint32_t kDefaultFlowQueueSize = 1024;  // where rte_flow_queue_attr says 0
inline constexpr uint16_t kNoFlowQueue = 0x7fff;         // of a rule that was created synchronously

// One operation on its way through a flow queue.
struct Operation {
  enum class Kind : uint8_t {
    kCreateRule,
    kDestroyRule,
    kCreateHandle,
    kDestroyHandle,
    kUpdateHandle,
    kQueryHandle
  };
  Kind kind;
  bool failed;
  uint32_t hash;  // kCreateRule: of the rule's key
  union {
    FlowRule* rule;
    IndirectAction* handle;
  };
  void* user_data;
  uint64_t ready_at;  // TSC; rte_flow_pull does not show it before
  union {
    void* data;                  // kQueryHandle: where the answer goes
    rte_flow_update_age update;  // kUpdateHandle
  };
};

// A ring with three marks: [head, submitted) is done and waits to be pulled, [submitted, tail) waits to be
// pushed.
struct FlowQueue {
  explicit FlowQueue(uint32_t queue_size);
  const uint32_t size;
  const uint32_t mask;
  uint32_t head = 0, submitted = 0, tail = 0;
  std::unique_ptr<Operation[]> slots;

  bool is_full() const { return tail - head >= size; }
  bool is_empty() const { return tail == head; }
  Operation& at(uint32_t position) { return slots[position & mask]; }
};

struct PatternTemplate {
  rte_flow_pattern_template_attr attr;
  std::unique_ptr<uint64_t[]> memory;  // the items and all they point to
  const rte_flow_item* items;
  uint32_t targets;  // items of which a rule must name a port of the switch, a bit each
  uint32_t tables = 0;
};

struct ActionsTemplate {
  rte_flow_actions_template_attr attr;
  std::unique_ptr<uint64_t[]> memory, masks_memory;
  rte_flow_action* actions;
  rte_flow_action* masks;
  uint32_t targets;  // actions of which a rule brings a port or a queue, a bit each
  uint32_t tables = 0;
};

struct TemplateTable {
  rte_flow_attr attr;
  uint32_t limit;
  uint32_t rules = 0;
  std::vector<PatternTemplate*> patterns;
  std::vector<ActionsTemplate*> actions;
  // Of each pattern template with each actions template, and what is asked of them for each rule.
  struct Rows {
    RuleTable* table;
    TargetPlaces targets;
    bool counts, ages;
  };
  std::vector<Rows> rows;
  uint8_t pattern_count, actions_count;
  FlowEngine* engine;  // that the rules are of
  uint32_t tag;        // of the rules, without their flow queue

  const Rows& of(uint8_t pattern, uint8_t actions_index) const {
    return rows[uint32_t{pattern} * actions_count + actions_index];
  }
};

struct FlowState {
  rte_flow_port_attr attr = {};
  bool configured = false;
  std::vector<std::unique_ptr<FlowQueue>> queues;
  std::vector<std::unique_ptr<PatternTemplate>> pattern_templates;
  std::vector<std::unique_ptr<ActionsTemplate>> actions_templates;
  std::vector<std::unique_ptr<TemplateTable>> tables;
  RowSlab handles{sizeof(IndirectAction)};
  uint32_t live_handles = 0;
  uint32_t counters = 0,
           ages = 0;       // of rules and handles; limited by `attr` for what comes through templates
  uint64_t creations = 0;  // for fail_every
  std::atomic<bool> aged_event_raised{false};  // and rte_flow_get_aged_flows was not called since

  IndirectAction* handle(uint32_t row) const { return reinterpret_cast<IndirectAction*>(handles.at(row)); }
};

}  // namespace sluice::softflow
