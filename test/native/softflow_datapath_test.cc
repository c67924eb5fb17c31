// net_softflow while packets arrive: several threads, several ports, what a received packet carries.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <thread>

#include "softflow_pmd/rte_pmd_softflow.h"
#include "softflow_port.h"

namespace sluice::test {
namespace {

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

// EAL has bound the main thread to its lcore's core, and a new thread inherits that.
void leave_core() {
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int cpu = 1; cpu < CPU_SETSIZE; ++cpu) CPU_SET(cpu, &all);
  pthread_setaffinity_np(pthread_self(), sizeof all, &all);  // refused with a single core
}

// Counting without atomic operations is for one thread; the second one to poll changes it for both, for good:
// this test is the first, before any other has a second thread poll.
TEST(two_threads_that_poll_lose_no_packet_of_a_counter) {
  Port one, other;
  one.take_pool_of_its_own();
  other.take_pool_of_its_own();
  rte_flow* flow = drop_from(one, 1);
  // Where the threads take turns on a core nothing can be lost: so many rounds in which the other got on too.
  constexpr int kTogether = 2000, kMostRounds = 50'000, kBurst = 16;
  std::atomic<int> ready{0}, rounds[2] = {0, 0};
  const auto poll = [&](Port& port, int self) {
    ++ready;
    while (ready.load() != 2) std::this_thread::yield();
    for (int together = 0, last = 0; together < kTogether && rounds[self] < kMostRounds; ++rounds[self]) {
      port.receive(1, kBurst);
      if (const int now = rounds[1 - self]; now != last) {
        last = now;
        ++together;
      }
    }
  };
  std::thread thread([&] {
    leave_core();
    poll(other, 1);
  });
  poll(one, 0);
  thread.join();
  rte_flow_query_count count = {};
  const rte_flow_action query[] = {{RTE_FLOW_ACTION_TYPE_COUNT, nullptr},
                                   {RTE_FLOW_ACTION_TYPE_END, nullptr}};
  CHECK_EQ(rte_flow_query(one.id, flow, query, &count, &one.error), 0);
  CHECK_EQ(count.hits, (static_cast<uint64_t>(rounds[0]) + static_cast<uint64_t>(rounds[1])) * kBurst);
}

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
  std::thread first([&] {
    leave_core();
    insert(0);
  }),
      second([&] {
        leave_core();
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

// The places of ports and queues in a rule are remembered, what stands there is not.
TEST(ports_and_queues_that_are_not_there_are_refused_whatever_was_created_before) {
  Port port;
  for (const bool to_queue : {false, true}) {
    const uint16_t there = to_queue ? 0 : port.id;
    Rule rule;
    rule.attr.transfer = !to_queue;
    rule.attr.ingress = to_queue;
    const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0);
    if (!to_queue) rule.item(RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, port_spec(port.id));
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(0x0a000001u, 0), &mask);
    rule.action(RTE_FLOW_ACTION_TYPE_COUNT);
    if (to_queue) {
      rule.action(RTE_FLOW_ACTION_TYPE_QUEUE, rte_flow_action_queue{there});
    } else {
      rule.action(RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, port_spec(there));
    }
    std::vector<uint16_t*> targets = {
        static_cast<uint16_t*>(const_cast<void*>(rule.actions()[rule.action_count() - 1].conf))};
    if (!to_queue) targets.push_back(static_cast<uint16_t*>(const_cast<void*>(rule.item_at(0).spec)));
    const auto create = [&] {
      return rte_flow_create(port.id, &rule.attr, rule.items(), rule.actions(), &port.error);
    };
    for (int round = 0; round < 40; ++round) {
      rte_flow* flow = create();
      CHECK(flow != nullptr);
      CHECK_EQ(rte_flow_destroy(port.id, flow, &port.error), 0);
      for (uint16_t* target : targets) {
        *target = RTE_MAX_ETHPORTS - 1;
        port.error = {};
        CHECK(create() == nullptr);
        CHECK(port.error.message != nullptr);
        *target = there;
      }
    }
  }
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
  CHECK_EQ(port.receive(1, 1, RTE_MBUF_F_RX_FDIR_ID | RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_L4_CKSUM_BAD),
           1);
  CHECK_EQ(port.last_flags, uint64_t{0});
}

int note_event(uint16_t, rte_eth_event_type, void* count, void*) {
  ++*static_cast<int*>(count);
  return 0;
}

TEST(a_port_that_wants_a_reset_does_nothing_until_it_has_had_it_and_then_has_no_rules) {
  Port port;
  drop_from(port, 1);
  CHECK_EQ(port.receive(1), 0);
  CHECK_EQ(port.receive(2), 1);
  int told = 0;
  CHECK_EQ(rte_eth_dev_callback_register(port.id, RTE_ETH_EVENT_INTR_RESET, note_event, &told), 0);
  CHECK_EQ(rte_pmd_softflow_want_reset(port.id), 0);
  CHECK_EQ(told, 1);
  CHECK_EQ(port.receive(2), 0);
  rte_mbuf* frame = rte_pktmbuf_alloc(environment().pool);
  rte_pktmbuf_append(frame, 60);
  CHECK_EQ(rte_eth_tx_burst(port.id, 0, &frame, 1), 0);
  rte_pktmbuf_free(frame);
  CHECK_EQ(rte_eth_dev_reset(port.id), 0);
  rte_eth_conf conf = {};
  CHECK_EQ(rte_eth_dev_configure(port.id, 1, 1, &conf), 0);
  CHECK_EQ(rte_eth_rx_queue_setup(port.id, 0, 64, SOCKET_ID_ANY, nullptr, environment().pool), 0);
  CHECK_EQ(rte_eth_tx_queue_setup(port.id, 0, 64, SOCKET_ID_ANY, nullptr), 0);
  CHECK_EQ(port.configure(2).code, 0);  // flow queues went too
  CHECK_EQ(rte_eth_dev_start(port.id), 0);
  rte_mbuf* waited[4];  // on the wire meanwhile
  for (uint16_t i = rte_eth_rx_burst(port.id, 0, waited, 4); i > 0; --i) rte_pktmbuf_free(waited[i - 1]);
  CHECK_EQ(port.receive(1), 1);
  rte_eth_dev_callback_unregister(port.id, RTE_ETH_EVENT_INTR_RESET, note_event, &told);
  CHECK_EQ(rte_pmd_softflow_want_reset(RTE_MAX_ETHPORTS - 1), -ENODEV);
}

// Rules of a large table are put into its index some rules later (insert_unlinked): whoever polls has to find those
// that stand in none yet.
TEST(a_rule_is_met_as_soon_as_it_has_been_created_though_another_thread_polls) {
  Port port;
  port.take_pool_of_its_own();
  // Its filter is on from the 16,385th on.
  constexpr uint32_t kRules = 40'000, kFiltered = 16'384, kLooks = 20'000, kLately = 12, kBegin = 15'000;
  std::atomic<uint32_t> created{0}, looks{0};
  std::thread creator([&] {
    leave_core();
    const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0);
    rte_flow_error error = {};
    for (uint32_t i = 0; i < kRules; ++i) {
      Rule rule;
      rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(0x0a000000u + i, 0), &mask);
      rule.action(RTE_FLOW_ACTION_TYPE_DROP);
      CHECK(rte_flow_create(port.id, &rule.attr, rule.items(), rule.actions(), &error) != nullptr);
      created.store(i + 1, std::memory_order_release);
      // Neither gets far ahead of the other, though they may take turns on a core.
      const uint32_t due = i < kFiltered ? 0 : (i - kFiltered) / 2;
      while (looks.load(std::memory_order_relaxed) < due) std::this_thread::yield();
    }
  });
  uint32_t met = 0, behind_filter = 0, unmade = 0;
  for (uint32_t look = 0; look < kLooks;) {
    const uint32_t count = created.load(std::memory_order_acquire);
    if (count < kBegin || look > count - kBegin) {
      std::this_thread::yield();
      continue;
    }
    // One of the last: those whose places in the index come later.
    met += port.receive(count - 1 - look % kLately) == 0;
    behind_filter += count > kFiltered;
    // What no rule is of goes to the application: packets do arrive.
    if (look % 64 == 0) unmade += port.receive(kRules + look) == 1;
    looks.store(++look, std::memory_order_relaxed);
  }
  creator.join();
  CHECK_EQ(met, kLooks);
  CHECK_EQ(unmade, (kLooks + 63) / 64);
  CHECK(behind_filter > kLooks / 2);
}

}  // namespace
}  // namespace sluice::test
