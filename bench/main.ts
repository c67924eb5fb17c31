import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '../src/config/package-root.js';
import { MOST_SHARDS } from '../src/native/binding.js';
import * as bounds from './bounds.js';
import { answer, type Part } from './child.js';
import * as compile from './compile.js';
import { canBeProfiled, flameGraph } from './flame.js';
import * as flows from './flows.js';
import * as forward from './forward.js';
import * as idle from './idle.js';
import * as insert from './insert.js';
import * as instructions from './instructions.js';
import * as memory from './memory.js';
import * as mirror from './mirror.js';
import type { BenchOptions } from './options.js';
import * as peers from './peers.js';
import { type Report, text } from './report.js';
import { save, usualPath } from './results.js';
import * as rfc9693 from './rfc9693.js';
import * as room from './room.js';
import * as setup from './setup.js';
import * as shards from './shards.js';
import * as takeover from './takeover.js';

const BENCHES: Readonly<
  Record<
    string,
    { readonly measure: (options: BenchOptions) => Promise<Report>; readonly parts: Readonly<Record<string, Part>> }
  >
> = {
  setup,
  forward,
  insert,
  memory,
  idle,
  room,
  flows,
  rfc9693,
  peers,
  bounds,
  instructions,
  shards,
  compile,
  mirror,
  takeover,
};

const USAGE = `usage: npm run bench -- NAME [options]      NAME: ${Object.keys(BENCHES).join(', ')}
  --json          the last line is {"name": …, "figures": …}
  --full          longer: ≥ 5 runs, steady traffic for 5 s
  --save FILE     where the report goes as JSON (build/bench/NAME.json)
  --flame FILE    no report: one run under perf, its flame graph as SVG
  --runs N        repetitions (3; mirror 5)
  --seconds N     of each measurement of steady traffic (2)
  --resident N    sessions in the table (1000000)
  --flows N       new flows of a run of setup (300000)
  --seed N        of addresses, ports and orders (1)
  --burst N       packets received at once (32)
  --window N      first packets on their way at most in setup (1024)
  --shards N      setup: of a gateway of so many shards, beside one and others between
  --update        instructions: the figures become the baseline`;

async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === '--part') {
    const [, bench, part, options] = argv;
    await answer(BENCHES[bench].parts[part], options);
    return 0;
  }
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    return 2;
  }
  const { name, json, savedAs, flame, options } = parsed;
  const root = packageRoot();
  if (flame !== null) {
    await flameGraph(root, name, options, resolve(flame));
    return 0;
  }
  const report = await BENCHES[name].measure(options);
  process.stdout.write(`${text(report)}\n`);
  save(root, savedAs === null ? usualPath(root, report.name) : resolve(savedAs), report, argv);
  if (json) process.stdout.write(`${JSON.stringify({ name: report.name, figures: report.figures })}\n`);
  if (report.failure === undefined) return 0;
  process.stderr.write(`${report.failure}\n`);
  return 1;
}

interface Command {
  readonly name: string;
  readonly json: boolean;
  /** null: where results usually go. */
  readonly savedAs: string | null;
  /** Where a flame graph goes instead of a report; null: none is wanted. */
  readonly flame: string | null;
  readonly options: BenchOptions;
}

function parse(argv: readonly string[]): Command {
  const string = { type: 'string' } as const;
  const boolean = { type: 'boolean' } as const;
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: boolean,
      full: boolean,
      update: boolean,
      save: string,
      flame: string,
      runs: string,
      seconds: string,
      resident: string,
      flows: string,
      seed: string,
      burst: string,
      window: string,
      shards: string,
    },
  });
  const [name, ...rest] = positionals;
  if (name === undefined || !Object.hasOwn(BENCHES, name) || rest.length > 0) throw new Error('name one bench');
  if (values.flame !== undefined && !canBeProfiled(name)) throw new Error(`${name} has no flame graph`);
  if (values.shards !== undefined && name !== 'setup') throw new Error(`${name} is not measured with shards`);
  const number = (
    key: Exclude<keyof typeof values, 'json' | 'full' | 'update' | 'save' | 'flame'>,
    otherwise: number,
    most: number,
  ): number => {
    const given = values[key];
    const value = given === undefined ? otherwise : Number(given);
    if (!(value > 0 && value <= most) || (key !== 'seconds' && !Number.isInteger(value))) {
      throw new Error(`--${key} is not a number from 1 to ${most}`);
    }
    return value;
  };
  const full = values.full ?? false;
  return {
    name,
    json: values.json ?? false,
    savedAs: values.save ?? null,
    flame: values.flame ?? null,
    options: {
      // Of fewer than five runs with and without a mirror nothing can be said.
      runs: number('runs', full || name === 'mirror' ? 5 : 3, 100),
      seconds: number('seconds', full ? 5 : 2, 600),
      resident: number('resident', 1_000_000, 16_000_000),
      flows: number('flows', full ? 1_000_000 : 300_000, 16_000_000),
      seed: number('seed', 1, 0xffff_ffff),
      burst: number('burst', 32, 64),
      window: number('window', 1024, 6000),
      full,
      shards: values.shards === undefined ? null : number('shards', 2, MOST_SHARDS),
      update: values.update ?? false,
    },
  };
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
