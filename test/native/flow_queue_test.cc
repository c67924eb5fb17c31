// net_softflow under an application that uses rte_flow's templates and flow queues.
#include <malloc.h>
#include <rte_cycles.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "softflow_port.h"

namespace sluice::test {
namespace {

TEST(what_a_port_offers_is_told_and_more_is_refused) {
  Port port("", 0);
  rte_flow_port_info info = {};
  rte_flow_queue_info queue = {};
  CHECK_EQ(rte_flow_info_get(port.id, &info, &queue, &port.error), 0);
  CHECK_EQ(info.max_nb_queues, 64u);
  CHECK_EQ(queue.max_size, 65536u);
  CHECK_EQ(info.supported_flags, RTE_FLOW_PORT_FLAG_STRICT_QUEUE);
  rte_eth_dev_stop(port.id);
  CHECK_EQ(port.configure(65).message, std::string("the number of flow queues must be 1 to 64"));
  CHECK_EQ(port.configure(1, 2).code, -ENOTSUP);
  CHECK_EQ(port.configure(1, 0, UINT32_MAX).message,
           std::string("more counters than max_rules (nb_counters)"));
  CHECK_EQ(port.configure(1, 0, 1, 65537).message,
           std::string("a flow queue holds at most 65536 operations (size)"));
  rte_flow_port_attr meters = {};
  meters.nb_meters = 1;
  const rte_flow_queue_attr attr = {}, *attrs[] = {&attr};
  CHECK_EQ(rte_flow_configure(port.id, &meters, 1, attrs, &port.error), -ENOTSUP);
}

TEST(a_postponed_rule_matches_from_its_push_on_and_its_result_is_pulled_once) {
  Port port;
  Table table(port, 16);
  rte_flow* flow = table.add(1, mark(11), true);
  CHECK(flow != nullptr);
  CHECK_EQ(port.receive(1), 1);
  CHECK_EQ(port.pull().size(), 0u);
  port.push();
  CHECK_EQ(port.receive(1), 0);
  CHECK_EQ(port.receive(2), 1);
  const auto results = port.pull();
  CHECK_EQ(results.size(), 1u);
  CHECK(results[0].status == RTE_FLOW_OP_SUCCESS);
  CHECK(results[0].user_data == mark(11));
  CHECK_EQ(port.pull().size(), 0u);
  CHECK_EQ(table.remove(flow, mark(12)), 0);
  CHECK_EQ(port.receive(1), 1);
  CHECK(port.pull()[0].user_data == mark(12));
  CHECK_EQ(table.destroy().code, 0);
}

TEST(a_full_queue_says_try_again_and_takes_more_after_a_pull) {
  Port port;
  Table table(port, 64);
  for (uint32_t i = 0; i < kQueueSize; ++i) CHECK(table.add(i, mark(i), true) != nullptr);
  CHECK(table.add(99, nullptr, true) == nullptr);
  CHECK_EQ(rte_errno, EAGAIN);
  CHECK_EQ(table.remove(nullptr, nullptr, true), -EAGAIN);
  CHECK(table.add(99, nullptr, true, 1) != nullptr);  // the other queue has room
  port.push();
  CHECK(table.add(99) == nullptr);  // done, but not pulled
  const auto first = port.pull(0, 3);
  CHECK_EQ(first.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) CHECK(first[i].user_data == mark(i));
  CHECK(table.add(98) != nullptr);
  CHECK_EQ(port.pull().size(), kQueueSize - 2u);
}

TEST(a_failed_creation_is_told_by_the_pull_and_holds_its_place_until_it_is_destroyed) {
  Port port;
  Table table(port, 2);
  rte_flow* first = table.add(1);
  rte_flow* twice = table.add(1, mark(7));
  CHECK(first != nullptr && twice != nullptr);
  const auto results = port.pull();
  CHECK(results[0].status == RTE_FLOW_OP_SUCCESS);
  CHECK(results[1].status == RTE_FLOW_OP_ERROR);
  CHECK(results[1].user_data == mark(7));
  CHECK(table.add(2) == nullptr);
  CHECK_EQ(rte_errno, ENOSPC);
  CHECK_EQ(std::string(port.error.message), std::string("the template table is full (nb_flows)"));
  CHECK_EQ(table.remove(first), 0);
  CHECK_EQ(table.destroy().code, -EBUSY);
  CHECK_EQ(table.remove(twice), 0);
  CHECK_EQ(port.pull().size(), 2u);
  CHECK_EQ(table.destroy().code, 0);
  CHECK_EQ(port.xstat("rules"), 0u);
}

TEST(what_is_in_use_refuses_to_go) {
  Port port;
  Table table(port, 2);
  rte_flow* flow = table.add(1);
  const Said busy = table.destroy();
  CHECK_EQ(busy.code, -EBUSY);
  CHECK_EQ(busy.message, std::string("the template table has rules: destroy them first, failed ones too"));
  CHECK_EQ(rte_flow_pattern_template_destroy(port.id, table.pattern, &port.error), -EBUSY);
  CHECK_EQ(rte_flow_actions_template_destroy(port.id, table.actions, &port.error), -EBUSY);
  table.remove(flow);
  CHECK_EQ(table.destroy().code, 0);
  CHECK_EQ(table.destroy().code, -ENOENT);
  CHECK_EQ(rte_flow_pattern_template_destroy(port.id, table.pattern, &port.error), 0);
  CHECK_EQ(rte_flow_actions_template_destroy(port.id, table.actions, &port.error), 0);
}

TEST(a_rule_is_not_destroyed_twice_nor_before_it_was_pushed) {
  Port port;
  Table table(port, 4);
  rte_flow* flow = table.add(1, nullptr, true);
  CHECK_EQ(rte_flow_destroy(port.id, flow, &port.error), -EBUSY);
  table.remove(flow, nullptr, true);
  table.remove(flow, nullptr, true);
  port.push();
  const auto results = port.pull();
  CHECK_EQ(results.size(), 3u);
  CHECK(results[0].status == RTE_FLOW_OP_SUCCESS);
  CHECK(results[1].status == RTE_FLOW_OP_SUCCESS);
  CHECK(results[2].status == RTE_FLOW_OP_ERROR);
  CHECK_EQ(port.xstat("rules"), 0u);
}

TEST(what_a_rule_brings_wrongly_is_refused_by_name_when_it_is_asked_for) {
  Port port;
  Table table(port, 4);
  CHECK(table.add(1, nullptr, false, 0, 0) == nullptr);
  CHECK_EQ(std::string(port.error.message), std::string("AGE: the timeout must not be zero"));
  CHECK(port.error.type == RTE_FLOW_ERROR_TYPE_ACTION_CONF);
  CHECK(table.add(1, nullptr, false, 9) == nullptr);
  CHECK_EQ(std::string(port.error.message), std::string("the port has no such flow queue"));
  CHECK_EQ(port.xstat("rules"), 0u);
}

TEST(operations_of_one_push_are_done_in_their_order) {
  Port port;
  Table table(port, 8);
  rte_flow* old = table.add(1, nullptr, true);
  port.push();
  port.pull();
  CHECK_EQ(table.remove(old, nullptr, true), 0);
  rte_flow* next = table.add(1, nullptr, true);
  rte_flow* twice = table.add(1, nullptr, true);
  rte_flow* other = table.add(2, nullptr, true);
  CHECK_EQ(table.remove(other, nullptr, true), 0);
  rte_flow* again = table.add(2, nullptr, true);
  CHECK(next != nullptr && twice != nullptr && again != nullptr);
  port.push();
  const auto results = port.pull();
  CHECK_EQ(results.size(), 6u);
  for (size_t i = 0; i < results.size(); ++i)
    CHECK(results[i].status == (i == 2 ? RTE_FLOW_OP_ERROR : RTE_FLOW_OP_SUCCESS));
  CHECK_EQ(port.receive(1), 0);
  CHECK_EQ(port.receive(2), 0);
  for (rte_flow* flow : {next, twice, again}) CHECK_EQ(table.remove(flow), 0);
  port.pull();
  CHECK_EQ(port.receive(1), 1);
  CHECK_EQ(port.xstat("rules"), 0u);
}

TEST(a_templates_rule_is_refused_for_a_port_that_is_not_there_before_its_types_are_looked_at) {
  Port port;
  const rte_flow_item_ethdev all = port_spec(UINT16_MAX), here = port_spec(port.id), nowhere = port_spec(77);
  const auto list_of = [](const rte_flow_item_ethdev* spec, const rte_flow_item_ethdev* mask,
                          bool has_eth = true) {
    return std::vector<rte_flow_item>{
        {RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, spec, nullptr, mask},
        {has_eth ? RTE_FLOW_ITEM_TYPE_ETH : RTE_FLOW_ITEM_TYPE_IPV4, nullptr, nullptr, nullptr},
        {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}};
  };
  const auto actions_of = [](const rte_flow_item_ethdev* to, bool counts = true) {
    return std::vector<rte_flow_action>{
        {counts ? RTE_FLOW_ACTION_TYPE_COUNT : RTE_FLOW_ACTION_TYPE_DROP, nullptr},
        {RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, to},
        {RTE_FLOW_ACTION_TYPE_END, nullptr}};
  };
  rte_flow_pattern_template_attr pattern_attr = {};
  pattern_attr.transfer = 1;
  rte_flow_pattern_template* pattern =
      rte_flow_pattern_template_create(port.id, &pattern_attr, list_of(nullptr, &all).data(), &port.error);
  rte_flow_actions_template_attr actions_attr = {};
  actions_attr.transfer = 1;
  rte_flow_actions_template* actions = rte_flow_actions_template_create(
      port.id, &actions_attr, actions_of(nullptr).data(), actions_of(nullptr).data(), &port.error);
  rte_flow_template_table_attr attr = {};
  attr.flow_attr.transfer = 1;
  attr.nb_flows = 8;
  rte_flow_template_table* table =
      rte_flow_template_table_create(port.id, &attr, &pattern, 1, &actions, 1, &port.error);
  CHECK(table != nullptr);
  const auto refusal = [&](const std::vector<rte_flow_item>& items, const std::vector<rte_flow_action>& list,
                           rte_flow_error_type type, const void* cause) -> std::string {
    rte_flow_error error = {};
    if (rte_flow_async_create(port.id, 0, nullptr, table, items.data(), 0, list.data(), 0, nullptr, &error))
      return "none";
    CHECK_EQ(error.type, type);
    CHECK(error.cause == cause);
    return error.message;
  };
  const std::string no_port = "REPRESENTED_PORT: the ethdev is not a port of this switch";
  auto items = list_of(&nowhere, nullptr);
  auto list = actions_of(&here);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, &items[0]), no_port);
  items = list_of(&nowhere, nullptr, false);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, &items[0]), no_port);
  items = list_of(&here, nullptr, false);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_ITEM, &items[1]),
           std::string("item differs from the template's"));
  items = list_of(&here, nullptr);
  list = actions_of(&nowhere);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &list[1]), no_port);
  list = actions_of(&nowhere, false);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &list[1]), no_port);
  list = actions_of(&here, false);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_ACTION, &list[0]),
           std::string("action differs from the template's"));
  list = actions_of(nullptr);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_ACTION_CONF, &list[1]),
           std::string("REPRESENTED_PORT: needs a configuration"));
  CHECK_EQ(port.xstat("rules"), 0u);
  list = actions_of(&here);
  CHECK_EQ(refusal(items, list, RTE_FLOW_ERROR_TYPE_NONE, nullptr), std::string("none"));
  CHECK_EQ(port.xstat("rules"), 1u);
}

TEST(counters_and_aging_objects_end_where_rte_flow_configure_said) {
  for (const bool counters : {true, false}) {
    Port port("", 0);
    rte_eth_dev_stop(port.id);
    CHECK_EQ(port.configure(1, 0, counters ? 2 : 100, kQueueSize, counters ? 100 : 2).code, 0);
    rte_eth_dev_start(port.id);
    Table table(port, 16);
    CHECK(table.add(1) != nullptr);
    rte_flow* second = table.add(2);
    CHECK(table.add(3) == nullptr);
    CHECK_EQ(rte_errno, ENOSPC);
    CHECK_EQ(std::string(port.error.message).substr(0, 8), std::string(counters ? "COUNT: a" : "AGE: all"));
    table.remove(second);
    CHECK(table.add(3) != nullptr);
  }
}

TEST(every_third_creation_fails_when_it_was_asked_to) {
  Port port(",fail_every=3");
  Table table(port, 32);
  rte_flow* flows[6];
  for (uint32_t i = 0; i < 6; ++i) flows[i] = table.add(i);
  const auto results = port.pull();
  for (uint32_t i = 0; i < 6; ++i) {
    CHECK(results[i].status == (i % 3 == 2 ? RTE_FLOW_OP_ERROR : RTE_FLOW_OP_SUCCESS));
    CHECK_EQ(port.receive(static_cast<uint8_t>(i)), i % 3 == 2 ? 1 : 0);
  }
  for (rte_flow* flow : flows) CHECK_EQ(table.remove(flow), 0);
  CHECK_EQ(port.xstat("rules"), 0u);
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_DROP);
  for (uint32_t i = 0; i < 3; ++i) {
    rule.attr.priority = i;
    rte_flow* flow = rte_flow_create(port.id, &rule.attr, rule.items(), rule.actions(), &port.error);
    CHECK_EQ(flow == nullptr, i == 2);
    if (flow == nullptr) CHECK_EQ(rte_errno, ENOSPC);
  }
}

TEST(a_slow_device_shows_its_results_late) {
  Port port(",insert_latency=20000");
  Table table(port, 32);
  rte_flow* flow = table.add(1);
  CHECK_EQ(port.pull().size(), 0u);
  CHECK_EQ(port.receive(1), 0);  // the rule is there before its result is
  rte_delay_ms(25);
  CHECK_EQ(port.pull().size(), 1u);
  CHECK_EQ(table.remove(flow), 0);
  CHECK_EQ(port.pull().size(), 1u);  // only creations are slow
  Rule rule;
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).action(RTE_FLOW_ACTION_TYPE_DROP);
  const uint64_t begin = rte_get_tsc_cycles();
  CHECK(rte_flow_create(port.id, &rule.attr, rule.items(), rule.actions(), &port.error) != nullptr);
  CHECK((rte_get_tsc_cycles() - begin) * 1000 / rte_get_tsc_hz() >= 20);
}

TEST(rules_outlive_a_stop_and_end_with_a_flush_a_new_configuration_or_the_port) {
  Port port, other;
  Table table(port, 32);
  table.add(1);
  table.add(1);  // fails
  table.add(2, nullptr, true);
  port.pull();
  rte_eth_dev_stop(port.id);
  CHECK_EQ(port.configure(1).code, -EBUSY);  // one operation is not even pushed
  CHECK_EQ(rte_eth_dev_start(port.id), 0);
  CHECK_EQ(port.receive(1), 0);
  CHECK_EQ(port.receive(2), 1);
  CHECK_EQ(rte_flow_flush(port.id, &port.error), 0);
  CHECK_EQ(port.xstat("rules"), 0u);
  CHECK_EQ(port.pull().size(), 1u);
  CHECK_EQ(port.receive(1), 1);
  table.add(3);
  port.pull();
  rte_eth_dev_stop(port.id);
  CHECK_EQ(port.configure(1).code, 0);
  rte_eth_dev_start(port.id);
  CHECK_EQ(port.xstat("rules"), 0u);
  CHECK_EQ(port.receive(3), 1);
  CHECK_EQ(table.destroy().code, -ENOENT);
  Table again(port, 32);
  again.add(4);
  again.add(5, nullptr, true);
  port.close();
  // Transfer rules are the switch's: those of the closed port must be gone there too.
  CHECK_EQ(other.receive(4), 1);
  CHECK_EQ(other.receive(5), 1);
}

// Bytes of the heap in use; pages mapped, and resident.
struct Memory {
  size_t heap, mapped, resident;

  static Memory now() {
    const struct mallinfo2 heap = mallinfo2();
    size_t pages = 0, resident = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%zu %zu", &pages, &resident) != 2) std::abort();
    std::fclose(file);
    return {heap.uordblks + heap.hblkhd, pages, resident};
  }
};

TEST(a_table_has_the_memory_of_all_its_rules_before_they_come) {
  constexpr size_t kRules = 8'000'000, kLeastRowBytes = 48;
  Port port;
  const size_t before = Memory::now().resident;
  Table table(port, kRules);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t sixteenth = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) / 16;
  const size_t wanted = before + std::min(kRules * kLeastRowBytes / page, sixteenth);
  for (int waits = 0; waits < 6000 && Memory::now().resident < wanted; ++waits) rte_delay_us_sleep(10'000);
  CHECK(Memory::now().resident >= wanted);
}

TEST(a_million_rules_created_and_destroyed_leave_no_memory_behind) {
  constexpr uint32_t kRounds = 24, kRules = 50'000, kSettled = 4;
  // A thread that clears pages would begin a heap of its own whenever it met another in malloc().
#ifndef __SANITIZE_ADDRESS__  // whose malloc() has none
  CHECK_EQ(mallopt(M_ARENA_MAX, 1), 1);
#endif
  Port port;
  Table table(port, 64);
  Memory before = {};
  const auto create = [&](uint32_t i) {
    const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0);
    Rule rule;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(0x0a000000u + i, 0), &mask);
    rule.action(RTE_FLOW_ACTION_TYPE_COUNT);
    // Encapsulations are held in common, and counted.
    if (i % 4 == 0) add_vxlan_encap(rule, i % 1000, i % 50);
    rule.action(RTE_FLOW_ACTION_TYPE_DROP);
    return rte_flow_create(port.id, &rule.attr, rule.items(), rule.actions(), &port.error);
  };
  // Their tables do not go, which would give back the rows of all.
  for (uint32_t i = 0; i < 2; ++i) CHECK(create(kRules + i) != nullptr);
  std::vector<rte_flow*> flows;
  flows.reserve(kRules);
  for (uint32_t round = 0; round < kRounds; ++round) {
    for (uint32_t i = 0; i < kRules; ++i) {
      flows.push_back(create(i));
      CHECK(flows.back() != nullptr);
    }
    for (rte_flow* flow : flows) CHECK_EQ(rte_flow_destroy(port.id, flow, &port.error), 0);
    flows.clear();
    for (uint32_t i = 0; i < kRules / 10; ++i) {
      rte_flow* flow = table.add(i);
      CHECK(flow != nullptr);
      port.pull();
      CHECK_EQ(table.remove(flow, nullptr), 0);
      port.pull();
    }
    if (round + 1 == kSettled) before = Memory::now();
  }
  const Memory after = Memory::now();
  // Less than a byte for sixteen rules: malloc() keeps some freed blocks for each thread, and calls them
  // used.
  CHECK(after.heap < before.heap + kRounds * kRules / 16);
  CHECK(after.mapped < before.mapped + 1024);  // 4 MB, a few bytes a rule: the heap's end moves
}

}  // namespace
}  // namespace sluice::test
