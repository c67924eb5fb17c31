import { type Fixture, fixture } from './fixture.js';
import { loadBindings, OneCoreGateway, QUIET } from './gateways.js';
import type { BenchBinding } from './native.js';
import { TurnsGateway } from './turns-gateway.js';

const FLOWS = 1024;
/** Each phase is counted so often, one after the other: V8 may still optimise something in one of them. */
const REPETITIONS = 3;
/** Rounds of steady traffic that are counted; each takes a burst from either side. */
const FORWARD_ROUNDS = 64;
const BURST = 32;
/** Packets that wait for a decision at most: several bursts, as on two cores. */
const WINDOW = 128;
/** Rounds after which nothing is under way. */
const SETTLING_ROUNDS = 8;
const IDLE_SECONDS = 1;
/** Sessions asked after between rounds. */
const TIMERS_AT_ONCE = 64;

export interface ScenarioOptions {
  readonly seed: number;
  /** Sessions in the software NIC from their first packet on, or in software for ever. */
  readonly offloaded: boolean;
  /** Engines and lcores, which take turns; 1: the gateway without any. */
  readonly shards: number;
  /** Sessions that open before anything is counted: templates are compiled, tables have grown, V8 has optimised. */
  readonly warmFlows: number;
}

/** What is counted of a gateway of one shard or of several. */
interface CountedGateway {
  readonly bench: BenchBinding;
  readonly shards: number;
  /** Live. */
  readonly sessions: number;
  rounds(count: number): void;
  runTimers(most: number): number;
  close(): void;
}

export const PHASES = ['newFlow', 'forward', 'endFlow'] as const;
export type Phase = (typeof PHASES)[number];

export interface Counted {
  /** Name of callgrind's dump too; the dumps are in the same order. */
  readonly phase: Phase;
  /** Flows or packets that were counted. */
  readonly units: number;
  /** That JavaScript allocated on its heap. */
  readonly heapBytes: number;
}

export interface Result {
  readonly counted: readonly Counted[];
  /** Under which V8 wrote its map of code. */
  readonly pid: number;
}

/**
 * Runs a gateway on one core for a number of flows and packets that is always the same, and counts what it executes.
 * For a process that runs in callgrind, with V8 in one thread and a young generation that is never full.
 *
 * @throws Error when a packet was lost or wrong, or nothing counts.
 */
export async function scenario({ seed, offloaded, shards, warmFlows }: ScenarioOptions): Promise<Result> {
  const made = fixture({
    flows: warmFlows + REPETITIONS * FLOWS,
    offload: offloaded ? 'immediate' : 'never',
    seed,
    behindSoftwareNic: offloaded,
    checkEvery: 16,
    idleSeconds: IDLE_SECONDS,
    ...(shards > 1 ? { queues: shards } : {}),
  });
  const gateway = shards > 1 ? newTurnsGateway(made, shards) : new OneCoreGateway(made, BURST);
  const counted: Counted[] = [];
  const count = (phase: Phase, work: () => number) => {
    if (!gateway.bench.startCounting()) throw new Error('nothing counts instructions: this is for callgrind');
    const heap = process.memoryUsage().heapUsed;
    const units = work();
    const heapBytes = process.memoryUsage().heapUsed - heap;
    gateway.bench.stopCounting(phase);
    counted.push({ phase, units, heapBytes });
  };
  open(gateway, 0, warmFlows);
  forward(gateway, seed, warmFlows);
  for (let i = 0; i < REPETITIONS; i++) {
    count('newFlow', () => open(gateway, warmFlows + i * FLOWS, FLOWS));
    count('forward', () => forward(gateway, seed + i, warmFlows + (i + 1) * FLOWS));
  }
  await new Promise((resolve) => setTimeout(resolve, (IDLE_SECONDS + 1.1) * 1000));
  for (let left = REPETITIONS; left > 0; left--) {
    end(gateway, left * FLOWS);
    count('endFlow', () => end(gateway, (left - 1) * FLOWS));
  }
  gateway.close();
  return { counted, pid: process.pid };
}

function newTurnsGateway(made: Fixture, shards: number): TurnsGateway {
  loadBindings().bench.setScenario(made.scenario);
  return new TurnsGateway(made, shards, BURST);
}

/** The first packet of each of `count` flows. @returns How many. */
function open(gateway: CountedGateway, first: number, count: number): number {
  const { bench } = gateway;
  bench.resetCounters();
  bench.run('fabric', { ...QUIET, pattern: 'new', first, count, window: WINDOW * gateway.shards });
  gateway.rounds(Math.ceil(count / BURST / gateway.shards) + SETTLING_ROUNDS);
  const { accepted } = bench.counters().external;
  if (accepted !== count) throw new Error(`${accepted} of ${count} flows were set up in the rounds that it takes`);
  return count;
}

/** Packets both ways of the flows 0..`flows`-1, drawn at random. @returns How many. */
function forward(gateway: CountedGateway, seed: number, flows: number): number {
  const { bench } = gateway;
  bench.resetCounters();
  for (const side of ['fabric', 'external'] as const) {
    bench.run(side, { ...QUIET, pattern: 'random', count: flows, seed: side === 'fabric' ? seed : seed + 1000 });
  }
  gateway.rounds(FORWARD_ROUNDS);
  for (const side of ['fabric', 'external'] as const) bench.run(side, QUIET);
  gateway.rounds(1);
  const { fabric, external } = bench.counters();
  const packets = FORWARD_ROUNDS * BURST * 2 * gateway.shards;
  if (fabric.accepted + external.accepted !== packets) {
    throw new Error(`of ${packets} packets ${fabric.accepted + external.accepted} came out right`);
  }
  return packets;
}

/** Ends idle sessions until at most `left` are there. @returns How many ended. */
function end(gateway: CountedGateway, left: number): number {
  const before = gateway.sessions;
  while (gateway.sessions > left) {
    const asked = gateway.runTimers(Math.min(TIMERS_AT_ONCE, gateway.sessions - left));
    if (asked === 0) throw new Error(`${gateway.sessions - left} idle sessions are not due`);
    gateway.rounds(SETTLING_ROUNDS);
  }
  return before - gateway.sessions;
}
