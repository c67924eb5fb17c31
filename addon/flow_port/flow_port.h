// rte_flow on one ethdev: templates filled per flow, their rules, counters and hits; constant rules kept
// until the end.
#pragma once

#include <rte_flow.h>

#include <memory>
#include <string>
#include <vector>

#include "flow_port/rule_template.h"

namespace sluice {

// A driver's refusal, copied at once: its message may lie in the driver's memory.
struct FlowFailure {
  int error = 0;  // negative errno
  int rte_type = 0;
  int cause_index = -1;
  std::string message;
};

struct FlowHits {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint32_t idle_seconds = 0;
  bool idle_known = false;
};

class FlowPort {
 public:
  explicit FlowPort(uint16_t port_id) : port_id_(port_id) {}
  FlowPort(const FlowPort&) = delete;
  FlowPort& operator=(const FlowPort&) = delete;

  // Null when the driver refuses; `failure` says why.
  rte_flow* install(RuleTemplate& rule, const FlowArguments& arguments, void* age_context,
                    FlowFailure* failure);
  void destroy(rte_flow* flow);
  // Counters and time since the last hit, as far as the rule has COUNT and AGE.
  FlowHits query(rte_flow* flow, const RuleTemplate& rule);

  // A constant rule. Throws NativeFault RULE. One that jumps waits while jumps are shut.
  void install_static(const TemplateSource& source, const std::vector<uint16_t>& port_ids);
  // Jumps are the only way to the flows' rules: without them those stay installed and see no packet. False when
  // the driver refuses one.
  bool open_jumps(bool open);
  // Destroys every rule of the port, ours and what a driver may have left. Can be called twice.
  void flush();

  uint32_t rules() const { return rules_; }

 private:
  uint16_t port_id_;
  uint32_t rules_ = 0;  // of flows; constant ones are not counted
  struct StaticRule {
    std::unique_ptr<RuleTemplate> rule;
    rte_flow* flow = nullptr;  // null: a jump while jumps are shut
    bool jumps = false;
  };
  rte_flow* create(RuleTemplate& rule, rte_flow_error* error);

  bool jumps_open_ = true;
  std::vector<StaticRule> static_rules_;
};

}  // namespace sluice
