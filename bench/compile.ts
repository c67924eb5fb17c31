import { sampleConfig, sampleShapes } from '../src/cli/sample-shapes.js';
import { compileFor } from '../src/compiler/compile.js';
import type { Action, FlowList, MatchItem } from '../src/compiler/ir.js';
import { nativeTemplate } from '../src/compiler/native-template.js';
import { packRules, packTemplate } from '../src/compiler/packed-template.js';
import { DEFAULT_CONTEXT } from '../src/compiler/parse-list.js';
import { type Target, targets } from '../src/compiler/target.js';
import type { RuleTemplate } from '../src/compiler/template.js';
import { shapeList } from '../src/nat/shapes.js';
import { FlowArguments } from '../src/native/records.js';
import type { BenchOptions } from './options.js';
import { machine, type Report, shown, spread, spreads } from './report.js';

export const parts = {};

/** Rows that lie in a core's caches together with what is written: a decision's row has just been made. */
const ROWS = 512;
const SHAPES = 2048;
const LISTS = 20_000;
const EXECUTING: readonly string[] = ['softflow', 'mlx5-hws', 'mlx5-sws'];

/** CPU seconds of this process: what else runs on the machine counts little. */
function cpuSeconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** A small generator (mulberry32), so that lists are the same in each run of a seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Of the NAT engine's 2048 shapes any, with conditions and dead rewrites that no engine makes. */
function randomList(random: (below: number) => number, config: ReturnType<typeof sampleConfig>): FlowList {
  let list: FlowList;
  do {
    list = shapeList((random(SHAPES) & ~3) | random(3), config);
  } while (list.match.length === 0);
  const match = list.match.map((item): MatchItem => {
    if (item.type !== 'ipv4' || random(3) > 0) return item;
    return {
      ...item,
      ttl: random(2) ? { value: random(256), mask: random(256) } : { first: 2, last: 2 + random(254) },
    };
  });
  const dead: Action[] = random(2) ? [{ type: 'set-ethernet', source: random(2 ** 32) }] : [];
  const [first, ...rest] = list.actions;
  return { ...list, match, actions: [first, ...dead, ...rest] };
}

function rulesPerSecond(template: RuleTemplate, seconds: number): number {
  const packed = packTemplate(template);
  const rows = new Uint8Array(ROWS * FlowArguments.size).map((_, i) => i * 37);
  const out = new Uint8Array(ROWS * packed.bytes.length);
  let made = 0;
  const spent = cpuSeconds(() => {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; made += ROWS) {
      packRules(packed, rows, 0, ROWS, out, 0);
    }
  });
  return made / spent;
}

/** Microseconds of the slowest shape of a target, each the median of several compilations. */
function slowestShape(all: readonly Target[], runs: number): number {
  let slowest = 0;
  for (const target of all) {
    for (const { list } of sampleShapes()) {
      const times: number[] = [];
      for (let run = 0; run < runs; run++) {
        const before = process.hrtime.bigint();
        const result = compileFor(structuredClone(list), target, DEFAULT_CONTEXT);
        if (result.ok) nativeTemplate(result.template);
        times.push(Number(process.hrtime.bigint() - before) / 1000);
      }
      slowest = Math.max(slowest, spread(times).median);
    }
  }
  return slowest;
}

export async function measure({ runs, seconds, seed }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const nics = [...targets().values()].filter(({ kind }) => kind === 'nic');
  const executing = nics.filter(({ name }) => EXECUTING.includes(name));
  const templates = executing.flatMap((target) =>
    sampleShapes().flatMap(({ list }) => {
      const result = compileFor(list, target, DEFAULT_CONTEXT);
      return result.ok ? [result.template] : [];
    }),
  );
  const largest = templates.reduce((a, b) => (packTemplate(a).moves.length >= packTemplate(b).moves.length ? a : b));
  rulesPerSecond(largest, 0.2);
  const rows: number[] = [];
  const lists: number[] = [];
  const shapes: number[] = [];
  let compiled = 0;
  for (let run = 0; run < runs; run++) {
    rows.push(rulesPerSecond(largest, seconds / runs));
    shapes.push(slowestShape(nics, 7));
    const random = randomOf(seed + run);
    const config = sampleConfig();
    const all = Array.from({ length: LISTS }, () => randomList(random, config));
    compiled = 0;
    const spent = cpuSeconds(() => {
      for (const list of all) {
        if (compileFor(list, executing[random(executing.length)], DEFAULT_CONTEXT).ok) compiled++;
      }
    });
    lists.push(LISTS / spent);
  }
  const figures = { rowsPerSecond: spread(rows), shapeMicros: spread(shapes), listsPerSecond: spread(lists) };
  return {
    name: 'compile',
    figures: {
      rowsPerSecond: figures.rowsPerSecond.median,
      shapeMicros: figures.shapeMicros.median,
      listsPerSecond: figures.listsPerSecond.median,
      bytesPerRule: packTemplate(largest).bytes.length,
      listsCompiled: compiled / LISTS,
      spread: spreads(figures),
    },
    lines: [
      {
        label: 'rules of a template per second',
        value: shown(figures.rowsPerSecond),
        means: `one core: FlowArguments rows into packed rules of ${packTemplate(largest).bytes.length} bytes, the template with most arguments (${largest.name})`,
      },
      {
        label: 'microseconds of a new shape',
        value: shown(figures.shapeMicros),
        means: `verify to native template, the slowest of ${sampleShapes().length} directions on ${nics.length} NICs, median of 7 each`,
      },
      {
        label: 'random lists per second',
        value: shown(figures.listsPerSecond),
        means: `of 2048 shapes with random conditions and dead rewrites, for ${executing.map(({ name }) => name).join(', ')}; ${((compiled / LISTS) * 100).toFixed(0)} % compile, the others are diagnosed`,
      },
    ],
    conditions,
    remarks: [],
  };
}
