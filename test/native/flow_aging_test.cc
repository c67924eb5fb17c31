// Indirect actions and aging of net_softflow, the clock of AGE in the test's hand.
#include <rte_cycles.h>

#include "softflow_pmd/rte_pmd_softflow.h"
#include "softflow_port.h"

namespace sluice::test {
namespace {

rte_flow_action_handle* make_handle(Port& port, rte_flow_action_type type, const void* conf, int queue = -1) {
  rte_flow_indir_action_conf directions = {};
  directions.transfer = 1;
  const rte_flow_action action = {type, conf};
  if (queue < 0) return rte_flow_action_handle_create(port.id, &directions, &action, &port.error);
  rte_flow_op_attr attr = {};
  return rte_flow_async_action_handle_create(port.id, static_cast<uint32_t>(queue), &attr, &directions,
                                             &action, mark(1), &port.error);
}

TEST(rules_share_an_indirect_counter) {
  for (const int queue : {-1, 1}) {
    Port port;
    Table table(port, 8, true, true);
    rte_flow_action_handle* handle = make_handle(port, RTE_FLOW_ACTION_TYPE_COUNT, nullptr, queue);
    CHECK(handle != nullptr);
    rte_flow* rules[] = {table.add(1, nullptr, false, 0, 100, nullptr, handle),
                         table.add(2, nullptr, false, 0, 100, nullptr, handle)};
    CHECK_EQ(port.receive(1, 3), 0);
    CHECK_EQ(port.receive(2, 2), 0);
    rte_flow_query_count count = {};
    count.reset = 1;
    rte_flow_op_attr at_once = {};
    if (queue < 0) {
      CHECK_EQ(rte_flow_action_handle_query(port.id, handle, &count, &port.error), 0);
    } else {
      CHECK_EQ(rte_flow_async_action_handle_query(port.id, 1, &at_once, handle, &count, mark(2), &port.error),
               0);
      CHECK_EQ(port.pull(1).size(), 2u);
    }
    CHECK_EQ(count.hits, 5u);
    CHECK(count.hits_set && count.bytes_set);
    CHECK_EQ(rte_flow_action_handle_query(port.id, handle, &count, &port.error), 0);
    CHECK_EQ(count.hits, 0u);
    CHECK_EQ(rte_flow_action_handle_destroy(port.id, handle, &port.error), -EBUSY);
    // In one push: first the rules, then what they shared.
    for (rte_flow* rule : rules) table.remove(rule, nullptr, true, 1);
    rte_flow_op_attr postponed = {};
    postponed.postpone = 1;
    CHECK_EQ(rte_flow_async_action_handle_destroy(port.id, 1, &postponed, handle, mark(3), &port.error), 0);
    port.push(1);
    for (const rte_flow_op_result& result : port.pull(1)) CHECK(result.status == RTE_FLOW_OP_SUCCESS);
    CHECK_EQ(rte_flow_action_handle_destroy(port.id, handle, &port.error), -ENOENT);
  }
}

TEST(only_counters_and_ages_are_indirect_and_each_for_its_direction) {
  Port port;
  const rte_flow_action_queue queue = {0};
  CHECK(make_handle(port, RTE_FLOW_ACTION_TYPE_QUEUE, &queue) == nullptr);
  CHECK_EQ(std::string(port.error.message), std::string("QUEUE: is not supported as an indirect action"));
  CHECK(make_handle(port, RTE_FLOW_ACTION_TYPE_AGE, nullptr) == nullptr);
  rte_flow_action_handle* handle = make_handle(port, RTE_FLOW_ACTION_TYPE_COUNT, nullptr);
  Rule rule;
  rule.attr.transfer = 0;
  rule.attr.ingress = 1;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH);
  const rte_flow_action actions[] = {{RTE_FLOW_ACTION_TYPE_INDIRECT, handle},
                                     {RTE_FLOW_ACTION_TYPE_DROP, nullptr},
                                     {RTE_FLOW_ACTION_TYPE_END, nullptr}};
  for (const bool create : {false, true}) {
    port.error = {};
    if (create) {
      CHECK(rte_flow_create(port.id, &rule.attr, rule.items(), actions, &port.error) == nullptr);
    } else {
      CHECK_EQ(rte_flow_validate(port.id, &rule.attr, rule.items(), actions, &port.error), -EINVAL);
    }
    CHECK(port.error.cause == &actions[0]);
    CHECK_EQ(std::string(port.error.message),
             std::string("INDIRECT: the handle was made for rules of another direction"));
  }
  rule.attr.transfer = 1;
  rule.attr.ingress = 0;
  rte_flow* flow = rte_flow_create(port.id, &rule.attr, rule.items(), actions, &port.error);
  CHECK(flow != nullptr);
  CHECK_EQ(port.receive(1, 4), 0);
  rte_flow_query_count count = {};
  CHECK_EQ(rte_flow_action_handle_query(port.id, handle, &count, &port.error), 0);
  CHECK_EQ(count.hits, 4u);
  CHECK_EQ(rte_flow_destroy(port.id, flow, &port.error), 0);
  CHECK_EQ(rte_flow_action_handle_destroy(port.id, handle, &port.error), 0);
}

int count_event(uint16_t, rte_eth_event_type, void* counter, void*) {
  return ++*static_cast<int*>(counter), 0;
}

int wait_for(const int& value, int wanted) {
  for (int i = 0; i < 300 && value < wanted; ++i) rte_delay_ms(10);
  return value;
}

TEST(aged_rules_are_announced_once_a_batch_and_told_by_their_contexts) {
  rte_pmd_softflow_clock_set(1000);
  Port port;
  int events = 0;
  CHECK_EQ(rte_eth_dev_callback_register(port.id, RTE_ETH_EVENT_FLOW_AGED, count_event, &events), 0);
  Table table(port, 8);
  rte_flow* own = table.add(1, nullptr, false, 0, 10);
  table.add(2, nullptr, false, 0, 10, mark(0xdead0001));
  table.add(3, nullptr, false, 0, 500, mark(0xdead0002));
  rte_flow_action_age age = {};
  age.timeout = 10;
  age.context = mark(0xdead0003);
  rte_flow_action_handle* handle = make_handle(port, RTE_FLOW_ACTION_TYPE_AGE, &age);
  CHECK(handle != nullptr);
  rte_delay_ms(1200);
  CHECK_EQ(events, 0);
  rte_pmd_softflow_clock_set(1010);
  CHECK_EQ(wait_for(events, 1), 1);
  rte_delay_ms(1200);
  CHECK_EQ(events, 1);
  CHECK_EQ(rte_flow_get_aged_flows(port.id, nullptr, 0, &port.error), 3);
  CHECK_EQ(rte_flow_get_aged_flows(port.id, nullptr, 0, &port.error), 3);
  void* contexts[4] = {};
  CHECK_EQ(rte_flow_get_aged_flows(port.id, contexts, 2, &port.error), 2);
  CHECK(contexts[0] == own);
  CHECK(contexts[1] == mark(0xdead0001));
  CHECK_EQ(rte_flow_get_aged_flows(port.id, contexts, 4, &port.error), 1);
  CHECK(contexts[0] == mark(0xdead0003));
  CHECK_EQ(rte_flow_get_aged_flows(port.id, nullptr, 0, &port.error), 0);
  // A hit starts it over; another batch is another event.
  CHECK_EQ(port.receive(1), 0);
  rte_flow_update_age update = {};
  update.timeout_valid = 1;
  update.timeout = 1000;
  update.touch = 1;
  CHECK_EQ(rte_flow_action_handle_update(port.id, handle, &update, &port.error), 0);
  rte_flow_query_age idle = {};
  CHECK_EQ(rte_flow_action_handle_query(port.id, handle, &idle, &port.error), 0);
  CHECK(!idle.aged && idle.sec_since_last_hit_valid && idle.sec_since_last_hit == 0);
  rte_pmd_softflow_clock_set(1020);
  CHECK_EQ(wait_for(events, 2), 2);
  CHECK_EQ(rte_flow_get_aged_flows(port.id, contexts, 4, &port.error), 1);
  CHECK(contexts[0] == own);
  rte_eth_dev_callback_unregister(port.id, RTE_ETH_EVENT_FLOW_AGED, count_event, &events);
}

TEST(with_strict_queues_each_tells_its_own_aged_rules_and_no_event_comes) {
  rte_pmd_softflow_clock_set(2000);
  Port port("", 2, RTE_FLOW_PORT_FLAG_STRICT_QUEUE);
  int events = 0;
  rte_eth_dev_callback_register(port.id, RTE_ETH_EVENT_FLOW_AGED, count_event, &events);
  Table table(port, 8);
  table.add(1, nullptr, false, 0, 10, mark(1));
  table.add(2, nullptr, false, 1, 10, mark(2));
  table.add(3, nullptr, false, 1, 10, mark(3));
  rte_pmd_softflow_clock_set(2010);
  void* contexts[4] = {};
  CHECK_EQ(rte_flow_get_q_aged_flows(port.id, 1, nullptr, 0, &port.error), 2);
  CHECK_EQ(rte_flow_get_q_aged_flows(port.id, 0, contexts, 4, &port.error), 1);
  CHECK(contexts[0] == mark(1));
  CHECK_EQ(rte_flow_get_q_aged_flows(port.id, 1, contexts, 4, &port.error), 2);
  CHECK_EQ(rte_flow_get_q_aged_flows(port.id, 7, contexts, 4, &port.error), -EINVAL);
  rte_delay_ms(1200);
  CHECK_EQ(events, 0);
  rte_eth_dev_callback_unregister(port.id, RTE_ETH_EVENT_FLOW_AGED, count_event, &events);
}

}  // namespace
}  // namespace sluice::test
