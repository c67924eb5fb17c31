// A softflow port in an application of the tests' own: wires are net_ring devices, so that packets and what becomes
// of them are in the test's hand.
#pragma once

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_flow.h>

#include <cstring>

#include "packet/wire.h"
#include "support.h"

namespace sluice::test {

inline constexpr uint32_t kQueueSize = 8;
inline constexpr uint32_t kCounters = 1000;

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
inline Environment& environment() {
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

  // Not to wait for another thread at the pool, which takes turns rather than share.
  void take_pool_of_its_own() {
    pool_ = rte_pktmbuf_pool_create((name_ + "_pool").c_str(), 255, 0, 0, 2176, SOCKET_ID_ANY);
    if (pool_ == nullptr) std::abort();
  }
  // How many of `count` UDP packets from 10.0.0.0 + `host` reach the application.
  // `flags` is what the wire's driver says of them; last_flags is what the application is told.
  uint16_t receive(uint32_t host, uint16_t count = 1, uint64_t flags = 0) {
    Ipv4 header;
    header.source = 0x0a000000u + host;
    const Bytes frame = ethernet(kEtherTypeIpv4, ipv4(header, udp(1, 2, {1, 2, 3})));
    rte_mbuf* out[32];
    for (uint16_t i = 0; i < count; ++i) {
      rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
      std::memcpy(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
      mbuf->ol_flags = flags;
      rte_ring_enqueue(ring_, mbuf);
    }
    const uint16_t received = rte_eth_rx_burst(id, 0, out, 32);
    if (received != 0) last_flags = out[received - 1]->ol_flags;
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
  uint64_t last_flags = 0;
  rte_flow_error error = {};

 private:
  rte_mempool* pool_ = environment().pool;
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

inline void* mark(uintptr_t value) { return reinterpret_cast<void*>(value); }

}  // namespace sluice::test
