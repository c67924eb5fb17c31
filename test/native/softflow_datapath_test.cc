// net_softflow while packets arrive: several threads, several ports, what a received packet carries.
#include <atomic>
#include <thread>

#include "softflow_port.h"

namespace sluice::test {
namespace {

TEST(two_threads_insert_through_two_queues_while_packets_arrive) {
  Port port("", 2, 0, 100000);
  constexpr uint32_t kEach = 20000;
  Table table(port, 2 * kEach);
  std::atomic<bool> done{false};
  uint32_t good[2] = {};
  const auto insert = [&](uint32_t queue) {
    rte_flow_op_result results[kQueueSize];
    uint32_t pulled = 0;
    for (uint32_t i = 0; pulled < kEach;) {
      if (i < kEach && table.add(0x10000 + 2 * i + queue, nullptr, true, queue) != nullptr) {
        ++i;
        continue;
      }
      rte_flow_error error;
      rte_flow_push(port.id, queue, &error);
      const int count = rte_flow_pull(port.id, queue, results, kQueueSize, &error);
      for (int at = 0; at < count; ++at) good[queue] += results[at].status == RTE_FLOW_OP_SUCCESS;
      pulled += static_cast<uint32_t>(count);
    }
  };
  std::thread first(insert, 0), second([&] {
    insert(1);
    done = true;
  });
  while (!done) CHECK_EQ(port.receive(1, 8), 8);
  first.join();
  second.join();
  CHECK_EQ(good[0], kEach);
  CHECK_EQ(good[1], kEach);
  CHECK_EQ(port.xstat("rules"), 2 * kEach);
  rte_flow_flush(port.id, &port.error);
  CHECK_EQ(port.xstat("rules"), 0u);
}

// A transfer rule that drops what comes from 10.0.0.`host`, and counts it.
rte_flow* drop_from(Port& port, uint8_t host) {
  Rule rule;
  const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0);
  rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(0x0a000000u + host, 0), &mask);
  rule.action(RTE_FLOW_ACTION_TYPE_COUNT).action(RTE_FLOW_ACTION_TYPE_DROP);
  rte_flow* flow = rte_flow_create(port.id, &rule.attr, rule.items(), rule.actions(), &port.error);
  CHECK(flow != nullptr);
  return flow;
}

TEST(a_flush_leaves_the_transfer_rules_of_other_ports) {
  Port one, other;
  drop_from(one, 1);
  drop_from(other, 2);
  CHECK_EQ(one.receive(2), 0);
  CHECK_EQ(rte_flow_flush(one.id, &one.error), 0);
  CHECK_EQ(one.receive(1), 1);
  CHECK_EQ(one.receive(2), 0);
  CHECK_EQ(other.xstat("rules"), 1u);
}

TEST(what_the_wire_said_of_a_packet_is_gone_when_the_application_gets_it) {
  Port port;
  CHECK_EQ(port.receive(1, 1, RTE_MBUF_F_RX_FDIR_ID | RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_L4_CKSUM_BAD), 1);
  CHECK_EQ(port.last_flags, uint64_t{0});
}

// Counting without atomic operations is for one thread; the second one to poll changes it for both.
TEST(two_threads_that_poll_lose_no_packet_of_a_counter) {
  Port one, other;
  rte_flow* flow = drop_from(one, 1);
  constexpr int kRounds = 1000, kBurst = 16;
  std::atomic<int> ready{0};
  const auto poll = [&](Port& port) {
    ++ready;
    while (ready.load() != 2) {
    }
    for (int i = 0; i < kRounds; ++i) port.receive(1, kBurst);
  };
  std::thread thread([&] { poll(other); });
  poll(one);
  thread.join();
  rte_flow_query_count count = {};
  const rte_flow_action query[] = {{RTE_FLOW_ACTION_TYPE_COUNT, nullptr}, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
  CHECK_EQ(rte_flow_query(one.id, flow, query, &count, &one.error), 0);
  CHECK_EQ(count.hits, uint64_t{2} * kRounds * kBurst);
}

}  // namespace
}  // namespace sluice::test
