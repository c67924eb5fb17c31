// What all softflow devices of a process share: the embedded switch with its transfer rules, and the clock.
#pragma once

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_rwlock.h>
#include <rte_spinlock.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "flow_engine/flow_engine.h"

namespace sluice::softflow {

struct Device;

class Domain {
 public:
  // Made with the first device, never destroyed: lcores may still poll while the process ends.
  static Domain& get() {
    Domain* made = made_.load(std::memory_order_acquire);
    return __builtin_expect(made != nullptr, 1) ? *made : make();
  }

  // Readers are receive bursts, the writer changes what they look up: rules, ports. A burst holds it once,
  // not per packet.
  rte_rwlock_t lock = RTE_RWLOCK_INITIALIZER;
  // One change at a time. Whatever is prepared or read without disturbing receive bursts holds only this one;
  // it is taken before `lock`.
  rte_spinlock_t changes = RTE_SPINLOCK_INITIALIZER;

  // Null: no softflow port.
  Device* device(uint16_t port_id) const {
    return port_id < RTE_MAX_ETHPORTS ? devices_[port_id].load(std::memory_order_acquire) : nullptr;
  }
  // False when a device with another VXLAN port exists: there is one parser for the switch.
  bool add(Device* device);
  void remove(Device* device);
  uint16_t switch_id() const { return switch_id_; }

  FlowEngine& transfer() { return *transfer_; }

  // Called at the start of each receive burst, without the lock. As long as one thread alone polls, rules count
  // without atomic operations, which cost it a quarter of its time.
  void meet_reader() {
    const int thread = rte_gettid();
    const int met = reader_.load(std::memory_order_acquire);
    if (__builtin_expect(met != thread && met != kSeveralReaders, 0)) meet_another_reader(thread);
  }

  // A rule of this engine has been created; under the write lock.
  void note_created(const FlowEngine& engine) { has_unlinked_ = has_unlinked_ || engine.has_unlinked(); }
  // Under the lock; what is to be linked is linked under the write lock, before anything is looked up.
  bool has_unlinked() const { return has_unlinked_; }
  void link();

  uint32_t now_seconds() const;
  void set_clock(uint32_t seconds) {
    seconds_.store(seconds, std::memory_order_relaxed);
    injected_.store(true, std::memory_order_release);
  }

 private:
  static constexpr int kNoReader = -2, kSeveralReaders = -1;

  Domain();
  static Domain& make();
  static std::atomic<Domain*> made_;
  void meet_another_reader(int thread);
  std::atomic<Device*> devices_[RTE_MAX_ETHPORTS] = {};
  uint32_t device_count_ = 0;
  uint16_t switch_id_ = 0;
  uint16_t vxlan_port_ = kVxlanUdpPort;
  bool has_unlinked_ = false;
  std::unique_ptr<FlowEngine> transfer_;
  std::atomic<int> reader_{kNoReader};  // the thread that polls
  std::atomic<uint32_t> seconds_{0};
  std::atomic<bool> injected_{false};
  mutable std::atomic<uint64_t> known_second_{0};  // of the TSC, lately
};

class ReadGuard {
 public:
  explicit ReadGuard(Domain& domain) : lock_(&domain.lock) {
    domain.meet_reader();
    rte_rwlock_read_lock(lock_);
    while (__builtin_expect(domain.has_unlinked(), 0)) {
      rte_rwlock_read_unlock(lock_);
      domain.link();
      rte_rwlock_read_lock(lock_);
    }
  }
  ~ReadGuard() { rte_rwlock_read_unlock(lock_); }
  ReadGuard(const ReadGuard&) = delete;
  ReadGuard& operator=(const ReadGuard&) = delete;

 private:
  rte_rwlock_t* lock_;
};

class ChangeGuard {
 public:
  explicit ChangeGuard(Domain& domain) : lock_(&domain.changes) { rte_spinlock_lock(lock_); }
  ~ChangeGuard() { rte_spinlock_unlock(lock_); }
  ChangeGuard(const ChangeGuard&) = delete;
  ChangeGuard& operator=(const ChangeGuard&) = delete;

 private:
  rte_spinlock_t* lock_;
};

class WriteGuard {
 public:
  explicit WriteGuard(Domain& domain) : lock_(&domain.lock) { rte_rwlock_write_lock(lock_); }
  ~WriteGuard() { rte_rwlock_write_unlock(lock_); }
  WriteGuard(const WriteGuard&) = delete;
  WriteGuard& operator=(const WriteGuard&) = delete;

 private:
  rte_rwlock_t* lock_;
};

}  // namespace sluice::softflow
