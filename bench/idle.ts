import { runInChild } from './child.js';
import { fixture } from './fixture.js';
import { cpuSeconds, LcoreGateway, openFlows } from './gateways.js';
import type { BenchOptions } from './options.js';
import { machine, type Report, type Spread, shown, spread, spreads } from './report.js';
import { LCORE, pagesCleared, threadSeconds } from './thread-times.js';

/** Default idle time of UDP: in the long run, so many seconds see as many timers as there are sessions. */
const USUAL_IDLE_SECONDS = 300;
/** New flows a second that the table is surely filled with. */
const FILL_PER_SECOND = 20_000;

/** Between both groups: their ends, in whole seconds, do not meet. */
const PAUSE_SECONDS = 3;

const SCRIPT = /^node$/;

interface RunOptions {
  readonly resident: number;
  /** Of each measurement. */
  readonly seconds: number;
  readonly seed: number;
}

interface Share {
  /** CPU seconds of the process a second. */
  readonly process: number;
  readonly lcore: number;
  readonly script: number;
}

interface RunResult {
  readonly quiet: Share;
  readonly ending: Share;
  /** Sessions that ended a second while `ending` was measured. */
  readonly endedPerSecond: number;
  readonly resident: number;
  readonly nicRules: number;
}

/**
 * One gateway: some sessions opened evenly in time, the rest at once. It is measured while nothing happens, and again
 * while the first ones end as evenly as they came.
 */
async function run({ resident, seconds, seed }: RunOptions): Promise<RunResult> {
  const perSecond = Math.max(1, Math.round(resident / USUAL_IDLE_SECONDS));
  const paced = Math.min(resident >> 1, Math.ceil(perSecond * (seconds + 1)));
  const pacedSeconds = paced / perSecond;
  const idleSeconds = Math.ceil(pacedSeconds + PAUSE_SECONDS + resident / FILL_PER_SECOND + seconds) + 2;
  const made = fixture({
    flows: resident,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
    idleSeconds,
  });
  const gateway = new LcoreGateway(made);
  const { engine } = gateway.controller;
  await pagesCleared();
  const begin = performance.now();
  const first = await openFlows(gateway, { first: 0, count: paced, window: 0, perSecond, measureLatency: false });
  await gateway.runFor(PAUSE_SECONDS);
  const rest = { first: paced, count: resident - paced, window: 1024, perSecond: 0, measureLatency: false };
  const second = await openFlows(gateway, rest);
  if (first.failed + second.failed > 0) throw new Error(`${first.failed + second.failed} sessions were not set up`);
  await gateway.runFor(1);
  const { nicRules } = gateway.controller.dataplane.statistics();
  const held = engine.sessions.count;
  const quiet = await shareOf(gateway, seconds);
  const due = begin + (idleSeconds + 1) * 1000;
  if (performance.now() > due) throw new Error('filling the table took too long: the first sessions end already');
  await gateway.runFor((due - performance.now()) / 1000);
  const before = engine.sessions.count;
  const ending = await shareOf(gateway, Math.min(seconds, pacedSeconds - 1));
  const endedPerSecond = (before - engine.sessions.count) / Math.min(seconds, pacedSeconds - 1);
  gateway.close();
  return { quiet, ending, endedPerSecond, resident: held, nicRules };
}

async function shareOf(gateway: LcoreGateway, seconds: number): Promise<Share> {
  const threadsBefore = threadSeconds();
  const before = cpuSeconds();
  const passed = await gateway.runFor(seconds);
  const used = cpuSeconds() - before;
  const threads = threadSeconds();
  const of = (names: RegExp) => {
    let sum = 0;
    for (const [name, value] of threads) if (names.test(name)) sum += value - (threadsBefore.get(name) ?? 0);
    return sum / passed;
  };
  return { process: used / passed, lcore: of(LCORE), script: of(SCRIPT) };
}

export const parts = { run };

export async function measure({ resident, seconds, seed, runs, full }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const each = full ? Math.max(seconds, 20) : seconds;
  const results: RunResult[] = [];
  for (let i = 0; i < runs; i++) {
    results.push(await runInChild<RunResult>('idle', 'run', { resident, seconds: each, seed: seed + i }));
  }
  const percent = (pick: (result: RunResult) => number) => spread(results.map((result) => 100 * pick(result)));
  const quiet = percent(({ quiet }) => quiet.process);
  const ending = percent(({ ending }) => ending.process);
  const of = ({ median }: Spread) => Number(median.toFixed(2));
  const threads = (kind: 'quiet' | 'ending') => ({
    lcore: of(percent((result) => result[kind].lcore)),
    script: of(percent((result) => result[kind].script)),
  });
  const ended = spread(results.map(({ endedPerSecond }) => endedPerSecond));
  const remarks = [];
  const offloaded = Math.min(...results.map(({ nicRules }) => nicRules));
  if (offloaded < 2 * resident) remarks.push(`only ${offloaded} NIC rules for ${resident} sessions`);
  return {
    name: 'idle',
    figures: {
      idlePercentOfCore: of(quiet),
      endingPercentOfCore: of(ending),
      endedPerSecond: Math.round(ended.median),
      idleThreads: threads('quiet'),
      endingThreads: threads('ending'),
      resident: results[0].resident,
      spread: spreads({ idlePercentOfCore: quiet, endingPercentOfCore: ending }),
    },
    lines: [
      {
        label: 'idle, % of a core',
        value: `${shown(quiet)}: lcore ${threads('quiet').lcore}, JavaScript ${threads('quiet').script}`,
        means: `CPU time of the live gateway over ${each} s with ${results[0].resident} sessions in the software NIC; nothing arrives, no session is due; adaptive polling`,
      },
      {
        label: 'with sessions ending',
        value: `${shown(ending)}: lcore ${threads('ending').lcore}, JavaScript ${threads('ending').script}; ${shown(ended)} sessions/s`,
        means: `the same while as many sessions are asked after, their counters read, and end, as in the long run with a timeout of ${USUAL_IDLE_SECONDS} s; both NIC rules and software rules of each removed`,
      },
    ],
    conditions: { ...conditions, seed, runs, seconds: each, resident },
    remarks,
  };
}
