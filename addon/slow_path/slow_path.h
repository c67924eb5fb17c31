// The way of a packet that no NIC rule serves, and the decisions about it. One thread at a time: the lcore in
// live use, JavaScript's own in a replay.
//
// The parts are in files of their own, in the order of a packet's way:
//   receive.cc          whose frame is it, is it well-formed, what is its flow
//   steer.cc            with shards: whose packet it is
//   fragments_flow.cc   later fragments share their first one's fate
//   translate.cc        software table, TCP state, MTU, out; or a miss
//   mss_clamp.cc        the maximum segment size that a SYN offers
//   icmp_error.cc       errors are translated by the packet they quote
//   ipv4_fragment.cc    results above the MTU
//   decisions.cc        what TypeScript decided
//   open_sessions.cc    new sessions, side by side
//   end_sessions.cc     their ends, side by side
//   session_rules.cc    rules of a session: in, out, counted
//   local_answer.cc     frames of the gateway's own: ICMP errors, echo replies, ARP
//   transmit.cc         out of a port
//   rule_audit.cc       rules as the NICs have them, and what is not as it should be
//   port_reset.cc       a port that has to be reset, and its rules
//   lease.cc            the end of the lease, gratuitous ARP, probes
#pragma once

#include <atomic>
#include <functional>
#include <unordered_map>
#include <vector>

#include "flow_port/flow_port.h"
#include "flow_port/rule_template.h"
#include "slow_path/announcer.h"
#include "slow_path/capture_tap.h"
#include "slow_path/clock.h"
#include "slow_path/fragments.h"
#include "slow_path/frame_fields.h"
#include "slow_path/gateway_port.h"
#include "slow_path/hand_over.h"
#include "slow_path/hold.h"
#include "slow_path/latency_buckets.h"
#include "slow_path/lease_gate.h"
#include "slow_path/packet.h"
#include "slow_path/probe.h"
#include "slow_path/rings.h"
#include "slow_path/row_plan.h"
#include "slow_path/sessions.h"
#include "slow_path/steering.h"

namespace sluice {

struct SlowPathOptions {
  uint32_t vtep = 0;
  uint8_t underlay_mac[6] = {};
  uint16_t vxlan_udp_port = kVxlanUdpPort;
  uint32_t max_sessions = 0;
  uint32_t max_held = 0;
  uint32_t event_slots = 0;
  uint32_t decision_slots = 0;
  uint16_t mss_clamp = 0;  // largest TCP maximum segment size let through, 0 = any
  bool replay = false;
  bool silent = false;  // speaks only once a lease says so
  // Sessions will have rules in NICs: the memory for all of theirs is had from the start.
  bool offloads = false;

  // One of several slow paths over the same ports; null: the only one.
  const Steering* steering = nullptr;
  HandOver* hand_over = nullptr;
  uint16_t shard = 0;
  uint32_t first_row = 0;  // what its row 0 is to the NICs, which see the rows of all
};

// A template of the software table: its scratch memory, the engine's table of rules made from it, and how they are
// made from arguments alone; null: by way of items and actions.
struct SoftwareTemplate {
  std::unique_ptr<RuleTemplate> rule;
  RuleTable* table = nullptr;
  std::unique_ptr<RowPlan> plan;

  FlowRule* stage(FlowEngine& engine, const FlowArguments& arguments, rte_flow_error* error) const {
    if (plan != nullptr) return plan->stage(engine, arguments, error);
    rule->fill(arguments, nullptr);
    return engine.stage_row(table, rule->items(), rule->actions(), error);
  }
};

struct NicTemplate {
  uint8_t port = 0;
  PortTemplate made;
  TemplateSource source;
  // The same one precedence lower, once a rule has been replaced: two rules of one match can stand side by
  // side.
  uint16_t twin = kNoTemplate;
  bool is_twin = false;
  bool twin_refused = false;
};

// Where a frame of the gateway's own goes.
struct Egress {
  uint8_t port = 0;
  uint32_t vni = kNoVni;  // plain
  uint32_t vtep = 0;
  uint8_t mac[6] = {};
  uint8_t inner_mac[6] = {};
};

// "direction" of an install-failed event that concerns neither NIC rule.
inline constexpr uint8_t kSoftwareTable = 2;

inline constexpr size_t kVniBitmapBytes = (size_t{1} << 24) / 8;

class SlowPath final : public RuleKeeper {
 public:
  static constexpr uint32_t kMaxBurst = 256;

  // `ports` are started; `pool` outlives this.
  SlowPath(const SlowPathOptions& options, std::vector<GatewayPort> ports, rte_mempool* pool);
  ~SlowPath();
  SlowPath(const SlowPath&) = delete;
  SlowPath& operator=(const SlowPath&) = delete;

  RuleTable* table_of(uint32_t tag) const override {
    const SessionRef session = sessions_.of(tag);
    return software_templates_[software_template_of(*session.row, session.direction)].table;
  }

  // Has the memory of all sessions' software rules cleared in the background.
  void reserve_rules();
  void reserve_nic_rules() { sessions_.reserve_nic_rules(); }
  // Throw NativeFault TEMPLATE or RULE.
  uint32_t register_software(const TemplateSource& source);
  uint32_t register_nic(uint8_t port, const TemplateSource& source);
  void install_static(uint8_t port, const TemplateSource& source);
  ProbeResult probe_template(uint8_t port, const TemplateSource& source);

  // The clock never goes backwards; what time brings about (fragments' timeouts) happens here.
  void advance(Nanoseconds now);
  Nanoseconds now() const { return now_; }

  // Carries decisions out, all that wait or at most `limit`. Stops while completions would find no room in
  // the ring.
  void drain_decisions(uint32_t limit);
  // Takes over the frame.
  void receive(rte_mbuf* frame, uint8_t port);
  void receive_burst(rte_mbuf** frames, uint16_t count, uint8_t port);
  // Receives what other shards have for this one, some of it. How many frames.
  uint32_t take_handed_over();
  // From now on packets are looked up where `steering`, which outlives its use here, says.
  void steer_by(const Steering* steering);
  // Sends what waits for a burst to fill.
  void flush_transmit();
  LeaseGate& lease() { return lease_; }
  // Obeys the lease's limits, and says what is to be announced.
  void follow_lease();
  bool is_replay() const { return options_.replay; }
  bool speaks() const { return speaks_.load(std::memory_order_relaxed); }
  // Whether the NICs lead packets to the flows' rules exactly when this gateway speaks.
  bool jumps_follow() const { return jumps_follow_.load(std::memory_order_relaxed); }
  void announce(std::vector<Announcement> announcements, uint32_t times, Nanoseconds interval);
  // Receives a frame of the gateway's own making; what leaves because of it is caught. False: no buffer.
  bool inject(uint8_t port, const std::vector<uint8_t>& bytes);
  ProbeCatcher& probes() { return probes_; }
  // End: fragments that still wait are dropped.
  void drop_fragments();
  // Removes every rule from the NICs, frees what is held. Nothing may be received afterwards.
  void shut_down();

  // rule_audit.cc
  // False: the driver does not tell what rules it has. `cursor`: 0 at first, UINT64_MAX at the end.
  bool list_installed(uint8_t port, uint64_t* cursor, uint32_t room, std::vector<RuleHandle>* out) const;
  // Of `rows` sessions, and at row 0 the constant ones. The row to go on with; the capacity at the end.
  uint32_t list_own(uint8_t port, uint32_t row, uint32_t rows, std::vector<RuleHandle>* out) const;
  bool destroy_stale(uint8_t port, const RuleHandle& rule);
  bool forget_missing(uint8_t port, const RuleHandle& rule);

  // port_reset.cc
  // Nothing is asked of the port until reopen_port(). The contexts of the flows' rules that are gone with it,
  // once the port has been flushed.
  std::vector<void*> close_port(uint8_t port);
  // It has been reset and started, and is as `opened` says. Throws NativeFault RULE, and is closed still,
  // where a constant rule is refused.
  void reopen_port(uint8_t port, const GatewayPort& opened);

  EventRing& events() { return events_; }
  const DecisionRing& decisions() const { return decisions_; }
  const SessionTable& sessions() const { return sessions_; }
  const std::vector<GatewayPort>& ports() const { return ports_; }
  const uint64_t* drops() const { return drops_; }
  uint64_t misses() const { return misses_; }
  uint32_t held() const { return hold_.held(); }
  const LatencyBuckets& first_packets() const { return first_packets_; }
  uint64_t nic_inserts() const { return nic_inserts_; }
  // Frames that other shards received for this one.
  uint64_t handed_over() const { return handed_over_; }
  CaptureTap& tap() { return tap_; }
  uint32_t nic_rules() const;
  uint32_t software_rules() const { return engine_.rules(); }
  uint64_t software_table_bytes() const { return engine_.memory_bytes(); }
  // Which VNIs lead somewhere, a bit each, written by JavaScript at any time.
  const SharedRegion& vnis_memory() const { return vnis_memory_; }
  const SharedRegion& events_memory() const { return events_memory_; }
  const SharedRegion& decisions_memory() const { return decisions_memory_; }

  // Called when a port takes no more frames; true when some of its transmit ring was emptied (a replay's
  // wire).
  std::function<bool()> make_room;

 private:
  // receive.cc
  // At the only shard, at one of several, from the one that received it.
  enum class Arrival : uint8_t { kAlone, kToSteer, kHandedOver };
  template <Arrival kArrival>
  void receive_frames(rte_mbuf** frames, uint16_t count, uint8_t port);
  void receive_handed_over(rte_mbuf** frames, uint16_t count, uint8_t port);
  template <bool kHandedOver>
  bool begin(rte_mbuf* frame, uint8_t port, Packet* packet);
  void receive_parsed(Packet& packet);
  void receive_external(Packet& packet);
  void receive_fabric(Packet& packet);
  void receive_ipv4(Packet& packet);
  void receive_arp(Packet& packet, const LayerHeaders& layer, uint32_t end);
  void echo_from_vtep(Packet& packet);
  DropReason check_transport(const Packet& packet) const;

  // steer.cc
  enum class Whose : uint8_t { kUnknown, kOurs, kAnothers };
  Whose steer_unparsed(rte_mbuf* frame, uint8_t port);
  bool guess_flow(const rte_mbuf* frame, uint8_t port, FlowKey* flow) const;
  bool steer_away(Packet& packet);
  FlowKey steered_by(const Packet& packet) const;
  uint16_t first_of(const Packet& packet) const;
  bool pass_on(Packet& packet);
  bool expires_elsewhere(Packet& packet);
  static bool was_looked_up(const rte_mbuf* frame);
  bool send_on(Packet& packet);
  void hand_over(Packet& packet, uint16_t owner);

  // fragments_flow.cc
  void receive_first_fragment(Packet& packet);
  void receive_later_fragment(Packet& packet);
  bool knows_vni(uint32_t vni) const;
  void hold_fragment(Datagram& datagram, Packet& packet);
  void settle_dropped(uint32_t handle, DropReason reason);
  void settle_translated(const Packet& first, const SessionRef& session);
  void release_fragments(Datagram& datagram, Nanoseconds stamp);
  void follow(const Datagram& datagram, Packet& packet);
  void expire_fragments();
  void remove_datagram(Datagram& datagram, DropReason reason);

  // translate.cc
  void look_up(Packet& packet);
  FlowRule* match(Packet& packet);
  bool fits(Packet& packet, const FlowRule* rule);
  void translate(Packet& packet, FlowRule* rule, const SessionRef& session);
  bool follow_tcp(const Packet& packet, const SessionRef& session);
  void push_state(const SessionRef& session);
  void push_threshold(const SessionRef& session);
  void deliver(Packet& packet, FlowRule* rule, const SessionRef& session);
  void miss(Packet& packet, MissKind kind, uint32_t mtu = 0, uint32_t row = 0,
            const EmbeddedTuple* embedded = nullptr);
  void drop(Packet& packet, DropReason reason);
  void count_drop(DropReason reason) { drops_[static_cast<size_t>(reason)]++; }

  // mss_clamp.cc
  void clamp_mss(Packet& packet);

  // icmp_error.cc
  void receive_icmp_error(Packet& packet);
  static bool quoted_tuple(const Packet& packet, EmbeddedTuple* tuple);
  void deliver_icmp_error(Packet& packet, FlowRule* rule, const SessionRef& session);
  FlowRule* match_reversed(const Packet& packet, const EmbeddedTuple& embedded, uint8_t embedded_icmp_type);

  // ipv4_fragment.cc
  bool send_in_pieces(Packet& packet, FlowRule* rule, uint32_t limit);

  // decisions.cc
  void carry_out(const Decision& decision);
  uint32_t room_for_decisions() const;
  bool take_held(uint32_t hold, Packet* packet, uint32_t* rest);
  void resume(uint32_t rest);
  void drop_list(uint32_t list, DropReason reason);

  // open_sessions.cc
  // A session that is being opened, with its rules in the software table as far as they are there.
  struct Opening {
    bool opened = false;
    DropReason reason = DropReason::kTableFull;  // of the held packet, when it could not be opened
    FlowRule* rule[2] = {};
  };
  void decide_sessions(const Decision* decisions, uint32_t count);
  bool begin_session(const Decision& decision, Opening* opening);
  void fill_row(const Decision& decision);
  void finish_sessions(const Decision* decisions, Opening* openings, uint32_t count);
  void release_held(const Decision& decision, const Opening& opening);
  void refuse_session(const Decision& decision, int error, int rte_type);

  // end_sessions.cc
  void end_sessions(const Decision* decisions, uint32_t count);
  void prefetch_ends(const Decision* decisions, uint32_t count) const;
  void leave_nic(const SessionRef& session);

  // session_rules.cc
  void offload(const SessionRef& session, const Decision& decision);
  void offload_direction(const SessionRef& session, const Decision& decision, FlowDirection direction);
  bool install_software(const SessionRef& session, const Decision& decision);
  void destroy_software(const SessionRef& session);
  size_t take_software_rules(const SessionRef& session, RuleTable** tables, FlowRule** rules);
  void update_session(const SessionRef& session, const Decision& decision);
  static void restate(SessionRow& row, const Decision& decision);
  FlowPort::Installation install_nic(const SessionRef& session, const Decision& decision,
                                     FlowDirection direction, NicDirection* nic, uint16_t id,
                                     FlowFailure* failure);
  uint32_t joining_tag(const SessionRef& session, FlowDirection direction, uint16_t id) const;
  void replace_direction(const SessionRef& session, const Decision& decision, FlowDirection direction);
  uint16_t template_beside(uint16_t id, uint16_t other);
  void unoffload(const SessionRef& session);
  void take_out(const SessionRef& session, FlowDirection direction, NicDirection* nic);
  void take_out_replaced(const SessionRef& session, FlowDirection direction, NicDirection* nic);
  void destroy_nic(const SessionRef& session, FlowDirection direction, const NicRule& rule);
  void complete_installations();
  bool complete_installation(const SessionRef& session, bool failed);
  void installation_failed(const SessionRef& session, FlowDirection direction, const FlowFailure& failure);
  void query_session(const SessionRef& session);
  FlowRule* software_rule(const SessionRef& session, uint8_t direction) const;
  void count_rule(const SessionRef& session, FlowDirection direction, NicRule* asked);
  void refresh_counters(const SessionRef& session);
  void refresh_rows(uint32_t first, uint32_t count);
  SessionEvent event_of(const SessionRef& session, EventType type) const;
  // With the session's counters as last refreshed.
  SessionEvent counted_event_of(const SessionRef& session, EventType type) const;
  void push_install_failed(uint32_t row, uint32_t generation, uint8_t direction, int error, int rte_type);
  // What a NIC's rule has with it: of all shards' no two are alike.
  void* context_of(uint32_t row, uint32_t generation, FlowDirection direction) const {
    return RuleContext{options_.first_row + row, generation, direction}.pack();
  }
  // None: it is another shard's, has ended, or never was.
  SessionRef session_of(const void* context) const {
    RuleContext of = RuleContext::unpack(context);
    of.row -= options_.first_row;
    return sessions_.find(of);
  }
  uint32_t overhead_of(uint8_t port) const;

  // local_answer.cc
  void answer_icmp_error(Packet& packet, const Decision& decision);
  void answer_echo(Packet& packet, const Egress& egress, Nanoseconds stamp);
  void answer_arp(Packet& packet, const Egress& egress, const uint8_t* mac, Nanoseconds stamp);
  void request_arp(const Decision& decision);
  rte_mbuf* new_frame(uint32_t bytes);
  void send_own(rte_mbuf* frame, uint16_t ether_type, const Egress& egress, Nanoseconds stamp);

  // transmit.cc
  bool apply_and_transmit(Packet& packet, FlowRule* rule, ApplyScope scope);
  void transmit(rte_mbuf* frame, uint8_t port);
  void flush_port(GatewayPort& port);
  void discard_waiting(GatewayPort& port, uint16_t from, DropReason reason);
  bool port_of(uint16_t port_id, uint8_t* port) const;
  // Largest IPv4 packet that leaves the port whole, without what VXLAN adds.
  uint32_t largest_packet(const GatewayPort& port) const;

  SlowPathOptions options_;
  std::vector<GatewayPort> ports_;
  std::vector<uint16_t> port_ids_;
  rte_mempool* pool_;
  const FrameFields& fields_;
  FlowEngine engine_;
  std::vector<SoftwareTemplate> software_templates_;
  std::vector<NicTemplate> nic_templates_;
  // By RuleTag; as many at most as installations are under way.
  std::unordered_map<uint32_t, NicRule> replaced_;
  // Of NIC rules that are two, by the tag that joins them.
  std::unordered_map<uint32_t, rte_flow*> second_halves_;
  std::vector<std::unique_ptr<FlowPort>> flow_ports_;
  SessionTable sessions_;
  SharedRegion vnis_memory_;
  SharedRegion events_memory_;
  SharedRegion decisions_memory_;
  EventRing events_;
  DecisionRing decisions_;
  static constexpr uint32_t kDecisionsTogether = 32;
  Decision drained_[kDecisionsTogether];
  static constexpr uint16_t kAhead = 32;
  Packet ahead_[kAhead];  // of the burst that is being received
  HoldTable hold_;
  FairShare held_fragments_;
  FragmentTable fragments_;
  rte_mbuf* scratch_ = nullptr;  // for the packet that an ICMP error's rule is looked up with
  Nanoseconds now_ = 0;
  LeaseGate lease_;
  std::atomic<bool> speaks_ = true;  // written by the lcore, read by whoever asks
  bool admits_ = true;
  std::atomic<bool> jumps_follow_ = true;
  Nanoseconds jumps_tried_ = 0;
  Announcer announcer_;
  ProbeCatcher probes_;
  uint64_t drops_[kDropReasonCount] = {};
  uint64_t misses_ = 0;
  uint64_t nic_inserts_ = 0;  // rules of flows that a NIC has taken
  uint64_t handed_over_ = 0;
  LatencyBuckets first_packets_;
  CaptureTap tap_;
  bool shut_ = false;
};

}  // namespace sluice
