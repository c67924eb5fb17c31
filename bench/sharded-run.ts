import { pino } from 'pino';
import { LiveGateway } from '../src/controller/live.js';
import { nicTarget } from '../src/controller/nic-target.js';
import { ShardedGateway } from '../src/controller/shards/sharded-gateway.js';
import type { DataplaneStatistics } from '../src/native/binding.js';
import { ownCpus } from '../src/native/eal.js';
import { DropReasonNames } from '../src/native/records.js';
import { type Fixture, fixture } from './fixture.js';
import { loadBindings, openFlows, Progress, settle, waitFor, waitUntil } from './gateways.js';
import { LCORE, mainThreadSeconds, pagesCleared, threadSeconds } from './thread-times.js';
import { TurnsGateway } from './turns-gateway.js';

/** New flows a second and shard, while the cost of polls that bring nothing is measured: no lcore begins to sleep. */
const SPARSE_PER_SECOND = 4000;
/** Where more threads work than there are cores, one may have to wait so long. */
const STALL_MS = 30_000;
const BURST = 32;
const ROUNDS_BETWEEN_LOOKS = 64;
/** As worker.ts names its thread. */
const ENGINE = /^engine-/;

export interface ShardedOptions {
  /** Lcores and engines take turns on one thread, which has no lcore that waits and none that waits for a lock. */
  readonly inTurns: boolean;
  /** 1: the gateway without any. */
  readonly shards: number;
  readonly resident: number;
  readonly flows: number;
  /** First packets on their way at most, of each shard. */
  readonly window: number;
  readonly seed: number;
}

/** CPU seconds, by what threads do. */
export interface ThreadKinds {
  readonly lcores: number;
  readonly engines: number;
  /** The control thread; with one shard the engine is in it. */
  readonly control: number;
  /** V8's helpers and DPDK's control threads. */
  readonly rest: number;
}

export interface ShardedResult {
  readonly perSecond: number;
  /** First packets that each shard decided a second. */
  readonly shardsPerSecond: readonly number[];
  /** While the flows came. */
  readonly cpu: ThreadKinds;
  /** Of `cpu.lcores`: polls that brought nothing. */
  readonly pollSeconds: number;
  /** Of the flows, how many were handed over to another shard. */
  readonly handedOver: number;
  readonly translated: number;
  readonly resident: number;
  readonly failed: number;
  readonly sharedEndpoints: number;
  readonly drops: Readonly<Record<string, number>>;
}

interface Counted {
  readonly statistics: DataplaneStatistics;
  readonly sessions: number;
}

/** A whole gateway, of one shard or several. */
interface AnyGateway {
  start(): Promise<void>;
  /** By shard. */
  count(): Promise<Counted[]>;
  /** Lets it work until `done`, or nothing has moved for a while. */
  runUntil(done: () => boolean): Promise<boolean>;
  runFor(seconds: number): Promise<number>;
  close(): Promise<void>;
}

/** All of it on this thread. */
function gatewayInTurns(made: Fixture, shards: number): AnyGateway {
  const gateway = new TurnsGateway(made, shards, BURST);
  const { bench, local } = gateway;
  return {
    start: async () => undefined,
    count: async () =>
      local.controllers.map(({ dataplane, engine }) => ({
        statistics: dataplane.statistics(),
        sessions: engine.sessions.count,
      })),
    async runUntil(done) {
      const progress = new Progress(bench, STALL_MS);
      while (!done()) {
        gateway.rounds(ROUNDS_BETWEEN_LOOKS);
        if (progress.stalled()) return false;
      }
      return true;
    },
    async runFor(seconds) {
      const begin = performance.now();
      while (performance.now() < begin + seconds * 1000) gateway.rounds(ROUNDS_BETWEEN_LOOKS);
      return (performance.now() - begin) / 1000;
    },
    close: async () => gateway.close(),
  };
}

/** Each lcore and each engine has a thread. */
function gatewayInThreads({ config }: Fixture, shards: number): AnyGateway {
  const { root, binding, bench } = loadBindings();
  const wait = {
    runUntil: (done: () => boolean) => waitUntil(bench, done, STALL_MS),
    runFor: waitFor,
  };
  const targetOf = (driver: string) => nicTarget(config.offload.target, driver);
  const log = pino({ enabled: false });
  if (shards > 1) {
    const gateway = new ShardedGateway(config, binding, root, targetOf, log, shards);
    const count = async () =>
      (await gateway.measureEach()).map(({ statistics, sessions }) => ({
        statistics,
        sessions: sessions.reduce((sum, { opened, ended }) => sum + opened - ended, 0),
      }));
    return { ...wait, start: () => gateway.start(), count, close: () => gateway.close() };
  }
  // It sleeps where there is nothing to decide, as engines do that have no core of their own: looking for events would
  // be time of the one that is alone, and not of several.
  const place = { engines: ownCpus().length, asksForNeighbours: true, wantsPrecedence: true };
  const gateway = new LiveGateway(config, binding, root, targetOf, log, place);
  const { dataplane, engine } = gateway.controller;
  return {
    ...wait,
    start: async () => gateway.start(),
    count: async () => [{ statistics: dataplane.statistics(), sessions: engine.sessions.count }],
    close: async () => gateway.close(),
  };
}

function kindsOf(shards: number): ThreadKinds {
  const main = mainThreadSeconds();
  let lcores = 0;
  let engines = 0;
  let all = 0;
  for (const [name, seconds] of threadSeconds()) {
    all += seconds;
    if (LCORE.test(name)) lcores += seconds;
    else if (ENGINE.test(name)) engines += seconds;
  }
  const rest = all - lcores - engines - main;
  return shards > 1 ? { lcores, engines, control: main, rest } : { lcores, engines: main, control: 0, rest };
}

function difference(after: ThreadKinds, before: ThreadKinds): ThreadKinds {
  return {
    lcores: after.lcores - before.lcores,
    engines: after.engines - before.engines,
    control: after.control - before.control,
    rest: after.rest - before.rest,
  };
}

interface Portion {
  readonly translated: number;
  readonly failed: number;
  readonly seconds: number;
  readonly cpu: ThreadKinds;
  /** Polls of lcores that brought nothing. */
  readonly emptyPolls: number;
}

/** Fills the table of a whole gateway, then sets up new flows beside what is there, from hosts of all shards. */
export async function sharded({
  inTurns,
  shards,
  resident,
  flows,
  window,
  seed,
}: ShardedOptions): Promise<ShardedResult> {
  const sparse = SPARSE_PER_SECOND * shards;
  const made = fixture({
    flows: resident + flows + sparse,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
    queues: shards,
  });
  const { bench } = loadBindings();
  bench.setScenario(made.scenario);
  const gateway = inTurns ? gatewayInTurns(made, shards) : gatewayInThreads(made, shards);
  await gateway.start();
  await pagesCleared();
  const open = (first: number, count: number, perSecond: number) =>
    portion(gateway, inTurns ? 1 : shards, { first, count, window: window * shards, perSecond });
  const fill = await open(0, resident, 0);
  const before = await gateway.count();
  const measured = await open(resident, flows, 0);
  const after = await gateway.count();
  const slow = await open(resident + flows, sparse, sparse);
  const all = await gateway.count();
  const sum = (of: (one: Counted) => number) => all.reduce((total, one) => total + of(one), 0);
  const sessions = sum((one) => one.sessions);
  const rules = Math.min(
    sum(({ statistics }) => statistics.nicRules),
    sum(({ statistics }) => statistics.softwareRules),
  );
  const { shared } = bench.endpoints();
  await gateway.close();
  const grown = (of: (one: DataplaneStatistics) => number) =>
    after.map(({ statistics }, shard) => of(statistics) - of(before[shard].statistics));
  return {
    perSecond: measured.translated / measured.seconds,
    shardsPerSecond: grown(({ slowPath }) => slowPath.misses).map((misses) => misses / measured.seconds),
    cpu: measured.cpu,
    pollSeconds: pollSeconds(measured, slow),
    handedOver: grown(({ slowPath }) => slowPath.handedOver).reduce((total, one) => total + one, 0),
    translated: measured.translated,
    resident: sessions - sparse,
    // A session whose two rules are not both in both tables was not set up, even if its packet came out.
    failed: fill.failed + measured.failed + slow.failed + Math.max(0, sessions - Math.floor(rules / 2)),
    sharedEndpoints: shared,
    drops: Object.fromEntries(
      DropReasonNames.map((name, reason) => [name, sum(({ statistics }) => statistics.drops[reason])] as const).filter(
        ([, dropped]) => dropped !== 0,
      ),
    ),
  };
}

async function portion(
  gateway: AnyGateway,
  shards: number,
  flows: { readonly first: number; readonly count: number; readonly window: number; readonly perSecond: number },
): Promise<Portion> {
  const { bench } = loadBindings();
  const before = kindsOf(shards);
  const { translated, failed, seconds } = await openFlows(
    { bench, runUntil: gateway.runUntil },
    { ...flows, measureLatency: false },
  );
  const cpu = difference(kindsOf(shards), before);
  const { emptyPolls } = bench.counters().fabric;
  await settle(gateway);
  return { translated, failed, seconds, cpu, emptyPolls };
}

/**
 * What of an lcore's time is polls that bring nothing, which it makes while it waits for its engine: two portions, with
 * few flows and with many, tell what a flow takes and what such a poll.
 */
function pollSeconds(many: Portion, few: Portion): number {
  const determinant = many.emptyPolls * few.translated - few.emptyPolls * many.translated;
  if (determinant === 0) return 0;
  const each = (many.cpu.lcores * few.translated - few.cpu.lcores * many.translated) / determinant;
  return Math.min(many.cpu.lcores, Math.max(0, each * many.emptyPolls));
}
