import { runInChild } from './child.js';
import { fixture } from './fixture.js';
import { LcoreGateway, openFlows, QUIET, settle } from './gateways.js';
import { type BenchOptions, shuffled } from './options.js';
import { machine, type Report, shown, spread, spreads } from './report.js';

/** The search ends when a rate that works and one that does not are so close. */
const PRECISION = 0.02;
/** Validation is slower than establishment, so that it finds what establishment lost and loses nothing itself. */
const VALIDATION_SHARE = 0.5;
/** Connections offered to a full table, as a share of what it holds. */
const BEYOND = 1.25;

interface TrialOptions {
  readonly connections: number;
  /** Connections a second in phase 1; 0: as fast as `window` lets. */
  readonly perSecond: number;
  readonly window: number;
  readonly capacity: number;
  readonly seed: number;
}

interface TrialResult {
  /** Connections a second that were really offered in phase 1. */
  readonly offered: number;
  readonly established: number;
  /** Those of which a reply came through in phase 2. */
  readonly validated: number;
  /** Seconds that the gateway took to remove all of them, rules first. */
  readonly removalSeconds: number;
  readonly sessions: number;
}

/** Phase 1 and phase 2 with an empty table, then the removal of all that it holds. */
async function trial({ connections, perSecond, window, capacity, seed }: TrialOptions): Promise<TrialResult> {
  const made = fixture({
    flows: connections,
    capacity,
    offload: 'immediate',
    seed,
    behindSoftwareNic: true,
    checkEvery: 16,
  });
  const gateway = new LcoreGateway(made);
  const { bench, controller } = gateway;
  const first = await openFlows(gateway, {
    first: 0,
    count: connections,
    window: perSecond > 0 ? 0 : window,
    perSecond,
    measureLatency: false,
  });
  await settle(gateway);
  // Section 4.6: a frame from the responder to every connection; what was not established has no way back.
  const known = bench.endpoints().known;
  bench.resetCounters();
  const rate = perSecond > 0 ? perSecond * VALIDATION_SHARE : 0;
  const back = { ...QUIET, pattern: 'new', first: 0, count: connections, window: rate > 0 ? 0 : window } as const;
  bench.run('external', { ...back, perSecond: rate });
  await gateway.runUntil(() => bench.counters().fabric.accepted >= known);
  const validated = bench.counters().fabric.accepted;
  const sessions = controller.engine.sessions.count;
  const begin = performance.now();
  gateway.close();
  const removalSeconds = (performance.now() - begin) / 1000;
  return {
    offered: first.translated / first.seconds,
    established: first.translated,
    validated,
    removalSeconds,
    sessions,
  };
}

export const parts = { trial };

/** The highest rate at which every connection of a trial is established and validated, by binary search (section 4.5). */
async function maximumRate(options: BenchOptions, upper: number, seed: number, trials: number[]): Promise<number> {
  let works = 0;
  let fails = upper;
  while (fails - works > PRECISION * fails) {
    const perSecond = Math.round((works + fails) / 2);
    const connections = options.flows;
    const result = await runInChild<TrialResult>('rfc9693', 'trial', {
      connections,
      capacity: connections,
      perSecond,
      window: options.window,
      seed,
    });
    trials.push(perSecond);
    // A tester that could not offer the rate has not tested it.
    const offered = result.offered >= perSecond * (1 - PRECISION);
    if (result.established === connections && result.validated === connections && offered) works = perSecond;
    else fails = perSecond;
  }
  return works;
}

export async function measure(options: BenchOptions): Promise<Report> {
  const { flows, window, seed, runs, resident } = options;
  const conditions = machine();
  const rates: number[] = [];
  const removals: number[] = [];
  const capacities: number[] = [];
  const trials: number[] = [];
  let wrong = 0;
  const kinds = shuffled(
    Array.from({ length: runs * 2 }, (_, i) => ({ search: i % 2 === 0, seed: seed + (i >> 1) })),
    seed,
  );
  for (const { search, seed: own } of kinds) {
    if (search) {
      const unpaced = { connections: flows, capacity: flows, perSecond: 0, window, seed: own };
      const closed = await runInChild<TrialResult>('rfc9693', 'trial', unpaced);
      rates.push(await maximumRate(options, closed.offered * 1.5, own, trials));
    } else {
      const offered = Math.ceil(resident * BEYOND);
      const full = { connections: offered, capacity: resident, perSecond: 0, window, seed: own };
      const result = await runInChild<TrialResult>('rfc9693', 'trial', full);
      removals.push(result.sessions / result.removalSeconds);
      capacities.push(result.validated);
      if (result.validated !== result.established) wrong++;
    }
  }
  const rate = spread(rates);
  const removal = spread(removals);
  const capacity = spread(capacities);
  const remarks = wrong === 0 ? [] : [`in ${wrong} runs a connection of a full table had no way back`];
  return {
    name: 'rfc9693',
    figures: {
      maximumEstablishmentPerSecond: Math.round(rate.median),
      tearDownPerSecond: Math.round(removal.median),
      tableCapacity: Math.round(capacity.median),
      configuredCapacity: resident,
      connections: flows,
      trials: trials.length,
      spread: spreads({
        maximumEstablishmentPerSecond: rate,
        tearDownPerSecond: removal,
        tableCapacity: capacity,
      }),
    },
    lines: [
      {
        label: 'maximum connection establishment rate',
        value: `${shown(rate)}/s`,
        means: `RFC 9693 section 4.5: the highest rate at which none of ${flows} connections fails, each of a frame of its own, evenly paced into an empty table; binary search to ${PRECISION * 100}%, ${trials.length} trials; every connection validated by a frame from the responder at half the rate (section 4.6), which the software NIC's rules serve`,
      },
      {
        label: 'connection tear-down rate',
        value: `${shown(removal)}/s`,
        means: `section 4.8: all ${resident} connections of a full table deleted at once, by shutting the gateway down: NIC rules one by one, then tables, ports and memory`,
      },
      {
        label: 'connection tracking table capacity',
        value: shown(capacity, 8),
        means: `section 4.9: of ${Math.ceil(resident * BEYOND)} connections offered to a table configured for ${resident}, those that validation finds established; the tester counts them, so that nothing has to be searched for`,
      },
    ],
    conditions: { ...conditions, seed, runs, flows, resident, window },
    remarks,
  };
}
