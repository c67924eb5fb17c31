// net_softflow under an application that uses rte_flow's templates, flow queues and indirect actions. Wires
// are net_ring devices, so that packets and what becomes of them are in the test's hand; the clock of AGE as
// well.
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_flow.h>

#include <cstring>
#include <thread>

#include "packet/wire.h"
#include "softflow_pmd/rte_pmd_softflow.h"
#include "support.h"

namespace sluice::test {
namespace {

constexpr uint32_t kQueueSize = 8;
constexpr uint32_t kCounters = 1000;

struct Environment {
  Environment() {
    static const char* arguments[] = {
        "flow_queue_test", "-l",           "0", "--no-huge", "-m", "64", "--no-pci", "--no-shconf",
        "--no-telemetry",  "--log-level=3"};
    static std::vector<std::string> kept(std::begin(arguments), std::end(arguments));  // EAL keeps pointers
    std::vector<char*> copies;
    for (std::string& argument : kept) copies.push_back(argument.data());
    if (rte_eal_init(static_cast<int>(copies.size()), copies.data()) < 0) std::abort();
    pool = rte_pktmbuf_pool_create("pool", 1023, 0, 0, 2176, SOCKET_ID_ANY);
    if (pool == nullptr) std::abort();
  }
  rte_mempool* pool;
};
Environment& environment() {
  static Environment made;
  return made;
}

struct Said {
  int code = 0;
  rte_flow_error_type type = RTE_FLOW_ERROR_TYPE_NONE;
  std::string message;
};

// A softflow port over a ring, configured for the template interface.
class Port {
 public:
  explicit Port(const std::string& arguments = "", uint16_t queues = 2, uint32_t flags = 0,
                uint32_t counters = kCounters) {
    static int number = 0;
    const std::string index = std::to_string(number++);
    if (environment().pool == nullptr) std::abort();
    ring_ = rte_ring_create(("ring" + index).c_str(), 256, SOCKET_ID_ANY, 0);
    if (ring_ == nullptr) std::abort();
    wire_ = rte_eth_from_rings(("wire" + index).c_str(), &ring_, 1, &ring_, 1, 0) < 0
                ? ""
                : "net_ring_wire" + index;
    name_ = "net_softflow" + index;
    const std::string text = "wire=" + wire_ + arguments;
    if (rte_eal_hotplug_add("vdev", name_.c_str(), text.c_str()) != 0 ||
        rte_eth_dev_get_port_by_name(name_.c_str(), &id) != 0) {
      std::fprintf(stderr, "%s could not be probed\n", text.c_str());
      std::abort();
    }
    rte_eth_conf conf = {};
    rte_eth_dev_configure(id, 1, 1, &conf);
    rte_eth_rx_queue_setup(id, 0, 64, SOCKET_ID_ANY, nullptr, environment().pool);
    rte_eth_tx_queue_setup(id, 0, 64, SOCKET_ID_ANY, nullptr);
    if (queues != 0) CHECK_EQ(configure(queues, flags, counters, kQueueSize, counters).code, 0);
    CHECK_EQ(rte_eth_dev_start(id), 0);
  }
  ~Port() {
    if (id != RTE_MAX_ETHPORTS) close();
  }
  void close() {
    rte_eth_dev_stop(id);
    rte_eth_dev_close(id);
    rte_eal_hotplug_remove("vdev", name_.c_str());
    id = RTE_MAX_ETHPORTS;
  }

  Said configure(uint16_t queues, uint32_t flags = 0, uint32_t counters = kCounters,
                 uint32_t size = kQueueSize, uint32_t ages = kCounters) {
    rte_flow_port_attr attr = {};
    attr.nb_counters = counters;
    attr.nb_aging_objects = ages;
    attr.flags = flags;
    rte_flow_queue_attr queue = {};
    queue.size = size;
    std::vector<const rte_flow_queue_attr*> all(queues, &queue);
    return said(rte_flow_configure(id, &attr, queues, all.data(), &error));
  }
  Said said(int code) {
    Said answer;
    answer.code = code;
    if (code != 0) {
      answer.type = error.type;
      answer.message = error.message == nullptr ? "" : error.message;
    }
    error = {};
    return answer;
  }

  // How many of `count` UDP packets from 10.0.0.`host` reach the application.
  uint16_t receive(uint8_t host, uint16_t count = 1) {
    Ipv4 header;
    header.source = 0x0a000000u + host;
    const Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {1, 2, 3})));
    rte_mbuf* out[32];
    for (uint16_t i = 0; i < count; ++i) {
      rte_mbuf* mbuf = rte_pktmbuf_alloc(environment().pool);
      std::memcpy(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
      rte_ring_enqueue(ring_, mbuf);
    }
    const uint16_t received = rte_eth_rx_burst(id, 0, out, 32);
    for (uint16_t i = 0; i < received; ++i) rte_pktmbuf_free(out[i]);
    return received;
  }
  uint64_t xstat(const char* name) {
    uint64_t number = 0, value = 0;
    CHECK_EQ(rte_eth_xstats_get_id_by_name(id, name, &number), 0);
    CHECK_EQ(rte_eth_xstats_get_by_id(id, &number, &value, 1), 1);
    return value;
  }
  std::vector<rte_flow_op_result> pull(uint32_t queue = 0, uint16_t room = 64) {
    std::vector<rte_flow_op_result> results(room);
    const int count = rte_flow_pull(id, queue, results.data(), room, &error);
    CHECK(count >= 0);
    results.resize(count < 0 ? 0 : static_cast<size_t>(count));
    return results;
  }
  void push(uint32_t queue = 0) { CHECK_EQ(rte_flow_push(id, queue, &error), 0); }

  uint16_t id = RTE_MAX_ETHPORTS;
  rte_flow_error error = {};

 private:
  rte_ring* ring_;
  std::string wire_, name_;
};

// eth / ipv4 src = host / end → count / age / drop, by template.
class Table {
 public:
  Table(Port& port, uint32_t rules, bool transfer = true, bool indirect = false)
      : port_(port), indirect_(indirect) {
    const rte_flow_item_ipv4 mask = ipv4_spec(0xffffffff, 0);
    Rule shape;
    shape.item(RTE_FLOW_ITEM_TYPE_ETH)
        .raw_item(RTE_FLOW_ITEM_TYPE_IPV4, nullptr, &mask, nullptr, sizeof mask);
    rte_flow_pattern_template_attr pattern_attr = {};
    (transfer ? pattern_attr.transfer : pattern_attr.ingress) = 1;
    pattern = rte_flow_pattern_template_create(port.id, &pattern_attr, shape.items(), &port.error);
    CHECK(pattern != nullptr);
    rte_flow_actions_template_attr actions_attr = {};
    (transfer ? actions_attr.transfer : actions_attr.ingress) = 1;
    Rule list, masks;
    list.action(indirect ? RTE_FLOW_ACTION_TYPE_INDIRECT : RTE_FLOW_ACTION_TYPE_COUNT);
    masks.action(RTE_FLOW_ACTION_TYPE_COUNT);
    for (Rule* part : {&list, &masks})
      part->action(RTE_FLOW_ACTION_TYPE_AGE).action(RTE_FLOW_ACTION_TYPE_DROP);
    actions = rte_flow_actions_template_create(port.id, &actions_attr, list.actions(), masks.actions(),
                                               &port.error);
    CHECK(actions != nullptr);
    rte_flow_template_table_attr attr = {};
    (transfer ? attr.flow_attr.transfer : attr.flow_attr.ingress) = 1;
    attr.nb_flows = rules;
    table = rte_flow_template_table_create(port.id, &attr, &pattern, 1, &actions, 1, &port.error);
    if (table == nullptr) fail_check(__FILE__, __LINE__, port.error.message);
  }
  rte_flow* add(uint32_t host, void* user_data = nullptr, bool postpone = false, uint32_t queue = 0,
                uint32_t timeout = 100, void* context = nullptr, rte_flow_action_handle* handle = nullptr) {
    rte_flow_item_ipv4 ip = ipv4_spec(0x0a000000u + host, 0);
    const rte_flow_item items[] = {{RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr},
                                   {RTE_FLOW_ITEM_TYPE_IPV4, &ip, nullptr, nullptr},
                                   {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}};
    rte_flow_action_age age = {};
    age.timeout = timeout & 0xffffff;
    age.context = context;
    const rte_flow_action list[] = {
        {indirect_ ? RTE_FLOW_ACTION_TYPE_INDIRECT : RTE_FLOW_ACTION_TYPE_COUNT, handle},
        {RTE_FLOW_ACTION_TYPE_AGE, &age},
        {RTE_FLOW_ACTION_TYPE_DROP, nullptr},
        {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    rte_flow_op_attr attr = {};
    attr.postpone = postpone;
    rte_flow_error error = {};
    rte_flow* flow =
        rte_flow_async_create(port_.id, queue, &attr, table, items, 0, list, 0, user_data, &error);
    port_.error = error;
    return flow;
  }
  int remove(rte_flow* flow, void* user_data = nullptr, bool postpone = false, uint32_t queue = 0) {
    rte_flow_op_attr attr = {};
    attr.postpone = postpone;
    return rte_flow_async_destroy(port_.id, queue, &attr, flow, user_data, &port_.error);
  }
  Said destroy() { return port_.said(rte_flow_template_table_destroy(port_.id, table, &port_.error)); }

  rte_flow_pattern_template* pattern = nullptr;
  rte_flow_actions_template* actions = nullptr;
  rte_flow_template_table* table = nullptr;

 private:
  Port& port_;
  bool indirect_;
};

void* mark(uintptr_t value) { return reinterpret_cast<void*>(value); }

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

}  // namespace
}  // namespace sluice::test
