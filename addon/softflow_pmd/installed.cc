// What rules a port has, for whoever holds them to what it thinks there are.
#include <algorithm>
#include <cerrno>

#include "softflow_pmd/flow_rules.h"
#include "softflow_pmd/rte_pmd_softflow.h"

namespace sluice::softflow {
namespace {

constexpr uint64_t kEnd = UINT64_MAX;
constexpr uint64_t kIngress = uint64_t{1}
                              << 63;  // of a cursor: the port's own rules, after those of the switch

}  // namespace

int list_rules(Device& device, uint64_t* cursor, rte_flow** flows, void** contexts, uint32_t room) {
  if (*cursor == kEnd) return 0;
  const ChangeGuard changes(Domain::get());
  const bool ingress = (*cursor & kIngress) != 0;
  FlowEngine& engine = ingress ? *device.ingress : Domain::get().transfer();
  FlowEngine::AgeCursor at;
  at.table = static_cast<size_t>((*cursor & ~kIngress) >> 32);
  at.row = std::max(static_cast<uint32_t>(*cursor), 1u);
  int count = 0;
  const bool all = engine.visit(&at, room, [&](FlowRule* rule) {
    if (port_of(rule) != device.port_id) return;
    flows[count] = reinterpret_cast<rte_flow*>(rule);
    contexts[count++] = engine.ages(rule) ? engine.age_context(rule) : nullptr;
  });
  if (!all) {
    *cursor = (ingress ? kIngress : 0) | uint64_t{at.table} << 32 | at.row;
  } else {
    *cursor = ingress ? kEnd : kIngress;
  }
  return count;
}

}  // namespace sluice::softflow

extern "C" __attribute__((visibility("default"))) int rte_pmd_softflow_rules(uint16_t port_id,
                                                                             uint64_t* cursor,
                                                                             rte_flow** flows,
                                                                             void** contexts, uint32_t room) {
  sluice::softflow::Device* device = sluice::softflow::Domain::get().device(port_id);
  if (device == nullptr) return -ENODEV;
  return sluice::softflow::list_rules(*device, cursor, flows, contexts, room);
}
