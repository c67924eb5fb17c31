// The virtual device driver "net_donothing": every rte_flow call, of the template API too, succeeds and does nothing.
// What calls into it cost is the client's own cost, and the ceiling of its insertion rate.
#include <rte_flow_driver.h>
#include <rte_version.h>

#include "bench/virtual_device.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kQueues = 16;
constexpr uint32_t kQueueSlots = 4096;

// One handle serves all: nobody looks inside.
char handle;
template <typename T>
T* any() {
  return reinterpret_cast<T*>(&handle);
}

int validate(rte_eth_dev*, const rte_flow_attr*, const rte_flow_item[], const rte_flow_action[], rte_flow_error*) {
  return 0;
}
rte_flow* create(rte_eth_dev*, const rte_flow_attr*, const rte_flow_item[], const rte_flow_action[], rte_flow_error*) {
  return any<rte_flow>();
}
int destroy(rte_eth_dev*, rte_flow*, rte_flow_error*) { return 0; }
int flush(rte_eth_dev*, rte_flow_error*) { return 0; }

#if RTE_VERSION < RTE_VERSION_NUM(24, 3, 0, 0)  // moved to rte_flow_fp_ops there
// Completions: user data in order, as the queue's caller pulls them.
struct Queue {
  void* pending[kQueueSlots];
  uint32_t added = 0, pushed = 0, pulled = 0;
};
Queue queues[kQueues];

int info_get(rte_eth_dev*, rte_flow_port_info* port, rte_flow_queue_info* queue, rte_flow_error*) {
  *port = {};
  port->max_nb_queues = kQueues;
  port->max_nb_counters = port->max_nb_aging_objects = UINT32_MAX;
  *queue = {};
  queue->max_size = kQueueSlots;
  return 0;
}
int configure(rte_eth_dev*, const rte_flow_port_attr*, uint16_t, const rte_flow_queue_attr*[], rte_flow_error*) {
  return 0;
}
rte_flow_pattern_template* pattern_template_create(rte_eth_dev*, const rte_flow_pattern_template_attr*,
                                                   const rte_flow_item[], rte_flow_error*) {
  return any<rte_flow_pattern_template>();
}
int pattern_template_destroy(rte_eth_dev*, rte_flow_pattern_template*, rte_flow_error*) { return 0; }
rte_flow_actions_template* actions_template_create(rte_eth_dev*, const rte_flow_actions_template_attr*,
                                                   const rte_flow_action[], const rte_flow_action[], rte_flow_error*) {
  return any<rte_flow_actions_template>();
}
int actions_template_destroy(rte_eth_dev*, rte_flow_actions_template*, rte_flow_error*) { return 0; }
rte_flow_template_table* template_table_create(rte_eth_dev*, const rte_flow_template_table_attr*,
                                               rte_flow_pattern_template*[], uint8_t, rte_flow_actions_template*[],
                                               uint8_t, rte_flow_error*) {
  return any<rte_flow_template_table>();
}
int template_table_destroy(rte_eth_dev*, rte_flow_template_table*, rte_flow_error*) { return 0; }

bool enqueue(uint32_t id, bool postpone, void* user_data) {
  Queue& queue = queues[id % kQueues];
  if (queue.added - queue.pulled == kQueueSlots) return false;
  queue.pending[queue.added++ % kQueueSlots] = user_data;
  if (!postpone) queue.pushed = queue.added;
  return true;
}
rte_flow* async_create(rte_eth_dev*, uint32_t queue, const rte_flow_op_attr* attr, rte_flow_template_table*,
                       const rte_flow_item[], uint8_t, const rte_flow_action[], uint8_t, void* user_data, rte_flow_error*) {
  return enqueue(queue, attr->postpone, user_data) ? any<rte_flow>() : nullptr;
}
int async_destroy(rte_eth_dev*, uint32_t queue, const rte_flow_op_attr* attr, rte_flow*, void* user_data,
                  rte_flow_error*) {
  return enqueue(queue, attr->postpone, user_data) ? 0 : -EAGAIN;
}
int push(rte_eth_dev*, uint32_t id, rte_flow_error*) {
  Queue& queue = queues[id % kQueues];
  queue.pushed = queue.added;
  return 0;
}
int pull(rte_eth_dev*, uint32_t id, rte_flow_op_result results[], uint16_t room, rte_flow_error*) {
  Queue& queue = queues[id % kQueues];
  uint16_t count = 0;
  for (; count < room && queue.pulled != queue.pushed; count++) {
    results[count].status = RTE_FLOW_OP_SUCCESS;
    results[count].user_data = queue.pending[queue.pulled++ % kQueueSlots];
  }
  return count;
}
#endif

rte_flow_ops make_flow_operations() {
  rte_flow_ops ops = {};
  ops.validate = validate;
  ops.create = create;
  ops.destroy = destroy;
  ops.flush = flush;
#if RTE_VERSION < RTE_VERSION_NUM(24, 3, 0, 0)
  ops.info_get = info_get;
  ops.configure = configure;
  ops.pattern_template_create = pattern_template_create;
  ops.pattern_template_destroy = pattern_template_destroy;
  ops.actions_template_create = actions_template_create;
  ops.actions_template_destroy = actions_template_destroy;
  ops.template_table_create = template_table_create;
  ops.template_table_destroy = template_table_destroy;
  ops.async_create = async_create;
  ops.async_destroy = async_destroy;
  ops.push = push;
  ops.pull = pull;
#endif
  return ops;
}

int flow_ops_get(rte_eth_dev*, const rte_flow_ops** ops) {
  static const rte_flow_ops operations = make_flow_operations();
  *ops = &operations;
  return 0;
}

uint16_t receive_burst(void*, rte_mbuf**, uint16_t) { return 0; }
uint16_t transmit_burst(void*, rte_mbuf** frames, uint16_t count) {
  rte_pktmbuf_free_bulk(frames, count);
  return count;
}

eth_dev_ops make_operations() {
  eth_dev_ops ops = device_operations();
  ops.flow_ops_get = flow_ops_get;
  return ops;
}

int probe(rte_vdev_device* vdev) {
  static const eth_dev_ops operations = make_operations();
  auto* device = new VirtualDevice;
  rte_eth_random_addr(device->mac.addr_bytes);
  const int code = add_device(vdev, device, &operations, receive_burst, transmit_burst);
  // As a driver with locks of its own says it; without it ethdev would take one around every call.
  if (code == 0) rte_eth_dev_allocated(rte_vdev_device_name(vdev))->data->dev_flags |= RTE_ETH_DEV_FLOW_OPS_THREAD_SAFE;
  return code;
}

rte_vdev_driver driver = {};

RTE_INIT(register_donothing) {
  driver.probe = probe;
  driver.remove = remove_device;
  driver.driver.name = "net_donothing";
  rte_vdev_register(&driver);
}

}  // namespace
}  // namespace sluice::bench

RTE_PMD_EXPORT_NAME(net_donothing, __COUNTER__);
