// The packet side of one gateway: its ports, and the slow path over them, or with shards several.
#pragma once

#include <rte_mempool.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "slow_path/dpdk_log.h"
#include "slow_path/lane.h"
#include "slow_path/nic_statistics.h"
#include "slow_path/port_events.h"
#include "slow_path/replay.h"
#include "slow_path/slow_path.h"
#include "slow_path/tap_merge.h"

namespace sluice {

struct DataplaneOptions {
  SlowPathOptions slow_path;  // of each
  std::vector<PortOptions> ports;
  uint16_t shards = 1;
  SteeringSource steering;  // with several
  // Of the tables that TypeScript writes: blocks of ports, and remotes of protocols without ports.
  size_t block_bytes = 0, remote_bytes = 0;
};

struct PortStatistics {
  uint64_t received = 0;
  uint64_t transmitted = 0;
};

struct Statistics {
  std::vector<PortStatistics> ports;
  uint64_t slow_path_packets = 0;
  uint64_t misses = 0;
  uint64_t handed_over = 0;  // frames that other shards received for this one
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
  uint64_t engine_turns = 0, lcore_turns = 0;  // see Precedence
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

  uint16_t shards() const { return options_.shards; }
  // Throws NativeFault STATE when closed.
  Lane& lane(uint16_t shard = 0);
  SlowPath& slow_path(uint16_t shard = 0) { return lane(shard).path(); }
  // Null with one shard.
  const SharedRegion& blocks_memory() const { return blocks_memory_; }
  const SharedRegion& remotes_memory() const { return remotes_memory_; }

  uint32_t register_template(uint16_t shard, bool nic, uint8_t port, const TemplateSource& source);
  void install_static(uint8_t port, const TemplateSource& source);
  ProbeResult probe_template(uint8_t port, const TemplateSource& source);

  // From now on packets are looked up where another configuration says. Throws NativeFault STATE with one shard.
  void steer_by(const SteeringSource& source);

  // One round inline. Throws NativeFault STATE while an lcore polls.
  uint32_t poll(uint16_t shard, uint32_t burst);

  void replay_open(const std::vector<CapturePath>& inputs, const std::vector<CapturePath>& outputs);
  Replay& replay();
  void set_clock(Nanoseconds now);
  Nanoseconds clock();
  std::vector<std::string> replay_close();

  // Of one shard; what NICs and captures count is in the first one's.
  Statistics statistics(uint16_t shard = 0);
  // Of all shards: packets are copied from now on, or with no kinds no more.
  void tap(const TapFilter& filter);
  // What was copied since the last time, in the order of time. How many packets found no room.
  uint64_t tapped(std::vector<uint8_t>* records);
  // See SlowPath; each call is one portion, between two bursts.
  bool installed_rules(uint8_t port, uint64_t* cursor, std::vector<RuleHandle>* out);
  uint32_t own_rules(uint16_t shard, uint8_t port, uint32_t row, std::vector<RuleHandle>* out);
  // Whether each was done.
  std::vector<bool> repair_rules(uint16_t shard, uint8_t port, bool missing,
                                 const std::vector<RuleHandle>& rules);
  // See SlowPath. Closes a port that asks to be reset, as far as one shard has it; of any thread.
  std::vector<void*> close_port(uint16_t shard, uint8_t port);
  // Resets a port that all shards have closed, starts it and opens it. Throws NativeFault STATE, PORT or
  // RULE, and it stays closed.
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
  bool closed() const { return lanes_.empty(); }

 private:
  void open_port(GatewayPort& port);
  void bring_up(GatewayPort& port, KeptLog& log);
  void make_lanes(const std::vector<GatewayPort>& ports);
  GatewayPort port_of_shard(const GatewayPort& port, size_t index, uint16_t shard);
  void close_ports();

  DataplaneOptions options_;
  rte_mempool* pool_ = nullptr;
  std::vector<uint16_t> opened_;
  std::vector<NicStatisticsReader> nic_statistics_;  // by port
  PortEvents port_events_;
  std::vector<NicStatistics> nic_counted_;  // by port, as they were read last; shard 0's lcore has them
  std::mutex closing_;                      // of the next two
  std::map<uint8_t, uint16_t> closed_;      // ports, by how many shards
  std::map<uint8_t, GatewayPort> reset_;    // closed ports that have been reset and started
  SharedRegion blocks_memory_, remotes_memory_;
  std::unique_ptr<Steering> steering_;
  std::optional<HandOver> hand_over_;
  TapMerge tapped_;
  std::unique_ptr<rte_spinlock_t[]> transmit_locks_;  // by port and shard's queue
  std::unique_ptr<SharedTables[]> shared_tables_;     // by port
  // They use all of the above, so they go before it: close() sees to that.
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::optional<Replay> replay_;
};

}  // namespace sluice
