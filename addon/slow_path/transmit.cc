// Out of a port, in bursts; in a replay one by one, for the order of what leaves is the order of what came.
#include <rte_ethdev.h>

#include "slow_path/slow_path.h"

namespace sluice {
namespace {

constexpr int kTransmitTries = 16;

}  // namespace

// False when the rule did not send the packet on; the frame is then still the caller's.
bool SlowPath::apply_and_transmit(Packet& packet, FlowRule* rule, ApplyScope scope) {
  const Verdict verdict = engine_.apply(table_of(FlowEngine::tag(rule)), rule, packet.context, scope);
  uint8_t egress = 0;
  if (verdict.fate != Fate::kRepresentedPort || !port_of(verdict.port_id, &egress)) return false;
  if (tap_.wants(TapKind::kTranslated)) tap_.keep(TapKind::kTranslated, packet, egress, 0, now_);
  transmit(packet.context.mbuf, egress);
  packet.context.mbuf = nullptr;
  return true;
}

bool SlowPath::port_of(uint16_t port_id, uint8_t* port) const {
  for (size_t i = 0; i < port_ids_.size(); i++) {
    if (port_ids_[i] != port_id) continue;
    *port = static_cast<uint8_t>(i);
    return true;
  }
  return false;
}

uint32_t SlowPath::largest_packet(const GatewayPort& port) const {
  if (!port.is_fabric()) return port.options.mtu;
  return port.options.mtu > kVxlanMtuBytes ? port.options.mtu - kVxlanMtuBytes : 0;
}

void SlowPath::transmit(rte_mbuf* frame, uint8_t port_index) {
  if (probes_.marked(frame)) return probes_.keep(frame, port_index);
  GatewayPort& port = ports_[port_index];
  port.waiting[port.waiting_count++] = frame;
  if (options_.replay || port.waiting_count == GatewayPort::kTransmitBurst) flush_port(port);
}

void SlowPath::flush_transmit() {
  for (GatewayPort& port : ports_) {
    if (port.waiting_count > 0) flush_port(port);
  }
}

void SlowPath::flush_port(GatewayPort& port) {
  if (port.down) return discard_waiting(port, 0, DropReason::kQueueFull);
  if (!lease_.transmits()) return discard_waiting(port, 0, DropReason::kNotActive);
  uint16_t sent = 0;
  if (port.transmit_lock != nullptr) rte_spinlock_lock(port.transmit_lock);
  for (int tries = 0; sent < port.waiting_count && tries < kTransmitTries; tries++) {
    sent += rte_eth_tx_burst(port.port_id, port.transmit_queue, port.waiting + sent, port.waiting_count - sent);
    if (sent < port.waiting_count && make_room && make_room()) tries = 0;
  }
  if (port.transmit_lock != nullptr) rte_spinlock_unlock(port.transmit_lock);
  port.transmitted += sent;
  discard_waiting(port, sent, DropReason::kQueueFull);
}

void SlowPath::discard_waiting(GatewayPort& port, uint16_t from, DropReason reason) {
  for (uint16_t i = from; i < port.waiting_count; i++) {
    count_drop(reason);
    rte_pktmbuf_free(port.waiting[i]);
  }
  port.waiting_count = 0;
}

}  // namespace sluice
