import { pino } from 'pino';
import { packageRoot } from '../src/config/package-root.js';
import { GatewayController } from '../src/controller/gateway.js';
import { LiveGateway } from '../src/controller/live.js';
import { nativePorts } from '../src/controller/native-ports.js';
import { nicTarget } from '../src/controller/nic-target.js';
import { ONLY_ENGINE } from '../src/controller/running-engine.js';
import { type Dataplane, loadBinding, type NativeBinding } from '../src/native/binding.js';
import { ealArguments } from '../src/native/eal.js';
import type { Fixture } from './fixture.js';
import { type BenchBinding, loadBenchBinding, type TrafficProgram } from './native.js';

// As the live gateway has them.
const HELD_PACKETS = 8192;
const EVENT_SLOTS = 8192;
const DECISION_SLOTS = 16384;
export const MEMORY_MB = 512;
/** No packet came through for so long: those on their way are lost. */
const STALL_MS = 2000;
const ROUNDS_BETWEEN_LOOKS = 64;

export const QUIET: TrafficProgram = {
  pattern: 'none',
  first: 0,
  count: 0,
  window: 0,
  perSecond: 0,
  seed: 1,
  measureLatency: false,
};

/** What a gateway under test must let a bench do. */
export interface GatewayUnderTest {
  readonly bench: BenchBinding;
  readonly controller: GatewayController;
  /** Lets it work until `done`, or nothing has moved for a while. @returns Whether `done`. */
  runUntil(done: () => boolean): Promise<boolean>;
  /** Lets it work for so long. @returns Seconds that really passed. */
  runFor(seconds: number): Promise<number>;
  close(): void;
}

export function loadBindings(): { root: string; binding: NativeBinding; bench: BenchBinding } {
  const root = packageRoot();
  const binding = loadBinding(root);
  return { root, binding, bench: loadBenchBinding(root) };
}

/** One whose lcore can stop for a while: what comes meanwhile waits on the wire. */
class PausableGateway extends LiveGateway {
  pause(): void {
    this.controller.dataplane.stop();
  }

  resume(): void {
    this.startLoop();
  }
}

/** The live gateway: packets on an lcore, decisions on this thread. */
export class LcoreGateway implements GatewayUnderTest {
  readonly bench: BenchBinding;
  readonly controller: GatewayController;
  readonly gateway: PausableGateway;

  constructor({ config, scenario }: Fixture, place = ONLY_ENGINE) {
    const { root, binding, bench } = loadBindings();
    this.bench = bench;
    bench.setScenario(scenario);
    const targetOf = (driver: string) => nicTarget(config.offload.target, driver);
    this.gateway = new PausableGateway(config, binding, root, targetOf, pino({ enabled: false }), place);
    this.controller = this.gateway.controller;
    this.gateway.start();
  }

  runUntil(done: () => boolean): Promise<boolean> {
    return waitUntil(this.bench, done);
  }

  runFor(seconds: number): Promise<number> {
    return waitFor(seconds);
  }

  /** The lcore is free for something else until resume(). */
  pause(): void {
    this.gateway.pause();
  }

  resume(): void {
    this.gateway.resume();
  }

  close(): void {
    this.gateway.close();
  }
}

/** Everything on this thread: the lcore's round and the decisions take turns. */
export class OneCoreGateway implements GatewayUnderTest {
  readonly shards = 1;
  readonly bench: BenchBinding;
  readonly controller: GatewayController;
  private readonly binding: NativeBinding;
  private readonly dataplane: Dataplane;

  constructor(
    { config, scenario, devices }: Fixture,
    private readonly burst: number,
  ) {
    const { root, binding, bench } = loadBindings();
    this.bench = bench;
    this.binding = binding;
    bench.setScenario(scenario);
    binding.startEal(ealArguments(root, { memoryMb: MEMORY_MB, lcores: 1, pci: [] }));
    for (const port of config.ports) binding.probeDevice(port.device ?? '');
    this.dataplane = new binding.Dataplane({
      ports: nativePorts(config, devices),
      underlay: config.underlay,
      maxSessions: config.nat.maxSessions,
      maxHeld: HELD_PACKETS,
      eventSlots: EVENT_SLOTS,
      decisionSlots: DECISION_SLOTS,
      offloads: config.offload.mode !== 'never',
      replay: false,
    });
    const target = nicTarget(config.offload.target, devices[0].replace(/[0-9]+$/, ''));
    this.controller = new GatewayController(config, this.dataplane, target, true);
    this.controller.templates.installStaticRules();
  }

  async runUntil(done: () => boolean): Promise<boolean> {
    const { dataplane, controller, burst } = this;
    const progress = new Progress(this.bench);
    while (!done()) {
      for (let i = 0; i < ROUNDS_BETWEEN_LOOKS; i++) {
        dataplane.poll(burst);
        controller.handleEvents();
      }
      if (progress.stalled()) return false;
    }
    return true;
  }

  async runFor(seconds: number): Promise<number> {
    const begin = performance.now();
    const end = begin + seconds * 1000;
    let now = begin;
    while (now < end) {
      for (let i = 0; i < ROUNDS_BETWEEN_LOOKS; i++) {
        this.dataplane.poll(this.burst);
        this.controller.handleEvents();
      }
      now = performance.now();
    }
    return (now - begin) / 1000;
  }

  /** Live sessions. */
  get sessions(): number {
    return this.controller.engine.sessions.count;
  }

  /** So many rounds of both, whatever comes of them. */
  rounds(count: number): void {
    for (let i = 0; i < count; i++) {
      this.dataplane.poll(this.burst);
      this.controller.handleEvents();
    }
  }

  /** Asks after sessions whose time is up, so many at most; idle ones end in the rounds that follow. @returns How many. */
  runTimers(most: number): number {
    const [seconds] = this.binding.now();
    return this.controller.engine.runSessionTimers(seconds, Math.min(most, this.controller.roomForTimers()));
  }

  close(): void {
    this.dataplane.close();
  }
}

export interface FlowsResult {
  /** First packets that came out translated and right. */
  readonly translated: number;
  readonly failed: number;
  /** From the first packet received to the last one sent. */
  readonly seconds: number;
  /** Of the whole process in that time: less than `seconds` on one core when others had the core. */
  readonly cpuSeconds: number;
}

/** CPU time of the process so far. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Sends the first packet of each of the flows and waits until all have come out, or no more do. */
export async function openFlows(
  gateway: Pick<GatewayUnderTest, 'bench' | 'runUntil'>,
  flows: Pick<TrafficProgram, 'first' | 'count' | 'window' | 'perSecond' | 'measureLatency'>,
): Promise<FlowsResult> {
  const { bench } = gateway;
  bench.resetCounters();
  const cpuBefore = cpuSeconds();
  bench.run('fabric', { ...QUIET, ...flows, pattern: 'new' });
  await gateway.runUntil(() => bench.counters().external.accepted >= flows.count);
  const cpu = cpuSeconds() - cpuBefore;
  const { fabric, external } = bench.counters();
  return {
    translated: external.accepted,
    failed: Math.max(flows.count - external.accepted, external.bad + external.badChecksum),
    seconds: (external.lastAcceptMicros - fabric.firstEmitMicros) / 1e6,
    cpuSeconds: cpu,
  };
}

/** Decisions that follow the last packets (their NIC rules) are carried out too. */
export function settle(gateway: Pick<GatewayUnderTest, 'runFor'>): Promise<number> {
  return gateway.runFor(0.05);
}

export class Progress {
  private accepted = -1;
  private since = performance.now();

  constructor(
    private readonly bench: BenchBinding,
    private readonly stallMs = STALL_MS,
  ) {}

  stalled(): boolean {
    const { fabric, external } = this.bench.counters();
    const now = performance.now();
    if (fabric.accepted + external.accepted !== this.accepted) {
      this.accepted = fabric.accepted + external.accepted;
      this.since = now;
    }
    return now - this.since > this.stallMs;
  }
}

/** While others work. @returns Whether `done`; else nothing has moved for a while. */
export async function waitUntil(bench: BenchBinding, done: () => boolean, stallMs = STALL_MS): Promise<boolean> {
  const progress = new Progress(bench, stallMs);
  while (!done()) {
    if (progress.stalled()) return false;
    await pause(5);
  }
  return true;
}

/** @returns Seconds that really passed. */
export async function waitFor(seconds: number): Promise<number> {
  const begin = performance.now();
  await pause(seconds * 1000);
  return (performance.now() - begin) / 1000;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
