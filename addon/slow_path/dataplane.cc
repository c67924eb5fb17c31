#include "slow_path/dataplane.h"

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "slow_path/eal.h"
#include "slow_path/nic_statistics.h"

namespace sluice {
namespace {

constexpr uint16_t kDescriptors = 1024;
constexpr uint32_t kBuffersPerPort = 6 * 1024;  // both rings of a port and of its wire, and bursts in between
constexpr uint32_t kMinimumDataRoom = 2048;
constexpr uint32_t kAuditPortion = 1024;  // rows looked at between two bursts: some ten microseconds

rte_mempool* make_pool(const DataplaneOptions& options) {
  static unsigned instance = 0;
  uint32_t room = kMinimumDataRoom;
  for (const PortOptions& port : options.ports) room = std::max(room, port.mtu + 200);
  const uint32_t held = std::min(options.slow_path.max_held, HoldTable::kMaxSlots);
  const uint32_t between = options.shards > 1 ? HandOver::kSlots * (options.shards - 1u) : 0;
  const auto buffers = static_cast<uint32_t>(
      options.shards * (held + between + static_cast<uint32_t>(options.ports.size()) * kBuffersPerPort));
  const std::string name = "sluice_frames_" + std::to_string(instance++);
  const auto create = [&](const char* operations) {
    const auto bytes = static_cast<uint16_t>(room + RTE_PKTMBUF_HEADROOM);
    return rte_pktmbuf_pool_create_by_ops(name.c_str(), buffers, 256, 0, bytes, SOCKET_ID_ANY, operations);
  };
  // The buffers that were in use last are the next ones: caches and TLBs still have them. A ring would go
  // round all of them while packets are held.
  rte_mempool* pool = create("stack");
  if (pool == nullptr) pool = create(nullptr);  // a DPDK without that driver
  if (pool == nullptr) {
    throw NativeFault("MEMORY",
                      std::to_string(buffers) + " packet buffers of " + std::to_string(room) +
                          " bytes: " + rte_strerror(rte_errno),
                      rte_errno);
  }
  return pool;
}

// A driver that states no largest MTU, and a frame too short for ours, has no MTU to be set (net_af_packet):
// it passes what fits its buffers. One that states a largest MTU means it.
bool has_settable_mtu(const rte_eth_dev_info& info, uint16_t mtu) {
  return info.max_mtu != UINT16_MAX ||
         uint32_t{mtu} + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN <= info.max_rx_pktlen;
}

// Asks the NIC to spread what it receives over the queues by addresses, those inside tunnels where it can. Whatever it
// does, frames come to their shards: they are handed over.
void spread(const rte_eth_dev_info& info, rte_eth_conf* conf) {
  const uint64_t wanted = (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_LEVEL_INNERMOST) & info.flow_type_rss_offloads;
  if ((wanted & RTE_ETH_RSS_IP) == 0) return;
  conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  conf->rx_adv_conf.rss_conf.rss_hf = wanted;
}

[[noreturn]] void refuse_port(const std::string& device, const char* step, int error, KeptLog& log) {
  throw NativeFault("PORT", device + ": " + step + ": " + log.cause(rte_strerror(-error)), -error);
}

}  // namespace

Dataplane::Dataplane(const DataplaneOptions& options) : options_(options) {
  FrameFields::instance();
  pool_ = make_pool(options_);
  try {
    std::vector<GatewayPort> ports;
    for (const PortOptions& port_options : options_.ports) {
      GatewayPort port;
      port.options = port_options;
      open_port(port);
      nic_statistics_.emplace_back(port.port_id);
      port_events_.watch(port.port_id, static_cast<uint32_t>(ports.size()));
      ports.push_back(port);
    }
    nic_counted_.resize(ports.size());
    make_lanes(ports);
  } catch (...) {
    lanes_.clear();
    hand_over_.reset();
    close_ports();
    throw;
  }
}

Dataplane::~Dataplane() { close(); }

void Dataplane::make_lanes(const std::vector<GatewayPort>& ports) {
  const uint16_t shards = options_.shards;
  if (shards > 1) {
    blocks_memory_ = std::make_shared<MemoryRegion>(options_.block_bytes);
    remotes_memory_ = std::make_shared<MemoryRegion>(options_.remote_bytes);
    steering_ = std::make_unique<Steering>(options_.steering, shards, blocks_memory_, remotes_memory_);
    hand_over_.emplace(shards);
    transmit_locks_ = std::make_unique<rte_spinlock_t[]>(ports.size() * shards);
    shared_tables_ = std::make_unique<SharedTables[]>(ports.size());
  }
  for (uint16_t shard = 0; shard < shards; shard++) {
    SlowPathOptions options = options_.slow_path;
    std::vector<GatewayPort> own = ports;
    if (shards > 1) {
      options.steering = steering_.get();
      options.hand_over = &*hand_over_;
      options.shard = shard;
      options.first_row = shard * options.max_sessions;
      for (size_t i = 0; i < own.size(); i++) own[i] = port_of_shard(ports[i], i, shard);
    }
    auto path = std::make_unique<SlowPath>(options, std::move(own), pool_);
    if (!options.replay) {
      const SessionTable& sessions = path->sessions();
      for (const SharedRegion& region : {sessions.rows_memory(), sessions.counters_memory()})
        populate_soon(region->as<void>(), region->bytes());
      path->reserve_rules();
      if (options.offloads) path->reserve_nic_rules();
    }
    lanes_.push_back(std::make_unique<Lane>(std::move(path), shard, nic_statistics_));
  }
}

// Queues of its own where the NIC has as many; flow queues it has, or there are none.
GatewayPort Dataplane::port_of_shard(const GatewayPort& port, size_t index, uint16_t shard) {
  GatewayPort own = port;
  own.receive_queue = shard < port.receive_queues ? shard : GatewayPort::kNoQueue;
  own.transmit_queue = shard % port.transmit_queues;
  if (port.transmit_queues < options_.shards)
    own.transmit_lock = &transmit_locks_[index * options_.shards + own.transmit_queue];
  own.flow_queue = shard;
  own.shared_tables = &shared_tables_[index];
  return own;
}

Lane& Dataplane::lane(uint16_t shard) {
  if (closed()) throw NativeFault("STATE", "the dataplane is closed");
  return *lanes_[shard];
}

void Dataplane::open_port(GatewayPort& port) {
  KeptLog log;
  const std::string& device = port.options.device;
  const int result = rte_eth_dev_get_port_by_name(device.c_str(), &port.port_id);
  if (result != 0) throw NativeFault("PORT", device + ": no such device", ENODEV);
  bring_up(port, log);
}

// Configures and starts a port that is new, or has been reset.
void Dataplane::bring_up(GatewayPort& port, KeptLog& log) {
  const std::string& device = port.options.device;
  rte_eth_dev_info info = {};
  int result = rte_eth_dev_info_get(port.port_id, &info);
  if (result != 0) refuse_port(device, "cannot be asked", result, log);
  rte_eth_conf conf = {};
  const auto mtu = static_cast<uint16_t>(port.options.mtu);
  const bool settable_mtu = has_settable_mtu(info, mtu);
  if (settable_mtu && mtu >= info.min_mtu && mtu <= info.max_mtu) conf.rxmode.mtu = mtu;
  // A replay's order is the captures': one shard receives, and hands over.
  const uint16_t wanted = options_.slow_path.replay ? 1 : options_.shards;
  port.receive_queues = std::clamp<uint16_t>(info.max_rx_queues, 1, wanted);
  port.transmit_queues = std::clamp<uint16_t>(info.max_tx_queues, 1, wanted);
  if (port.receive_queues > 1) spread(info, &conf);
  result = rte_eth_dev_configure(port.port_id, port.receive_queues, port.transmit_queues, &conf);
  if (result != 0) refuse_port(device, "configure", result, log);
  if (std::find(opened_.begin(), opened_.end(), port.port_id) == opened_.end())
    opened_.push_back(port.port_id);
  uint16_t receive = kDescriptors, transmit = kDescriptors;
  result = rte_eth_dev_adjust_nb_rx_tx_desc(port.port_id, &receive, &transmit);
  if (result != 0) refuse_port(device, "descriptors", result, log);
  const int socket = rte_eth_dev_socket_id(port.port_id);
  for (uint16_t queue = 0; queue < port.receive_queues; queue++) {
    result = rte_eth_rx_queue_setup(port.port_id, queue, receive, static_cast<unsigned>(socket), nullptr, pool_);
    if (result != 0) refuse_port(device, "receive queue", result, log);
  }
  for (uint16_t queue = 0; queue < port.transmit_queues; queue++) {
    result = rte_eth_tx_queue_setup(port.port_id, queue, transmit, static_cast<unsigned>(socket), nullptr);
    if (result != 0) refuse_port(device, "transmit queue", result, log);
  }
  // The slow path judges the length in any case.
  if (settable_mtu) result = rte_eth_dev_set_mtu(port.port_id, mtu);
  if (result != 0 && result != -ENOTSUP) refuse_port(device, "MTU", result, log);
  // A session has two rules, and both may be this port's.
  const uint32_t rules = options_.slow_path.max_sessions * 2 * options_.shards;
  port.queued_rules = open_flow_queues(port.port_id, options_.shards, rules);
  result = rte_eth_dev_start(port.port_id);
  if (result != 0) refuse_port(device, "start", result, log);
  rte_eth_promiscuous_enable(port.port_id);  // where it cannot, the port's own MAC is enough
}

void Dataplane::close_ports() {
  port_events_.forget();
  for (const uint16_t port_id : opened_) {
    char name[RTE_ETH_NAME_MAX_LEN] = {};
    rte_eth_dev_get_name_by_port(port_id, name);
    const MemoryWire* wire = find_memory_wire(name);
    rte_eth_dev_stop(port_id);
    rte_eth_dev_close(port_id);
    if (wire == nullptr) continue;
    for (rte_ring* ring : {wire->to_gateway, wire->from_gateway}) {
      void* frame = nullptr;
      while (rte_ring_dequeue(ring, &frame) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
    }
  }
  opened_.clear();
  rte_mempool_free(pool_);
  pool_ = nullptr;
}

uint32_t Dataplane::register_template(uint16_t shard, bool nic, uint8_t port, const TemplateSource& source) {
  uint32_t id = 0;
  lane(shard).run([&] {
    SlowPath& path = slow_path(shard);
    id = nic ? path.register_nic(port, source) : path.register_software(source);
  });
  return id;
}

void Dataplane::install_static(uint8_t port, const TemplateSource& source) {
  lane().run([&] { slow_path().install_static(port, source); });
}

ProbeResult Dataplane::probe_template(uint8_t port, const TemplateSource& source) {
  ProbeResult result;
  lane().run([&] { result = slow_path().probe_template(port, source); });
  return result;
}

void Dataplane::steer_by(const SteeringSource& source) {
  if (steering_ == nullptr) throw NativeFault("STATE", "with one shard nothing is steered");
  auto next = std::make_unique<Steering>(source, options_.shards, blocks_memory_, remotes_memory_);
  for (uint16_t shard = 0; shard < options_.shards; shard++)
    lane(shard).run([&] { slow_path(shard).steer_by(next.get()); });
  steering_ = std::move(next);
}

uint32_t Dataplane::poll(uint16_t shard, uint32_t burst) {
  if (lane(shard).running()) throw NativeFault("STATE", "an lcore polls already");
  return lane(shard).round(std::clamp(burst, 1u, SlowPath::kMaxBurst));
}

// The rules of all go when the last one has forgotten its own: nobody asks for one that is not there any
// more.
std::vector<void*> Dataplane::close_port(uint16_t shard, uint8_t port) {
  std::vector<void*> lost;
  bool closes = false;
  lane(shard).run([&] {
    closes = !slow_path(shard).ports()[port].down;
    lost = slow_path(shard).close_port(port);
  });
  const std::lock_guard guard(closing_);
  reset_.erase(port);
  if (closes && ++closed_[port] == options_.shards) {
    // A port that waits for its reset may refuse; its driver forgets them then.
    rte_flow_error error = {};
    rte_flow_flush(slow_path().ports()[port].port_id, &error);
  }
  return lost;
}

// In the caller's thread, for it takes what a NIC takes to start: lcores go on with the other ports. Called
// again after a constant rule was refused, it goes on with those that are lacking. They are shard 0's, which
// comes first.
void Dataplane::reopen_port(uint8_t port) {
  GatewayPort reset;
  reset.options = slow_path().ports()[port].options;
  reset.port_id = slow_path().ports()[port].port_id;
  const std::lock_guard guard(closing_);
  if (closed_[port] != options_.shards) throw NativeFault("STATE", reset.options.device + " is not closed");
  if (!reset_.contains(port)) {
    KeptLog log;
    const int result = rte_eth_dev_reset(reset.port_id);
    if (result != 0) refuse_port(reset.options.device, "reset", result, log);
    bring_up(reset, log);
    reset_[port] = reset;
  }
  for (uint16_t shard = 0; shard < options_.shards; shard++) {
    const GatewayPort own =
        options_.shards > 1 ? port_of_shard(reset_.at(port), port, shard) : reset_.at(port);
    lane(shard).run([&] { slow_path(shard).reopen_port(port, own); });
  }
  reset_.erase(port);
  closed_[port] = 0;
}

void Dataplane::replay_open(const std::vector<CapturePath>& inputs, const std::vector<CapturePath>& outputs) {
  slow_path();
  if (!options_.slow_path.replay) throw NativeFault("STATE", "not a replay");
  if (replay_ && replay_->is_open()) throw NativeFault("STATE", "the captures are open already");
  for (const auto& lane : lanes_) lane->path().make_room = nullptr;  // reaches into the replay that goes now
  replay_.reset();
  std::vector<SlowPath*> paths;
  for (const auto& lane : lanes_) paths.push_back(&lane->path());
  replay_.emplace(paths, pool_, inputs, outputs);
  for (SlowPath* each : paths) each->make_room = [this] { return replay_->collect(); };
}

Replay& Dataplane::replay() {
  slow_path();
  if (!replay_) throw NativeFault("STATE", "no captures are open");
  return *replay_;
}

void Dataplane::set_clock(Nanoseconds now) {
  for (const auto& lane : lanes_) lane->path().advance(now);
  set_softflow_clock(whole_seconds(slow_path().now()));
}

Nanoseconds Dataplane::clock() {
  SlowPath& path = slow_path();
  return options_.slow_path.replay ? path.now() : monotonic_now();
}

std::vector<std::string> Dataplane::replay_close() {
  Replay& open = replay();
  for (const auto& lane : lanes_) lane->path().drop_fragments();
  return open.close();
}

Statistics Dataplane::statistics(uint16_t shard) {
  Statistics statistics;
  lane(shard).run([&] {
    SlowPath& path = slow_path(shard);
    statistics.misses = path.misses();
    statistics.handed_over = path.handed_over();
    statistics.held = path.held();
    statistics.nic_inserts = path.nic_inserts();
    statistics.first_packets = path.first_packets();
    statistics.nic_rules = path.nic_rules();
    statistics.engine_turns = lane(shard).engine_turns();
    statistics.lcore_turns = lane(shard).lcore_turns();
    statistics.software_rules = path.software_rules();
    statistics.software_table_bytes = path.software_table_bytes();
    std::copy_n(path.drops(), kDropReasonCount, statistics.drops);
    for (uint8_t i = 0; i < path.ports().size(); i++) {
      const GatewayPort& port = path.ports()[i];
      // One that another thread resets just now is not asked.
      if (shard == 0 && !port.down) nic_counted_[i] = nic_statistics_[i].read();
      const NicStatistics nic = shard == 0 ? nic_counted_[i] : NicStatistics{};
      statistics.slow_path_packets += port.received;
      statistics.nic_packets += nic.finished;
      statistics.slow_path_bytes += port.received_bytes;
      statistics.nic_bytes += nic.bytes;
      statistics.drops[static_cast<size_t>(DropReason::kQueueFull)] += nic.lost;
      PortStatistics counted = {port.received + nic.finished, port.transmitted + nic.forwarded_out};
      if (replay_) counted = shard == 0 ? PortStatistics{replay_->received(i), replay_->transmitted(i)} : PortStatistics{};
      statistics.ports.push_back(counted);
    }
  });
  return statistics;
}

void Dataplane::tap(const TapFilter& filter) {
  lane();
  for (const auto& lane : lanes_) lane->run([&] { lane->path().tap().begin(filter); });
  tapped_.forget();
}

uint64_t Dataplane::tapped(std::vector<uint8_t>* records) {
  uint64_t lost = 0;
  if (options_.shards == 1) {
    lane().run([&] { lost = slow_path().tap().take(records); });
    return lost;
  }
  const Nanoseconds until = clock();
  std::vector<std::vector<uint8_t>> parts(options_.shards);
  for (uint16_t shard = 0; shard < options_.shards; shard++)
    lane(shard).run([&] { lost += slow_path(shard).tap().take(&parts[shard]); });
  tapped_.merge(parts, until, records);
  return lost;
}

bool Dataplane::installed_rules(uint8_t port, uint64_t* cursor, std::vector<RuleHandle>* out) {
  bool told = false;
  lane().run([&] { told = slow_path().list_installed(port, cursor, kAuditPortion, out); });
  return told;
}

uint32_t Dataplane::own_rules(uint16_t shard, uint8_t port, uint32_t row, std::vector<RuleHandle>* out) {
  uint32_t next = 0;
  lane(shard).run([&] { next = slow_path(shard).list_own(port, row, kAuditPortion, out); });
  return next;
}

std::vector<bool> Dataplane::repair_rules(uint16_t shard, uint8_t port, bool missing,
                                          const std::vector<RuleHandle>& rules) {
  std::vector<bool> done;
  lane(shard).run([&] {
    SlowPath& path = slow_path(shard);
    for (const RuleHandle& rule : rules)
      done.push_back(missing ? path.forget_missing(port, rule) : path.destroy_stale(port, rule));
  });
  return done;
}

void Dataplane::close() {
  if (closed()) return;
  for (const auto& lane : lanes_) lane->stop();
  // Frames first, then whoever freed them, then the ports, then the memory they were in.
  replay_.reset();
  for (const auto& lane : lanes_) lane->path().shut_down();
  lanes_.clear();
  hand_over_.reset();
  close_ports();
}

}  // namespace sluice
