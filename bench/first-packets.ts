import { type Histogram, longest, merged, type Percentiles, percentiles, type SHARES, total } from './latency.js';
import type { PacedResult } from './paced-run.js';
import { type Figure, type Report, type Spread, spread } from './report.js';
import type { RunResult } from './setup-runs.js';
import { stolenShare } from './stolen-time.js';

/** What the latencies of first packets are in the report of `setup`. */
export interface FirstPackets {
  readonly figures: { readonly [key: string]: Figure };
  readonly lines: Report['lines'];
  /** Each percentile's over the runs. */
  readonly spread: { readonly [key: string]: Spread };
}

/** First packets of evenly paced runs beside empty wake-ups at the same pace, which took turns with them, and ping-pong ones. */
export function firstPackets(results: readonly RunResult[]): FirstPackets {
  const paced = results.flatMap((result) => result.paced ?? []);
  const all = (of: (one: PacedResult) => Histogram) => merged(paced.map(of));
  const received = all((one) => one.receive);
  const empty = all((one) => one.pacedWakeup);
  const first = percentiles(received);
  const firstDue = percentiles(all((one) => one.wire));
  const wakeup = percentiles(empty);
  const wakeupDue = percentiles(all((one) => one.pacedWakeupDue));
  const pingPongs = merged(results.map((result) => result.wakeup));
  const pingPong = percentiles(pingPongs);
  const lost = paced.reduce((sum, one) => sum + one.pacedWakeupsLost, 0);
  const stolen = {
    flows: stolenShare(paced.map((one) => one.flowsTime)),
    emptyWakeups: stolenShare(paced.map((one) => one.wakeupsTime)),
  };
  const quotient = quotients(first, wakeup);
  const quotientDue = quotients(firstDue, wakeupDue);
  const most = longest(received);
  const byRun = percentilesByRun(paced.map(({ receive }) => receive));
  const median = medians(byRun);
  return {
    figures: {
      firstPacketMicros: { ...first },
      firstPacketMicrosMedianOfRuns: { ...median },
      firstPackets: total(received),
      firstPacketMostMicros: Number(most.toPrecision(4)),
      firstPacketFromWireMicros: { ...firstDue },
      emptyWakeupMicros: { ...wakeup },
      emptyWakeups: total(empty),
      emptyWakeupsLost: lost,
      emptyWakeupFromDueMicros: { ...wakeupDue },
      toEmptyWakeup: { ...quotient },
      fromWireToEmptyWakeup: { ...quotientDue },
      p9999ToEmptyWakeup: quotient.p9999,
      pingPongWakeupMicros: { ...pingPong },
      pingPongWakeups: total(pingPongs),
      stolenShare: { flows: share(stolen.flows), emptyWakeups: share(stolen.emptyWakeups) },
      mostPacketsWaiting: Math.max(...paced.map(({ mostLate }) => mostLate)),
    },
    lines: [
      {
        label: 'first packet, µs',
        value: `${text(first)}, most ${most.toPrecision(4)}; median of the runs' own ${text(median)}`,
        means: `from the burst that received it to the burst that sent it, over ${total(received)} first packets of ${paced.length} runs, at half the rate above, evenly paced whether or not the gateway keeps up; garbage collections included`,
      },
      {
        label: 'empty wake-up at that pace, µs',
        value: text(wakeup),
        means: `${total(empty)} records evenly paced at the same rate, by turns of a quarter of a second with those flows, between the same two threads: through an event ring to JavaScript, which answers through a decision ring and does nothing else; ${lost} found no room in the ring`,
      },
      {
        label: 'first packet to empty wake-up',
        value: text(quotient),
        means: `the quotient of the two lines above; the host had ${percent(stolen.flows)} of the cores' time while flows came, ${percent(stolen.emptyWakeups)} while empty wake-ups did (steal of /proc/stat)`,
      },
      {
        label: 'first packet since due, µs',
        value: `${text(firstDue)}; empty wake-up since due ${text(wakeupDue)}; quotient ${text(quotientDue)}`,
        means: 'the same from when they came to the wire, or were due: waiting for a busy lcore counts',
      },
      {
        label: 'ping-pong wake-up, µs',
        value: text(pingPong),
        means: `the same two threads at the end of the same runs: the lcore rings, JavaScript answers from its next turn, and only then it rings again, so that a thread that stands still is met by one of them; ${total(pingPongs)} of them`,
      },
    ],
    spread: byRun,
  };
}

function text({ p50, p99, p999, p9999 }: Percentiles): string {
  return `p50 ${p50}, p99 ${p99}, p99.9 ${p999}, p99.99 ${p9999}`;
}

function quotients(of: Percentiles, by: Percentiles): Percentiles {
  const one = (key: keyof typeof SHARES) => Number((of[key] / by[key]).toPrecision(3));
  return { p50: one('p50'), p99: one('p99'), p999: one('p999'), p9999: one('p9999') };
}

function medians(runs: Record<keyof typeof SHARES, Spread>): Percentiles {
  const one = (key: keyof typeof SHARES) => Number(runs[key].median.toPrecision(4));
  return { p50: one('p50'), p99: one('p99'), p999: one('p999'), p9999: one('p9999') };
}

function share(value: number): number {
  return Number(value.toFixed(4));
}

function percent(value: number): string {
  return `${(value * 100).toFixed(2)}%`;
}

/** Each percentile's spread over the runs. */
function percentilesByRun(histograms: readonly Histogram[]): Record<keyof typeof SHARES, Spread> {
  const each = histograms.map(percentiles);
  const of = (key: keyof typeof SHARES) => spread(each.map((one) => one[key]));
  return { p50: of('p50'), p99: of('p99'), p999: of('p999'), p9999: of('p9999') };
}
