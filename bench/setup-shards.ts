import { runInChild } from './child.js';
import { type BenchOptions, shuffled } from './options.js';
import { type Figure, machine, type Report, type Spread, short, shown, spread, spreads } from './report.js';
import type { ShardedOptions, ShardedResult } from './sharded-run.js';

const MICROS = 1e6;
/** The ring from one shard to another has 1,023 places, and all frames of a queue are in it while its taker stands still. */
const MOST_WINDOW = 1000;

/** CPU microseconds of a new flow. */
function micros(seconds: number, { translated }: ShardedResult): number {
  return (seconds / translated) * MICROS;
}

const KINDS = {
  lcores: (one: ShardedResult) => micros(one.cpu.lcores - one.pollSeconds, one),
  engines: (one: ShardedResult) => micros(one.cpu.engines, one),
  control: (one: ShardedResult) => micros(one.cpu.control, one),
  rest: (one: ShardedResult) => micros(one.cpu.rest, one),
  emptyPolls: (one: ShardedResult) => micros(one.pollSeconds, one),
} as const;

/** Of the threads that a flow is worked on: what more of them could do at once. */
function flowMicros(one: ShardedResult): number {
  return KINDS.lcores(one) + KINDS.engines(one) + KINDS.control(one) + KINDS.rest(one);
}

/** 1, its doubles, and N. */
function counts(shards: number): number[] {
  const out: number[] = [];
  for (let count = 1; count < shards; count *= 2) out.push(count);
  return [...out, shards];
}

/** `setup --shards N`: whole gateways of one shard and of more, by turns. */
export async function measureShards(options: BenchOptions, shards: number): Promise<Report> {
  const { resident, flows, seed, runs } = options;
  const window = Math.min(options.window, MOST_WINDOW);
  const conditions = machine();
  const sizes = counts(shards);
  const threads = new Map(sizes.map((size) => [size, [] as ShardedResult[]]));
  const turns = new Map(sizes.map((size) => [size, [] as ShardedResult[]]));
  // All sizes of one seed come together, so that their ratio is of the same moments.
  for (let i = 0; i < runs; i++) {
    const kinds = sizes.flatMap((size) => [true, false].map((inTurns) => ({ shards: size, inTurns })));
    for (const kind of shuffled(kinds, seed + i)) {
      const one: ShardedOptions = { ...kind, resident, flows, window, seed: seed + i };
      const result = await runInChild<ShardedResult>('setup', 'sharded', one);
      (kind.inTurns ? turns : threads).get(kind.shards)?.push(result);
    }
  }
  const results = (size: number, from = threads) => from.get(size) as ShardedResult[];
  const of = (size: number, figure: (one: ShardedResult) => number, from = threads): Spread =>
    spread(results(size, from).map(figure));
  const toOne = (size: number, figure: (one: ShardedResult) => number, from = threads): Spread =>
    spread(results(size, from).map((one, i) => figure(one) / figure(results(1, from)[i])));
  const bySize = (figure: (size: number) => Figure): Figure =>
    Object.fromEntries(sizes.map((size) => [size, figure(size)]));
  const all = [...threads.values(), ...turns.values()].flat();
  const failed = all.reduce((sum, one) => sum + one.failed + one.sharedEndpoints, 0);
  const remarks = [];
  if (failed > 0)
    remarks.push(`some flows failed: the figures are not valid; drops ${JSON.stringify(all.map((one) => one.drops))}`);
  const cores = Number(conditions.cores);
  if (cores < 2 * shards) {
    remarks.push(
      `${shards} shards have ${2 * shards} threads that work, and this machine ${cores} cores: in threads, lcores spin for locks of the software NIC whose holder has lost its core; in turns, none of that is there`,
    );
  }
  if (cores > 2)
    remarks.push('engines that have a core of their own look for events before they sleep, which counts as theirs');
  return {
    name: 'setupShards',
    figures: {
      failed,
      newFlowsPerSecond: bySize((size) => Math.round(of(size, (one) => one.perSecond).median)),
      shardNewFlowsPerSecond: bySize((size) => rounded(of(size, slowestShard).median, 0)),
      inTurnsMicros: bySize((size) => rounded(of(size, flowMicros, turns).median)),
      inTurnsMicrosToOneShard: bySize((size) => rounded(toOne(size, flowMicros, turns).median)),
      flowMicros: bySize((size) => rounded(of(size, flowMicros).median)),
      flowMicrosToOneShard: bySize((size) => rounded(toOne(size, flowMicros).median)),
      microsByThreads: bySize((size) =>
        Object.fromEntries(Object.entries(KINDS).map(([kind, figure]) => [kind, rounded(of(size, figure).median)])),
      ),
      flowsPerCpuSecond: bySize((size) =>
        Object.fromEntries(
          (['lcores', 'engines'] as const).map((kind) => [
            kind,
            Math.round(of(size, (one) => MICROS / KINDS[kind](one)).median),
          ]),
        ),
      ),
      handedOverShare: bySize((size) => rounded(of(size, handedOver).median)),
      spread: spreads(
        Object.fromEntries(
          sizes.flatMap((size) => [
            [`flowMicrosToOneShard${size}`, toOne(size, flowMicros)],
            [`inTurnsMicrosToOneShard${size}`, toOne(size, flowMicros, turns)],
          ]),
        ),
      ),
    },
    lines: [
      ...sizes.map((size) => ({
        label: `in turns, ${named(size)}: CPU µs a new flow`,
        value: shownBesideOne(size, turns),
        means:
          size === 1
            ? 'lcores and engines take turns on one thread, so that none waits for another: what a flow takes of them, and of caches that all of them use'
            : `the same; ${text(of(size, handedOver, turns), 100)}% were handed over`,
      })),
      ...sizes.map((size) => ({
        label: `in threads, ${named(size)}: CPU µs a new flow`,
        value: shownBesideOne(size, threads),
        means: `lcores ${shown(of(size, KINDS.lcores))}, engines ${shown(of(size, KINDS.engines))}, control thread ${text(of(size, KINDS.control))}, V8's helpers and DPDK's control threads ${text(of(size, KINDS.rest))}; besides, polls of lcores that brought nothing ${text(of(size, KINDS.emptyPolls))}. ${rates(size)}`,
      })),
      {
        label: 'a flow',
        value: `${flows} on top of ${resident} sessions, 0 to ${window} on their way a shard`,
        means:
          'as in `setup`: first packet received → handed over to its shard → session decided, 2 software rules and 2 rules of the software NIC installed, packet sent translated; hosts come to the queues of both wires as a NIC would spread them, and ports are dealt in blocks; lcores also make and check the frames',
      },
      {
        label: 'failed',
        value: String(failed),
        means:
          'over all runs: packets that did not come out right, sessions without all four rules, endpoints given twice',
      },
    ],
    conditions: { ...conditions, seed, runs, resident, flows, window },
    remarks,
  };

  function shownBesideOne(size: number, from: typeof threads): string {
    const beside = size === 1 ? '' : ` = ${shown(toOne(size, flowMicros, from))} of one shard's`;
    return `${shown(of(size, flowMicros, from))}${beside}`;
  }

  function rates(size: number): string {
    const each = (kind: 'lcores' | 'engines') => shown(of(size, (one) => MICROS / KINDS[kind](one)));
    const shardsText =
      size === 1
        ? ''
        : `, the slowest shard ${shown(of(size, slowestShard))}, the fastest ${shown(of(size, fastestShard))}; ${text(of(size, handedOver), 100)}% were handed over`;
    return `A CPU second of lcores ${each('lcores')} flows, of engines ${each('engines')}. By the clock ${shown(of(size, (one) => one.perSecond))} a second${shardsText}`;
  }
}

function named(shards: number): string {
  return shards === 1 ? 'one shard' : `${shards} shards`;
}

function text({ median }: Spread, factor = 1): string {
  return short(median * factor);
}

function rounded(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

function slowestShard({ shardsPerSecond }: ShardedResult): number {
  return Math.min(...shardsPerSecond);
}

function fastestShard({ shardsPerSecond }: ShardedResult): number {
  return Math.max(...shardsPerSecond);
}

function handedOver(one: ShardedResult): number {
  return one.handedOver / one.translated;
}
