import { runInChild } from './child.js';
import { firstPackets } from './first-packets.js';
import { type BenchOptions, shuffled } from './options.js';
import { type Figure, machine, type Report, shown, spread, spreads } from './report.js';
import {
  type ChurnOptions,
  type ChurnResult,
  churn,
  type MissResult,
  misses,
  type RunOptions,
  type RunResult,
  run,
} from './setup-runs.js';
import { measureShards } from './setup-shards.js';
import { sharded } from './sharded-run.js';

/** First packets over all paced runs of a full bench. */
const FULL_FIRST_PACKETS = 10_000_000;
/** Steady churn is tried at so much of the rate without it, until as many flows end as begin. */
const CHURN_SHARES = [0.85, 0.75, 0.7, 0.65, 0.6, 0.55, 0.45] as const;
/** So much of what begins must end; sessions end by whole seconds. */
const STEADY_SHARE = 0.95;
/** So much of what comes evenly paced may be lost where a thread stands still. */
const LOST_SHARE = 0.01;
/** Ends come by whole seconds. */
const LEAST_CHURN_SECONDS = 2;

export const parts = { run, churn, misses, sharded };

/** Rates at one number of resident sessions. */
interface Point {
  readonly resident: number;
  readonly two: readonly RunResult[];
  readonly one: readonly RunResult[];
}

async function rates(options: BenchOptions): Promise<Point[]> {
  const { resident, flows, window, seed, burst, runs, full } = options;
  const sizes = full ? [Math.round(resident / 4), resident, resident * 4] : [resident];
  const points = sizes.map((size) => ({ resident: size, two: [] as RunResult[], one: [] as RunResult[] }));
  const kinds = points.flatMap((point) =>
    Array.from({ length: runs * 2 }, (_, i) => ({ point, oneCore: i % 2 === 1, seed: seed + (i >> 1) })),
  );
  for (const { point, oneCore, seed: own } of shuffled(kinds, seed)) {
    const one: RunOptions = { resident: point.resident, flows, window, burst, perSecond: 0, oneCore, seed: own };
    point[oneCore ? 'one' : 'two'].push(await runInChild<RunResult>('setup', 'run', one));
  }
  return points;
}

/** The first of CHURN_SHARES at which it is steady and nothing fails, or the last. */
async function fastestSteadyChurn(options: Omit<ChurnOptions, 'perSecond'>, rate: number): Promise<ChurnResult> {
  const tried: ChurnResult[] = [];
  for (const share of CHURN_SHARES) {
    const perSecond = Math.max(1, Math.round(rate * share));
    tried.push(await runInChild<ChurnResult>('setup', 'churn', { ...options, perSecond }));
    if (isSteady(tried[tried.length - 1])) break;
  }
  return tried[tried.length - 1];
}

function isSteady({ newPerSecond, endedPerSecond, opened, failed }: ChurnResult): boolean {
  return failed <= LOST_SHARE * opened && endedPerSecond >= STEADY_SHARE * newPerSecond;
}

export async function measure(options: BenchOptions): Promise<Report> {
  if (options.shards !== null) return measureShards(options, options.shards);
  const { resident, flows, window, seed, burst, runs, seconds, full } = options;
  const conditions = machine();
  const points = await rates(options);
  const usual = points.find((point) => point.resident === resident) as Point;
  const rate = spread(usual.two.map(({ perSecond }) => perSecond));
  const oneCore = spread(usual.one.map(({ perSecond }) => perSecond));
  const oneCoreCpu = spread(usual.one.map(({ perCpuSecond }) => perCpuSecond));
  const churned: ChurnResult[] = [];
  const paced: RunResult[] = [];
  const alone: MissResult[] = [];
  const pacedFlows = full ? Math.max(flows, Math.ceil(FULL_FIRST_PACKETS / runs)) : flows;
  const rest = Array.from({ length: runs * 3 }, (_, i) => ({ kind: i % 3, seed: seed + Math.floor(i / 3) }));
  for (const { kind, seed: own } of shuffled(rest, seed)) {
    if (kind === 0) {
      const perSecond = Math.max(1, Math.round(rate.median / 2));
      const base = { resident, flows: pacedFlows, window, burst, oneCore: false };
      paced.push(await runInChild<RunResult>('setup', 'run', { ...base, seed: own, perSecond }));
    } else if (kind === 1) {
      const churning = { resident, seconds: Math.max(LEAST_CHURN_SECONDS, seconds), seed: own, window };
      churned.push(await fastestSteadyChurn(churning, rate.median));
    } else {
      alone.push(await runInChild<MissResult>('setup', 'misses', { resident, seed: own }));
    }
  }
  const churnRate = spread(churned.map(({ newPerSecond }) => newPerSecond));
  const churnEnds = spread(churned.map(({ endedPerSecond }) => endedPerSecond));
  const churnFailed = churned.reduce((sum, { failed }) => sum + failed, 0);
  const miss = spread(alone.map(({ micros }) => micros));
  const exhausted = spread(alone.map(({ exhaustedMicros }) => exhaustedMicros));
  const exhaustedNewHost = spread(alone.map(({ exhaustedNewHostMicros }) => exhaustedNewHostMicros));
  const all = points.flatMap(({ two, one }) => [...two, ...one]);
  const failed = failedOf(all);
  const pacedFailed = failedOf(paced);
  const remarks = [];
  if (failed > 0) remarks.push(`some flows failed: the rates are not valid; ${dropsOf(all)}`);
  if (pacedFailed > 0) {
    remarks.push(
      `${pacedFailed} evenly paced flows failed, for which nothing waits when a thread stands still: ${dropsOf(paced)}`,
    );
  }
  const unsteady = churned.filter((one) => !isSteady(one)).length;
  if (unsteady > 0) {
    remarks.push(
      `in ${unsteady} runs ends (${shown(churnEnds)}/s) did not keep up with new flows, or more than 1% of them failed, at any pace`,
    );
  }
  const first = firstPackets(paced);
  const ratios = Object.fromEntries(
    points.map((point) => [
      point.resident,
      Number((spread(point.two.map(({ perSecond }) => perSecond)).median / rate.median).toFixed(3)),
    ]),
  );
  return {
    name: 'setup',
    figures: {
      newFlowsPerSecond: Math.round(rate.median),
      resident: usual.two[0].resident,
      failed,
      oneCoreNewFlowsPerSecond: Math.round(oneCore.median),
      oneCoreNewFlowsPerCpuSecond: Math.round(oneCoreCpu.median),
      ...first.figures,
      pacedFailed,
      pacedFlowsPerSecond: Math.round(spread(paced.map(({ perSecond }) => perSecond)).median),
      byResident: Object.fromEntries(points.map((point) => [point.resident, pointFigures(point)])),
      ratioOfResident: ratios,
      churn: {
        newFlowsPerSecond: Math.round(churnRate.median),
        endedPerSecond: Math.round(churnEnds.median),
        ofRate: Number((churnRate.median / rate.median).toFixed(3)),
        resident: Math.round(spread(churned.map(({ resident }) => resident)).median),
        idleSeconds: churned[0].idleSeconds,
        failed: churnFailed,
      },
      missMicros: micros(miss.median),
      exhaustedMissMicros: micros(exhausted.median),
      exhaustedNewHostMissMicros: micros(exhaustedNewHost.median),
      exhaustedMissRatio: micros(exhausted.median / miss.median),
      spread: spreads({
        newFlowsPerSecond: rate,
        oneCoreNewFlowsPerSecond: oneCore,
        oneCoreNewFlowsPerCpuSecond: oneCoreCpu,
        churnNewFlowsPerSecond: churnRate,
        ...first.spread,
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
      ...points
        .filter((point) => point !== usual)
        .map((point) => ({
          label: `beside ${point.resident} sessions`,
          value: `${shown(spread(point.two.map(({ perSecond }) => perSecond)))} = ${ratios[point.resident]} of the above; on one core ${shown(spread(point.one.map(({ perSecond }) => perSecond)))}`,
          means: 'the same figures with another number of resident sessions',
        })),
      {
        label: 'steady churn, new flows a second',
        value: `${shown(churnRate)} = ${(churnRate.median / rate.median).toFixed(2)} of the rate; ${shown(churnEnds)} ended a second`,
        means: `sessions idle for ${churned[0].idleSeconds} s end, their rules and counters with them, while new ones come evenly paced, at the fastest of ${CHURN_SHARES.join(', ')} of the rate above at which as many end; about ${Math.round(spread(churned.map(({ resident }) => resident)).median)} resident`,
      },
      ...first.lines,
      {
        label: 'a miss in the engine, µs',
        value: `${shown(miss)}; no port left: ${shown(exhausted)}, of a new host ${shown(exhaustedNewHost)}`,
        means: `CPU time in the NAT engine alone, its records in a buffer: of one that gets a session beside some ${resident} others, and of those that are refused when all ports are taken`,
      },
      {
        label: 'failed',
        value: `${failed}; evenly paced ${pacedFailed}; in churn ${churnFailed}`,
        means:
          'over all runs: packets that did not come out right, sessions without all four rules, endpoints given twice',
      },
    ],
    conditions: { ...conditions, seed, runs, resident, flows, pacedFlows, window, burst },
    remarks,
  };
}

function pointFigures({ two, one }: Point): Figure {
  const figure = (values: readonly RunResult[]) => {
    const { median, least, most } = spread(values.map(({ perSecond }) => Math.round(perSecond)));
    return { median, least, most };
  };
  return { twoThreads: figure(two), oneCore: figure(one) };
}

function failedOf(results: readonly RunResult[]): number {
  return results.reduce((sum, { failed, sharedEndpoints }) => sum + failed + sharedEndpoints, 0);
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
