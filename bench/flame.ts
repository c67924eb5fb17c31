import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { perfMapFlags, runInChild } from './child.js';
import type { BenchOptions } from './options.js';

/** Samples a second; not a divisor of the clocks that the measured code keeps. */
const FREQUENCY = 997;
const MOST_OUTPUT = 1 << 30;

/** The part of each bench that a profile is taken of, and what it is told. */
const PROFILED: Readonly<Record<string, (options: BenchOptions) => readonly [part: string, options: object]>> = {
  setup: ({ resident, flows, window, burst, seed }) => [
    'run',
    { resident, flows, window, burst, seed, perSecond: 0, oneCore: false },
  ],
  forward: ({ resident, seconds, burst, seed }) => [
    'run',
    { way: 'software', resident, hot: Math.min(1000, resident), seconds, runs: 1, burst, seed },
  ],
  insert: ({ resident, seed }) => ['run', { driver: 'net_softflow', way: 'create', sessions: resident >> 1, seed }],
  memory: ({ resident, burst, seed }) => ['session', { sessions: resident, full: true, seed, burst }],
  idle: ({ resident, seconds, seed }) => ['run', { resident, seconds, seed }],
  rfc9693: ({ resident, window, seed }) => [
    'trial',
    { connections: resident, capacity: resident, perSecond: 0, window, seed },
  ],
  bounds: ({ seconds }) => ['threads', { seconds }],
};

export function canBeProfiled(name: string): boolean {
  return Object.hasOwn(PROFILED, name);
}

/** Runs one part of a bench under perf and draws where its threads' time went. @throws Error when perf may not look */
export async function flameGraph(root: string, name: string, options: BenchOptions, path: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-flame-'));
  const recorded = join(folder, 'perf.data');
  try {
    const [part, told] = PROFILED[name](options);
    await runInChild(name, part, told, {
      flags: [...perfMapFlags(folder), '--interpreted-frames-native-stack'],
      under: ['perf', 'record', '-q', '-F', String(FREQUENCY), '-g', '-o', recorded, '--'],
    });
    const script = execFileSync('perf', ['script', '-i', recorded, '-F', 'comm,pid,tid,ip,sym'], {
      encoding: 'utf8',
      maxBuffer: MOST_OUTPUT,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { folded, pids } = fold(script);
    for (const pid of pids) rmSync(`/tmp/perf-${pid}.map`, { force: true });
    const drawn = execFileSync(process.execPath, [join(root, 'scripts/flame-graph.mjs'), `${name}: ${part}`], {
      input: folded,
      maxBuffer: MOST_OUTPUT,
    });
    writeFileSync(path, drawn);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** perf script's stacks as one line each, `thread;outermost;…;innermost count`; and the processes in them. */
export function fold(script: string): { readonly folded: string; readonly pids: ReadonlySet<number> } {
  const counts = new Map<string, number>();
  const pids = new Set<number>();
  let thread = '';
  let frames: string[] = [];
  const finish = () => {
    if (thread === '') return;
    const key = [thread, ...frames.reverse()].join(';');
    counts.set(key, (counts.get(key) ?? 0) + 1);
    thread = '';
    frames = [];
  };
  for (const line of script.split('\n')) {
    const head = /^(\S.*?)\s+(\d+)\/(\d+)\s*$/.exec(line);
    if (head !== null) {
      finish();
      thread = head[1];
      pids.add(Number(head[2]));
      continue;
    }
    const frame = /^\s+[0-9a-f]+ (.*)$/.exec(line);
    if (frame === null) finish();
    else if (frame[1] !== '[unknown]') frames.push(shortName(frame[1]));
  }
  finish();
  return { folded: [...counts].map(([key, count]) => `${key} ${count}`).join('\n'), pids };
}

/** Without arguments, without places in files, and without what separates frames. */
function shortName(symbol: string): string {
  return symbol
    .replaceAll('(anonymous namespace)::', '')
    .replace(/(?<!operator)\(.*$/, '')
    .replace(/^([A-Za-z]+:\S*)( file:)? ?\S*\//, '$1 ')
    .replaceAll(';', ':')
    .trim();
}
