#include "softflow_pmd/domain.h"

#include <ethdev_driver.h>
#include <rte_cycles.h>

#include "softflow_pmd/device.h"
#include "softflow_pmd/rte_pmd_softflow.h"

namespace sluice::softflow {
namespace {

std::unique_ptr<FlowEngine> make_engine(uint16_t vxlan_port) {
  EngineOptions options;
  options.max_rules = UINT32_MAX;  // each device has its own limit
  options.vxlan_udp_port = vxlan_port;
  return std::make_unique<FlowEngine>(options);
}

}  // namespace

Domain::Domain() {
  if (rte_eth_switch_domain_alloc(&switch_id_) != 0) switch_id_ = RTE_ETH_DEV_SWITCH_DOMAIN_ID_INVALID;
}

std::atomic<Domain*> Domain::made_{nullptr};

Domain& Domain::make() {
  static auto* domain = new Domain;
  made_.store(domain, std::memory_order_release);
  return *domain;
}

bool Domain::add(Device* device) {
  const uint16_t port = device->arguments.vxlan_port;
  device->ingress = make_engine(port);
  const WriteGuard guard(*this);
  device->ingress->set_shared(reader_.load() == kSeveralReaders);
  if (device_count_ != 0 && port != vxlan_port_) return false;
  if (device_count_ == 0) {
    vxlan_port_ = port;
    transfer_ = make_engine(port);
    transfer_->set_shared(reader_.load() == kSeveralReaders);
  }
  ++device_count_;
  devices_[device->port_id].store(device, std::memory_order_release);
  return true;
}

void Domain::remove(Device* device) {
  const WriteGuard guard(*this);
  if (devices_[device->port_id].load() != device) return;
  devices_[device->port_id].store(nullptr, std::memory_order_release);
  --device_count_;
}

// The write lock waits for the bursts under way, so that no two threads ever count in different ways at once. It
// stays so: whoever polled from a second thread once will again.
void Domain::meet_another_reader(int thread) {
  const WriteGuard guard(*this);
  const int met = reader_.load();
  if (met == thread || met == kSeveralReaders) return;
  reader_.store(met == kNoReader ? thread : kSeveralReaders, std::memory_order_release);
  if (met == kNoReader) return;
  transfer_->set_shared(true);
  for (const std::atomic<Device*>& device : devices_) {
    if (Device* present = device.load()) present->ingress->set_shared(true);
  }
}

void Domain::link() {
  const WriteGuard guard(*this);
  has_unlinked_ = false;
  transfer_->link();
  for (const std::atomic<Device*>& device : devices_) {
    if (Device* present = device.load()) present->ingress->link();
  }
}

uint32_t Domain::now_seconds() const {
  if (injected_.load(std::memory_order_acquire)) return seconds_.load(std::memory_order_relaxed);
  // A division takes longer than all else here, and is made once a second.
  const uint64_t now = rte_get_tsc_cycles(), hertz = rte_get_tsc_hz();
  const uint64_t known = known_second_.load(std::memory_order_relaxed);
  if (now - known * hertz < hertz) return static_cast<uint32_t>(known);
  known_second_.store(now / hertz, std::memory_order_relaxed);
  return static_cast<uint32_t>(now / hertz);
}

}  // namespace sluice::softflow

extern "C" {

__attribute__((visibility("default"))) int rte_pmd_softflow_clock_set(uint32_t seconds) {
  sluice::softflow::Domain::get().set_clock(seconds);
  return 0;
}

__attribute__((visibility("default"))) int rte_pmd_softflow_wire_port(uint16_t port_id) {
  const sluice::softflow::Device* device = sluice::softflow::Domain::get().device(port_id);
  return device == nullptr ? -ENODEV : device->wire;
}

}  // extern "C"
