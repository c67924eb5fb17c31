// How fast rules go into an ethdev and out again, through rte_flow's two interfaces.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "flow_engine/flow_engine.h"
#include "flow_port/rule_template.h"

namespace sluice::bench {

// Rules of sessions, alternately those of the forward and of the reverse direction, as the slow path installs them.
struct RuleSource {
  RuleTemplate* rule[2];        // forward, reverse
  uint16_t port_id[2];          // where each is installed
  FlowArguments arguments[2];   // of session 0
  uint32_t hosts = 1;           // session i: host i % hosts, source port + i / hosts
  uint32_t pool_addresses = 1;  // and external address i % pool_addresses, external port + i / pool_addresses

  void of_session(uint32_t session, FlowArguments* forward, FlowArguments* reverse) const;
};

struct InsertionResult {
  uint32_t rules = 0;
  uint32_t failed = 0;
  double create_seconds = 0;
  double destroy_seconds = 0;
  std::string error;            // the first one
};

// Creates the rules of `sessions` sessions, then destroys them in an order drawn with `seed`.
InsertionResult insert_synchronously(const RuleSource& source, uint32_t sessions, uint64_t seed);
// The rules stay. For memory.
InsertionResult insert_only(const RuleSource& source, uint32_t sessions);

// Whether the port has rte_flow's template interface; otherwise `reason` says what the driver answered.
bool has_template_interface(uint16_t port_id, std::string* reason);
// As insert_synchronously through one flow queue, `batch` operations a push. The ports are configured, not started.
InsertionResult insert_by_template(const RuleSource& source, uint32_t sessions, uint32_t batch, uint64_t seed);

// Time that filling a template with a flow's values takes by itself: part of all figures above.
double fill_seconds(const RuleSource& source, uint32_t sessions);

struct EngineMemory {
  uint64_t bytes = 0;
  uint64_t rules = 0;
};
// Bytes that an engine counts for the rules of so many sessions, created one by one.
EngineMemory engine_memory(const RuleSource& source, uint32_t sessions);

}  // namespace sluice::bench
