import { randomInt } from 'node:crypto';
import { pino } from 'pino';
import { GatewayMirror } from '../src/mirror/gateway-mirror.js';
import { runInChild } from './child.js';
import { fixture } from './fixture.js';
import { LcoreGateway, openFlows, settle } from './gateways.js';
import { type Histogram, merged, percentiles, type SHARES, total } from './latency.js';
import { type BenchOptions, shuffled } from './options.js';
import { type Comparison, compare, FEWEST_RUNS, verdict } from './rank-test.js';
import { cpusBesideLcore, withRedis } from './redis.js';
import { type Report, type Spread, shown, spread } from './report.js';

const WINDOW = 512;
/** Runs of one kind that lie farther apart than this part of their median are a busy machine's. */
const NOISY = 0.5;

/**
 * How sessions are mirrored: not; `async`, while Redis keeps off the core that the lcore polls on, as it does wherever
 * that core is left to the lcore or Redis has a machine of its own; `async`, and Redis runs wherever the kernel puts it.
 */
export const MIRRORED = ['off', 'async', 'asyncAnyCore'] as const;
export type Mirrored = (typeof MIRRORED)[number];

export interface FirstPacketOptions {
  readonly mirrored: Mirrored;
  readonly resident: number;
  readonly flows: number;
  readonly perSecond: number;
  readonly seed: number;
}

export interface FirstPacketResult {
  /** From the burst that received a first packet to the burst that sent it. */
  readonly receive: Histogram;
  readonly failed: number;
  /** Records that Redis acknowledged while the flows were set up. */
  readonly records: number;
}

/** Evenly paced new flows through a live gateway whose resident sessions Redis has already, or which has no mirror. */
export async function firstPackets(options: FirstPacketOptions): Promise<FirstPacketResult> {
  if (options.mirrored === 'off') return paced(options, null);
  const cpus = options.mirrored === 'async' ? cpusBesideLcore() : null;
  return withRedis((redis) => paced(options, redis), cpus);
}

async function paced(
  { resident, flows, perSecond, seed }: FirstPacketOptions,
  redis: string | null,
): Promise<FirstPacketResult> {
  const made = fixture({
    flows: resident + flows,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
  });
  const config = redis === null ? made.config : { ...made.config, mirror: { redis, mode: 'async' as const } };
  const under = new LcoreGateway({ ...made, config });
  const { gateway, controller, bench } = under;
  const silent = pino({ enabled: false });
  const mirror = redis === null ? null : new GatewayMirror(controller, config, () => gateway.nowSeconds(), silent);
  await mirror?.writer.begin(1);
  const fill = await openFlows(under, {
    first: 0,
    count: resident,
    window: WINDOW,
    perSecond: 0,
    measureLatency: false,
  });
  await settle(under);
  await mirror?.writer.seeded();
  await mirror?.writer.drained();
  const acknowledged = () => mirror?.writer.status().counters.records ?? 0;
  const before = acknowledged();
  const measured = await openFlows(under, {
    first: resident,
    count: flows,
    window: 0,
    perSecond,
    measureLatency: true,
  });
  await settle(under);
  await mirror?.writer.drained();
  const records = acknowledged() - before;
  if (mirror !== null && records < flows - measured.failed) throw new Error(`${records} records of ${flows} flows`);
  const receive = bench.histogram('receive');
  await mirror?.close();
  under.close();
  return { receive, failed: fill.failed + measured.failed, records };
}

interface FirstPackets {
  readonly figures: Readonly<Record<keyof typeof SHARES, number>>;
  readonly all: Histogram;
  /** By run. */
  readonly p50: readonly number[];
  readonly p99: readonly number[];
}

/** All kinds, each so many times: by rounds of one run of each kind, in an order that is drawn for each round. */
export class FirstPacketRuns {
  private readonly results: (FirstPacketResult & { readonly mirrored: Mirrored })[] = [];

  constructor(
    private readonly options: Pick<BenchOptions, 'resident' | 'runs' | 'seconds' | 'seed'>,
    private readonly perSecond: number,
  ) {}

  async run(): Promise<void> {
    const { resident, runs, seconds, seed } = this.options;
    const { perSecond } = this;
    for (let i = 0; i < runs; i++) {
      for (const mirrored of shuffled(MIRRORED, randomInt(2 ** 31))) {
        const options: FirstPacketOptions = {
          mirrored,
          resident,
          flows: perSecond * seconds,
          perSecond,
          seed: seed + i,
        };
        const result = await runInChild<FirstPacketResult>('mirror', 'firstPackets', options);
        this.results.push({ ...result, mirrored });
      }
    }
  }

  get failed(): number {
    return this.results.reduce((sum, { failed }) => sum + failed, 0);
  }

  of(kind: Mirrored): FirstPackets {
    const histograms = this.results.filter(({ mirrored }) => mirrored === kind).map(({ receive }) => receive);
    const all = merged(histograms);
    const each = histograms.map(percentiles);
    return { figures: percentiles(all), all, p50: each.map(({ p50 }) => p50), p99: each.map(({ p99 }) => p99) };
  }

  /** A kind beside no mirror; not judged where remarks() say why. */
  beside(kind: Exclude<Mirrored, 'off'>): { readonly p50: Comparison; readonly p99: Comparison } {
    const [one, off] = [this.of(kind), this.of('off')];
    const of = (key: 'p50' | 'p99'): Comparison => {
      const comparison = compare(one[key], off[key]);
      return this.remarks().length === 0 ? comparison : { ...comparison, isWithinNoise: null };
    };
    return { p50: of('p50'), p99: of('p99') };
  }

  /** Why nothing is judged, where nothing is. */
  remarks(): readonly string[] {
    const { median, least, most, runs } = spread(this.of('off').p50);
    const remarks: string[] = [];
    if (runs < FEWEST_RUNS) remarks.push(`whether a mirror is noticed is not judged by fewer than ${FEWEST_RUNS} runs`);
    if (most - least > NOISY * median)
      remarks.push(
        'p50 without a mirror differs from run to run by more than half of it: on a machine as busy as that, whether a mirror is noticed is not judged',
      );
    return remarks;
  }

  spreads(): Readonly<Record<string, Spread>> {
    const named = MIRRORED.flatMap((kind) => {
      const { p50, p99 } = this.of(kind);
      const name = kind[0].toUpperCase() + kind.slice(1);
      return [
        [`firstPacket${name}P50`, spread(p50)],
        [`firstPacket${name}P99`, spread(p99)],
      ] as const;
    });
    return Object.fromEntries(named);
  }

  lines(): Report['lines'] {
    const { resident, runs } = this.options;
    const shownOf = (kind: Mirrored) => {
      const { p50, p99 } = this.of(kind);
      return `p50 ${shown(spread(p50))}, p99 ${shown(spread(p99))}`;
    };
    const judged = (kind: Exclude<Mirrored, 'off'>) => {
      const { p50, p99 } = this.beside(kind);
      return `p50 ${verdict(p50, 'off')}; p99 ${verdict(p99, 'off')}`;
    };
    const cpus = cpusBesideLcore();
    return [
      {
        label: 'first packet, µs',
        value: `async ${shownOf('async')}; mirror off ${shownOf('off')}`,
        means: `from the burst that received it to the burst that sent it, live gateway, ${this.perSecond} new sessions a second evenly paced beside ${resident}; ${total(this.of('off').all)} first packets each in ${runs} rounds, the order drawn in each; Redis on ${cpus === null ? 'the only core' : `CPU ${cpus.join()}, with JavaScript and off the core that the lcore polls on`}`,
      },
      {
        label: 'async beside off, µs',
        value: judged('async'),
        means: `equal within noise: the exact Mann-Whitney test over the runs does not tell them apart at 5%, and their medians lie no farther apart than the least and the most run without a mirror`,
      },
      {
        label: 'Redis on any core, µs',
        value: `async ${shownOf('asyncAnyCore')}; ${judged('asyncAnyCore')}`,
        means:
          'the same with a redis-server started without any settings: the kernel may give it the core that the lcore polls on',
      },
    ];
  }
}
