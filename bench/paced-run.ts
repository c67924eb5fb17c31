import type { ValidatedConfig } from '../src/config/types.js';
import { type FlowsResult, type LcoreGateway, openFlows, settle } from './gateways.js';
import { type Histogram, merged } from './latency.js';
import { PacedWakeups } from './paced-wakeups.js';
import { type Stretch, stretch } from './stolen-time.js';

/** Flows and wake-ups take turns of so long: whatever befalls the machine befalls both. */
const TURN_SECONDS = 0.25;

export interface PacedResult {
  readonly flows: FlowsResult;
  readonly mostLate: number;
  /** Of first packets: from when they were received, and from when they were due. */
  readonly receive: Histogram;
  readonly wire: Histogram;
  /** Of as many empty wake-ups at the same pace: from when they were made, and from when they were due. */
  readonly pacedWakeup: Histogram;
  readonly pacedWakeupDue: Histogram;
  readonly pacedWakeupsLost: number;
  /** What the host took away while flows came, and while wake-ups did. */
  readonly flowsTime: Stretch;
  readonly wakeupsTime: Stretch;
}

/** Counts of the turns of `count` things, as even as can be. */
export function turnsOf(count: number, perSecond: number): number[] {
  const turns = Math.max(1, Math.round(count / perSecond / TURN_SECONDS));
  return Array.from(
    { length: turns },
    (_, i) => Math.floor((count * (i + 1)) / turns) - Math.floor((count * i) / turns),
  ).filter((one) => one > 0);
}

/**
 * First packets evenly paced, and by turns as many empty wake-ups at the same pace between the same two threads. The
 * gateway's lcore stops for the wake-ups' turns.
 */
export async function pacedRun(
  gateway: LcoreGateway,
  config: ValidatedConfig,
  first: number,
  count: number,
  perSecond: number,
): Promise<PacedResult> {
  const { bench } = gateway;
  const wakeups = new PacedWakeups(bench, config);
  const total = { translated: 0, failed: 0, seconds: 0, cpuSeconds: 0 };
  const histograms = { receive: [], wire: [], made: [], due: [] } as Record<string, Histogram[]>;
  const times = { flows: { seconds: 0, stolenSeconds: 0 }, wakeups: { seconds: 0, stolenSeconds: 0 } };
  let mostLate = 0;
  let lost = 0;
  let next = first;
  for (const turn of turnsOf(count, perSecond)) {
    const flowsTime = stretch();
    const flows = await openFlows(gateway, { first: next, count: turn, window: 0, perSecond, measureLatency: true });
    addTime(times.flows, flowsTime());
    next += turn;
    for (const key of ['translated', 'failed', 'seconds', 'cpuSeconds'] as const) total[key] += flows[key];
    await settle(gateway);
    mostLate = Math.max(mostLate, bench.counters().fabric.mostLate);
    histograms.receive.push(bench.histogram('receive'));
    histograms.wire.push(bench.histogram('wire'));
    gateway.pause();
    const wakeupsTime = stretch();
    const empty = await wakeups.run(turn, perSecond);
    addTime(times.wakeups, wakeupsTime());
    gateway.resume();
    histograms.made.push(empty.made);
    histograms.due.push(empty.due);
    lost += empty.lost;
  }
  return {
    flows: total,
    mostLate,
    receive: merged(histograms.receive),
    wire: merged(histograms.wire),
    pacedWakeup: merged(histograms.made),
    pacedWakeupDue: merged(histograms.due),
    pacedWakeupsLost: lost,
    flowsTime: times.flows,
    wakeupsTime: times.wakeups,
  };
}

function addTime(sum: { seconds: number; stolenSeconds: number }, { seconds, stolenSeconds }: Stretch): void {
  sum.seconds += seconds;
  sum.stolenSeconds += stolenSeconds;
}
