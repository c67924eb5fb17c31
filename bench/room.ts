import { runInChild } from './child.js';
import { type Fixture, fixture } from './fixture.js';
import { LcoreGateway, openFlows, QUIET } from './gateways.js';
import type { BenchOptions } from './options.js';
import { machine, type Report, shown, spread, spreads } from './report.js';

const FLOWS = 100_000;
/** Of both ports together; a session has two. */
const RULES = 10_000;
/** Of a port: constant ones are not the flows'. */
const CONSTANT_RULES = 16;
/** With 1 the 5,000 fastest of 100,000 flows have 75 % of the packets, with 1.2 they have 92 %. */
const EXPONENTS = [1, 1.2] as const;
const SECONDS = 10;
const SAMPLE_SECONDS = 0.5;

interface RunOptions {
  readonly exponent: number;
  readonly seed: number;
}

interface RunResult {
  /** Of the packets of each half second, the part that the NIC translated. */
  readonly shares: readonly number[];
  readonly packetsPerSecond: number;
  readonly evictions: number;
  /** Most that the budget allows in the time that passed. */
  readonly budget: number;
  readonly nicRulesMost: number;
  readonly wrong: number;
  readonly failed: number;
}

/** All flows are there, and those that came first have the NIC; then they move, with Zipf's rates, both ways. */
async function run({ exponent, seed }: RunOptions): Promise<RunResult> {
  const gateway = new LcoreGateway(smallNic(seed));
  const { bench, controller } = gateway;
  const all = { first: 0, count: FLOWS, window: 1024, perSecond: 0, measureLatency: false };
  const { failed } = await openFlows(gateway, all);
  await gateway.runFor(1);
  const evictionsBefore = controller.evictions;
  const program = { ...QUIET, pattern: 'zipf', first: 0, count: FLOWS, seed, exponent } as const;
  const shares: number[] = [];
  const began = performance.now();
  let before = controller.dataplane.statistics();
  const first = before;
  for (const side of ['fabric', 'external'] as const) bench.run(side, program);
  while (shares.length < SECONDS / SAMPLE_SECONDS) {
    await gateway.runFor(began / 1000 + (shares.length + 1) * SAMPLE_SECONDS - performance.now() / 1000);
    const now = controller.dataplane.statistics();
    const nic = now.nic.packets - before.nic.packets;
    shares.push(nic / (nic + now.slowPath.packets - before.slowPath.packets));
    before = now;
  }
  const seconds = (performance.now() - began) / 1000;
  for (const side of ['fabric', 'external'] as const) bench.run(side, QUIET);
  const { fabric, external } = bench.counters();
  const packets = before.nic.packets - first.nic.packets + before.slowPath.packets - first.slowPath.packets;
  const result = {
    shares,
    packetsPerSecond: packets / seconds,
    evictions: controller.evictions - evictionsBefore,
    // A second's worth may have been saved up.
    budget: Math.ceil(controller.config.offload.evictionsPerSecond * (seconds + 1)),
    nicRulesMost: controller.nicRulesMost,
    wrong: fabric.bad + external.bad + fabric.badChecksum + external.badChecksum,
    failed,
  };
  gateway.close();
  return result;
}

/** A NIC that has no more room than the configuration says. */
function smallNic(seed: number): Fixture {
  const made = fixture({ flows: FLOWS, offload: 'immediate', seed, behindSoftwareNic: true, checkEvery: 64 });
  const most = RULES / 2 + CONSTANT_RULES;
  const ports = made.config.ports.map((port) => ({
    ...port,
    device: port.device?.replace(/max_rules=[0-9]+/, `max_rules=${most}`) ?? null,
  }));
  return { ...made, config: { ...made.config, ports, offload: { ...made.config.offload, maxRules: RULES } } };
}

/** Part of the packets that the fastest `sessions` have, whoever chooses them. */
export function bestShare(exponent: number, sessions: number, flows: number): number {
  const sum = (count: number) => {
    let total = 0;
    for (let rank = count; rank > 0; rank--) total += rank ** -exponent;
    return total;
  };
  return sum(sessions) / sum(flows);
}

export const parts = { run };

export async function measure({ runs, seed }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const figures: Record<string, Report['figures'][string]> = {};
  const lines: Report['lines'][number][] = [];
  const remarks: string[] = [];
  for (const exponent of EXPONENTS) {
    const results: RunResult[] = [];
    for (let i = 0; i < runs; i++) results.push(await runInChild('room', 'run', { exponent, seed: seed + i }));
    const late = spread(results.map(({ shares }) => 100 * ((shares.at(-1) ?? 0) + (shares.at(-2) ?? 0)) * 0.5));
    const early = spread(results.map(({ shares }) => 100 * shares[0]));
    const evictions = spread(results.map((result) => result.evictions));
    const best = 100 * bestShare(exponent, RULES / 2, FLOWS);
    const reached = spread(
      results.map(({ shares }) => SAMPLE_SECONDS * (1 + shares.findIndex((share) => 100 * share >= best * REACHED))),
    );
    const name = `zipf${String(exponent).replace('.', '_')}`;
    figures[name] = {
      nicPercentAtFirst: round(early.median),
      nicPercentAfter10s: round(late.median),
      bestPercent: round(best),
      evictions: evictions.median,
      evictionBudget: Math.min(...results.map(({ budget }) => budget)),
      secondsTo97PercentOfBest: reached.least > 0 ? reached.median : null,
      packetsPerSecond: Math.round(spread(results.map(({ packetsPerSecond }) => packetsPerSecond)).median),
      spread: spreads({ nicPercentAfter10s: late, evictions }),
    };
    lines.push({
      label: `NIC's part, Zipf ${exponent}`,
      value: `${shown(late)} % of at best ${round(best)} %; ${round(early.median)} % at first; ${shown(evictions)} evictions`,
      means: `packets that a NIC of ${RULES} rules translates in the tenth second, of ${FLOWS} flows both ways; at first it has those that came first`,
    });
    for (const { evictions: count, budget, wrong, failed, nicRulesMost } of results) {
      if (count > budget) remarks.push(`${count} evictions, the budget is ${budget}`);
      if (wrong + failed > 0) remarks.push(`${wrong} packets wrong, ${failed} flows not set up`);
      if (nicRulesMost > RULES) remarks.push(`${nicRulesMost} rules in a NIC of ${RULES}`);
    }
  }
  const failure = remarks.length > 0 ? { failure: remarks.join('; ') } : {};
  return { name: 'room', figures, lines, conditions: { ...conditions, seed, runs }, remarks, ...failure };
}

const REACHED = 0.97;
const round = (percent: number) => Number(percent.toFixed(1));
