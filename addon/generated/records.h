// Generated from schemas/records.json by scripts/generate-records.mjs. Do not edit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

// Why a packet was not forwarded. The names are the contract's; `local` and `none` are not drops.
enum class DropReason : uint8_t {
  kNone = 0,
  kLocal = 1,
  kMalformed = 2,
  kBadChecksum = 3,
  kNotForUs = 4,
  kUnknownVni = 5,
  kUnknownVtep = 6,
  kNotIpv4 = 7,
  kSourceNotInVpc = 8,
  kNoRoute = 9,
  kNoPeering = 10,
  kPrivateDestination = 11,
  kNoBinding = 12,
  kFiltered = 13,
  kNoPool = 14,
  kPoolExhausted = 15,
  kVpcLimit = 16,
  kAddressLimit = 17,
  kRateLimit = 18,
  kTableFull = 19,
  kNotSyn = 20,
  kTcpState = 21,
  kIcmpErrorUnknown = 22,
  kIcmpUnsupported = 23,
  kTtlExpired = 24,
  kTooBig = 25,
  kFragmentTimeout = 26,
  kFragmentLimit = 27,
  kHeldLimit = 28,
  kQueueFull = 29,
  kNotActive = 30,
  kNotMirrored = 31,
};
inline constexpr size_t kDropReasonCount = 32;
inline constexpr const char* kDropReasonNames[] = {"none", "local", "malformed", "bad-checksum", "not-for-us", "unknown-vni", "unknown-vtep", "not-ipv4", "source-not-in-vpc", "no-route", "no-peering", "private-destination", "no-binding", "filtered", "no-pool", "pool-exhausted", "vpc-limit", "address-limit", "rate-limit", "table-full", "not-syn", "tcp-state", "icmp-error-unknown", "icmp-unsupported", "ttl-expired", "too-big", "fragment-timeout", "fragment-limit", "held-limit", "queue-full", "not-active", "not-mirrored"};

// Records of the event ring, lcore to TypeScript.
enum class EventType : uint8_t {
  kNone = 0,
  kMiss = 1,
  kSessionState = 2,
  kSessionThreshold = 3,
  kInstalled = 4,
  kInstallFailed = 5,
  kRemoved = 6,
  kQueried = 7,
  kNeighbour = 8,
};
inline constexpr size_t kEventTypeCount = 9;
inline constexpr const char* kEventTypeNames[] = {"none", "miss", "session-state", "session-threshold", "installed", "install-failed", "removed", "queried", "neighbour"};

// What a miss record describes.
enum class MissKind : uint8_t {
  kIpv4 = 0,
  kIcmpError = 1,
  kArp = 2,
  kTtl = 3,
  kTooBig = 4,
};
inline constexpr size_t kMissKindCount = 5;
inline constexpr const char* kMissKindNames[] = {"ipv4", "icmp-error", "arp", "ttl", "too-big"};

// Records of the decision ring, TypeScript to lcore.
enum class DecisionType : uint8_t {
  kNone = 0,
  kDrop = 1,
  kRetry = 2,
  kSession = 3,
  kOffload = 4,
  kUpdate = 5,
  kRemove = 6,
  kQuery = 7,
  kIcmpError = 8,
  kEchoReply = 9,
  kArpReply = 10,
  kArpRequest = 11,
  kRestate = 12,
  kRefresh = 13,
  kExpire = 14,
};
inline constexpr size_t kDecisionTypeCount = 15;
inline constexpr const char* kDecisionTypeNames[] = {"none", "drop", "retry", "session", "offload", "update", "remove", "query", "icmp-error", "echo-reply", "arp-reply", "arp-request", "restate", "refresh", "expire"};

// Class of a session, as in the flow dump.
enum class SessionClass : uint8_t {
  kVpcToVpc = 0,
  kVpcToExternal = 1,
  kExternalToVpc = 2,
  kSiteToSite = 3,
  kHairpin = 4,
};
inline constexpr size_t kSessionClassCount = 5;
inline constexpr const char* kSessionClassNames[] = {"vpc-to-vpc", "vpc-to-external", "external-to-vpc", "site-to-site", "hairpin"};

// State of a session's TCP connection (RFC 7857 section 2, RFC 6146 section 3.5.2). Forward is the initiator's direction. Sessions of other protocols stay in `none`.
enum class TcpState : uint8_t {
  kNone = 0,
  kSynForward = 1,
  kSynReverse = 2,
  kEstablished = 3,
  kFinForward = 4,
  kFinReverse = 5,
  kFinBoth = 6,
  kRst = 7,
  kReopenForward = 8,
  kReopenReverse = 9,
};
inline constexpr size_t kTcpStateCount = 10;
inline constexpr const char* kTcpStateNames[] = {"none", "syn-forward", "syn-reverse", "established", "fin-forward", "fin-reverse", "fin-both", "rst", "reopen-forward", "reopen-reverse"};

// What a segment means for the connection, by its flags.
enum class TcpEvent : uint8_t {
  kOther = 0,
  kSyn = 1,
  kFin = 2,
  kRst = 3,
};
inline constexpr size_t kTcpEventCount = 4;
inline constexpr const char* kTcpEventNames[] = {"other", "syn", "fin", "rst"};

// Where a direction of a session is executed.
enum class RulePath : uint8_t {
  kSoftware = 0,
  kPending = 1,
  kOffloaded = 2,
  kFailed = 3,
  kRemoving = 4,
};
inline constexpr size_t kRulePathCount = 5;
inline constexpr const char* kRulePathNames[] = {"software", "pending", "offloaded", "failed", "removing"};

// Side of a gateway port.
enum class PortRole : uint8_t {
  kFabric = 0,
  kExternal = 1,
};
inline constexpr size_t kPortRoleCount = 2;
inline constexpr const char* kPortRoleNames[] = {"fabric", "external"};

// Pattern items; the addon maps them to RTE_FLOW_ITEM_TYPE_*.
enum class ItemType : uint8_t {
  kEnd = 0,
  kVoid = 1,
  kRepresentedPort = 2,
  kEth = 3,
  kVlan = 4,
  kIpv4 = 5,
  kIpv6 = 6,
  kUdp = 7,
  kTcp = 8,
  kIcmp = 9,
  kVxlan = 10,
  kIntegrity = 11,
  kTag = 12,
};
inline constexpr size_t kItemTypeCount = 13;
inline constexpr const char* kItemTypeNames[] = {"end", "void", "represented-port", "eth", "vlan", "ipv4", "ipv6", "udp", "tcp", "icmp", "vxlan", "integrity", "tag"};

// Actions; the addon maps them to RTE_FLOW_ACTION_TYPE_*. `set-icmp-ident` exists in the software table only.
enum class ActionType : uint8_t {
  kEnd = 0,
  kVoid = 1,
  kCount = 2,
  kAge = 3,
  kJump = 4,
  kMark = 5,
  kQueue = 6,
  kDrop = 7,
  kPortRepresentor = 8,
  kRepresentedPort = 9,
  kVxlanEncap = 10,
  kVxlanDecap = 11,
  kSetMacSource = 12,
  kSetMacDestination = 13,
  kSetIpv4Source = 14,
  kSetIpv4Destination = 15,
  kSetTpSource = 16,
  kSetTpDestination = 17,
  kDecTtl = 18,
  kSetTtl = 19,
  kModifyField = 20,
  kSetIcmpIdent = 21,
  kRawEncap = 22,
  kRawDecap = 23,
  kOfPushVlan = 24,
  kOfSetVlanVid = 25,
  kOfPopVlan = 26,
  kSetTag = 27,
};
inline constexpr size_t kActionTypeCount = 28;
inline constexpr const char* kActionTypeNames[] = {"end", "void", "count", "age", "jump", "mark", "queue", "drop", "port-representor", "represented-port", "vxlan-encap", "vxlan-decap", "set-mac-source", "set-mac-destination", "set-ipv4-source", "set-ipv4-destination", "set-tp-source", "set-tp-destination", "dec-ttl", "set-ttl", "modify-field", "set-icmp-ident", "raw-encap", "raw-decap", "of-push-vlan", "of-set-vlan-vid", "of-pop-vlan", "set-tag"};

// Whether a patch of a rule template writes into an item's spec or an action's configuration.
enum class PatchTarget : uint8_t {
  kItem = 0,
  kAction = 1,
};
inline constexpr size_t kPatchTargetCount = 2;
inline constexpr const char* kPatchTargetNames[] = {"item", "action"};

// `vni` of what is not VXLAN.
inline constexpr uint32_t kNoVni = 4294967295u;
// Template id that stands for no rule.
inline constexpr uint32_t kNoTemplate = 65535u;
// `hold` of a decision that concerns no held packet.
inline constexpr uint32_t kNoHold = 4294967295u;
// Most bytes of a flow's line without its texts, and what may be written beyond its end.
inline constexpr uint32_t kFlowLineBytes = 512u;
// Bytes behind the last text of flow lines: texts are copied in pieces of so many.
inline constexpr uint32_t kFlowTextSlack = 16u;
// Rows of one refresh: packets wait for no more than the lcore needs for so many.
inline constexpr uint32_t kMostRefreshed = 16u;
// Size of a decision ring slot.
inline constexpr uint32_t kRingSlotBytes = 256u;
// Size of an event ring slot.
inline constexpr uint32_t kEventSlotBytes = 64u;
// Producer index (u32) at 0, consumer index (u32) at 64, slots from here on. Indices run free and are masked.
inline constexpr uint32_t kRingHeaderBytes = 128u;
// Multipliers of the hashes that both sides compute: of a SharedTableEntry's key, and homeOf() (src/nat/shards).
inline constexpr uint32_t kSharedHashA = 2654435761u;
// See SHARED_HASH_A.
inline constexpr uint32_t kSharedHashB = 2246822507u;
// See SHARED_HASH_A.
inline constexpr uint32_t kSharedHashC = 3266489909u;
// Table of blocks, third word of a key: stands where an address's ports are told, as first port << BLOCK_SIZE_BITS | ports of a block.
inline constexpr uint32_t kBlockShape = 4294967295u;
// See BLOCK_SHAPE.
inline constexpr uint32_t kBlockSizeBits = 10u;
// Table of remotes, first word of a key: reverse context << REMOTE_PROTOCOL_BITS | protocol.
inline constexpr uint32_t kRemoteProtocolBits = 8u;
// homeOfPair(): the lower VPC's index times this, plus the other's, stands for an address.
inline constexpr uint32_t kPairFactor = 32768u;
// Miss flag: first fragment of a datagram (MF set, offset 0).
inline constexpr uint32_t kMissFirstFragment = 1u;
// Miss flag: DF set.
inline constexpr uint32_t kMissDontFragment = 2u;
// Miss flag: IPv4 options present.
inline constexpr uint32_t kMissOptions = 4u;
// Miss flag: fragment with an offset; ports are 0. Only in `ttl` misses: others wait for their first fragment.
inline constexpr uint32_t kMissLaterFragment = 8u;
// Session flag: run the TCP state machine.
inline constexpr uint32_t kSessionFlagTcp = 1u;
// Session flag: a session-state event found no room in the ring.
inline constexpr uint32_t kSessionFlagStateOwed = 2u;
// session: it has lived elsewhere; tcpState and the *Seconds fields say how it stands.
inline constexpr uint32_t kDecisionFlagAdopted = 64u;
// retry: the configuration has changed meanwhile; the packet may be missed again, as if it had just come.
inline constexpr uint32_t kDecisionFlagAnew = 32u;
// drop, icmp-error: packets of the flow that wait behind the held one are dropped with it.
inline constexpr uint32_t kDecisionFlagFlow = 128u;

// One session. Written by the lcore alone; TypeScript reads it as external memory. What tells which packets are its stands in its rules.
struct alignas(8) SessionRow {
  uint32_t generation;
  uint32_t nic_rules;
  uint32_t software_forward_rule;
  uint32_t software_reverse_rule;
  uint32_t last_forward_seconds;
  uint32_t last_reverse_seconds;
  uint32_t state_since_seconds;
  uint32_t created_seconds;
  uint32_t packets_until_threshold;
  uint16_t software_forward_template;
  uint16_t software_reverse_template;
  uint8_t tcp_state;
  uint8_t flags;
  uint8_t forward_path;
  uint8_t reverse_path;
  uint16_t nic_error;
  uint8_t forward_port;
  uint8_t reverse_port;
};
static_assert(sizeof(SessionRow) == 48);
static_assert(offsetof(SessionRow, generation) == 0);
static_assert(offsetof(SessionRow, nic_rules) == 4);
static_assert(offsetof(SessionRow, software_forward_rule) == 8);
static_assert(offsetof(SessionRow, software_reverse_rule) == 12);
static_assert(offsetof(SessionRow, last_forward_seconds) == 16);
static_assert(offsetof(SessionRow, last_reverse_seconds) == 20);
static_assert(offsetof(SessionRow, state_since_seconds) == 24);
static_assert(offsetof(SessionRow, created_seconds) == 28);
static_assert(offsetof(SessionRow, packets_until_threshold) == 32);
static_assert(offsetof(SessionRow, software_forward_template) == 36);
static_assert(offsetof(SessionRow, software_reverse_template) == 38);
static_assert(offsetof(SessionRow, tcp_state) == 40);
static_assert(offsetof(SessionRow, flags) == 41);
static_assert(offsetof(SessionRow, forward_path) == 42);
static_assert(offsetof(SessionRow, reverse_path) == 43);
static_assert(offsetof(SessionRow, nic_error) == 44);
static_assert(offsetof(SessionRow, forward_port) == 46);
static_assert(offsetof(SessionRow, reverse_port) == 47);

// Packets and bytes of a session: in software as they come, and of the NIC's as of the last query. Bytes are inner IPv4 total lengths.
struct alignas(8) SessionCounters {
  double forward_packets;
  double forward_bytes;
  double reverse_packets;
  double reverse_bytes;
};
static_assert(sizeof(SessionCounters) == 32);
static_assert(offsetof(SessionCounters, forward_packets) == 0);
static_assert(offsetof(SessionCounters, forward_bytes) == 8);
static_assert(offsetof(SessionCounters, reverse_packets) == 16);
static_assert(offsetof(SessionCounters, reverse_bytes) == 24);

// A packet that no software rule serves; the packet is held under `hold` until a decision names it.
struct alignas(8) MissEvent {
  uint8_t type;
  uint8_t kind;
  uint8_t port;
  uint8_t protocol;
  uint32_t hold;
  uint32_t seconds;
  uint32_t nanoseconds;
  uint32_t vni;
  uint32_t outer_source_address;
  uint32_t source_address;
  uint32_t destination_address;
  uint16_t source_port;
  uint16_t destination_port;
  uint8_t tcp_flags;
  uint8_t ttl;
  uint8_t icmp_type;
  uint8_t icmp_code;
  uint16_t total_length;
  uint16_t flags;
  uint16_t mtu;
  uint16_t embedded_source_port;
  uint32_t embedded_source_address;
  uint32_t embedded_destination_address;
  uint16_t embedded_destination_port;
  uint8_t embedded_protocol;
  uint8_t rejected;
  uint32_t row;
};
static_assert(sizeof(MissEvent) == 64);
static_assert(offsetof(MissEvent, type) == 0);
static_assert(offsetof(MissEvent, kind) == 1);
static_assert(offsetof(MissEvent, port) == 2);
static_assert(offsetof(MissEvent, protocol) == 3);
static_assert(offsetof(MissEvent, hold) == 4);
static_assert(offsetof(MissEvent, seconds) == 8);
static_assert(offsetof(MissEvent, nanoseconds) == 12);
static_assert(offsetof(MissEvent, vni) == 16);
static_assert(offsetof(MissEvent, outer_source_address) == 20);
static_assert(offsetof(MissEvent, source_address) == 24);
static_assert(offsetof(MissEvent, destination_address) == 28);
static_assert(offsetof(MissEvent, source_port) == 32);
static_assert(offsetof(MissEvent, destination_port) == 34);
static_assert(offsetof(MissEvent, tcp_flags) == 36);
static_assert(offsetof(MissEvent, ttl) == 37);
static_assert(offsetof(MissEvent, icmp_type) == 38);
static_assert(offsetof(MissEvent, icmp_code) == 39);
static_assert(offsetof(MissEvent, total_length) == 40);
static_assert(offsetof(MissEvent, flags) == 42);
static_assert(offsetof(MissEvent, mtu) == 44);
static_assert(offsetof(MissEvent, embedded_source_port) == 46);
static_assert(offsetof(MissEvent, embedded_source_address) == 48);
static_assert(offsetof(MissEvent, embedded_destination_address) == 52);
static_assert(offsetof(MissEvent, embedded_destination_port) == 56);
static_assert(offsetof(MissEvent, embedded_protocol) == 58);
static_assert(offsetof(MissEvent, rejected) == 59);
static_assert(offsetof(MissEvent, row) == 60);

// session-state, session-threshold, installed, install-failed, removed and queried events.
struct alignas(8) SessionEvent {
  uint8_t type;
  uint8_t tcp_state;
  uint8_t direction;
  uint8_t rte_type;
  uint32_t row;
  uint32_t generation;
  int32_t error;
  uint32_t seconds;
  uint32_t nanoseconds;
  uint8_t reserved0[8];
  double forward_packets;
  double forward_bytes;
  double reverse_packets;
  double reverse_bytes;
};
static_assert(sizeof(SessionEvent) == 64);
static_assert(offsetof(SessionEvent, type) == 0);
static_assert(offsetof(SessionEvent, tcp_state) == 1);
static_assert(offsetof(SessionEvent, direction) == 2);
static_assert(offsetof(SessionEvent, rte_type) == 3);
static_assert(offsetof(SessionEvent, row) == 4);
static_assert(offsetof(SessionEvent, generation) == 8);
static_assert(offsetof(SessionEvent, error) == 12);
static_assert(offsetof(SessionEvent, seconds) == 16);
static_assert(offsetof(SessionEvent, nanoseconds) == 20);
static_assert(offsetof(SessionEvent, forward_packets) == 32);
static_assert(offsetof(SessionEvent, forward_bytes) == 40);
static_assert(offsetof(SessionEvent, reverse_packets) == 48);
static_assert(offsetof(SessionEvent, reverse_bytes) == 56);

// An ARP sender seen on a port's own wire (not inside VXLAN).
struct alignas(8) NeighbourEvent {
  uint8_t type;
  uint8_t reserved0[1];
  uint8_t port;
  uint8_t reserved1[1];
  uint32_t address;
  uint8_t mac[6];
  uint8_t reserved2[50];
};
static_assert(sizeof(NeighbourEvent) == 64);
static_assert(offsetof(NeighbourEvent, type) == 0);
static_assert(offsetof(NeighbourEvent, port) == 2);
static_assert(offsetof(NeighbourEvent, address) == 4);
static_assert(offsetof(NeighbourEvent, mac) == 8);

// Begin of a table in memory that the threads of all shards see; 2^n SharedTableEntry follow (src/nat/shards/shared-table.ts).
struct alignas(8) SharedTableHeader {
  uint32_t lock;
  uint32_t count;
  uint32_t seed;
  uint32_t sequence;
};
static_assert(sizeof(SharedTableHeader) == 16);
static_assert(offsetof(SharedTableHeader, lock) == 0);
static_assert(offsetof(SharedTableHeader, count) == 4);
static_assert(offsetof(SharedTableHeader, seed) == 8);
static_assert(offsetof(SharedTableHeader, sequence) == 12);

// Open addressing, linear probing from the key's slot upwards to an entry whose value is 0. Blocks: protocol, public address, block's number or BLOCK_SHAPE; value: shard + 1. Remotes: reverse context and protocol, remote, public address; value: shard + 1.
struct alignas(8) SharedTableEntry {
  uint32_t a;
  uint32_t b;
  uint32_t c;
  uint32_t value;
};
static_assert(sizeof(SharedTableEntry) == 16);
static_assert(offsetof(SharedTableEntry, a) == 0);
static_assert(offsetof(SharedTableEntry, b) == 4);
static_assert(offsetof(SharedTableEntry, c) == 8);
static_assert(offsetof(SharedTableEntry, value) == 12);

// The values of one direction of a session: what templates are filled with. Unchanged values stand in both match and new fields.
struct alignas(8) FlowArguments {
  uint32_t match_source_address;
  uint32_t match_destination_address;
  uint16_t match_source_port;
  uint16_t match_destination_port;
  uint32_t match_vni;
  uint32_t match_outer_source_address;
  uint32_t new_source_address;
  uint32_t new_destination_address;
  uint16_t new_source_port;
  uint16_t new_destination_port;
  uint32_t new_vni;
  uint32_t outer_destination_address;
  uint8_t outer_destination_mac[6];
  uint8_t inner_destination_mac[6];
  uint16_t outer_udp_source_port;
  uint8_t protocol;
  uint8_t reserved0[1];
  uint32_t age_seconds;
  uint32_t rule_tag;
};
static_assert(sizeof(FlowArguments) == 64);
static_assert(offsetof(FlowArguments, match_source_address) == 0);
static_assert(offsetof(FlowArguments, match_destination_address) == 4);
static_assert(offsetof(FlowArguments, match_source_port) == 8);
static_assert(offsetof(FlowArguments, match_destination_port) == 10);
static_assert(offsetof(FlowArguments, match_vni) == 12);
static_assert(offsetof(FlowArguments, match_outer_source_address) == 16);
static_assert(offsetof(FlowArguments, new_source_address) == 20);
static_assert(offsetof(FlowArguments, new_destination_address) == 24);
static_assert(offsetof(FlowArguments, new_source_port) == 28);
static_assert(offsetof(FlowArguments, new_destination_port) == 30);
static_assert(offsetof(FlowArguments, new_vni) == 32);
static_assert(offsetof(FlowArguments, outer_destination_address) == 36);
static_assert(offsetof(FlowArguments, outer_destination_mac) == 40);
static_assert(offsetof(FlowArguments, inner_destination_mac) == 46);
static_assert(offsetof(FlowArguments, outer_udp_source_port) == 52);
static_assert(offsetof(FlowArguments, protocol) == 54);
static_assert(offsetof(FlowArguments, age_seconds) == 56);
static_assert(offsetof(FlowArguments, rule_tag) == 60);

// One session of a flow list, before it is text. Texts are places in a buffer: a length (u16), then so many bytes of JSON as they stand in the line.
struct alignas(8) FlowLine {
  uint32_t row;
  uint32_t generation;
  uint32_t head;
  uint32_t underlay;
  uint32_t forward_path;
  uint32_t reverse_path;
  uint32_t inside_address;
  uint32_t nat_address;
  uint32_t remote_address;
  uint16_t inside_port;
  uint16_t nat_port;
  uint16_t remote_port;
  uint8_t reserved0[6];
  double forward_packets;
  double forward_bytes;
  double reverse_packets;
  double reverse_bytes;
  double age_ms;
  double idle_ms;
  double expires_in_ms;
};
static_assert(sizeof(FlowLine) == 104);
static_assert(offsetof(FlowLine, row) == 0);
static_assert(offsetof(FlowLine, generation) == 4);
static_assert(offsetof(FlowLine, head) == 8);
static_assert(offsetof(FlowLine, underlay) == 12);
static_assert(offsetof(FlowLine, forward_path) == 16);
static_assert(offsetof(FlowLine, reverse_path) == 20);
static_assert(offsetof(FlowLine, inside_address) == 24);
static_assert(offsetof(FlowLine, nat_address) == 28);
static_assert(offsetof(FlowLine, remote_address) == 32);
static_assert(offsetof(FlowLine, inside_port) == 36);
static_assert(offsetof(FlowLine, nat_port) == 38);
static_assert(offsetof(FlowLine, remote_port) == 40);
static_assert(offsetof(FlowLine, forward_packets) == 48);
static_assert(offsetof(FlowLine, forward_bytes) == 56);
static_assert(offsetof(FlowLine, reverse_packets) == 64);
static_assert(offsetof(FlowLine, reverse_bytes) == 72);
static_assert(offsetof(FlowLine, age_ms) == 80);
static_assert(offsetof(FlowLine, idle_ms) == 88);
static_assert(offsetof(FlowLine, expires_in_ms) == 96);

// One decision. Which fields count depends on `type`: drop(hold, reason); retry(hold); session(hold, row, generation, … arguments); offload(row, generation, nic templates, arguments); update(row, generation, templates, arguments); restate(row, generation, tcpState, *Seconds); remove, query(row, generation); expire(row, generation, tcpState, stateSinceSeconds, lastForwardSeconds, lastReverseSeconds): remove, unless the state is another or a last hit is later, which a queried event answers; refresh(row, rows): counters of so many rows from that one on, answered by nothing; icmp-error(hold, reason, icmp*, sourceAddress, egress*); echo-reply, arp-reply(hold, egress*); arp-request(port, sourceAddress, egressAddress).
struct alignas(8) Decision {
  uint8_t type;
  uint8_t reason;
  uint8_t protocol;
  uint8_t session_class;
  uint32_t hold;
  uint32_t row;
  uint32_t generation;
  uint16_t software_forward_template;
  uint16_t software_reverse_template;
  uint16_t nic_forward_template;
  uint16_t nic_reverse_template;
  uint32_t offload_after_packets;
  uint8_t flags;
  uint8_t tcp_state;
  uint8_t forward_port;
  uint8_t reverse_port;
  uint8_t reserved0[4];
  uint8_t icmp_type;
  uint8_t icmp_code;
  uint16_t icmp_mtu;
  uint32_t source_address;
  uint8_t egress_port;
  uint8_t reserved1[3];
  uint32_t egress_address;
  uint32_t egress_vni;
  uint8_t egress_mac[6];
  uint8_t egress_inner_mac[6];
  uint8_t answer_mac[6];
  uint8_t reserved2[2];
  uint32_t at_seconds;
  uint32_t at_nanoseconds;
  uint32_t created_seconds;
  uint32_t last_forward_seconds;
  uint32_t last_reverse_seconds;
  uint32_t state_since_seconds;
  uint32_t rows;
  uint8_t reserved3[24];
  FlowArguments forward_arguments;
  FlowArguments reverse_arguments;
};
static_assert(sizeof(Decision) == 256);
static_assert(offsetof(Decision, type) == 0);
static_assert(offsetof(Decision, reason) == 1);
static_assert(offsetof(Decision, protocol) == 2);
static_assert(offsetof(Decision, session_class) == 3);
static_assert(offsetof(Decision, hold) == 4);
static_assert(offsetof(Decision, row) == 8);
static_assert(offsetof(Decision, generation) == 12);
static_assert(offsetof(Decision, software_forward_template) == 16);
static_assert(offsetof(Decision, software_reverse_template) == 18);
static_assert(offsetof(Decision, nic_forward_template) == 20);
static_assert(offsetof(Decision, nic_reverse_template) == 22);
static_assert(offsetof(Decision, offload_after_packets) == 24);
static_assert(offsetof(Decision, flags) == 28);
static_assert(offsetof(Decision, tcp_state) == 29);
static_assert(offsetof(Decision, forward_port) == 30);
static_assert(offsetof(Decision, reverse_port) == 31);
static_assert(offsetof(Decision, icmp_type) == 36);
static_assert(offsetof(Decision, icmp_code) == 37);
static_assert(offsetof(Decision, icmp_mtu) == 38);
static_assert(offsetof(Decision, source_address) == 40);
static_assert(offsetof(Decision, egress_port) == 44);
static_assert(offsetof(Decision, egress_address) == 48);
static_assert(offsetof(Decision, egress_vni) == 52);
static_assert(offsetof(Decision, egress_mac) == 56);
static_assert(offsetof(Decision, egress_inner_mac) == 62);
static_assert(offsetof(Decision, answer_mac) == 68);
static_assert(offsetof(Decision, at_seconds) == 76);
static_assert(offsetof(Decision, at_nanoseconds) == 80);
static_assert(offsetof(Decision, created_seconds) == 84);
static_assert(offsetof(Decision, last_forward_seconds) == 88);
static_assert(offsetof(Decision, last_reverse_seconds) == 92);
static_assert(offsetof(Decision, state_since_seconds) == 96);
static_assert(offsetof(Decision, rows) == 100);
static_assert(offsetof(Decision, forward_arguments) == 128);
static_assert(offsetof(Decision, reverse_arguments) == 192);

// Next TcpState by [state][direction][TcpEvent].
inline constexpr uint8_t kTcpNext[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 7, 1, 3, 1, 7, 2, 3, 2, 7, 2, 2, 2, 7, 3, 3, 4, 7, 3, 3, 5, 7, 4, 4, 4, 7, 4, 4, 6, 7, 5, 5, 6, 7, 5, 5, 5, 7, 6, 8, 6, 6, 6, 9, 6, 6, 7, 8, 7, 7, 7, 9, 7, 7, 8, 8, 8, 8, 8, 3, 8, 8, 9, 3, 9, 9, 9, 9, 9, 9};
// 1 where the transition restarts the timer of the state; same index.
inline constexpr uint8_t kTcpRestart[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
inline constexpr size_t kTcpEvents = 4;

}  // namespace sluice
