// rte_flow on one ethdev: rules of flows, through a flow queue where the driver has the template API and one
// by one where it has not; their counters and hits; constant rules kept until the end.
#pragma once

#include <rte_flow.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
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
  bool hits_known = false;
  bool idle_known = false;
};

// What became of a rule that was tried.
struct ProbeResult {
  bool queued = false;     // it went through a template table and a flow queue
  bool counted = false;    // its hits could be asked for
  bool aged = false;       // its time since the last hit could be asked for
  bool destroyed = false;
};

// A rule template as its NIC has it: a template table, or null: rules are made by rte_flow_create.
struct PortTemplate {
  std::unique_ptr<RuleTemplate> rule;
  rte_flow_template_table* table = nullptr;
  std::unique_ptr<RuleTemplate> second;  // of a rule that is two
};

// The template tables of a port's flow queues where it has several: one a template for all of them, since a
// packet is looked up in each table of a group.
class SharedTables {
 public:
  // Made by whoever asks first. Null when the driver will not have it: `error` says why.
  rte_flow_template_table* table_of(uint16_t port_id, const TemplateSource& source, const RuleTemplate& rule,
                                    uint32_t rules, rte_flow_error* error);
  // They have gone with what the port was.
  void forget();

 private:
  std::mutex mutex_;
  std::vector<std::pair<TemplateSource, rte_flow_template_table*>> tables_;
};

// Asks a configured, not yet started port for flow queues and resources for so many rules of flows, of all together. How
// many it grants; 0: the driver has no template API, or not so many queues.
uint32_t open_flow_queues(uint16_t port_id, uint16_t queues, uint32_t rules);

// A rule by its handle and AGE's context; null: a constant rule, or one that somebody else made.
struct RuleHandle {
  rte_flow* flow = nullptr;
  void* context = nullptr;
};

class FlowPort {
 public:
  // `queued_rules`: what open_flow_queues() granted. `queue`: its own. `tables`: of all queues; null: this is
  // the only one. They outlive this.
  FlowPort(uint16_t port_id, uint32_t queued_rules, uint16_t queue = 0, SharedTables* tables = nullptr)
      : port_id_(port_id), queue_(queue), queued_rules_(queued_rules), tables_(tables) {}
  FlowPort(const FlowPort&) = delete;
  FlowPort& operator=(const FlowPort&) = delete;

  // Throws NativeFault TEMPLATE. A driver whose template API refuses the template gets its rules one by one, and so
  // does a rule that is two: its halves are made and removed in their order.
  PortTemplate make_template(const TemplateSource& source, const std::vector<uint16_t>& port_ids);

  enum class Installation : uint8_t { kDone, kUnderWay, kFailed };
  // Begins or does an installation; `flow` can be destroyed at once. Under way: the result comes by
  // complete() with `context`, which is not null. Failed: `failure` says why, and there is no flow.
  Installation install(PortTemplate& from, const FlowArguments& arguments, void* context, rte_flow** flow,
                       FlowFailure* failure);
  // The second half of a rule that is two; it is not counted as a rule. Null: `failure` says why.
  rte_flow* install_second(const PortTemplate& from, const FlowArguments& arguments, FlowFailure* failure);
  void destroy_second(rte_flow* flow);
  // Operations of the queue are executed in their order: a rule is gone before one of the same key comes.
  void destroy(const PortTemplate& from, rte_flow* flow);
  // Hands over what waits in the flow queue and calls done(context, failed) for each installation that has
  // ended; a failed one's flow is still to be destroyed.
  template <typename Done>
  void complete(Done&& done) {
    if (under_way_ == 0) return;
    push();
    rte_flow_op_result results[kBatch];
    for (int pulled = kBatch; pulled == kBatch && under_way_ != 0;) {
      pulled = pull(results);
      for (int i = 0; i < pulled; i++) {
        if (results[i].user_data != nullptr)
          done(results[i].user_data, results[i].status != RTE_FLOW_OP_SUCCESS);
      }
    }
  }
  // Operations whose results have not come. At most kQueueSize can be.
  uint32_t under_way() const { return under_way_; }

  // Counters and time since the last hit, as far as the rule has COUNT and AGE. The time is not asked for when the rule
  // has no more than `hits_seen` packets: most of a list's flows are idle, and each question costs about 50 ns.
  FlowHits query(rte_flow* flow, const RuleTemplate& rule, uint64_t hits_seen = UINT64_MAX);

  // Creates a rule of the template that no packet hits, asks for its counters, and destroys it, since validation
  // alone is a hint: through a template table and the flow queue where the driver has them, otherwise one by one.
  // While flows' operations are under way in the queue only the table is tried. Throws NativeFault RULE.
  ProbeResult probe(const TemplateSource& source, const std::vector<uint16_t>& port_ids);

  // A constant rule. Throws NativeFault RULE. One that jumps waits while jumps are shut.
  void install_static(const TemplateSource& source, const std::vector<uint16_t>& port_ids);
  // Jumps are the only way to the flows' rules: without them those stay installed and see no packet. False when
  // the driver refuses one.
  bool open_jumps(bool open);
  // The constant rules that are there.
  void constant_rules(std::vector<RuleHandle>* out) const;
  bool is_constant(const rte_flow* flow) const;
  // The NIC lost a constant rule: it is made anew. False: refused, and still missing.
  bool remake_constant(const rte_flow* flow);
  // A flow's rule is gone without having been destroyed here.
  void lose() { rules_ -= rules_ != 0; }
  // A rule that is none of ours. False: the driver will not destroy it.
  bool destroy_foreign(rte_flow* flow);

  // Destroys every rule of the port, ours and what a driver may have left. Can be called twice.
  void flush();

  // The port is about to be flushed and reset. Rules and template tables go with what it was; until reopen()
  // nothing is asked of it, and what it is asked for fails with EAGAIN. Of several queues' all close before
  // one reopens.
  void close();
  bool is_open() const { return open_; }
  // It has been reset and started. `queued_rules`: what open_flow_queues() granted this time. Constant rules are made
  // anew; throws NativeFault RULE, and is closed still, when the driver refuses one.
  void reopen(uint32_t queued_rules);
  // The template table of a template that was made before.
  void remake_table(PortTemplate& made, const TemplateSource& source);

  uint32_t rules() const { return rules_; }

  static constexpr uint32_t kQueueSize = 1024;

 private:
  static constexpr int kBatch = 64;

  rte_flow_template_table* table_of(const TemplateSource& source, const RuleTemplate& rule);
  void push();
  int pull(rte_flow_op_result* results);
  FlowFailure closed_failure() const;

  uint16_t port_id_;
  uint16_t queue_;
  uint32_t queued_rules_;   // most rules of a template table; 0: there are no queues
  SharedTables* tables_;
  uint32_t rules_ = 0;      // of flows; constant ones are not counted
  uint32_t under_way_ = 0;  // operations whose results have not been pulled
  struct StaticRule {
    std::unique_ptr<RuleTemplate> rule;
    rte_flow* flow = nullptr;  // null: a jump while jumps are shut
    bool jumps = false;
  };
  rte_flow* create(RuleTemplate& rule, rte_flow_error* error);
  ProbeResult probe_one_by_one(RuleTemplate& rule);
  ProbeResult probe_queued(RuleTemplate& rule, rte_flow_template_table* table);
  bool finish_probed_operation();

  bool open_ = true;
  bool jumps_open_ = true;
  std::vector<StaticRule> static_rules_;
};

}  // namespace sluice
