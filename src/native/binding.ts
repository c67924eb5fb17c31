import { join } from 'node:path';
import type { ActionType, ItemType, PortRole } from './records.js';

/** A rule template as the addon takes it; see src/compiler/template.ts for the layouts of spec, mask, last and conf. */
export interface NativeTemplate {
  readonly group: number;
  readonly priority: number;
  readonly transfer: boolean;
  readonly items: readonly {
    readonly type: ItemType;
    readonly spec?: Uint8Array;
    readonly mask?: Uint8Array;
    readonly last?: Uint8Array;
  }[];
  readonly actions: readonly { readonly type: ActionType; readonly conf: Uint8Array }[];
  /** Five numbers a patch: PatchTarget, index, byte offset in spec or conf, width in bytes, FlowArguments offset; big-endian adds 256 to the width. */
  readonly patches: readonly number[];
  /** The rule that packets go on to, joined by `ruleTag`. */
  readonly second?: NativeTemplate;
}

export interface NativePort {
  readonly role: PortRole;
  /** Name of the ethdev to use, as EAL knows it ("net_softflow0" or a PCI address). */
  readonly device: string;
  /** 0..2^48-1. What frames to us carry, and what frames from us carry. */
  readonly mac: number;
  /** The port's own IPv4 address, u32 host order; fabric: the VTEP. 0 = none. */
  readonly address: number;
  /** Largest IPv4 packet, bytes. */
  readonly mtu: number;
  /** 802.1Q VID of the port, −1 = untagged. */
  readonly vlan: number;
}

/**
 * Which shard looks a packet up (docs/decisions/0017-shards.md). Constant while packets come. Addresses: u32, host order.
 */
export interface Steering {
  /** VPCs whose gateway this is, 32768 at most by index. */
  readonly vpcs: readonly { readonly vni: number; readonly index: number }[];
  /** VNIs that peer gateways send with. */
  readonly peerVnis: readonly number[];
  /** Addresses that stand for a VPC in front of others; ranges that do not overlap. */
  readonly peering: readonly { readonly first: number; readonly last: number; readonly vpc: number }[];
  /** Addresses of external pools and static bindings; ranges that do not overlap. */
  readonly external: readonly { readonly first: number; readonly last: number }[];
  /** External static bindings. Of one endpoint: its protocol and port; of addresses, each to its own: 0 and 0. */
  readonly bindings: readonly {
    readonly first: number;
    readonly last: number;
    /** What `first` stands for. */
    readonly private: number;
    readonly protocol: number;
    readonly port: number;
  }[];
  /** External addresses, of now or of before, at which live sessions use what an older configuration gave. */
  readonly formerEnds: readonly number[];
  /** Peering addresses that stand for another VPC in live sessions than by the configuration. */
  readonly formerPeering: readonly { readonly address: number; readonly vpc: number }[];
}

/** What makes a dataplane one of several slow paths over the same ports. */
export interface ShardOptions {
  /** 2..MOST_SHARDS. */
  readonly count: number;
  readonly steering: Steering;
  /** Bytes of the tables of blocks and of remotes (src/nat/shards/shared-table.ts), zeros at first. */
  readonly blockBytes: number;
  readonly remoteBytes: number;
}

/** A shard of a dataplane that is there, in this thread or another one. */
export interface ShardAttachment {
  /** Dataplane.id. */
  readonly shardOf: number;
  /** 0..count-1. */
  readonly shard: number;
}

export const MOST_SHARDS = 16;

export interface DataplaneOptions {
  /** Absent: one slow path. All else that is counted here (sessions, held packets, slots) is of each. */
  readonly shards?: ShardOptions;
  readonly ports: readonly NativePort[];
  readonly underlay: { readonly vtep: number; readonly mac: number; readonly udpPort: number };
  readonly maxSessions: number;
  /** Packets that may wait for a decision or for their first fragment; the packet buffers are sized by it. */
  readonly maxHeld: number;
  /** Ring sizes, powers of two. */
  readonly eventSlots: number;
  readonly decisionSlots: number;
  /** Largest TCP maximum segment size that a SYN may offer, bytes; 0 or absent: any. */
  readonly mssClamp?: number;
  /** Sends nothing and serves nobody until limit() says so. */
  readonly silent?: boolean;
  /** Sessions will have rules in NICs: memory for what concerns them is had from the start. */
  readonly offloads?: boolean;
  /** Replay: the wires are fed from captures, packets are processed strictly in order, the clock is injected. */
  readonly replay: boolean;
}

/** What became of a rule that a NIC took. */
export interface ProbeResult {
  /** It went through a template table and a flow queue. */
  readonly queued: boolean;
  /** Its hits, and the time since the last one, could be asked for. */
  readonly counted: boolean;
  readonly aged: boolean;
  readonly destroyed: boolean;
}

/** Status of {@link Dataplane.replayRun}. */
export const ReplayStatus = { events: 0, timer: 1, end: 2, truncated: 3 } as const;

export interface DataplaneStatistics {
  /** By port index. Every frame that arrived from, or left on, the wire, NIC and software together. */
  readonly ports: readonly { readonly received: number; readonly transmitted: number }[];
  /** Bytes are those of frames as they arrived. */
  readonly slowPath: {
    readonly packets: number;
    readonly misses: number;
    readonly bytes: number;
    /** Frames that other shards received for this one. */
    readonly handedOver: number;
  };
  /** Packets that the NIC finished alone, bytes of those that it sent on; rules of flows that it has taken. */
  readonly nic: { readonly packets: number; readonly bytes: number; readonly inserts: number };
  /** How long first packets waited for their decision: packets by FIRST_PACKET_BOUNDS, and one bucket beyond. */
  readonly firstPackets: { readonly buckets: readonly number[]; readonly nanoseconds: number };
  /** By DropReason. */
  readonly drops: readonly number[];
  readonly held: number;
  readonly nicRules: number;
  readonly softwareRules: number;
  /** Bytes of those rules and their indexes. */
  readonly softwareTableBytes: number;
  /** How often the thread that decides, and the lcore, were let go before others on their CPUs. */
  readonly precedence: { readonly engine: number; readonly lcore: number };
}

/** Upper bounds of DataplaneStatistics.firstPackets, microseconds; see latency_buckets.h. */
export const FIRST_PACKET_BOUNDS = [
  10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 1_000_000,
] as const;

/** Bits of TapFilter.kinds. */
export const TapKind = { dropped: 1, punted: 2, translated: 4 } as const;

/** Which packets are copied: all of it holds. Addresses, ports and VNI are those with which a packet arrived. */
export interface TapFilter {
  /** Bits of TapKind. */
  readonly kinds: number;
  /** Of dropped ones: a bit each DropReason; 0: any. */
  readonly reasons: number;
  /** Of either end, u32 host order. A mask of 0: any. */
  readonly address: number;
  readonly mask: number;
  /** Of either end; 0: any. */
  readonly port: number;
  /** 0: any. */
  readonly protocol: number;
  /** NO_VNI: plain; null: any. */
  readonly vni: number | null;
  /** Of a frame at most, 0..65535. */
  readonly bytes: number;
}

export interface Liveness {
  /** Rounds of the lcore since start(). */
  readonly rounds: number;
  /** Whether frames may leave. */
  readonly speaks: boolean;
  /** Whether the NICs lead packets to the flows' rules exactly when frames may leave. */
  readonly jumpsFollow: boolean;
  /** By port index: whether the link is up. */
  readonly links: readonly boolean[];
}

/**
 * The packet side of one gateway: ports, slow path, software table, NIC rules. One per process at a time. With shards, each
 * object is one of them: what it reads, runs, registers and counts is that shard's. The one that was made with options is
 * shard 0, and has the ports: constant rules, captures (which it runs for all), NIC statistics; its close() closes all.
 */
export interface Dataplane {
  /** For ShardAttachment. */
  readonly id: number;
  /** Tables that all shards see, the same memory in every one's object; empty without shards. */
  readonly blocks: ArrayBuffer;
  readonly remotes: ArrayBuffer;
  /** maxSessions × SessionRow, written by the lcore. External memory, valid until close(). */
  readonly rows: ArrayBuffer;
  /** maxSessions × SessionCounters, refreshed by `query`, `expire` and `refresh` decisions and by `remove`. */
  readonly counters: ArrayBuffer;
  /** One bit for each of the 2^24 VNIs, lowest bit first: whether it is a VPC's here or a peer gateway's. */
  readonly vnis: ArrayBuffer;
  /** Ring of 64-byte events, lcore → JavaScript. RING_HEADER_BYTES, then slots. */
  readonly events: ArrayBuffer;
  /** Ring of 256-byte decisions, JavaScript → lcore. */
  readonly decisions: ArrayBuffer;

  /** Registers a template with the software table or the NIC of its ingress port (sync or template API, as the driver has it). Only before start() or between poll() calls is this free of waiting. @throws NativeError */
  registerTemplate(where: 'software' | 'nic', port: number, template: NativeTemplate): number;
  /** Installs one constant rule (no patches) in the NIC of a port now: punts and the jump of group 0. @throws NativeError with rteType, causeIndex */
  installStatic(port: number, template: NativeTemplate): void;

  /** Zeros for a table of TypeScript's, in huge pages that are cleared in the background: a first touch while packets come would wait for that. Lives as long as the buffer. @throws NativeError MEMORY */
  tableMemory(bytes: number): ArrayBuffer;
  /** Creates a rule of a template that no packet hits, queries and destroys it. @throws NativeError with errno, rteType, causeIndex */
  probeTemplate(port: number, template: NativeTemplate): ProbeResult;

  /** One inline round: decisions, receive up to `burst` packets a port, process, transmit. Returns packets received. */
  poll(burst: number): number;
  /** From now on packets come to their shards as another configuration says. Waits for all lcores. @throws NativeError STATE with one shard */
  steerBy(steering: Steering): void;
  /**
   * Starts an lcore that loops over poll.
   *
   * @param doorbell   Called on the JavaScript thread when events wait and JavaScript was quiet.
   * @param precedence Whether the lcore and this thread go before others where they are kept from their CPUs (precedence.h): only where each has one.
   * @returns Whether they may.
   */
  start(burst: number, doorbell: () => void, precedence: boolean): boolean;
  /** Stops the lcore and waits for it. */
  stop(): void;
  /** JavaScript found the event ring empty and will sleep: the next event rings the doorbell. Returns true if events came in between. */
  armDoorbell(): boolean;
  /** Looks for events for so long at most, microseconds, without sleeping. @returns Whether there are any. */
  awaitEvents(microseconds: number): boolean;

  /** Opens the captures. After replayClose() others may follow: sessions and clock go on, `statistics().ports` count those opened last. @throws NativeError CAPTURE_OPEN naming the file */
  replayOpen(
    inputs: readonly { port: number; path: string }[],
    outputs: readonly { port: number; path: string }[],
  ): void;
  /**
   * Runs decisions and packets until JavaScript is needed: `events` (the event ring is not empty), `timer` (the next
   * packet's time is at or after stopSeconds.stopNanoseconds and all earlier work is done), `end` (no packet is left and
   * all is drained), `truncated` (as end, but a capture was cut off).
   */
  replayRun(burst: number, stopSeconds: number, stopNanoseconds: number): number;
  /** Time of the next packet of the captures, [seconds, nanoseconds]; null at the end. */
  replayNextTime(): readonly [number, number] | null;
  /** Sets the clock for what timers do. Never backwards. */
  setClock(seconds: number, nanoseconds: number): void;
  /** The gateway clock, [seconds, nanoseconds]: replay: the last packet's or timer's time; live: CLOCK_MONOTONIC. */
  clock(): readonly [number, number];
  /** End of a replay: held fragments are dropped as fragment-timeout, outputs are flushed and closed. Returns the captures that were cut off. */
  replayClose(): readonly string[];

  statistics(): DataplaneStatistics;

  /** From now on packets are copied, with shards those of all; null: no more. One filter at a time. */
  tap(filter: TapFilter | null): void;
  /** What was copied since, in the order of time, 4 MiB of each shard at most (layout: capture_tap.h), and how many packets found no room. */
  tapped(): { readonly records: Buffer; readonly lost: number };
  /**
   * A portion of the rules that a port's NIC has, whoever made them: handle and owner each. @param cursor 0n at first.
   * @returns Where to go on, null at the end; null: the driver does not tell.
   */
  installedRules(port: number, cursor: bigint): { readonly next: bigint | null; readonly rules: BigUint64Array } | null;
  /** A portion of the rules that there should be at a port, from a session's row on; at row 0 constant ones too. */
  ownRules(port: number, row: number): { readonly next: number; readonly rules: BigUint64Array };
  /**
   * Destroys rules that nobody accounts for, or gives up those that a NIC has lost (constant ones are made anew). Each is
   * looked at again first. @returns Of each, whether it was done.
   */
  repairRules(port: number, what: 'stale' | 'missing', rules: BigUint64Array): readonly boolean[];
  /** Ports whose NICs have failed and recovered since the last call, and whether their drivers keep rules through a restart. */
  recoveredPorts(): readonly { readonly port: number; readonly keepsRules: boolean }[];
  /** Ports that have asked to be reset since the last call: they do nothing until then. */
  portsToReset(): readonly number[];
  /** Nothing is asked of the port until reopenPort(). @returns The flows' rules that are gone with it, as `context` of ownRules(). */
  closePort(port: number): BigUint64Array;
  /** Resets a closed port, starts it, and makes its constant rules anew. @throws NativeError PORT or RULE; it stays closed. */
  reopenPort(port: number): void;

  /**
   * Until when frames may leave, and until when new sessions may be made: CLOCK_MONOTONIC, milliseconds; Infinity: no
   * end. The lcore obeys on its own, before every transmit burst, also while JavaScript is stopped; the NICs' jumps to
   * the flows' rules go with the right to transmit.
   */
  limit(transmitUntilMs: number, admitUntilMs: number): void;
  /** Returns once the lcore obeys the limits as they are. */
  obey(): void;
  /** Gratuitous ARP for addresses (u32 host order), each `times` times, from the lcore: at once, after the interval, and each time after twice the time. Replaces what was to be announced. */
  announce(
    announcements: readonly { readonly port: number; readonly address: number }[],
    times: number,
    intervalMs: number,
  ): void;
  /** Puts a frame into the slow path as if the port had received it; what it becomes is caught. @returns False: no packet buffer. */
  inject(port: number, frame: Uint8Array): boolean;
  /** Frames that injected ones became, where they would have left; each is returned once. */
  caught(): { readonly port: number; readonly bytes: Uint8Array }[];
  /** Read without waiting for the lcore. */
  liveness(): Liveness;
  /** Stops, removes the NIC's rules, closes ports, frees memory. Can be called twice. */
  close(): void;
}

/** Thrown by the addon. */
export interface NativeError extends Error {
  /** EAL, PORT, TEMPLATE, RULE, MEMORY, CAPTURE_OPEN, CAPTURE_FORMAT, STATE, ARGUMENT. */
  readonly code: string;
  readonly errno?: number;
  readonly rteType?: number;
  readonly causeIndex?: number;
}

export interface NativeBinding {
  /** rte_eal_init, once a process, on the main thread. Threads of the process, but for lcores, leave the lcores' CPUs to them where there are others. `-d` of net_softflow is among the arguments. @throws NativeError EAL */
  startEal(args: readonly string[]): void;
  /** CPUs that the process may run on, or might before EAL started. */
  cpus(): readonly number[];
  /** Creates two in-memory ports "net_ring_NAME" per name, for replay's wires and benches. Returns their ethdev names. */
  createMemoryWires(names: readonly string[]): readonly string[];
  /** Probes a virtual device at run time (rte_eal_hotplug_add / rte_dev_probe), after memory wires exist. @throws NativeError PORT */
  probeDevice(devargs: string): void;
  /** rte_eth_dev_info.driver_name of an ethdev. @throws NativeError PORT */
  driverOf(device: string): string;
  /** "DPDK 22.11.11" */
  dpdkVersion(): string;
  /**
   * Writes flows as JSON lines.
   *
   * @param lines `count` FlowLine records, aligned to 8 bytes.
   * @param texts What `lines` point to, and FLOW_TEXT_SLACK bytes more.
   * @param out   Room for FLOW_LINE_BYTES and its texts, each line.
   * @returns Bytes written. @throws NativeError ARGUMENT when a text or the room is short
   */
  formatFlowLines(lines: Uint8Array, count: number, texts: Uint8Array, out: Uint8Array): number;
  /** CLOCK_MONOTONIC as the live gateway's clock, [seconds, nanoseconds]. */
  now(): readonly [number, number];
  readonly Dataplane: new (options: DataplaneOptions | ShardAttachment) => Dataplane;
}

/** Loads the addon built in build/native. */
export function loadBinding(root: string): NativeBinding {
  return require(join(root, 'build/native/sluice.node')) as NativeBinding;
}

/** What commands have that need no DPDK. */
export interface ClientBinding {
  /** Gives a pipe room for 1 MiB. @returns False when it is no pipe, or may not be that large. */
  widenPipe(fd: number): boolean;
}

/** Loads the small addon built beside the other. */
export function loadClientBinding(root: string): ClientBinding {
  return require(join(root, 'build/native/sluice_client.node')) as ClientBinding;
}
