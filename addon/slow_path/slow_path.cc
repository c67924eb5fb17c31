#include "slow_path/slow_path.h"

#include <rte_errno.h>

#include "slow_path/software_template.h"

namespace sluice {
namespace {

EngineOptions engine_options(const SlowPathOptions& options, const RuleKeeper* keeper) {
  EngineOptions engine;
  engine.keeper = keeper;
  engine.max_rules = options.max_sessions * 2;
  engine.rows_of_table = options.max_sessions;
  engine.vxlan_udp_port = options.vxlan_udp_port;
  engine.private_actions = true;
  return engine;
}

SharedRegion ring_memory(uint32_t slots, uint32_t slot_bytes) {
  return std::make_shared<MemoryRegion>(ring_bytes(slots, slot_bytes));
}

std::vector<uint16_t> ids_of(const std::vector<GatewayPort>& ports) {
  std::vector<uint16_t> ids;
  for (const GatewayPort& port : ports) ids.push_back(port.port_id);
  return ids;
}

}  // namespace

SlowPath::SlowPath(const SlowPathOptions& options, std::vector<GatewayPort> ports, rte_mempool* pool)
    : options_(options),
      ports_(std::move(ports)),
      port_ids_(ids_of(ports_)),
      pool_(pool),
      fields_(FrameFields::instance()),
      engine_(engine_options(options, this)),
      sessions_(options.max_sessions),
      vnis_memory_(std::make_shared<MemoryRegion>(kVniBitmapBytes)),
      events_memory_(ring_memory(options.event_slots, kEventSlotBytes)),
      decisions_memory_(ring_memory(options.decision_slots, kRingSlotBytes)),
      events_(events_memory_, options.event_slots),
      decisions_(decisions_memory_, options.decision_slots),
      hold_(options.max_held),
      // Half of the slots stay for first packets, however many fragments wait.
      held_fragments_(std::max(options.max_held / 2, 2u)),
      fragments_(options.max_held),
      scratch_(rte_pktmbuf_alloc(pool)) {
  if (scratch_ == nullptr) throw NativeFault("MEMORY", "no packet buffer", ENOMEM);
  for (const GatewayPort& port : ports_) {
    flow_ports_.push_back(
        std::make_unique<FlowPort>(port.port_id, port.queued_rules, port.flow_queue, port.shared_tables));
    // What a NIC has kept of a process that was killed is nobody's.
    if (options_.shard == 0) flow_ports_.back()->flush();
  }
  if (options_.silent) {
    lease_.limit(0, 0);
    follow_lease();
  }
}

SlowPath::~SlowPath() { shut_down(); }

void SlowPath::shut_down() {
  if (shut_) return;
  shut_ = true;
  for (const auto& port : flow_ports_) port->flush();
  for (GatewayPort& port : ports_) {
    for (uint16_t i = 0; i < port.waiting_count; i++) rte_pktmbuf_free(port.waiting[i]);
    port.waiting_count = 0;
  }
  hold_.for_each([this](uint32_t slot) { rte_pktmbuf_free(hold_.packet(slot).context.mbuf); });
  rte_pktmbuf_free(scratch_);
}

void SlowPath::reserve_rules() {
  // Rows of both rules of UDP and TCP between VXLAN and outside. Blocks of rows do not fill the memory that
  // they are cut from to its end.
  constexpr uint64_t kBytes = 48 + 64;
  const uint64_t bytes = uint64_t{options_.max_sessions} * kBytes;
  if (!engine_.reserve(bytes + bytes / 128))
    throw NativeFault("MEMORY",
                      "no memory for the rules of " + std::to_string(options_.max_sessions) + " sessions",
                      ENOMEM);
}

uint32_t SlowPath::register_software(const TemplateSource& source) {
  if (software_templates_.size() >= kNoTemplate) throw NativeFault("TEMPLATE", "too many templates");
  SoftwareTemplate registered;
  registered.rule = std::make_unique<RuleTemplate>(software_template(source, options_), port_ids_);
  rte_flow_error error = {};
  registered.table =
      engine_.create_table(registered.rule->attr(), registered.rule->items(), registered.rule->actions(),
                           registered.rule->action_masks(), &error);
  if (registered.table == nullptr) {
    NativeFault fault("TEMPLATE", error.message != nullptr ? error.message : "refused by the software table",
                      rte_errno);
    fault.rte_type = static_cast<int>(error.type);
    fault.cause_index = registered.rule->cause_index(error);
    throw fault;
  }
  registered.plan = RowPlan::make(engine_, registered.table, *registered.rule);
  software_templates_.push_back(std::move(registered));
  return static_cast<uint32_t>(software_templates_.size() - 1);
}

uint32_t SlowPath::register_nic(uint8_t port, const TemplateSource& source) {
  if (nic_templates_.size() >= kNoTemplate) throw NativeFault("TEMPLATE", "too many templates");
  nic_templates_.push_back({port, flow_ports_[port]->make_template(source, port_ids_), source});
  return static_cast<uint32_t>(nic_templates_.size() - 1);
}

ProbeResult SlowPath::probe_template(uint8_t port, const TemplateSource& source) {
  return flow_ports_[port]->probe(source, port_ids_);
}

void SlowPath::install_static(uint8_t port, const TemplateSource& source) {
  flow_ports_[port]->install_static(source, port_ids_);
}

void SlowPath::advance(Nanoseconds now) {
  if (now <= now_) return;
  const bool new_second = whole_seconds(now) != whole_seconds(now_);
  now_ = now;
  if (new_second) expire_fragments();
}

uint32_t SlowPath::nic_rules() const {
  uint32_t rules = 0;
  for (const auto& port : flow_ports_) rules += port->rules();
  return rules;
}

}  // namespace sluice
