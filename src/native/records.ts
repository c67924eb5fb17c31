// Generated from schemas/records.json by scripts/generate-records.mjs. Do not edit.

/** Why a packet was not forwarded. The names are the contract's; `local` and `none` are not drops. */
export const DropReason = {
  none: 0,
  local: 1,
  malformed: 2,
  badChecksum: 3,
  notForUs: 4,
  unknownVni: 5,
  unknownVtep: 6,
  notIpv4: 7,
  sourceNotInVpc: 8,
  noRoute: 9,
  noPeering: 10,
  privateDestination: 11,
  noBinding: 12,
  filtered: 13,
  noPool: 14,
  poolExhausted: 15,
  vpcLimit: 16,
  addressLimit: 17,
  rateLimit: 18,
  tableFull: 19,
  notSyn: 20,
  tcpState: 21,
  icmpErrorUnknown: 22,
  icmpUnsupported: 23,
  ttlExpired: 24,
  tooBig: 25,
  fragmentTimeout: 26,
  fragmentLimit: 27,
  heldLimit: 28,
  queueFull: 29,
  notActive: 30,
  notMirrored: 31,
} as const;
export type DropReason = (typeof DropReason)[keyof typeof DropReason];
export const DropReasonNames: readonly string[] = [
  'none',
  'local',
  'malformed',
  'bad-checksum',
  'not-for-us',
  'unknown-vni',
  'unknown-vtep',
  'not-ipv4',
  'source-not-in-vpc',
  'no-route',
  'no-peering',
  'private-destination',
  'no-binding',
  'filtered',
  'no-pool',
  'pool-exhausted',
  'vpc-limit',
  'address-limit',
  'rate-limit',
  'table-full',
  'not-syn',
  'tcp-state',
  'icmp-error-unknown',
  'icmp-unsupported',
  'ttl-expired',
  'too-big',
  'fragment-timeout',
  'fragment-limit',
  'held-limit',
  'queue-full',
  'not-active',
  'not-mirrored',
];

/** Records of the event ring, lcore to TypeScript. */
export const EventType = {
  none: 0,
  miss: 1,
  sessionState: 2,
  sessionThreshold: 3,
  installed: 4,
  installFailed: 5,
  removed: 6,
  queried: 7,
  neighbour: 8,
} as const;
export type EventType = (typeof EventType)[keyof typeof EventType];
export const EventTypeNames: readonly string[] = [
  'none',
  'miss',
  'session-state',
  'session-threshold',
  'installed',
  'install-failed',
  'removed',
  'queried',
  'neighbour',
];

/** What a miss record describes. */
export const MissKind = {
  ipv4: 0,
  icmpError: 1,
  arp: 2,
  ttl: 3,
  tooBig: 4,
} as const;
export type MissKind = (typeof MissKind)[keyof typeof MissKind];
export const MissKindNames: readonly string[] = [
  'ipv4',
  'icmp-error',
  'arp',
  'ttl',
  'too-big',
];

/** Records of the decision ring, TypeScript to lcore. */
export const DecisionType = {
  none: 0,
  drop: 1,
  retry: 2,
  session: 3,
  offload: 4,
  update: 5,
  remove: 6,
  query: 7,
  icmpError: 8,
  echoReply: 9,
  arpReply: 10,
  arpRequest: 11,
  restate: 12,
  refresh: 13,
  expire: 14,
} as const;
export type DecisionType = (typeof DecisionType)[keyof typeof DecisionType];
export const DecisionTypeNames: readonly string[] = [
  'none',
  'drop',
  'retry',
  'session',
  'offload',
  'update',
  'remove',
  'query',
  'icmp-error',
  'echo-reply',
  'arp-reply',
  'arp-request',
  'restate',
  'refresh',
  'expire',
];

/** Class of a session, as in the flow dump. */
export const SessionClass = {
  vpcToVpc: 0,
  vpcToExternal: 1,
  externalToVpc: 2,
  siteToSite: 3,
  hairpin: 4,
} as const;
export type SessionClass = (typeof SessionClass)[keyof typeof SessionClass];
export const SessionClassNames: readonly string[] = [
  'vpc-to-vpc',
  'vpc-to-external',
  'external-to-vpc',
  'site-to-site',
  'hairpin',
];

/** State of a session's TCP connection (RFC 7857 section 2, RFC 6146 section 3.5.2). Forward is the initiator's direction. Sessions of other protocols stay in `none`. */
export const TcpState = {
  none: 0,
  synForward: 1,
  synReverse: 2,
  established: 3,
  finForward: 4,
  finReverse: 5,
  finBoth: 6,
  rst: 7,
  reopenForward: 8,
  reopenReverse: 9,
} as const;
export type TcpState = (typeof TcpState)[keyof typeof TcpState];
export const TcpStateNames: readonly string[] = [
  'none',
  'syn-forward',
  'syn-reverse',
  'established',
  'fin-forward',
  'fin-reverse',
  'fin-both',
  'rst',
  'reopen-forward',
  'reopen-reverse',
];

/** What a segment means for the connection, by its flags. */
export const TcpEvent = {
  other: 0,
  syn: 1,
  fin: 2,
  rst: 3,
} as const;
export type TcpEvent = (typeof TcpEvent)[keyof typeof TcpEvent];
export const TcpEventNames: readonly string[] = [
  'other',
  'syn',
  'fin',
  'rst',
];

/** Where a direction of a session is executed. */
export const RulePath = {
  software: 0,
  pending: 1,
  offloaded: 2,
  failed: 3,
  removing: 4,
} as const;
export type RulePath = (typeof RulePath)[keyof typeof RulePath];
export const RulePathNames: readonly string[] = [
  'software',
  'pending',
  'offloaded',
  'failed',
  'removing',
];

/** Side of a gateway port. */
export const PortRole = {
  fabric: 0,
  external: 1,
} as const;
export type PortRole = (typeof PortRole)[keyof typeof PortRole];
export const PortRoleNames: readonly string[] = [
  'fabric',
  'external',
];

/** Pattern items; the addon maps them to RTE_FLOW_ITEM_TYPE_*. */
export const ItemType = {
  end: 0,
  void: 1,
  representedPort: 2,
  eth: 3,
  vlan: 4,
  ipv4: 5,
  ipv6: 6,
  udp: 7,
  tcp: 8,
  icmp: 9,
  vxlan: 10,
  integrity: 11,
  tag: 12,
} as const;
export type ItemType = (typeof ItemType)[keyof typeof ItemType];
export const ItemTypeNames: readonly string[] = [
  'end',
  'void',
  'represented-port',
  'eth',
  'vlan',
  'ipv4',
  'ipv6',
  'udp',
  'tcp',
  'icmp',
  'vxlan',
  'integrity',
  'tag',
];

/** Actions; the addon maps them to RTE_FLOW_ACTION_TYPE_*. `set-icmp-ident` exists in the software table only. */
export const ActionType = {
  end: 0,
  void: 1,
  count: 2,
  age: 3,
  jump: 4,
  mark: 5,
  queue: 6,
  drop: 7,
  portRepresentor: 8,
  representedPort: 9,
  vxlanEncap: 10,
  vxlanDecap: 11,
  setMacSource: 12,
  setMacDestination: 13,
  setIpv4Source: 14,
  setIpv4Destination: 15,
  setTpSource: 16,
  setTpDestination: 17,
  decTtl: 18,
  setTtl: 19,
  modifyField: 20,
  setIcmpIdent: 21,
  rawEncap: 22,
  rawDecap: 23,
  ofPushVlan: 24,
  ofSetVlanVid: 25,
  ofPopVlan: 26,
  setTag: 27,
} as const;
export type ActionType = (typeof ActionType)[keyof typeof ActionType];
export const ActionTypeNames: readonly string[] = [
  'end',
  'void',
  'count',
  'age',
  'jump',
  'mark',
  'queue',
  'drop',
  'port-representor',
  'represented-port',
  'vxlan-encap',
  'vxlan-decap',
  'set-mac-source',
  'set-mac-destination',
  'set-ipv4-source',
  'set-ipv4-destination',
  'set-tp-source',
  'set-tp-destination',
  'dec-ttl',
  'set-ttl',
  'modify-field',
  'set-icmp-ident',
  'raw-encap',
  'raw-decap',
  'of-push-vlan',
  'of-set-vlan-vid',
  'of-pop-vlan',
  'set-tag',
];

/** Whether a patch of a rule template writes into an item's spec or an action's configuration. */
export const PatchTarget = {
  item: 0,
  action: 1,
} as const;
export type PatchTarget = (typeof PatchTarget)[keyof typeof PatchTarget];
export const PatchTargetNames: readonly string[] = [
  'item',
  'action',
];

/** `vni` of what is not VXLAN. */
export const NO_VNI = 4294967295;
/** Template id that stands for no rule. */
export const NO_TEMPLATE = 65535;
/** `hold` of a decision that concerns no held packet. */
export const NO_HOLD = 4294967295;
/** Most bytes of a flow's line without its texts, and what may be written beyond its end. */
export const FLOW_LINE_BYTES = 512;
/** Bytes behind the last text of flow lines: texts are copied in pieces of so many. */
export const FLOW_TEXT_SLACK = 16;
/** Rows of one refresh: packets wait for no more than the lcore needs for so many. */
export const MOST_REFRESHED = 16;
/** Size of a decision ring slot. */
export const RING_SLOT_BYTES = 256;
/** Size of an event ring slot. */
export const EVENT_SLOT_BYTES = 64;
/** Producer index (u32) at 0, consumer index (u32) at 64, slots from here on. Indices run free and are masked. */
export const RING_HEADER_BYTES = 128;
/** Multipliers of the hashes that both sides compute: of a SharedTableEntry's key, and homeOf() (src/nat/shards). */
export const SHARED_HASH_A = 2654435761;
/** See SHARED_HASH_A. */
export const SHARED_HASH_B = 2246822507;
/** See SHARED_HASH_A. */
export const SHARED_HASH_C = 3266489909;
/** Table of blocks, third word of a key: stands where an address's ports are told, as first port << BLOCK_SIZE_BITS | ports of a block. */
export const BLOCK_SHAPE = 4294967295;
/** See BLOCK_SHAPE. */
export const BLOCK_SIZE_BITS = 10;
/** Table of remotes, first word of a key: reverse context << REMOTE_PROTOCOL_BITS | protocol. */
export const REMOTE_PROTOCOL_BITS = 8;
/** homeOfPair(): the lower VPC's index times this, plus the other's, stands for an address. */
export const PAIR_FACTOR = 32768;
/** Miss flag: first fragment of a datagram (MF set, offset 0). */
export const MISS_FIRST_FRAGMENT = 1;
/** Miss flag: DF set. */
export const MISS_DONT_FRAGMENT = 2;
/** Miss flag: IPv4 options present. */
export const MISS_OPTIONS = 4;
/** Miss flag: fragment with an offset; ports are 0. Only in `ttl` misses: others wait for their first fragment. */
export const MISS_LATER_FRAGMENT = 8;
/** Session flag: run the TCP state machine. */
export const SESSION_FLAG_TCP = 1;
/** Session flag: a session-state event found no room in the ring. */
export const SESSION_FLAG_STATE_OWED = 2;
/** session: it has lived elsewhere; tcpState and the *Seconds fields say how it stands. */
export const DECISION_FLAG_ADOPTED = 64;
/** retry: the configuration has changed meanwhile; the packet may be missed again, as if it had just come. */
export const DECISION_FLAG_ANEW = 32;
/** drop, icmp-error: packets of the flow that wait behind the held one are dropped with it. */
export const DECISION_FLAG_FLOW = 128;

/** One session. Written by the lcore alone; TypeScript reads it as external memory. What tells which packets are its stands in its rules. Offsets in bytes. */
export const SessionRow = {
  size: 48,
  /** 0 = free. Row and generation identify a session everywhere. */
  generation: 0,
  /** The lcore's: where it keeps what concerns the session's NIC rules; 0 = there never were any. */
  nicRules: 4,
  /** The lcore's: the direction's rule in the software table, by its number among those of its template; 0 = none. */
  softwareForwardRule: 8,
  softwareReverseRule: 12,
  /** Whole seconds of the gateway clock at the last hit, initiator's direction. */
  lastForwardSeconds: 16,
  /** 0: no answer yet. */
  lastReverseSeconds: 20,
  /** When the TCP state's timer last (re)started. */
  stateSinceSeconds: 24,
  createdSeconds: 28,
  /** Packets, of both directions and translated in software, until a session-threshold event is raised; 0 = never, or it has been. For `afterPackets`. */
  packetsUntilThreshold: 32,
  /** The lcore's. */
  softwareForwardTemplate: 36,
  softwareReverseTemplate: 38,
  tcpState: 40,
  /** SESSION_FLAG_*. */
  flags: 41,
  forwardPath: 42,
  reversePath: 43,
  /** rte_errno of the last failed NIC install, 0 = none. */
  nicError: 44,
  /** Gateway port index on which the initiator's packets arrive. */
  forwardPort: 46,
  reversePort: 47,
} as const;

/** Packets and bytes of a session: in software as they come, and of the NIC's as of the last query. Bytes are inner IPv4 total lengths. Offsets in bytes. */
export const SessionCounters = {
  size: 32,
  forwardPackets: 0,
  forwardBytes: 8,
  reversePackets: 16,
  reverseBytes: 24,
} as const;

/** A packet that no software rule serves; the packet is held under `hold` until a decision names it. Offsets in bytes. */
export const MissEvent = {
  size: 64,
  type: 0,
  /** MissKind. */
  kind: 1,
  /** Gateway port index. */
  port: 2,
  /** IP protocol of the innermost IPv4 header; for ARP the operation. */
  protocol: 3,
  hold: 4,
  /** Gateway clock when the packet was received. */
  seconds: 8,
  nanoseconds: 12,
  /** NO_VNI when not VXLAN. */
  vni: 16,
  outerSourceAddress: 20,
  /** ARP: sender protocol address. */
  sourceAddress: 24,
  /** ARP: target protocol address. */
  destinationAddress: 28,
  /** TCP, UDP; ICMP echo: the identifier in both fields; otherwise 0. */
  sourcePort: 32,
  destinationPort: 34,
  tcpFlags: 36,
  ttl: 37,
  icmpType: 38,
  icmpCode: 39,
  /** IPv4 total length. */
  totalLength: 40,
  /** MISS_* bits. */
  flags: 42,
  /** too-big: largest IPv4 total length that would have passed. */
  mtu: 44,
  embeddedSourcePort: 46,
  /** ICMP errors: the quoted packet's tuple. */
  embeddedSourceAddress: 48,
  embeddedDestinationAddress: 52,
  embeddedDestinationPort: 56,
  embeddedProtocol: 58,
  /** Reserved, 0. */
  rejected: 59,
  /** too-big: the session's row. */
  row: 60,
} as const;

/** session-state, session-threshold, installed, install-failed, removed and queried events. Offsets in bytes. */
export const SessionEvent = {
  size: 64,
  type: 0,
  tcpState: 1,
  /** install-failed: 0 forward, 1 reverse. */
  direction: 2,
  /** install-failed: enum rte_flow_error_type. */
  rteType: 3,
  row: 4,
  generation: 8,
  /** install-failed: negative errno. */
  error: 12,
  seconds: 16,
  nanoseconds: 20,
  /** removed: the final counters. */
  forwardPackets: 32,
  forwardBytes: 40,
  reversePackets: 48,
  reverseBytes: 56,
} as const;

/** An ARP sender seen on a port's own wire (not inside VXLAN). Offsets in bytes. */
export const NeighbourEvent = {
  size: 64,
  type: 0,
  port: 2,
  address: 4,
  mac: 8,
} as const;

/** Begin of a table in memory that the threads of all shards see; 2^n SharedTableEntry follow (src/nat/shards/shared-table.ts). Offsets in bytes. */
export const SharedTableHeader = {
  size: 16,
  /** 1 while a thread of TypeScript has the table. */
  lock: 0,
  /** Entries. */
  count: 4,
  /** Of the hash; never changes. */
  seed: 8,
  /** Odd while a writer changes entries; raised by one before and after. Who reads without the lock reads again when it was odd or has changed. */
  sequence: 12,
} as const;

/** Open addressing, linear probing from the key's slot upwards to an entry whose value is 0. Blocks: protocol, public address, block's number or BLOCK_SHAPE; value: shard + 1. Remotes: reverse context and protocol, remote, public address; value: shard + 1. Offsets in bytes. */
export const SharedTableEntry = {
  size: 16,
  a: 0,
  b: 4,
  c: 8,
  /** 0: no entry, whatever the other words hold. */
  value: 12,
} as const;

/** The values of one direction of a session: what templates are filled with. Unchanged values stand in both match and new fields. Offsets in bytes. */
export const FlowArguments = {
  size: 64,
  matchSourceAddress: 0,
  matchDestinationAddress: 4,
  /** ICMP echo: the identifier. */
  matchSourcePort: 8,
  matchDestinationPort: 10,
  matchVni: 12,
  matchOuterSourceAddress: 16,
  newSourceAddress: 20,
  newDestinationAddress: 24,
  newSourcePort: 28,
  newDestinationPort: 30,
  newVni: 32,
  outerDestinationAddress: 36,
  /** Ethernet destination of the frame that leaves. */
  outerDestinationMac: 40,
  /** Ethernet destination inside VXLAN. */
  innerDestinationMac: 46,
  outerUdpSourcePort: 52,
  protocol: 54,
  ageSeconds: 56,
  /** Joins the halves of a NIC rule that is two: the lcore fills it, whoever writes rows leaves it 0. */
  ruleTag: 60,
} as const;

/** One session of a flow list, before it is text. Texts are places in a buffer: a length (u16), then so many bytes of JSON as they stand in the line. Offsets in bytes. */
export const FlowLine = {
  size: 104,
  row: 0,
  generation: 4,
  /** Text from the class to the inside address. */
  head: 8,
  /** Text from the remote port to the forward path. */
  underlay: 12,
  /** Text from a direction's path to its packets. */
  forwardPath: 16,
  reversePath: 20,
  insideAddress: 24,
  natAddress: 28,
  remoteAddress: 32,
  insidePort: 36,
  natPort: 38,
  remotePort: 40,
  /** This and what follows: integers from 0. */
  forwardPackets: 48,
  forwardBytes: 56,
  reversePackets: 64,
  reverseBytes: 72,
  ageMs: 80,
  idleMs: 88,
  expiresInMs: 96,
} as const;

/** One decision. Which fields count depends on `type`: drop(hold, reason); retry(hold); session(hold, row, generation, … arguments); offload(row, generation, nic templates, arguments); update(row, generation, templates, arguments); restate(row, generation, tcpState, *Seconds); remove, query(row, generation); expire(row, generation, tcpState, stateSinceSeconds, lastForwardSeconds, lastReverseSeconds): remove, unless the state is another or a last hit is later, which a queried event answers; refresh(row, rows): counters of so many rows from that one on, answered by nothing; icmp-error(hold, reason, icmp*, sourceAddress, egress*); echo-reply, arp-reply(hold, egress*); arp-request(port, sourceAddress, egressAddress). Offsets in bytes. */
export const Decision = {
  size: 256,
  type: 0,
  /** DropReason. */
  reason: 1,
  protocol: 2,
  sessionClass: 3,
  hold: 4,
  row: 8,
  generation: 12,
  softwareForwardTemplate: 16,
  softwareReverseTemplate: 18,
  /** NO_TEMPLATE: this direction is not offloaded (now). */
  nicForwardTemplate: 20,
  nicReverseTemplate: 22,
  offloadAfterPackets: 24,
  /** SESSION_FLAG_*; DECISION_FLAG_*. */
  flags: 28,
  /** session: initial state, before the held packet. */
  tcpState: 29,
  forwardPort: 30,
  reversePort: 31,
  icmpType: 36,
  icmpCode: 37,
  icmpMtu: 38,
  /** Source of what is generated; arp-request: sender protocol address. */
  sourceAddress: 40,
  egressPort: 44,
  /** VTEP to encapsulate to; arp-request: target. */
  egressAddress: 48,
  /** NO_VNI: plain. */
  egressVni: 52,
  /** Ethernet destination of the frame. */
  egressMac: 56,
  /** Ethernet destination inside VXLAN. */
  egressInnerMac: 62,
  /** arp-reply: the hardware address to answer with; arp-request: sender's. */
  answerMac: 68,
  /** Time stamp of what is generated by a timer; 0: the held packet's. */
  atSeconds: 76,
  atNanoseconds: 80,
  /** restate, and session with DECISION_FLAG_ADOPTED: times of SessionRow, gateway clock; expire: see there. */
  createdSeconds: 84,
  lastForwardSeconds: 88,
  lastReverseSeconds: 92,
  stateSinceSeconds: 96,
  /** refresh: MOST_REFRESHED at most. */
  rows: 100,
  forwardArguments: 128,
  reverseArguments: 192,
} as const;

/** Next TcpState by [state * 2 * events + direction * events + event]. */
export const TCP_NEXT: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 7, 1, 3, 1, 7, 2, 3, 2, 7, 2, 2, 2, 7, 3, 3, 4, 7, 3, 3, 5, 7, 4, 4, 4, 7, 4, 4, 6, 7, 5, 5, 6, 7, 5, 5, 5, 7, 6, 8, 6, 6, 6, 9, 6, 6, 7, 8, 7, 7, 7, 9, 7, 7, 8, 8, 8, 8, 8, 3, 8, 8, 9, 3, 9, 9, 9, 9, 9, 9];
/** 1 where the transition restarts the state's timer; same index. */
export const TCP_RESTART: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/** Idle time that governs a TcpState: 0 other, 1 transitory, 2 established. */
export const TCP_TIMER: readonly number[] = [0, 1, 1, 2, 2, 2, 1, 1, 1, 1];

/** Wire width of each FlowArguments field, bytes. */
export const FlowArgumentWidths = {
  matchSourceAddress: 4,
  matchDestinationAddress: 4,
  matchSourcePort: 2,
  matchDestinationPort: 2,
  matchVni: 4,
  matchOuterSourceAddress: 4,
  newSourceAddress: 4,
  newDestinationAddress: 4,
  newSourcePort: 2,
  newDestinationPort: 2,
  newVni: 4,
  outerDestinationAddress: 4,
  outerDestinationMac: 6,
  innerDestinationMac: 6,
  outerUdpSourcePort: 2,
  protocol: 1,
  ageSeconds: 4,
  ruleTag: 4,
} as const;
