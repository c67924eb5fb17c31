#include "bench/node/insertion.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_flow.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "slow_path/native_fault.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kFlowQueueSize = 1024;

class Stopwatch {
 public:
  double seconds() const { return static_cast<double>(rte_rdtsc() - begin_) / static_cast<double>(rte_get_tsc_hz()); }

 private:
  uint64_t begin_ = rte_rdtsc();
};

void* context_of(uint32_t session, int direction) {
  return reinterpret_cast<void*>(uint64_t{1} << 32 | static_cast<uint64_t>(direction) << 31 | session);
}

std::string describe(const char* call, const rte_flow_error& error) {
  return std::string(call) + ": " + (error.message != nullptr ? error.message : rte_strerror(rte_errno));
}

[[noreturn]] void refuse(const char* call, const rte_flow_error& error) {
  throw NativeFault("RULE", describe(call, error), rte_errno);
}

struct Rule {
  rte_flow* flow;
  uint32_t session;
  uint32_t direction;
};

std::vector<Rule> create_all(const RuleSource& source, uint32_t sessions, InsertionResult* result) {
  std::vector<Rule> rules;
  rules.reserve(2ull * sessions);
  std::memset(rules.data(), 0, rules.capacity() * sizeof(Rule));  // touched before the time runs
  FlowArguments arguments[2];
  const Stopwatch time;
  for (uint32_t session = 0; session < sessions; session++) {
    source.of_session(session, &arguments[0], &arguments[1]);
    for (int direction = 0; direction < 2; direction++) {
      RuleTemplate& rule = *source.rule[direction];
      rule.fill(arguments[direction], context_of(session, direction));
      rte_flow_error error = {};
      rte_flow* flow =
          rte_flow_create(source.port_id[direction], &rule.attr(), rule.items(), rule.actions(), &error);
      if (flow != nullptr) {
        rules.push_back({flow, session, static_cast<uint32_t>(direction)});
      } else if (result->failed++ == 0) {
        result->error = describe("rte_flow_create", error);
      }
    }
  }
  result->create_seconds = time.seconds();
  result->rules = static_cast<uint32_t>(rules.size());
  return rules;
}

void shuffle(std::vector<Rule>* rules, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::shuffle(rules->begin(), rules->end(), random);
}

// Template tables of one direction.
struct Templates {
  rte_flow_pattern_template* pattern = nullptr;
  rte_flow_actions_template* actions = nullptr;
  rte_flow_template_table* table = nullptr;
};

// Confs that a rule brings are null in the masks; of MODIFY_FIELD everything but the value is constant.
Templates make_templates(uint16_t port_id, const RuleTemplate& rule, uint32_t rules) {
  rte_flow_error error = {};
  Templates made;
  rte_flow_pattern_template_attr pattern_attr = {};
  pattern_attr.ingress = rule.attr().ingress;
  pattern_attr.transfer = rule.attr().transfer;
  made.pattern = rte_flow_pattern_template_create(port_id, &pattern_attr, rule.items(), &error);
  if (made.pattern == nullptr) refuse("rte_flow_pattern_template_create", error);
  std::vector<rte_flow_action> masks;
  rte_flow_action_modify_field modify = {};
  std::memset(&modify, 0xff, sizeof modify);
  std::memset(modify.src.value, 0, sizeof modify.src.value);
  for (const rte_flow_action* action = rule.actions();; action++) {
    masks.push_back({action->type, action->type == RTE_FLOW_ACTION_TYPE_MODIFY_FIELD ? &modify : nullptr});
    if (action->type == RTE_FLOW_ACTION_TYPE_END) break;
  }
  rte_flow_actions_template_attr actions_attr = {};
  actions_attr.ingress = rule.attr().ingress;
  actions_attr.transfer = rule.attr().transfer;
  made.actions = rte_flow_actions_template_create(port_id, &actions_attr, rule.actions(), masks.data(), &error);
  if (made.actions == nullptr) refuse("rte_flow_actions_template_create", error);
  rte_flow_template_table_attr table_attr = {};
  table_attr.flow_attr = rule.attr();
  table_attr.nb_flows = rules;
  made.table = rte_flow_template_table_create(port_id, &table_attr, &made.pattern, 1, &made.actions, 1, &error);
  if (made.table == nullptr) refuse("rte_flow_template_table_create", error);
  return made;
}

void configure_flow_queue(uint16_t port_id, uint32_t rules) {
  rte_flow_port_info info = {};
  rte_flow_queue_info queue = {};
  rte_flow_error error = {};
  if (rte_flow_info_get(port_id, &info, &queue, &error) != 0) refuse("rte_flow_info_get", error);
  rte_flow_port_attr port_attr = {};
  port_attr.nb_counters = std::min(rules, info.max_nb_counters);
  port_attr.nb_aging_objects = std::min(rules, info.max_nb_aging_objects);
  rte_flow_queue_attr queue_attr = {};
  queue_attr.size = queue.max_size == 0 ? kFlowQueueSize : std::min(kFlowQueueSize, queue.max_size);
  const rte_flow_queue_attr* queues[] = {&queue_attr};
  if (rte_flow_configure(port_id, &port_attr, 1, queues, &error) != 0) refuse("rte_flow_configure", error);
}

// Operations on the flow queues of the ports: pushed in batches, completions taken as they come.
class Queue {
 public:
  Queue(const RuleSource& source, uint32_t batch, InsertionResult* result)
      : batch_(batch), result_(result) {
    ports_.push_back(source.port_id[0]);
    if (source.port_id[1] != source.port_id[0]) ports_.push_back(source.port_id[1]);
  }

  void added() {
    if (++waiting_ >= batch_) settle(batch_ * 4);
  }
  // Pushes, and pulls until at most `left` are under way.
  void settle(uint32_t left) {
    rte_flow_error error = {};
    for (const uint16_t port : ports_) {
      if (rte_flow_push(port, 0, &error) != 0) refuse("rte_flow_push", error);
    }
    under_way_ += waiting_;
    waiting_ = 0;
    rte_flow_op_result results[64];
    do {
      for (const uint16_t port : ports_) {
        const int count = rte_flow_pull(port, 0, results, 64, &error);
        if (count < 0) refuse("rte_flow_pull", error);
        for (int i = 0; i < count; i++) {
          if (results[i].status != RTE_FLOW_OP_SUCCESS) result_->failed++;
        }
        under_way_ -= static_cast<uint32_t>(count);
      }
    } while (under_way_ > left);
  }

 private:
  std::vector<uint16_t> ports_;
  uint32_t batch_;
  uint32_t waiting_ = 0;
  uint32_t under_way_ = 0;
  InsertionResult* result_;
};

}  // namespace

void RuleSource::of_session(uint32_t session, FlowArguments* forward, FlowArguments* reverse) const {
  *forward = arguments[0];
  *reverse = arguments[1];
  const uint32_t host = session % hosts, external = session % pool_addresses;
  const auto port = static_cast<uint16_t>(session / hosts);
  const auto external_port = static_cast<uint16_t>(session / pool_addresses);
  forward->match_source_address += host;
  forward->match_source_port = static_cast<uint16_t>(forward->match_source_port + port);
  forward->new_source_address += external;
  forward->new_source_port = static_cast<uint16_t>(forward->new_source_port + external_port);
  reverse->match_destination_address += external;
  reverse->match_destination_port = static_cast<uint16_t>(reverse->match_destination_port + external_port);
  reverse->new_destination_address += host;
  reverse->new_destination_port = static_cast<uint16_t>(reverse->new_destination_port + port);
}

InsertionResult insert_synchronously(const RuleSource& source, uint32_t sessions, uint64_t seed) {
  InsertionResult result;
  std::vector<Rule> rules = create_all(source, sessions, &result);
  shuffle(&rules, seed);
  const Stopwatch time;
  for (const Rule& rule : rules) {
    rte_flow_error error = {};
    if (rte_flow_destroy(source.port_id[rule.direction], rule.flow, &error) != 0 && result.failed++ == 0) {
      result.error = describe("rte_flow_destroy", error);
    }
  }
  result.destroy_seconds = time.seconds();
  return result;
}

InsertionResult insert_only(const RuleSource& source, uint32_t sessions) {
  InsertionResult result;
  create_all(source, sessions, &result);
  return result;
}

bool has_template_interface(uint16_t port_id, std::string* reason) {
  rte_flow_port_info info = {};
  rte_flow_queue_info queue = {};
  rte_flow_error error = {};
  const int code = rte_flow_info_get(port_id, &info, &queue, &error);
  if (code != 0) {
    *reason = "rte_flow_info_get: " + std::string(rte_strerror(-code));
    return false;
  }
  if (info.max_nb_queues == 0) *reason = "rte_flow_info_get tells of no flow queue";
  return info.max_nb_queues != 0;
}

InsertionResult insert_by_template(const RuleSource& source, uint32_t sessions, uint32_t batch, uint64_t seed) {
  InsertionResult result;
  Templates templates[2];
  for (int direction = 0; direction < 2; direction++) {
    if (direction == 0 || source.port_id[1] != source.port_id[0]) {
      configure_flow_queue(source.port_id[direction], sessions * 2);
    }
    templates[direction] = make_templates(source.port_id[direction], *source.rule[direction], sessions);
  }
  std::vector<Rule> rules;
  rules.reserve(2ull * sessions);
  std::memset(rules.data(), 0, rules.capacity() * sizeof(Rule));
  rte_flow_op_attr postponed = {};
  postponed.postpone = 1;
  Queue queue(source, batch, &result);
  FlowArguments arguments[2];
  {
    const Stopwatch time;
    for (uint32_t session = 0; session < sessions; session++) {
      source.of_session(session, &arguments[0], &arguments[1]);
      for (uint32_t direction = 0; direction < 2; direction++) {
        RuleTemplate& rule = *source.rule[direction];
        rule.fill(arguments[direction], context_of(session, static_cast<int>(direction)));
        rte_flow_error error = {};
        rte_flow* flow = rte_flow_async_create(source.port_id[direction], 0, &postponed, templates[direction].table,
                                               rule.items(), 0, rule.actions(), 0, nullptr, &error);
        if (flow == nullptr) {
          if (result.failed++ == 0) result.error = describe("rte_flow_async_create", error);
          continue;
        }
        rules.push_back({flow, session, direction});
        queue.added();
      }
    }
    queue.settle(0);
    result.create_seconds = time.seconds();
  }
  result.rules = static_cast<uint32_t>(rules.size());
  shuffle(&rules, seed);
  const Stopwatch time;
  for (const Rule& rule : rules) {
    rte_flow_error error = {};
    if (rte_flow_async_destroy(source.port_id[rule.direction], 0, &postponed, rule.flow, nullptr, &error) != 0) {
      if (result.failed++ == 0) result.error = describe("rte_flow_async_destroy", error);
      continue;
    }
    queue.added();
  }
  queue.settle(0);
  result.destroy_seconds = time.seconds();
  return result;
}

double fill_seconds(const RuleSource& source, uint32_t sessions) {
  FlowArguments arguments[2];
  const Stopwatch time;
  for (uint32_t session = 0; session < sessions; session++) {
    source.of_session(session, &arguments[0], &arguments[1]);
    for (int direction = 0; direction < 2; direction++) {
      source.rule[direction]->fill(arguments[direction], context_of(session, direction));
    }
  }
  return time.seconds();
}

EngineMemory engine_memory(const RuleSource& source, uint32_t sessions) {
  EngineOptions options;
  options.max_rules = sessions * 2;
  options.private_actions = true;
  FlowEngine engine(options);
  rte_flow_error error = {};
  FlowArguments arguments[2];
  for (uint32_t session = 0; session < sessions; session++) {
    source.of_session(session, &arguments[0], &arguments[1]);
    for (int direction = 0; direction < 2; direction++) {
      RuleTemplate& rule = *source.rule[direction];
      rule.fill(arguments[direction], context_of(session, direction));
      const FlowRule* made = engine.create(rule.attr(), rule.items(), rule.actions(), 0, &error);
      if (made == nullptr) refuse("create", error);
    }
  }
  return {engine.memory_bytes(), engine.rules()};
}

}  // namespace sluice::bench
