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
constexpr uint32_t kDecisionsPerRound = 256;
constexpr uint32_t kAuditPortion = 1024;  // rows looked at between two bursts: some ten microseconds
constexpr uint32_t kSpinMicroseconds = 1000;  // how long an idle lcore spins before it begins to sleep
// Then it sleeps between looks, the longer the longer nothing has come: what comes waits as long at most.
constexpr uint32_t kShortSleepMicroseconds = 30;
constexpr uint32_t kLongSleepMicroseconds = 250;
constexpr Nanoseconds kLongQuiet = 20'000'000;

rte_mempool* make_pool(const DataplaneOptions& options) {
  static unsigned instance = 0;
  uint32_t room = kMinimumDataRoom;
  for (const PortOptions& port : options.ports) room = std::max(room, port.mtu + 200);
  const uint32_t held = std::min(options.slow_path.max_held, HoldTable::kMaxSlots);
  const auto buffers = static_cast<uint32_t>(held + options.ports.size() * kBuffersPerPort);
  const std::string name = "sluice_frames_" + std::to_string(instance++);
  rte_mempool* pool = rte_pktmbuf_pool_create(
      name.c_str(), buffers, 256, 0, static_cast<uint16_t>(room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
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
    slow_path_ = std::make_unique<SlowPath>(options_.slow_path, std::move(ports), pool_);
    if (!options_.slow_path.replay) {
      const SessionTable& sessions = slow_path_->sessions();
      for (const SharedRegion& region :
           {sessions.rows_memory(), sessions.counters_memory(), sessions.states_memory()})
        populate_soon(region->as<void>(), region->bytes());
      slow_path_->reserve_rules();
    }
  } catch (...) {
    close_ports();
    throw;
  }
}

Dataplane::~Dataplane() { close(); }

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
  result = rte_eth_dev_configure(port.port_id, 1, 1, &conf);
  if (result != 0) refuse_port(device, "configure", result, log);
  if (std::find(opened_.begin(), opened_.end(), port.port_id) == opened_.end())
    opened_.push_back(port.port_id);
  uint16_t receive = kDescriptors, transmit = kDescriptors;
  result = rte_eth_dev_adjust_nb_rx_tx_desc(port.port_id, &receive, &transmit);
  if (result != 0) refuse_port(device, "descriptors", result, log);
  const int socket = rte_eth_dev_socket_id(port.port_id);
  result = rte_eth_rx_queue_setup(port.port_id, 0, receive, static_cast<unsigned>(socket), nullptr, pool_);
  if (result != 0) refuse_port(device, "receive queue", result, log);
  result = rte_eth_tx_queue_setup(port.port_id, 0, transmit, static_cast<unsigned>(socket), nullptr);
  if (result != 0) refuse_port(device, "transmit queue", result, log);
  // The slow path judges the length in any case.
  if (settable_mtu) result = rte_eth_dev_set_mtu(port.port_id, mtu);
  if (result != 0 && result != -ENOTSUP) refuse_port(device, "MTU", result, log);
  // A session has two rules, and both may be this port's.
  port.queued_rules = open_flow_queue(port.port_id, options_.slow_path.max_sessions * 2);
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

SlowPath& Dataplane::slow_path() {
  if (closed()) throw NativeFault("STATE", "the dataplane is closed");
  return *slow_path_;
}

uint32_t Dataplane::register_template(bool nic, uint8_t port, const TemplateSource& source) {
  uint32_t id = 0;
  run_on_lcore(
      [&] { id = nic ? slow_path().register_nic(port, source) : slow_path().register_software(source); });
  return id;
}

void Dataplane::install_static(uint8_t port, const TemplateSource& source) {
  run_on_lcore([&] { slow_path().install_static(port, source); });
}

ProbeResult Dataplane::probe_template(uint8_t port, const TemplateSource& source) {
  ProbeResult result;
  run_on_lcore([&] { result = slow_path().probe_template(port, source); });
  return result;
}

uint32_t Dataplane::round(uint32_t burst) {
  rte_mbuf* frames[SlowPath::kMaxBurst];
  SlowPath& path = *slow_path_;
  if (!options_.slow_path.replay) {
    const uint32_t second = whole_seconds(path.now());
    path.advance(monotonic_now());
    // One clock for hits in software and in the NIC: whole seconds begin at the same instant.
    if (whole_seconds(path.now()) != second) set_softflow_clock(whole_seconds(path.now()));
  }
  if (!options_.slow_path.replay) path.follow_lease();
  path.drain_decisions(kDecisionsPerRound);
  uint32_t received = 0;
  for (uint8_t port = 0; port < path.ports().size(); port++) {
    if (path.ports()[port].down) continue;
    const uint16_t count =
        rte_eth_rx_burst(path.ports()[port].port_id, 0, frames, static_cast<uint16_t>(burst));
    path.receive_burst(frames, count, port);
    received += count;
  }
  path.flush_transmit();
  return received;
}

uint32_t Dataplane::poll(uint32_t burst) {
  slow_path();
  if (running_) throw NativeFault("STATE", "an lcore polls already");
  return round(std::clamp(burst, 1u, SlowPath::kMaxBurst));
}

void Dataplane::start(uint32_t burst, std::function<void()> doorbell) {
  slow_path();
  if (running_) throw NativeFault("STATE", "started already");
  lcore_ = rte_get_next_lcore(rte_lcore_id(), 1, 0);
  if (lcore_ >= RTE_MAX_LCORE) throw NativeFault("STATE", "EAL has no worker lcore: give it two with -l");
  burst_ = std::clamp(burst, 1u, SlowPath::kMaxBurst);
  doorbell_ = std::move(doorbell);
  stopping_ = false;
  const int result = rte_eal_remote_launch(lcore_main, this, lcore_);
  if (result != 0) throw NativeFault("STATE", "lcore " + std::to_string(lcore_) + " is busy", -result);
  running_ = true;
}

void Dataplane::stop() {
  if (!running_) return;
  stopping_ = true;
  rte_eal_wait_lcore(lcore_);
  running_ = false;
  doorbell_ = nullptr;
}

int Dataplane::lcore_main(void* self) {
  static_cast<Dataplane*>(self)->loop();
  return 0;
}

void Dataplane::loop() {
  Nanoseconds quiet_since = monotonic_now();
  Nanoseconds nic_asked = quiet_since;
  uint64_t nic_finished = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const bool decided = !slow_path_->decisions().empty();
    const uint32_t received = round(burst_);
    rounds_.store(rounds_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (task_.load(std::memory_order_acquire) != nullptr) run_posted_task();
    if (!slow_path_->events().empty() && armed_.exchange(false, std::memory_order_seq_cst)) doorbell_();
    if (received > 0 || decided) {
      quiet_since = slow_path_->now();
    } else if (const Nanoseconds now = slow_path_->now(); now - quiet_since > kSpinMicroseconds * 1000ULL) {
      // A software NIC works inside the receive call: what it finishes alone never shows up as received.
      if (now - nic_asked > kSpinMicroseconds * 1000ULL) {
        nic_asked = now;
        const uint64_t finished = nic_finished_packets();
        if (finished != nic_finished) {
          nic_finished = finished;
          quiet_since = now;
          continue;
        }
      }
      usleep(now - quiet_since > kLongQuiet ? kLongSleepMicroseconds : kShortSleepMicroseconds);
    }
  }
  if (task_.load(std::memory_order_acquire) != nullptr) run_posted_task();
}

uint64_t Dataplane::nic_finished_packets() const {
  uint64_t finished = 0;
  const std::vector<GatewayPort>& ports = slow_path_->ports();
  for (size_t port = 0; port < nic_statistics_.size(); port++) {
    if (!ports[port].down) finished += nic_statistics_[port].read().finished;
  }
  return finished;
}

bool Dataplane::arm_doorbell() {
  SlowPath& path = slow_path();
  if (!running_) return !path.events().empty_for_consumer();
  armed_.store(true, std::memory_order_seq_cst);
  // Events that came before the lcore could see the bell armed ring nothing: JavaScript must look again. The
  // lcore rings at the end of its next round in any case, and a bell for nothing is harmless.
  if (path.events().empty_for_consumer()) return false;
  armed_.store(false, std::memory_order_seq_cst);
  return true;
}

bool Dataplane::await_events(uint32_t microseconds) {
  constexpr uint32_t kLooksBetweenClocks = 32;
  const auto& events = slow_path().events();
  if (!running_) return !events.empty_for_consumer();
  const Nanoseconds end = monotonic_now() + microseconds * 1000ULL;
  do {
    for (uint32_t look = 0; look < kLooksBetweenClocks; look++) {
      if (!events.empty_for_consumer()) return true;
      rte_pause();
    }
  } while (monotonic_now() < end);
  return false;
}

void Dataplane::run_on_lcore(const std::function<void()>& task) {
  slow_path();
  if (!running_) return task();
  task_fault_ = nullptr;
  task_.store(&task, std::memory_order_release);
  while (task_.load(std::memory_order_acquire) != nullptr) usleep(10);
  if (task_fault_) std::rethrow_exception(task_fault_);
}

void Dataplane::run_posted_task() {
  try {
    (*task_.load(std::memory_order_acquire))();
  } catch (...) {
    task_fault_ = std::current_exception();
  }
  task_.store(nullptr, std::memory_order_release);
}

std::vector<void*> Dataplane::close_port(uint8_t port) {
  std::vector<void*> lost;
  run_on_lcore([&] { lost = slow_path().close_port(port); });
  reset_.erase(port);
  return lost;
}

// In the caller's thread, for it takes what a NIC takes to start: the lcore goes on with the other ports. Called again
// after a constant rule was refused, it goes on with those that are lacking.
void Dataplane::reopen_port(uint8_t port) {
  GatewayPort reset;
  reset.options = slow_path().ports()[port].options;
  reset.port_id = slow_path().ports()[port].port_id;
  if (!slow_path().ports()[port].down) throw NativeFault("STATE", reset.options.device + " is not closed");
  if (!reset_.contains(port)) {
    KeptLog log;
    const int result = rte_eth_dev_reset(reset.port_id);
    if (result != 0) refuse_port(reset.options.device, "reset", result, log);
    bring_up(reset, log);
    reset_[port] = reset.queued_rules;
  }
  run_on_lcore([&] { slow_path().reopen_port(port, reset_.at(port)); });
  reset_.erase(port);
}

void Dataplane::replay_open(const std::vector<CapturePath>& inputs, const std::vector<CapturePath>& outputs) {
  SlowPath& path = slow_path();
  if (!options_.slow_path.replay) throw NativeFault("STATE", "not a replay");
  if (replay_ && replay_->is_open()) throw NativeFault("STATE", "the captures are open already");
  path.make_room = nullptr;  // reaches into the replay that goes now
  replay_.reset();
  replay_.emplace(path, pool_, inputs, outputs);
  path.make_room = [this] { return replay_->collect(); };
}

Replay& Dataplane::replay() {
  slow_path();
  if (!replay_) throw NativeFault("STATE", "no captures are open");
  return *replay_;
}

void Dataplane::set_clock(Nanoseconds now) {
  slow_path().advance(now);
  set_softflow_clock(whole_seconds(slow_path().now()));
}

Nanoseconds Dataplane::clock() {
  SlowPath& path = slow_path();
  return options_.slow_path.replay ? path.now() : monotonic_now();
}

std::vector<std::string> Dataplane::replay_close() {
  Replay& open = replay();
  slow_path_->drop_fragments();
  return open.close();
}

Statistics Dataplane::statistics() {
  Statistics statistics;
  run_on_lcore([&] {
    SlowPath& path = *slow_path_;
    statistics.misses = path.misses();
    statistics.held = path.held();
    statistics.nic_inserts = path.nic_inserts();
    statistics.first_packets = path.first_packets();
    statistics.nic_rules = path.nic_rules();
    statistics.software_rules = path.software_rules();
    statistics.software_table_bytes = path.software_table_bytes();
    std::copy_n(path.drops(), kDropReasonCount, statistics.drops);
    for (uint8_t i = 0; i < path.ports().size(); i++) {
      const GatewayPort& port = path.ports()[i];
      const NicStatistics nic = nic_statistics_[i].read();
      statistics.slow_path_packets += port.received;
      statistics.nic_packets += nic.finished;
      statistics.slow_path_bytes += port.received_bytes;
      statistics.nic_bytes += nic.bytes;
      statistics.drops[static_cast<size_t>(DropReason::kQueueFull)] += nic.lost;
      PortStatistics counted = {port.received + nic.finished, port.transmitted + nic.forwarded_out};
      if (replay_) counted = {replay_->received(i), replay_->transmitted(i)};
      statistics.ports.push_back(counted);
    }
  });
  return statistics;
}

void Dataplane::tap(const TapFilter& filter) {
  run_on_lcore([&] { slow_path_->tap().begin(filter); });
}

uint64_t Dataplane::tapped(std::vector<uint8_t>* records) {
  uint64_t lost = 0;
  run_on_lcore([&] { lost = slow_path_->tap().take(records); });
  return lost;
}

bool Dataplane::installed_rules(uint8_t port, uint64_t* cursor, std::vector<RuleHandle>* out) {
  bool told = false;
  run_on_lcore([&] { told = slow_path_->list_installed(port, cursor, kAuditPortion, out); });
  return told;
}

uint32_t Dataplane::own_rules(uint8_t port, uint32_t row, std::vector<RuleHandle>* out) {
  uint32_t next = 0;
  run_on_lcore([&] { next = slow_path_->list_own(port, row, kAuditPortion, out); });
  return next;
}

std::vector<bool> Dataplane::repair_rules(uint8_t port, bool missing, const std::vector<RuleHandle>& rules) {
  std::vector<bool> done;
  run_on_lcore([&] {
    for (const RuleHandle& rule : rules)
      done.push_back(missing ? slow_path_->forget_missing(port, rule) : slow_path_->destroy_stale(port, rule));
  });
  return done;
}

void Dataplane::close() {
  if (closed()) return;
  stop();
  // Frames first, then whoever freed them, then the ports, then the memory they were in.
  replay_.reset();
  slow_path_->shut_down();
  slow_path_.reset();
  close_ports();
}

}  // namespace sluice
