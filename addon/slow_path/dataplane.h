// The packet side of one gateway: its ports, the slow path over them, and who drives it — an lcore, or
// JavaScript.
#pragma once

#include <rte_mempool.h>

#include <atomic>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "slow_path/nic_statistics.h"
#include "slow_path/dpdk_log.h"
#include "slow_path/port_events.h"
#include "slow_path/replay.h"
#include "slow_path/slow_path.h"

namespace sluice {

struct DataplaneOptions {
  SlowPathOptions slow_path;
  std::vector<PortOptions> ports;
};

struct PortStatistics {
  uint64_t received = 0;
  uint64_t transmitted = 0;
};

struct Statistics {
  std::vector<PortStatistics> ports;
  uint64_t slow_path_packets = 0;
  uint64_t misses = 0;
  uint64_t nic_packets = 0;
  uint64_t slow_path_bytes = 0;  // of frames as they arrived
  uint64_t nic_bytes = 0;
  uint64_t nic_inserts = 0;
  LatencyBuckets first_packets;
  uint64_t drops[kDropReasonCount] = {};
  uint32_t held = 0;
  uint32_t nic_rules = 0;
  uint32_t software_rules = 0;
  uint64_t software_table_bytes = 0;  // of those rules
};

struct Liveness {
  uint64_t rounds = 0;  // of the lcore
  bool speaks = false;
  bool jumps_follow = false;
  std::vector<bool> links;  // by port
};

class Dataplane {
 public:
  // Opens and starts the ports. Throws NativeFault.
  explicit Dataplane(const DataplaneOptions& options);
  ~Dataplane();
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  uint32_t register_template(bool nic, uint8_t port, const TemplateSource& source);
  void install_static(uint8_t port, const TemplateSource& source);
  ProbeResult probe_template(uint8_t port, const TemplateSource& source);

  uint32_t poll(uint32_t burst);
  // Rings `doorbell` (from the lcore) when events wait and JavaScript said it would sleep.
  void start(uint32_t burst, std::function<void()> doorbell);
  void stop();
  bool arm_doorbell();
  // Looks for events for at most so long, on the calling core alone: a core that never halts need not be woken, which
  // costs the lcore a system call and, in a virtual machine, the caller whatever time the host takes.
  bool await_events(uint32_t microseconds);

  void replay_open(const std::vector<CapturePath>& inputs, const std::vector<CapturePath>& outputs);
  Replay& replay();
  void set_clock(Nanoseconds now);
  Nanoseconds clock();
  std::vector<std::string> replay_close();

  Statistics statistics();
  // Packets are copied from now on, or with no kinds no more.
  void tap(const TapFilter& filter);
  uint64_t tapped(std::vector<uint8_t>* records);
  // See SlowPath; each call is one portion, between two bursts.
  bool installed_rules(uint8_t port, uint64_t* cursor, std::vector<RuleHandle>* out);
  uint32_t own_rules(uint8_t port, uint32_t row, std::vector<RuleHandle>* out);
  // Whether each was done.
  std::vector<bool> repair_rules(uint8_t port, bool missing, const std::vector<RuleHandle>& rules);
  // See SlowPath. Closes a port that asks to be reset.
  std::vector<void*> close_port(uint8_t port);
  // Resets a closed port, starts it and opens it. Throws NativeFault PORT or RULE, and it stays closed.
  void reopen_port(uint8_t port);
  // Never waits for the lcore.
  PortEvents& port_events() { return port_events_; }
  // Never waits for the lcore.
  Liveness liveness();
  void limit(Nanoseconds transmit_until, Nanoseconds admit_until);
  // Returns once the lcore obeys the limits as they were set.
  void obey();
  void announce(const std::vector<Announcement>& announcements, uint32_t times, Nanoseconds interval);
  // False: no packet buffer.
  bool inject(uint8_t port, const std::vector<uint8_t>& frame);
  std::vector<CaughtFrame> caught();
  void close();
  bool closed() const { return slow_path_ == nullptr; }
  // Throws NativeFault STATE when closed.
  SlowPath& slow_path();
  const std::vector<GatewayPort>& ports() const { return slow_path_->ports(); }

 private:
  void open_port(GatewayPort& port);
  void bring_up(GatewayPort& port, KeptLog& log);
  void close_ports();
  uint32_t round(uint32_t burst);
  static int lcore_main(void* self);
  uint64_t nic_finished_packets() const;
  void loop();
  // Runs a task where the slow path runs: here, or on the lcore, waiting for it.
  void run_on_lcore(const std::function<void()>& task);
  void run_posted_task();

  DataplaneOptions options_;
  rte_mempool* pool_ = nullptr;
  std::vector<uint16_t> opened_;
  std::vector<NicStatisticsReader> nic_statistics_;  // by port
  PortEvents port_events_;
  std::map<uint8_t, uint32_t> reset_;  // closed ports that have been reset and started: what their flow queues granted
  // Uses the pool and the ports, so it goes before them: close() sees to that.
  std::unique_ptr<SlowPath> slow_path_;
  std::optional<Replay> replay_;

  uint32_t burst_ = 32;
  unsigned lcore_ = 0;
  std::atomic<uint64_t> rounds_ = 0;
  bool running_ = false;  // JavaScript's thread only
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> armed_ = false;
  std::function<void()> doorbell_;
  std::atomic<const std::function<void()>*> task_ = nullptr;
  std::exception_ptr task_fault_;
};

}  // namespace sluice
