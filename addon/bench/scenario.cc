#include "bench/scenario.h"

#include <algorithm>
#include <vector>

#include "flow_engine/memory.h"

namespace sluice::bench {

// Leaked on purpose: lcores may still poll while the process ends.
Traffic& traffic() {
  static auto* all = new Traffic;
  return *all;
}

// The constants are those of bench/fixture.ts.
Scenario usual_scenario(uint32_t flows) {
  Scenario s;
  s.flows = flows;
  s.hosts = std::min(65536u, flows);
  s.private_base = 0x0a000000;
  s.remote_base = 0xc6120000;
  s.remotes = 65536;
  s.pool_first = 0x64400000;
  s.pool_last = s.pool_first + std::max(4u, flows / 16384) - 1;
  s.vni = 100;
  s.gateway_vtep = 0xac1e0001;
  s.host_vtep = 0xac1e000b;
  s.check_every = 64;
  s.untranslated = true;
  return s;
}

void set_scenario(const Scenario& scenario) {
  Traffic& t = traffic();
  if (t.endpoints != nullptr) release_zeroed(t.endpoints, sizeof(Endpoint) * t.scenario.flows);
  if (t.ledger != nullptr) release_zeroed(t.ledger, sizeof(FlowLedger) * t.scenario.flows);
  t.ledger = nullptr;
  t.scenario = scenario;
  t.endpoints = static_cast<Endpoint*>(allocate_zeroed(sizeof(Endpoint) * std::max(1u, scenario.flows)));
  std::fill_n(t.endpoints, scenario.flows, Endpoint{});  // its pages are there before anything is measured
  reset_counters();
}

void run_program(Side side, const Program& program) {
  Traffic& t = traffic();
  for (uint16_t queue = 0; queue < t.queues; queue++) {
    const auto* before = t.next_program[static_cast<size_t>(side)][queue].exchange(new Program(program));
    delete before;  // one that no lcore has taken
  }
}

void reset_counters() {
  Traffic& t = traffic();
  for (auto& wire : t.counters) {
    for (WireCounters& counters : wire) {
      for (auto* counter :
           {&counters.emitted, &counters.accepted, &counters.bad, &counters.bad_checksum, &counters.no_buffer,
            &counters.first_emit_tsc, &counters.last_accept_tsc, &counters.most_late, &counters.empty_polls}) {
        counter->store(0);
      }
      for (auto& counter : counters.came_from) counter.store(0);
    }
  }
  t.from_receive.reset();
  t.from_wire.reset();
}

void pretend_endpoints() {
  Traffic& t = traffic();
  const uint32_t addresses = t.scenario.pool_last - t.scenario.pool_first + 1;
  for (uint32_t flow = 0; flow < t.scenario.flows; flow++) {
    t.endpoints[flow] = {t.scenario.pool_first + flow % addresses,
                         static_cast<uint16_t>(1024 + flow / addresses % 64512), 0};
  }
}

void keep_ledger() {
  Traffic& t = traffic();
  t.ledger = static_cast<FlowLedger*>(allocate_zeroed(sizeof(FlowLedger) * std::max(1u, t.scenario.flows)));
}

void forget_endpoints(uint32_t first, uint32_t count) {
  std::fill_n(traffic().endpoints + first, count, Endpoint{});
}

void count_endpoints(uint64_t* known, uint64_t* shared) {
  const Traffic& t = traffic();
  *known = *shared = 0;
  const uint64_t addresses = uint64_t{t.scenario.pool_last} - t.scenario.pool_first + 1;
  std::vector<bool> taken(addresses << 16);
  for (uint32_t flow = 0; flow < t.scenario.flows; flow++) {
    const Endpoint& endpoint = t.endpoints[flow];
    if (endpoint.port == 0) continue;
    ++*known;
    const uint64_t at = uint64_t{endpoint.address - t.scenario.pool_first} << 16 | endpoint.port;
    if (at >= taken.size()) continue;  // counted as bad on arrival
    if (taken[at]) ++*shared;
    taken[at] = true;
  }
}

}  // namespace sluice::bench
