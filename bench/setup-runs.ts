import { DropReasonNames } from '../src/native/records.js';
import { fixture } from './fixture.js';
import {
  cpuSeconds,
  type GatewayUnderTest,
  LcoreGateway,
  OneCoreGateway,
  openFlows,
  QUIET,
  settle,
} from './gateways.js';
import type { Histogram } from './latency.js';
import { EngineAlone, Outcome, scarceFixture } from './misses.js';
import type { BenchBinding } from './native.js';
import { type PacedResult, pacedRun } from './paced-run.js';
import { pagesCleared } from './thread-times.js';

/** Empty wake-ups that a paced run ends with, at most: one in ten thousand is still ten. */
const WAKEUPS = 100_000;
const WAKEUPS_PER_SECOND = 20_000;

/** What a paced run begins with and leaves out, but no more flows than its own: V8 compiles what first runs at that pace. */
const LEAD_SECONDS = 2;

/** Port numbers of 65,536 hosts go further; memory does not. */
const MOST_FLOWS = 16_000_000;

export interface RunOptions {
  readonly oneCore: boolean;
  readonly resident: number;
  readonly flows: number;
  readonly window: number;
  readonly seed: number;
  readonly burst: number;
  /** 0: as many as it takes; otherwise at this rate, with latencies. */
  readonly perSecond: number;
}

export interface RunResult {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly fillPerSecond: number;
  readonly resident: number;
  readonly failed: number;
  readonly sharedEndpoints: number;
  readonly mostLate: number;
  /** Packets that the gateway dropped, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /** After a paced run: of nothing, on the same threads, one after the other. */
  readonly wakeup: Histogram;
  /** Of a paced run of two threads. */
  readonly paced: PacedResult | null;
}

/** Fills the table, then sets up new flows beside what is there. */
export async function run(options: RunOptions): Promise<RunResult> {
  const { resident, flows, window, seed, perSecond } = options;
  const lead = options.oneCore ? 0 : Math.min(flows, Math.round(LEAD_SECONDS * perSecond));
  const made = fixture({
    flows: resident + lead + flows,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
  });
  const lcoreGateway = options.oneCore ? null : new LcoreGateway(made);
  const gateway: GatewayUnderTest = lcoreGateway ?? new OneCoreGateway(made, options.burst);
  await pagesCleared();
  const fill = await openFlows(gateway, { first: 0, count: resident, window, perSecond: 0, measureLatency: false });
  await settle(gateway);
  await pagesCleared(); // of what the NIC had for rules as their kinds came
  let paced: PacedResult | null = null;
  let failedOfLead = 0;
  if (perSecond > 0 && lcoreGateway !== null) {
    failedOfLead = (await pacedRun(lcoreGateway, made.config, resident, lead, perSecond)).flows.failed;
    paced = await pacedRun(lcoreGateway, made.config, resident + lead, flows, perSecond);
  }
  const measured =
    paced?.flows ??
    (await openFlows(gateway, { first: resident, count: flows, window, perSecond: 0, measureLatency: false }));
  await settle(gateway);
  const statistics = gateway.controller.dataplane.statistics();
  const { shared } = gateway.bench.endpoints();
  const sessions = gateway.controller.engine.sessions.count;
  // A session whose two rules are not both in both tables was not set up, even if its packet came out.
  const withoutRules = Math.max(
    0,
    sessions - Math.floor(statistics.nicRules / 2),
    sessions - Math.floor(statistics.softwareRules / 2),
  );
  const result = {
    perSecond: measured.translated / measured.seconds,
    perCpuSecond: measured.translated / measured.cpuSeconds,
    fillPerSecond: fill.translated / fill.seconds,
    resident: sessions,
    failed: fill.failed + failedOfLead + measured.failed + withoutRules,
    sharedEndpoints: shared,
    mostLate: paced?.mostLate ?? 0,
    drops: Object.fromEntries(
      statistics.drops.map((n, reason) => [DropReasonNames[reason], n]).filter(([, n]) => n !== 0),
    ),
    paced,
  };
  const { bench } = gateway;
  gateway.close();
  return {
    ...result,
    wakeup: paced === null ? [] : await emptyWakeups(bench, Math.min(WAKEUPS, Math.ceil(flows / 10))),
  };
}

/** As the gateway is woken: the doorbell, then a turn of the loop, then the answer. */
export async function emptyWakeups(bench: BenchBinding, count: number): Promise<Histogram> {
  bench.startWakeups(count, WAKEUPS_PER_SECOND, () => {
    setImmediate(() => bench.answerWakeup());
  });
  while (!bench.wakeupsDone()) await new Promise((resolve) => setTimeout(resolve, 50));
  return bench.histogram('wakeup');
}

export interface ChurnOptions {
  /** Sessions that should be there at a time. */
  readonly resident: number;
  readonly seconds: number;
  readonly seed: number;
  readonly window: number;
  /** New flows a second: sizes the traffic, the tables and the idle time too. */
  readonly perSecond: number;
}

export interface ChurnResult {
  readonly newPerSecond: number;
  readonly endedPerSecond: number;
  /** While it was measured; failed: of as many as came then. */
  readonly opened: number;
  readonly resident: number;
  readonly failed: number;
  readonly idleSeconds: number;
}

/** New flows, evenly paced, each of one packet, while those that were idle for long enough end. */
export async function churn({ resident, seconds, seed, window, perSecond }: ChurnOptions): Promise<ChurnResult> {
  const idleSeconds = Math.max(1, Math.round(resident / perSecond));
  const lead = idleSeconds + 2;
  const flows = Math.min(MOST_FLOWS, Math.ceil(perSecond * 2 * (lead + seconds + 1)) + resident);
  const made = fixture({
    flows,
    // A session lives for up to two seconds more than its idle time: whole seconds, and its turn.
    capacity: Math.ceil(Math.max(4 * resident, perSecond * 2 * (idleSeconds + 2))) + 4096,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
    idleSeconds,
  });
  const gateway = new LcoreGateway(made);
  const { bench, controller } = gateway;
  const { sessions } = controller.engine;
  // As in run(): tables get their size, and the kernel clears what they take, before anything is measured.
  await pagesCleared();
  const fill = await openFlows(gateway, { first: 0, count: resident, window, perSecond: 0, measureLatency: false });
  if (fill.failed > 0) throw new Error(`${fill.failed} of the first ${resident} flows failed`);
  await settle(gateway);
  await pagesCleared();
  bench.resetCounters();
  bench.run('fabric', { ...QUIET, pattern: 'new', first: resident, count: flows - resident, perSecond });
  await gateway.runFor(lead);
  const acceptedBefore = bench.counters().external.accepted;
  const sessionsBefore = sessions.count;
  // A process that V8 has only begun to compile drops what comes at full pace: the lead is its warming up.
  const droppedBefore = dropped(gateway);
  const passed = await gateway.runFor(seconds);
  const opened = bench.counters().external.accepted - acceptedBefore;
  const grown = sessions.count - sessionsBefore;
  const held = sessions.count;
  bench.run('fabric', QUIET);
  await settle(gateway);
  await gateway.runUntil(() => bench.counters().external.accepted >= bench.counters().fabric.emitted);
  const { fabric, external } = bench.counters();
  if (fabric.emitted >= flows - resident) throw new Error(`${flows} flows were too few for ${lead + seconds} s`);
  const failed = dropped(gateway) - droppedBefore + external.bad + external.badChecksum;
  gateway.close();
  return {
    newPerSecond: opened / passed,
    endedPerSecond: (opened - grown) / passed,
    opened,
    resident: Math.round(held - grown / 2),
    failed,
    idleSeconds,
  };
}

function dropped({ controller }: GatewayUnderTest): number {
  return controller.dataplane.statistics().drops.reduce((sum, count) => sum + count, 0);
}

const EXHAUSTION_HOSTS = 100_000;
const EXHAUSTION_ADDRESSES = 16;
const LAST_SHARE = 0.1;

export interface MissOptions {
  readonly resident: number;
  readonly seed: number;
}

/** CPU time of a miss in the engine alone, microseconds. */
export interface MissResult {
  /** One that gets a port: the last tenth of those that do, less the last hundredth, where some are refused already. */
  readonly micros: number;
  /** One of a host whose address has no port left. */
  readonly exhaustedMicros: number;
  /** One of a host that has no address yet, when no address has a port left. */
  readonly exhaustedNewHostMicros: number;
}

/** The engine alone, over as many ports as sessions are wanted: until they are gone, and beyond. */
export async function misses({ resident, seed }: MissOptions): Promise<MissResult> {
  const addresses = Math.max(EXHAUSTION_ADDRESSES, Math.ceil(resident / 64_000));
  const portsOfAddress = Math.max(1, Math.floor(resident / addresses));
  const endpoints = addresses * portsOfAddress;
  const alone = new EngineAlone(scarceFixture({ addresses, portsOfAddress, seed }));
  const hosts = Math.min(EXHAUSTION_HOSTS, endpoints);
  let next = 0;
  // Each host in turn, in an order that is not that of their addresses.
  const open = () => alone.open((next * 7919) % hosts, Math.floor(next++ / hosts), 1000);
  const perMiss = (count: number, miss: () => void): number => {
    const before = cpuSeconds();
    for (let i = 0; i < count; i++) miss();
    return ((cpuSeconds() - before) / count) * 1e6;
  };
  while (next < endpoints * (0.99 - LAST_SHARE)) open();
  const micros = perMiss(Math.ceil(endpoints * LAST_SHARE), open);
  while (alone.engine.sessions.count < endpoints) open();
  const refused = (outcome: Outcome) => {
    if (outcome === Outcome.session) throw new Error('a session was opened though no port was left');
  };
  const exhaustedMicros = perMiss(100_000, () => refused(open()));
  let host = hosts;
  const exhaustedNewHostMicros = perMiss(100_000, () => refused(alone.open(host++, 0, 1000)));
  return { micros, exhaustedMicros, exhaustedNewHostMicros };
}
