import { DropReasonNames } from '../src/native/records.js';
import { runInChild } from './child.js';
import { fixture } from './fixture.js';
import { cpuSeconds, type GatewayUnderTest, LcoreGateway, OneCoreGateway, openFlows, settle } from './gateways.js';
import { EngineAlone, Outcome, scarceFixture } from './misses.js';
import { type BenchOptions, shuffled } from './options.js';
import { machine, type Report, shown, spread, spreads } from './report.js';

const SHARES = [0.5, 0.99, 0.999, 0.9999];

interface RunOptions {
  readonly oneCore: boolean;
  readonly resident: number;
  readonly flows: number;
  readonly window: number;
  readonly seed: number;
  readonly burst: number;
  /** 0: as many as it takes; otherwise at this rate, with latencies. */
  readonly perSecond: number;
}

interface RunResult {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly fillPerSecond: number;
  readonly resident: number;
  readonly failed: number;
  readonly sharedEndpoints: number;
  readonly mostLate: number;
  /** Packets that the gateway dropped, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /** Shares, then the most; microseconds. */
  readonly receive: readonly number[];
  readonly wire: readonly number[];
}

/** One run: fills the table, then sets up new flows beside what is there. */
async function run(options: RunOptions): Promise<RunResult> {
  const { resident, flows, window, seed, perSecond } = options;
  const made = fixture({
    flows: resident + flows,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
  });
  const gateway: GatewayUnderTest = options.oneCore ? new OneCoreGateway(made, options.burst) : new LcoreGateway(made);
  const fill = await openFlows(gateway, { first: 0, count: resident, window, perSecond: 0, measureLatency: false });
  await settle(gateway);
  const measured = await openFlows(gateway, {
    first: resident,
    count: flows,
    window: perSecond > 0 ? 0 : window,
    perSecond,
    measureLatency: perSecond > 0,
  });
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
    failed: fill.failed + measured.failed + withoutRules,
    sharedEndpoints: shared,
    mostLate: gateway.bench.counters().fabric.mostLate,
    drops: Object.fromEntries(
      statistics.drops.map((n, reason) => [DropReasonNames[reason], n]).filter(([, n]) => n !== 0),
    ),
    receive: latencies(gateway, 'receive'),
    wire: latencies(gateway, 'wire'),
  };
  gateway.close();
  return result;
}

function latencies(gateway: GatewayUnderTest, from: 'receive' | 'wire'): readonly number[] {
  const [, most, ...values] = gateway.bench.latency(from, SHARES);
  return [...values, most];
}

const EXHAUSTION_HOSTS = 100_000;
const EXHAUSTION_ADDRESSES = 16;
const LAST_SHARE = 0.1;

interface MissOptions {
  readonly resident: number;
  readonly seed: number;
}

/** CPU time of a miss in the engine alone, microseconds. */
interface MissResult {
  /** One that gets a port: the last tenth of those that do, less the last hundredth, where some are refused already. */
  readonly micros: number;
  /** One of a host whose address has no port left. */
  readonly exhaustedMicros: number;
  /** One of a host that has no address yet, when no address has a port left. */
  readonly exhaustedNewHostMicros: number;
}

/** The engine alone, over as many ports as sessions are wanted: until they are gone, and beyond. */
async function misses({ resident, seed }: MissOptions): Promise<MissResult> {
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

export const parts = { run, misses };

export async function measure(options: BenchOptions): Promise<Report> {
  const { resident, flows, window, seed, burst, runs } = options;
  const conditions = machine();
  const base = { resident, flows, window, burst, perSecond: 0 };
  const kinds = shuffled(
    Array.from({ length: runs * 2 }, (_, i) => ({ oneCore: i % 2 === 1, seed: seed + (i >> 1) })),
    seed,
  );
  const results = { two: [] as RunResult[], one: [] as RunResult[] };
  for (const kind of kinds) {
    results[kind.oneCore ? 'one' : 'two'].push(await runInChild<RunResult>('setup', 'run', { ...base, ...kind }));
  }
  const rate = spread(results.two.map(({ perSecond }) => perSecond));
  const oneCore = spread(results.one.map(({ perSecond }) => perSecond));
  const oneCoreCpu = spread(results.one.map(({ perCpuSecond }) => perCpuSecond));
  const paced: RunResult[] = [];
  for (let i = 0; i < runs; i++) {
    const pace = { oneCore: false, seed: seed + i, perSecond: Math.round(rate.median / 2) };
    paced.push(await runInChild<RunResult>('setup', 'run', { ...base, ...pace }));
  }
  const alone: MissResult[] = [];
  for (let i = 0; i < runs; i++) {
    alone.push(await runInChild<MissResult>('setup', 'misses', { resident, seed: seed + i }));
  }
  const miss = spread(alone.map(({ micros }) => micros));
  const exhausted = spread(alone.map(({ exhaustedMicros }) => exhaustedMicros));
  const exhaustedNewHost = spread(alone.map(({ exhaustedNewHostMicros }) => exhaustedNewHostMicros));
  const failedOf = (all: readonly RunResult[]) =>
    all.reduce((sum, { failed, sharedEndpoints }) => sum + failed + sharedEndpoints, 0);
  const failed = failedOf([...results.two, ...results.one]);
  const pacedFailed = failedOf(paced);
  const remarks = [];
  if (failed > 0)
    remarks.push(`some flows failed: the rates are not valid; ${dropsOf([...results.two, ...results.one])}`);
  if (pacedFailed > 0) {
    remarks.push(
      `${pacedFailed} evenly paced flows failed, for which nothing waits when a thread stands still: ${dropsOf(paced)}`,
    );
  }
  const [p50, p99, p999, p9999, most] = shares(paced, 'receive');
  const wire = shares(paced, 'wire');
  return {
    name: 'setup',
    figures: {
      newFlowsPerSecond: Math.round(rate.median),
      resident: results.two[0].resident,
      failed,
      oneCoreNewFlowsPerSecond: Math.round(oneCore.median),
      oneCoreNewFlowsPerCpuSecond: Math.round(oneCoreCpu.median),
      firstPacketMicros: { p50: p50.median, p99: p99.median, p999: p999.median, p9999: p9999.median },
      pacedFailed,
      firstPacketMostMicros: most.median,
      firstPacketFromWireMicros: {
        p50: wire[0].median,
        p99: wire[1].median,
        p999: wire[2].median,
        p9999: wire[3].median,
      },
      pacedFlowsPerSecond: spread(paced.map(({ perSecond }) => perSecond)).median,
      missMicros: micros(miss.median),
      exhaustedMissMicros: micros(exhausted.median),
      exhaustedNewHostMissMicros: micros(exhaustedNewHost.median),
      exhaustedMissRatio: micros(exhausted.median / miss.median),
      mostPacketsWaiting: Math.max(...paced.map(({ mostLate }) => mostLate)),
      spread: spreads({
        newFlowsPerSecond: rate,
        oneCoreNewFlowsPerSecond: oneCore,
        oneCoreNewFlowsPerCpuSecond: oneCoreCpu,
        p50,
        p99,
        p999,
        p9999,
        missMicros: miss,
        exhaustedMissMicros: exhausted,
        exhaustedNewHostMissMicros: exhaustedNewHost,
      }),
    },
    lines: [
      {
        label: 'new flows a second',
        value: shown(rate),
        means: `first packet received → session decided, 2 software rules and 2 rules of the software NIC installed, packet sent translated; one lcore and the JavaScript thread; ${flows} flows on top of ${resident} sessions, ${window} first packets on their way at most; the lcore also makes and checks the frames`,
      },
      { label: 'on one core', value: shown(oneCore), means: 'the same, all of it on one thread in turns' },
      {
        label: 'on one core, a CPU second',
        value: shown(oneCoreCpu),
        means: 'the same, by the CPU time that the process got: what others took of the core does not count',
      },
      {
        label: 'first packet, µs',
        value: `p50 ${shown(p50)}, p99 ${shown(p99)}, p99.9 ${shown(p999)}, p99.99 ${shown(p9999)}, most ${shown(most)}`,
        means:
          'from the burst that received it to the burst that sent it, at half the rate above, evenly paced; garbage collections included',
      },
      {
        label: 'first packet since due, µs',
        value: `p50 ${shown(wire[0])}, p99 ${shown(wire[1])}, p99.9 ${shown(wire[2])}, p99.99 ${shown(wire[3])}`,
        means: 'the same packets from when they came to the wire: waiting for a busy lcore counts',
      },
      {
        label: 'a miss in the engine, µs',
        value: `${shown(miss)}; no port left: ${shown(exhausted)}, of a new host ${shown(exhaustedNewHost)}`,
        means: `CPU time in the NAT engine alone, its records in a buffer: of one that gets a session beside some ${resident} others, and of those that are refused when all ports are taken`,
      },
      {
        label: 'failed',
        value: `${failed}; evenly paced ${pacedFailed}`,
        means:
          'over all runs at the full rate: packets that did not come out right, sessions without all four rules, endpoints given twice',
      },
    ],
    conditions: { ...conditions, seed, runs, resident, flows, window, burst },
    remarks,
  };
}

function micros(value: number): number {
  return Number(value.toFixed(2));
}

function dropsOf(results: readonly RunResult[]): string {
  const sums: Record<string, number> = {};
  for (const { drops } of results) {
    for (const [reason, n] of Object.entries(drops)) sums[reason] = (sums[reason] ?? 0) + n;
  }
  return `drops ${JSON.stringify(sums)}`;
}

function shares(results: readonly RunResult[], from: 'receive' | 'wire') {
  return [0, 1, 2, 3, 4].map((i) => spread(results.map((result) => result[from][i])));
}
