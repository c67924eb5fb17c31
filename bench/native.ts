import { join } from 'node:path';
import type { NativeTemplate } from '../src/native/binding.js';

/** The flows of the made-up traffic; see addon/bench/scenario.h. Addresses u32 host order, MACs 48 bits. */
export interface Scenario {
  readonly flows: number;
  readonly hosts: number;
  readonly privateBase: number;
  readonly firstSourcePort: number;
  readonly remoteBase: number;
  readonly remotes: number;
  readonly remotePort: number;
  readonly poolFirst: number;
  readonly poolLast: number;
  readonly vni: number;
  readonly vxlanPort: number;
  readonly gatewayVtep: number;
  readonly hostVtep: number;
  readonly gatewayMac: number;
  readonly hostVtepMac: number;
  readonly hostMac: number;
  readonly externalMac: number;
  readonly nextHopMac: number;
  /** Every how many frames all checksums are computed. */
  readonly checkEvery: number;
  /** Frames come back as they were made: the loop without a gateway. */
  readonly untranslated: boolean;
}

export type Side = 'fabric' | 'external';

/**
 * What a wire sends. `new`: flows first..first+count-1, a packet each. `random`: packets of those flows for ever; `zipf`:
 * the k-th fastest of them k^exponent times as seldom as the fastest.
 */
export interface TrafficProgram {
  readonly pattern: 'none' | 'new' | 'random' | 'zipf';
  readonly first: number;
  readonly count: number;
  /** `new`: packets on their way at most; 0 = any. */
  readonly window: number;
  /** `new`: packets a second; 0 = as fast as the window lets. */
  readonly perSecond: number;
  readonly seed: number;
  readonly measureLatency: boolean;
  /** `zipf`. */
  readonly exponent?: number;
}

export interface WireCounters {
  readonly emitted: number;
  /** Arrived as they should. */
  readonly accepted: number;
  readonly bad: number;
  readonly badChecksum: number;
  readonly noBuffer: number;
  /** Bursts that brought nothing while a program was there. */
  readonly emptyPolls: number;
  /** Most packets that were due and not yet received by the gateway. */
  readonly mostLate: number;
  readonly firstEmitMicros: number;
  readonly lastAcceptMicros: number;
}

export interface InsertionOptions {
  readonly way: 'create' | 'template' | 'keep' | 'fill' | 'engine-rules';
  /** Ethdevs of the fabric and the external side. */
  readonly devices: readonly [string, string];
  /** Of the forward and the reverse direction. */
  readonly templates: readonly [NativeTemplate, NativeTemplate];
  /** FlowArguments of session 0, forward and reverse. */
  readonly arguments: Uint8Array;
  readonly hosts: number;
  readonly poolAddresses: number;
  readonly sessions: number;
  /** `template`: operations a push. */
  readonly batch: number;
  readonly seed: number;
}

export interface InsertionResult {
  readonly rules: number;
  readonly failed: number;
  readonly createSeconds: number;
  readonly destroySeconds: number;
  /** The first refusal's message; empty without one. */
  readonly error: string;
  /** `engine-*`: what the engine counts. */
  readonly bytes?: number;
}

/** The benches' own addon. Loading it registers the drivers net_traffic and net_donothing: before EAL starts. */
/** `packets` came out; one in 64 of them was checked whole. */
export interface ResidentResult {
  readonly packets: number;
  readonly emitted: number;
  readonly checked: number;
  readonly wrong: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export interface BenchBinding {
  /** Before any port starts. */
  setScenario(scenario: Scenario): void;
  run(side: Side, program: TrafficProgram): void;
  resetCounters(): void;
  counters(): Readonly<Record<Side, WireCounters>>;
  /**
   * Durations from the burst that received a packet (`receive`), or from when it was due on the wire (`wire`), to the
   * burst that sent it; or of empty wake-ups, paced ones from when they were made or due. See latency.ts.
   *
   * @returns [microseconds, how many, …]
   */
  histogram(from: 'receive' | 'wire' | 'wakeup' | 'paced-wakeup' | 'paced-wakeup-due'): readonly number[];
  /** The worker lcore rings so often, each time after the last answerWakeup(). @throws NativeError STATE when it is busy */
  startWakeups(count: number, perSecond: number, doorbell: () => void): void;
  answerWakeup(): void;
  /** Whether all were answered; the lcore is free then. */
  wakeupsDone(): boolean;
  /** The rings of paced wake-ups, laid out as the gateway's. Once a process. */
  pacedRings(): { readonly events: ArrayBuffer; readonly decisions: ArrayBuffer };
  /**
   * The worker lcore makes so many records evenly, whether or not they are answered. `doorbell`: some wait, and
   * JavaScript was asleep. @throws NativeError STATE when the lcore is busy
   */
  startPacedWakeups(count: number, perSecond: number, doorbell: () => void): void;
  /** As Dataplane has them. */
  armPacedWakeups(): boolean;
  awaitPacedWakeups(microseconds: number): boolean;
  /** @returns Null while they go on; then, once, how many found no room in the ring. The lcore is free. */
  pacedWakeupsLost(): number | null;
  /** Cache lines a second at random places of so many bytes; `chained`: one after the other. Blocks. */
  randomTouches(bytes: number, seconds: number, chained: boolean): number;
  /** Between this thread and the worker lcore. Blocks twice so long. @throws NativeError STATE */
  ringHandOver(seconds: number): { readonly recordsPerSecond: number; readonly roundTripNanos: number };
  /** Before any port starts: account is kept of each flow's packets. Not with rates, nor with latencies. */
  keepLedger(): void;
  /**
   * Six numbers a flow: packets emitted on the fabric side and on the external side, accepted there, and of those, there,
   * not younger than one before: out of order, or a second time.
   */
  ledger(): Uint32Array;
  /** While nothing is on its way: those flows may come out from other endpoints than before. */
  forgetEndpoints(first: number, count: number): void;
  /** The NIC's own word on its rules, one a line, whoever made them (rte_flow_dev_dump). @throws NativeError RULE */
  installedRules(device: string): string;
  /** Puts rules into a NIC behind its user's back, which count and drop packets to 192.0.2.0/24. @returns How many it took. */
  addForeignRules(device: string, count: number): number;
  /** Takes all rules of a port away behind its user's back, as a reset does. While nothing is asked of them. @throws NativeError RULE */
  flushRules(device: string): void;
  /** The software NIC loses its rules and tells so, as one that failed and has recovered. */
  recoverPort(device: string): void;
  /** The software NIC asks to be reset, and does nothing until it is. */
  wantReset(device: string): void;
  /** Flows whose translated endpoint was seen, and endpoints that two flows share (none should). */
  endpoints(): { readonly known: number; readonly shared: number };
  /**
   * Moves frames between two ports; of four, between the first and the third, and between the second and the fourth.
   * The devices are those of the first call. @throws NativeError PORT
   */
  wireLoop(options: {
    readonly devices: readonly string[];
    readonly seconds: number;
    readonly burst: number;
    /** Random cache lines that each packet touches, in memory of footprintBytes. */
    readonly lines: number;
    readonly footprintBytes: number;
  }): { readonly packets: number; readonly seconds: number };
  /** One rule each of flows 0 to count - 1 of eight shapes, and a gateway's constant rules. @throws NativeError RULE */
  installResidentRules(options: { readonly devices: readonly [string, string]; readonly count: number }): void;
  /**
   * Frames of flows 0 to flows - 1 through the rules of the first device, or, as the bound, through a loop between two
   * wires that touches memory for `count` rules. @throws NativeError PORT
   */
  runResident(options: {
    readonly devices: readonly [string, string];
    readonly bound: boolean;
    readonly seconds: number;
    readonly burst: number;
    readonly flows: number;
    readonly count: number;
  }): ResidentResult;
  /** Configures ports, which then have rte_flow, without starting them. @throws NativeError PORT */
  openPorts(devices: readonly string[]): void;
  /** @returns null when the driver has rte_flow's template interface, else what it answered. */
  templateInterface(device: string): string | null;
  /** @throws NativeError RULE */
  insertion(options: InsertionOptions): InsertionResult;
  /** That made the native code. */
  readonly compiler: string;
  /** Begins to count instructions, in callgrind. @returns False outside it. */
  startCounting(): boolean;
  /** Writes what was counted since as callgrind's dump of that name. */
  stopCounting(phase: string): void;
  /** Bytes of the lcore's structures, one each a session. */
  sizes(): { readonly sessionRow: number; readonly sessionCounters: number; readonly nicRules: number };
}

export function loadBenchBinding(root: string): BenchBinding {
  return require(join(root, 'build/native/sluice_bench.node')) as BenchBinding;
}
