/**
 * The configuration after validation: what every later stage works with. Nothing here needs checking again; text has
 * become numbers, names have become indexes, defaults are filled in and optional parts are null or empty.
 *
 * IPv4 addresses are u32 in host order, MACs are 48-bit safe integers (first byte on the wire is the most
 * significant), VNIs are 0..2^24-1. Ranges include both ends.
 */

/** An index that plain numbers may become but that never mixes with an index of another kind. */
export type Index<Kind extends string> = number & { readonly indexOf?: Kind };
/** Into `ValidatedConfig.vpcs`. */
export type VpcIndex = Index<'vpc'>;
/** Into `ValidatedConfig.ports`. */
export type PortIndex = Index<'port'>;
/** Into `ValidatedConfig.peerGateways`. */
export type PeerGatewayIndex = Index<'peerGateway'>;
/** Into `ValidatedConfig.externalPools`. */
export type ExternalPoolIndex = Index<'externalPool'>;

/** The gateway of a VPC that is this one; the external port of a gateway that has none. */
export const NONE = -1;

/** An IPv4 prefix. `address` has no bits outside `mask`, unless it is an interface address (see GatewayPort). */
export interface Ipv4Prefix {
  /** u32, host order. */
  readonly address: number;
  /** 0..32. */
  readonly length: number;
  /** u32, host order; 0 for length 0. */
  readonly mask: number;
}

/** IPv4 addresses `first`..`last`, u32 host order, first <= last. */
export interface Ipv4Range {
  readonly first: number;
  readonly last: number;
}

/** Transport ports (or ICMP identifiers) `first`..`last`, 1..65535, first <= last. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Four u32 words in host order, the most significant first. */
export type Ipv6Address = readonly [number, number, number, number];

export interface Ipv6Prefix {
  readonly address: Ipv6Address;
  /** 0..128. */
  readonly length: number;
}

export type PortRoleName = 'fabric' | 'external';

export interface GatewayPort {
  /** Order in the file. */
  readonly index: PortIndex;
  readonly name: string;
  readonly role: PortRoleName;
  /** EAL device arguments or PCI address; null when not given (only `replay` runs without). */
  readonly device: string | null;
  /** The port's own MAC; `underlay.mac` for the fabric port. */
  readonly mac: number;
  /** The port's own address with its subnet: `address` keeps its host bits. For the fabric port always `underlay.vtep`, with length 32 unless the file says more. Null only on an external port that nothing uses. */
  readonly address: Ipv4Prefix | null;
  /** Where translated traffic goes. `mac` null: learned by ARP. Null on the fabric port and on an external port that nothing uses. */
  readonly nextHop: { readonly address: number; readonly mac: number | null } | null;
  /** Largest IPv4 packet in bytes, without Ethernet header and VLAN tag: what a frame on this port may carry. */
  readonly mtu: number;
  /** 802.1Q VLAN identifier 1..4094 of the external side; null: untagged. */
  readonly vlan: number | null;
}

export interface UnderlayNeighbour {
  readonly address: number;
  /** Null: learned by ARP. */
  readonly mac: number | null;
}

export interface VpcRoute {
  readonly prefix: Ipv4Prefix;
  /** Address of the VTEP behind which the prefix lives. */
  readonly vtep: number;
  /** Inner Ethernet destination. */
  readonly mac: number;
}

/** Absent limits are Infinity. */
export interface SessionLimits {
  readonly sessions: number;
  /** Per private address; for DS-Lite per subscriber. */
  readonly sessionsPerAddress: number;
  readonly newSessionsPerSecond: number;
}

export interface Vpc {
  readonly index: VpcIndex;
  readonly name: string;
  readonly vni: number;
  /** The peer gateway that is this VPC's default, or NONE when this gateway is. */
  readonly remoteGateway: PeerGatewayIndex;
  /** Disjoint, in file order. Empty only for a remote VPC. */
  readonly subnets: readonly Ipv4Prefix[];
  /** Longest prefix first. */
  readonly routes: readonly VpcRoute[];
  readonly limits: SessionLimits;
  /** The gateway's address inside the VPC; null: `underlay.vtep` stands in as the source of ICMP errors. */
  readonly gatewayAddress: number | null;
}

/** Two VPCs that may talk, a < b; each pair once. */
export interface Peering {
  readonly a: VpcIndex;
  readonly b: VpcIndex;
}

export interface PeeringPool {
  readonly vpc: VpcIndex;
  /** In file order, disjoint; disjoint from every pool but this VPC's own others too. */
  readonly ranges: readonly Ipv4Range[];
  readonly portRange: PortRange;
}

export interface ExternalPool {
  readonly index: ExternalPoolIndex;
  readonly name: string;
  /** May be empty (a pool of DS-Lite alone). None is remote. */
  readonly vpcs: readonly VpcIndex[];
  readonly ranges: readonly Ipv4Range[];
  readonly portRange: PortRange;
}

/**
 * One-to-one binding. Address form: `private` and `public` are ranges of equal size, offsets kept, `protocol` and
 * both ports null. Port form: ranges of one address, `protocol` 6 or 17, both ports 1..65535.
 */
export interface StaticBinding {
  /** Order in the file. */
  readonly index: number;
  readonly vpc: VpcIndex;
  readonly side: 'external' | 'peering';
  readonly protocol: 6 | 17 | null;
  readonly private: Ipv4Range;
  readonly privatePort: number | null;
  readonly public: Ipv4Range;
  readonly publicPort: number | null;
}

export interface PeerGateway {
  readonly index: PeerGatewayIndex;
  readonly name: string;
  readonly vtep: number;
  /** Inner Ethernet destination; the outer one too unless `vteps` names a router on the way to its VTEP. */
  readonly mac: number;
  /** Carries gateway-to-gateway traffic; may be shared among peers, never with a VPC. */
  readonly vni: number;
}

export interface Bypass {
  readonly vpc: VpcIndex;
  readonly destinations: readonly Ipv4Prefix[];
}

export interface ServiceBackend {
  readonly address: number;
  readonly port: number;
  /** 0: gets nothing new. At least one backend of a service has more. */
  readonly weight: number;
}

export interface Service {
  /** Order in the file. */
  readonly index: number;
  readonly vpc: VpcIndex;
  readonly protocol: 6 | 17;
  readonly externalAddress: number;
  readonly externalPort: number;
  readonly backends: readonly ServiceBackend[];
  /** 0: no affinity. */
  readonly affinitySeconds: number;
  /** `always` and `self` imply that the VPC has a twice NAT pool. */
  readonly twiceNat: 'never' | 'always' | 'self';
  readonly outToInOnly: boolean;
}

export interface TwiceNatPool {
  readonly vpc: VpcIndex;
  readonly ranges: readonly Ipv4Range[];
}

export interface NatTimeouts {
  readonly udpSeconds: number;
  readonly tcpEstablishedSeconds: number;
  readonly tcpTransitorySeconds: number;
  readonly icmpSeconds: number;
  readonly otherSeconds: number;
}

export interface NatSettings {
  /** Makes allocation repeatable, 0..2^53-1; null: random. */
  readonly seed: number | null;
  readonly mapping: 'endpoint-independent' | 'address-and-port-dependent';
  readonly filtering: 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';
  readonly timeouts: NatTimeouts;
  /** How long a freed external port rests; may be 0. */
  readonly portReuseDelaySeconds: number;
  /** >= 1. */
  readonly maxSessions: number;
  /** 1..65536, not necessarily a power of two. */
  readonly portBlockSize: number;
  readonly log: 'none' | 'blocks' | 'sessions';
  /** Largest TCP MSS let through; null: untouched. */
  readonly mssClampBytes: number | null;
}

export interface OffloadSettings {
  readonly mode: 'immediate' | 'never' | 'after';
  /** Packets in software before a session is offloaded, >= 1; 0 unless mode is `after`. */
  readonly afterPackets: number;
  /** `auto` or a target's name. */
  readonly target: string;
  /** NIC rules, >= 0; 0 offloads nothing. */
  readonly maxRules: number;
  /** Sessions that leave a full NIC for faster ones, 0..4000. */
  readonly evictionsPerSecond: number;
  readonly tcpWithoutFlags: boolean;
}

export interface MirrorSettings {
  /** redis:// or rediss:// URL. */
  readonly redis: string;
  readonly mode: 'async' | 'defer-open' | 'defer-closed';
}

export interface HaSettings {
  /** Name of the pair: the mirror's key group. Defaults to the gateway's name. */
  readonly group: string;
  readonly vip: { readonly address: Ipv4Prefix; readonly interface: string | null } | null;
  readonly leaseMs: number;
  /** Absolute paths (relative ones are taken from the configuration's folder); null: no such file. */
  readonly configFile: string | null;
  readonly resultFile: string | null;
  readonly virtualMac: number | null;
}

export interface AftrSettings {
  readonly role: 'aftr';
  readonly aftr: Ipv6Address;
  readonly pool: ExternalPoolIndex;
  readonly b4Prefixes: readonly Ipv6Prefix[];
  /** Bits of a B4's address that tell subscribers apart, 1..128. */
  readonly subscriberPrefixLength: number;
  readonly limits: SessionLimits;
}

export interface B4Settings {
  readonly role: 'b4';
  readonly address: Ipv6Address;
  readonly aftr: Ipv6Address;
}

export interface ValidatedConfig {
  /** Absolute path of the file; null when it did not come from one. */
  readonly path: string | null;
  /** The document as parsed, for diffs and hashes. */
  readonly raw: unknown;
  readonly name: string;
  readonly underlay: { readonly vtep: number; readonly mac: number; readonly udpPort: number };
  /** One fabric port, at most one external port. */
  readonly ports: readonly GatewayPort[];
  readonly fabricPort: PortIndex;
  /** NONE when the gateway has no external side. */
  readonly externalPort: PortIndex;
  readonly vteps: readonly UnderlayNeighbour[];
  readonly vpcs: readonly Vpc[];
  readonly peerings: readonly Peering[];
  readonly peeringPools: readonly PeeringPool[];
  readonly externalPools: readonly ExternalPool[];
  readonly staticBindings: readonly StaticBinding[];
  readonly peerGateways: readonly PeerGateway[];
  readonly bypass: readonly Bypass[];
  readonly services: readonly Service[];
  readonly twiceNatPools: readonly TwiceNatPool[];
  readonly nat: NatSettings;
  readonly offload: OffloadSettings;
  readonly mirror: MirrorSettings | null;
  readonly ha: HaSettings | null;
  readonly control: { readonly socket: string } | null;
  readonly metrics: { readonly host: string; readonly port: number } | null;
  readonly log: { readonly level: LogLevel };
  readonly dslite: AftrSettings | B4Settings | null;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** One thing that is wrong with a configuration. */
export interface ConfigFault {
  /** JSON Pointer (RFC 6901) of the value, `` for the document as a whole. A missing field is named where it should stand. */
  readonly path: string;
  /** What is wrong. */
  readonly message: string;
  /** What would be right; may be empty. */
  readonly hint: string;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: ValidatedConfig }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };
