import { ealArguments } from '../src/native/eal.js';
import { runInChild } from './child.js';
import { fixture } from './fixture.js';
import { loadBindings } from './gateways.js';
import type { InsertionOptions, InsertionResult } from './native.js';
import { type BenchOptions, shuffled } from './options.js';
import { machine, type Report, type Spread, shown, spread, spreads } from './report.js';
import { natRules } from './rules.js';

/** Operations that one rte_flow_push hands over. */
const BATCH = 32;

type Driver = 'net_softflow' | 'net_donothing';

interface RunOptions {
  readonly driver: Driver;
  readonly way: InsertionOptions['way'];
  readonly sessions: number;
  readonly seed: number;
}

interface RunResult extends InsertionResult {
  /** Why it was not measured; null when it was. */
  readonly missing: string | null;
}

/** One process: the ports are configured and not started, rules go in through rte_flow and out again. */
async function run({ driver, way, sessions, seed }: RunOptions): Promise<RunResult> {
  const made = fixture({ flows: sessions, offload: 'immediate', seed, behindSoftwareNic: true, checkEvery: 1 });
  const { root, binding, bench } = loadBindings();
  bench.setScenario(made.scenario);
  binding.startEal(ealArguments(root, { memoryMb: 256, lcores: 1, pci: [] }));
  const devices = [`${driver}0`, `${driver}1`] as const;
  for (const [i, port] of made.config.ports.entries()) {
    binding.probeDevice(driver === 'net_softflow' ? (port.device ?? '') : devices[i]);
  }
  bench.openPorts(devices);
  const missing = way === 'template' ? bench.templateInterface(devices[0]) : null;
  if (missing !== null) {
    return { rules: 0, failed: 0, createSeconds: 0, destroySeconds: 0, error: '', missing: `${driver}: ${missing}` };
  }
  const { hosts, poolFirst, poolLast } = made.scenario;
  const result = bench.insertion({
    ...natRules(made, 'softflow'),
    way,
    devices,
    hosts,
    poolAddresses: poolLast - poolFirst + 1,
    sessions,
    batch: BATCH,
    seed,
  });
  return { ...result, missing: null };
}

export const parts = { run };

export async function measure(options: BenchOptions): Promise<Report> {
  const { seed, runs } = options;
  const sessions = Math.max(1, options.resident >> 1);
  const conditions = machine();
  const kinds = [
    { driver: 'net_softflow', way: 'create' },
    { driver: 'net_softflow', way: 'template' },
    { driver: 'net_donothing', way: 'create' },
    { driver: 'net_donothing', way: 'template' },
    { driver: 'net_donothing', way: 'fill' },
  ] as const;
  const results = new Map<string, RunResult[]>();
  const order = shuffled(
    Array.from({ length: runs }, (_, i) => kinds.map((kind) => ({ ...kind, seed: seed + i }))).flat(),
    seed,
  );
  for (const { driver, way, seed } of order) {
    const key = `${driver} ${way}`;
    const result = await runInChild<RunResult>('insert', 'run', { driver, way, sessions, seed });
    results.set(key, [...(results.get(key) ?? []), result]);
  }
  const remarks = new Set<string>();
  let failed = 0;
  for (const result of [...results.values()].flat()) {
    failed += result.failed;
    if (result.error !== '') remarks.add(`refused: ${result.error}`);
    if (result.missing !== null) remarks.add(`not measured: ${result.missing}`);
  }
  const rate = (key: string, seconds: 'createSeconds' | 'destroySeconds'): Spread | null => {
    const measured = (results.get(key) ?? []).filter(({ missing }) => missing === null);
    return measured.length === 0 ? null : spread(measured.map((result) => result.rules / result[seconds]));
  };
  const sync = rate('net_softflow create', 'createSeconds') as Spread;
  const deletion = rate('net_softflow create', 'destroySeconds') as Spread;
  const async = rate('net_softflow template', 'createSeconds');
  const asyncDeletion = rate('net_softflow template', 'destroySeconds');
  const nothing = rate('net_donothing create', 'createSeconds') as Spread;
  const nothingDeletion = rate('net_donothing create', 'destroySeconds') as Spread;
  const nothingAsync = rate('net_donothing template', 'createSeconds');
  const fill = rate('net_donothing fill', 'createSeconds') as Spread;
  const perSecond = (of: Spread | null) => (of === null ? null : Math.round(of.median));
  const value = (of: Spread | null) => (of === null ? 'not measured' : shown(of));
  const measured = Object.entries({ sync, delete: deletion, async, doNothing: nothing }).filter(
    (entry): entry is [string, Spread] => entry[1] !== null,
  );
  return {
    name: 'insert',
    figures: {
      syncPerSecond: perSecond(sync),
      asyncPerSecond: perSecond(async),
      doNothingPerSecond: perSecond(nothing),
      deletePerSecond: perSecond(deletion),
      asyncDeletePerSecond: perSecond(asyncDeletion),
      doNothingAsyncPerSecond: perSecond(nothingAsync),
      doNothingDeletePerSecond: perSecond(nothingDeletion),
      fillPerSecond: perSecond(fill),
      rules: sessions * 2,
      failed,
      spread: spreads(Object.fromEntries(measured)),
    },
    lines: [
      {
        label: 'rte_flow_create, rules/s',
        value: value(sync),
        means: `net_softflow from empty to ${sessions * 2} rules, those of ${sessions} UDP sessions in both directions by turns as the compiler makes them (VXLAN popped and source rewritten; destination rewritten and VXLAN pushed; COUNT and AGE); filling in the flow's values counts`,
      },
      { label: 'rte_flow_destroy, rules/s', value: value(deletion), means: 'the same rules, in random order' },
      {
        label: 'rte_flow_async_create, rules/s',
        value: value(async),
        means: `the same rules through one flow queue a port, ${BATCH} a push, until the last completion was pulled`,
      },
      { label: 'rte_flow_async_destroy, rules/s', value: value(asyncDeletion), means: 'in random order' },
      {
        label: 'a driver that does nothing, rules/s',
        value: `create ${value(nothing)}, destroy ${value(nothingDeletion)}, async create ${value(nothingAsync)}`,
        means: 'the same calls into net_donothing: the ceiling of this client',
      },
      {
        label: 'filling in values, rules/s',
        value: value(fill),
        means: 'without any rte_flow call: part of all of the above',
      },
    ],
    conditions: { ...conditions, seed, runs, sessions },
    remarks: [...remarks],
  };
}
