import { ealArguments } from '../src/native/eal.js';
import { runInChild } from './child.js';
import { loadBindings } from './gateways.js';
import { parts as insertion } from './insert.js';
import { type Histogram, merged, percentiles, total } from './latency.js';
import { type BenchOptions, shuffled } from './options.js';
import { machine, type Report, type Spread, shown, spread, spreads } from './report.js';
import { emptyWakeups } from './setup-runs.js';

/** Tables that fit the second-level cache, the last level, and none. */
const TABLE_BYTES = { '256 KiB': 1 << 18, '16 MiB': 1 << 24, '256 MiB': 1 << 28, '1 GiB': 1 << 30 } as const;
/** Empty wake-ups for each second that the rest is measured. */
const WAKEUPS_A_SECOND = 5000;

interface TouchOptions {
  readonly bytes: number;
  readonly chained: boolean;
  readonly seconds: number;
}

async function touches({ bytes, chained, seconds }: TouchOptions): Promise<number> {
  const { bench } = startEal(1);
  return bench.randomTouches(bytes, seconds, chained);
}

interface ThreadsResult {
  readonly recordsPerSecond: number;
  readonly roundTripNanos: number;
  readonly wakeup: Histogram;
}

/** What two threads give each other: records through a ring, a line there and back, and waking JavaScript. */
async function threads({ seconds }: { readonly seconds: number }): Promise<ThreadsResult> {
  const { bench } = startEal(2);
  return { ...bench.ringHandOver(seconds), wakeup: await emptyWakeups(bench, Math.ceil(seconds * WAKEUPS_A_SECOND)) };
}

function startEal(lcores: number) {
  const { root, binding, bench } = loadBindings();
  binding.startEal(ealArguments(root, { memoryMb: 64, lcores, pci: [] }));
  return { bench };
}

export const parts = { touches, threads, insertion: insertion.run };

export async function measure({ seconds, seed, runs, resident }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const touched = new Map<string, number[]>();
  const together: ThreadsResult[] = [];
  const nothing: number[] = [];
  const sizes = Object.entries(TABLE_BYTES).flatMap(([name, bytes]) => [
    { key: `${name} at once`, bytes, chained: false },
    { key: `${name} in turn`, bytes, chained: true },
  ]);
  const kinds = [...sizes.map(({ key }) => key), 'threads', 'nothing'];
  for (const kind of shuffled(Array.from({ length: runs }, () => kinds).flat(), seed)) {
    const size = sizes.find(({ key }) => key === kind);
    if (size !== undefined) {
      const rate = await runInChild<number>('bounds', 'touches', { ...size, seconds });
      touched.set(kind, [...(touched.get(kind) ?? []), rate]);
    } else if (kind === 'threads') {
      together.push(await runInChild<ThreadsResult>('bounds', 'threads', { seconds }));
    } else {
      const sessions = Math.max(1, resident >> 1);
      const calls = { driver: 'net_donothing', way: 'create', sessions, seed };
      const { rules, createSeconds } = await runInChild<{ rules: number; createSeconds: number }>(
        'bounds',
        'insertion',
        calls,
      );
      nothing.push(rules / createSeconds);
    }
  }
  const of = (key: string): Spread => spread(touched.get(key) as number[]);
  const records = spread(together.map(({ recordsPerSecond }) => recordsPerSecond));
  const trip = spread(together.map(({ roundTripNanos }) => roundTripNanos));
  const calls = spread(nothing);
  const wakeups = merged(together.map(({ wakeup }) => wakeup));
  const empty = percentiles(wakeups);
  const each = Object.keys(TABLE_BYTES);
  return {
    name: 'bounds',
    figures: {
      touchesPerSecond: Object.fromEntries(each.map((name) => [name, Math.round(of(`${name} at once`).median)])),
      chainedTouchesPerSecond: Object.fromEntries(each.map((name) => [name, Math.round(of(`${name} in turn`).median)])),
      handOverPerSecond: Math.round(records.median),
      roundTripNanos: Math.round(trip.median),
      doNothingPerSecond: Math.round(calls.median),
      emptyWakeupMicros: { ...empty },
      spread: spreads({
        ...Object.fromEntries(sizes.map(({ key }) => [key, of(key)])),
        handOverPerSecond: records,
        roundTripNanos: trip,
        doNothingPerSecond: calls,
      }),
    },
    lines: [
      ...each.map((name) => ({
        label: `random lines a second, ${name}`,
        value: `${shown(of(`${name} at once`))}; one after the other ${shown(of(`${name} in turn`))}`,
        means:
          'of memory of that size, in 4 KiB or transparent huge pages as the kernel gives them: 32 fetched at once and written, or each place known only when the line before has come',
      })),
      {
        label: 'ring hand-over, records/s',
        value: shown(records),
        means:
          "64-byte records through the gateway's event ring, one lcore to another; both do nothing else; every record read whole",
      },
      { label: 'cache line there and back, ns', value: shown(trip), means: 'two lcores that spin on it' },
      {
        label: 'rte_flow calls into a driver that does nothing, rules/s',
        value: shown(calls),
        means: 'filling in the values of a rule and rte_flow_create of net_donothing (see `insert`)',
      },
      {
        label: 'empty wake-up, µs',
        value: `p50 ${empty.p50}, p99 ${empty.p99}, p99.9 ${empty.p999}, p99.99 ${empty.p9999}`,
        means: `an lcore rings the JavaScript thread, which answers from its next turn; ${total(wakeups)} of them`,
      },
    ],
    conditions: { ...conditions, seed, runs, seconds },
    remarks: [],
  };
}
