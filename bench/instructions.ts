import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../src/config/package-root.js';
import { CodeMap, type Profile, readProfile } from './callgrind.js';
import { perfMapFlags, runInChild } from './child.js';
import { loadBindings } from './gateways.js';
import {
  type Baseline,
  type Counts,
  judge,
  PARTS,
  type Part,
  readBaseline,
  writeBaseline,
} from './instruction-baseline.js';
import { type Counted, type Result, type ScenarioOptions, scenario } from './instruction-scenarios.js';
import type { BenchOptions } from './options.js';
import { machine, type Report } from './report.js';

/** V8 in one thread, its hashes and orders fixed, and no garbage collection while counting: the heap's growth is counted instead. */
const V8_FLAGS = [
  '--single-threaded',
  '--predictable',
  '--hash-seed=1',
  '--random-seed=1',
  '--min-semi-space-size=256',
  '--max-semi-space-size=256',
];

/** Object files whose instructions are the traffic's own, which is no part of a gateway. */
const TRAFFIC = new Set(['librte_net_bench.so', 'sluice_bench.node']);
const MOST_FUNCTIONS = 10;
/** V8 knows the functions of one shard sooner: of several, derived classes take part too. */
const WARM_FLOWS = { one: 20_000, several: 60_000 } as const;

/** Whose instructions an object file's are. Code that V8 generated has none. */
function partOf(object: string): Part | null {
  if (TRAFFIC.has(object)) return null;
  if (object === '???' || object === 'node') return 'javascript';
  if (object === 'sluice.node') return 'slowPath';
  if (object === 'librte_net_softflow.so') return 'softwareNic';
  return 'libraries';
}

export interface Phase {
  readonly name: string;
  readonly counts: Counts;
  /** What took most instructions, a unit. */
  readonly functions: readonly (readonly [string, number])[];
}

/** The least of a phase's repetitions, part by part: what V8 does once only adds. */
function leastOf(
  name: string,
  counted: readonly Counted[],
  profiles: readonly Profile[],
  code: CodeMap,
  mostFunctions: number,
): Phase {
  const least: Record<Part, number> = { javascript: 0, slowPath: 0, softwareNic: 0, libraries: 0, heapBytes: 0 };
  for (const part of PARTS) least[part] = Number.POSITIVE_INFINITY;
  for (const [i, { units, heapBytes }] of counted.entries()) {
    const sums: Record<Part, number> = { javascript: 0, slowPath: 0, softwareNic: 0, libraries: 0, heapBytes };
    for (const [object, cost] of profiles[i].objects) {
      const part = partOf(object);
      if (part !== null) sums[part] += cost;
    }
    for (const part of PARTS) least[part] = Math.min(least[part], Math.round(sums[part] / units));
  }
  const costs = new Map<string, number>();
  for (const [key, cost] of profiles[0].functions) {
    if (partOf(key.slice(0, key.indexOf(':'))) === null) continue;
    const shown = functionName(key, code);
    costs.set(shown, (costs.get(shown) ?? 0) + cost / counted[0].units);
  }
  const functions = [...costs]
    .sort(([, a], [, b]) => b - a)
    .slice(0, mostFunctions)
    .map(([key, cost]) => [key, Math.round(cost)] as const);
  return { name, counts: least, functions };
}

/** The map that V8 wrote where perf looks for it, which nobody else takes away. */
function readCodeMap(pid: number): CodeMap {
  const path = `/tmp/perf-${pid}.map`;
  const map = new CodeMap(readFileSync(path, 'utf8'));
  rmSync(path);
  return map;
}

/** Short: without arguments and places in files. `???:0x123` is code of V8's making. */
function functionName(key: string, code: CodeMap): string {
  const colon = key.indexOf(':');
  const name = key.slice(colon + 1);
  if (key.startsWith('???:')) return (code.at(Number(name)) ?? 'JavaScript').replace(/ file:.*\/| \/.*\//, ' ');
  return name.replaceAll('(anonymous namespace)::', '').replace(/(?<!operator)\(.*$/, '');
}

/** Runs a scenario in callgrind. @throws Error with what it said when it failed */
export async function count(options: ScenarioOptions, mostFunctions = MOST_FUNCTIONS): Promise<Phase[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-instructions-'));
  try {
    const { counted, pid } = await runInChild<Result>('instructions', 'scenario', options, {
      flags: [...V8_FLAGS, ...perfMapFlags(folder)],
      under: [
        'valgrind',
        '--tool=callgrind',
        '--smc-check=all-non-file',
        '--instr-atstart=no',
        '--dump-line=no',
        `--callgrind-out-file=${join(folder, 'profile')}`,
      ],
    });
    const profiles = readdirSync(folder)
      .map((file) => [Number(/\.(\d+)$/.exec(file)?.[1] ?? 0), file] as const)
      .filter(([number]) => number > 0)
      .sort(([a], [b]) => a - b)
      .map(([, file]) => readProfile(readFileSync(join(folder, file), 'utf8')));
    const code = readCodeMap(pid);
    const suffix = `${options.offloaded ? 'Nic' : 'Software'}${options.shards > 1 ? `${options.shards}Shards` : ''}`;
    return [...new Set(counted.map(({ phase }) => phase))].map((phase) =>
      leastOf(
        `${phase}${suffix}`,
        counted.filter((one) => one.phase === phase),
        profiles.filter(({ name }) => name === phase),
        code,
        mostFunctions,
      ),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export const parts = { scenario };

/** The least of two runs, part by part. */
function leastOfTwo(phases: readonly Phase[], again: readonly Phase[]): Phase[] {
  return phases.map((phase, i) => {
    const counts: Record<Part, number> = { ...phase.counts };
    for (const part of PARTS) counts[part] = Math.min(counts[part], again[i].counts[part]);
    return { ...phase, counts };
  });
}

/** @throws Error when a figure is above its baseline */
export async function measure({ seed, update }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const root = packageRoot();
  const one = { seed, shards: 1, warmFlows: WARM_FLOWS.one };
  const scenarios = [
    { ...one, offloaded: true },
    { ...one, offloaded: false },
    { seed, shards: 2, warmFlows: WARM_FLOWS.several, offloaded: true },
  ];
  const run = async () => (await Promise.all(scenarios.map((options) => count(options)))).flat();
  const compiler = loadBindings().bench.compiler;
  const baselineOf = (of: readonly Phase[]): Baseline => ({
    node: process.versions.node,
    compiler,
    figures: Object.fromEntries(of.map(({ name, counts }) => [name, counts])),
  });
  let phases = await run();
  const remarks: string[] = [];
  // One run in seven has a function that V8 made other code of, for the whole run: what a change costs is there in both.
  const before = update ? null : readBaseline(root);
  if (before !== null && judge(baselineOf(phases), before).worse.length > 0) {
    phases = leastOfTwo(phases, await run());
    remarks.push('the least of two runs: in the first, some of it was above the baseline');
  }
  const now = baselineOf(phases);
  let failure: string | undefined;
  if (update) {
    writeBaseline(root, now);
    remarks.push('these figures are the baseline now');
  } else {
    const then = readBaseline(root);
    const { worse, better, skipped } =
      then === null ? { worse: ['there is no baseline'], better: [], skipped: [] } : judge(now, then);
    remarks.push(
      ...skipped.map((line) => `not judged: ${line}`),
      ...better.map((line) => `less than the baseline, keep it with --update: ${line}`),
      ...worse.map((line) => `MORE than the baseline: ${line}`),
    );
    if (worse.length > 0)
      failure = `more instructions than the baseline (${worse.join('; ')}); where it is meant, take it over with --update`;
  }
  return {
    name: 'instructions',
    figures: Object.fromEntries(phases.map(({ name, counts }) => [name, { ...counts, all: all(counts) }])),
    lines: phases.map(({ name, counts, functions }) => ({
      label: name,
      value: `${all(counts)} = JavaScript ${counts.javascript} + slow path ${counts.slowPath} + software NIC ${counts.softwareNic} + libraries ${counts.libraries}; ${counts.heapBytes} bytes of heap`,
      means: `most in ${functions.map(([key, cost]) => `${key} ${cost}`).join(', ')}`,
    })),
    conditions: { ...conditions, seed, compiler: now.compiler },
    remarks,
    ...(failure === undefined ? {} : { failure }),
  };
}

function all({ javascript, slowPath, softwareNic, libraries }: Counts): number {
  return javascript + slowPath + softwareNic + libraries;
}
