import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import { packageRoot } from '../src/config/package-root.js';
import { ConfigFollower } from '../src/controller/config-follower.js';
import { serveControl } from '../src/controller/control.js';
import { GatewayMirror } from '../src/mirror/gateway-mirror.js';
import { runInChild } from './child.js';
import { fixture } from './fixture.js';
import { cpuSeconds, LcoreGateway, openFlows, QUIET } from './gateways.js';
import type { BenchBinding } from './native.js';
import type { BenchOptions } from './options.js';
import { withRedis } from './redis.js';
import { machine, type Report, shown, spread } from './report.js';
import { processSeconds } from './thread-times.js';

/** New flows before, beside and after a list: more than come in that time. */
const NEW_FLOWS = 7_000_000;
/** How long the usual rate is looked at, before a list and after it. */
const USUAL_MS = 2000;
/** Until traffic that has begun, or a list that has ended, is felt no more. */
const SETTLING_MS = 300;
const SAMPLE_MS = 50;
const NEWLINE = 10;

interface RunOptions {
  readonly resident: number;
  readonly seed: number;
}

interface Listing {
  /** From the start of the command. */
  readonly firstLineMs: number;
  readonly allMs: number;
  readonly lines: number;
  /** Of the command: most memory that it had. */
  readonly residentBytes: number;
  /** Of the command, to the last look. */
  readonly cpuSeconds: number;
}

interface Rate {
  readonly perSecond: number;
  /** By the gateway's own CPU time: tells the same on a machine that others use too, but for what the command takes. */
  readonly perCpuSecond: number;
}

interface RunResult {
  readonly alone: Listing;
  readonly beside: Listing;
  /** Set up without a list: the mean of before and after it, with as many sessions as there are then. */
  readonly usual: Rate;
  readonly rateBeside: Rate;
  /** Of the gateway's process, while the list was read and nothing else happened. */
  readonly gatewayGrowthBytes: number;
  readonly redis: Listing;
}

/** Runs `sluice flows` and reads what it prints, in a process of its own. */
function read(args: readonly string[]): Promise<Listing> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(join(packageRoot(), 'bin/sluice'), ['flows', '--format', 'jsonl', ...args]);
    let firstLineMs = Number.NaN;
    let lines = 0;
    let residentBytes = 0;
    let cpuSeconds = 0;
    let said = '';
    const looking = setInterval(() => {
      residentBytes = Math.max(residentBytes, mostResident(child.pid ?? 0));
      cpuSeconds = Math.max(cpuSeconds, processSeconds(child.pid ?? 0));
    }, SAMPLE_MS);
    child.stdout.on('data', (chunk: Buffer) => {
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) lines++;
      if (Number.isNaN(firstLineMs) && lines > 0) firstLineMs = performance.now() - began;
    });
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    child.on('close', (code) => {
      clearInterval(looking);
      if (code !== 0) reject(new Error(`sluice flows ended with ${code}: ${said}`));
      else resolve({ firstLineMs, allMs: performance.now() - began, lines, residentBytes, cpuSeconds });
    });
  });
}

/** The same from this process, with as little as can be that takes cores beside: the lines are counted by wc(1). */
function count(args: readonly string[]): Promise<Omit<Listing, 'firstLineMs'>> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const counter = spawn('wc', ['-l']);
    const child = spawn(join(packageRoot(), 'bin/sluice'), ['flows', '--format', 'jsonl', ...args], {
      stdio: ['ignore', counter.stdin, 'ignore'],
    });
    counter.stdin.destroy();
    let residentBytes = 0;
    let cpuSeconds = 0;
    const looking = setInterval(() => {
      residentBytes = Math.max(residentBytes, mostResident(child.pid ?? 0));
      cpuSeconds = Math.max(cpuSeconds, processSeconds(child.pid ?? 0));
    }, SAMPLE_MS);
    let said = '';
    counter.stdout.on('data', (chunk) => {
      said += chunk;
    });
    counter.on('close', (code) => {
      clearInterval(looking);
      if (code !== 0) reject(new Error('wc has failed'));
      else resolve({ allMs: performance.now() - began, lines: Number(said), residentBytes, cpuSeconds });
    });
  });
}

/** Of a process and those that it started; bin/sluice may be a shell around Node. */
function mostResident(pid: number): number {
  try {
    return Number(/^VmHWM:\s+([0-9]+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // it has ended
  }
}

async function run({ resident, seed }: RunOptions): Promise<RunResult> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  try {
    return await withRedis((url) => runWith({ resident, seed }, url, join(folder, 'control.sock')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runWith({ resident, seed }: RunOptions, url: string, socket: string): Promise<RunResult> {
  const flows = resident + NEW_FLOWS;
  const made = fixture({ flows, offload: 'immediate', seed, behindSoftwareNic: true, checkEvery: 64 });
  const config = { ...made.config, mirror: { redis: url, mode: 'async' as const } };
  const gateway = new LcoreGateway({ ...made, config });
  const { bench, gateway: live } = gateway;
  const log = pino({ enabled: false });
  const follower = new ConfigFollower(live, {
    path: '',
    adapt: (one) => one,
    onFollowed: () => undefined,
    onEnd: () => undefined,
  });
  const control = await serveControl({ gateway: live, ports: live, follower, mirror: null, log }, socket);
  const all = { window: 1024, perSecond: 0, measureLatency: false };
  const filled = await openFlows(gateway, { first: 0, count: resident, ...all });
  if (filled.failed > 0) throw new Error(`${filled.failed} flows were not set up`);
  await gateway.runFor(1);
  const list = (limit: number) => runInChild<Listing>('flows', 'read', ['--socket', socket, '--limit', String(limit)]);

  await list(resident); // Node has compiled the way of a list then
  const before = process.memoryUsage().rss;
  let most = before;
  const looking = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, SAMPLE_MS);
  const alone = await list(resident);
  clearInterval(looking);

  bench.resetCounters();
  bench.run('fabric', { ...QUIET, ...all, pattern: 'new', first: resident, count: NEW_FLOWS });
  await pause(SETTLING_MS);
  const usualBefore = await rateDuring(bench, () => pause(USUAL_MS));
  const { firstLineMs } = await list(1);
  let whole: Omit<Listing, 'firstLineMs'> | null = null;
  const rateBeside = await rateDuring(bench, async () => {
    whole = await count(['--socket', socket, '--limit', String(resident)]);
  });
  await pause(SETTLING_MS);
  const usualAfter = await rateDuring(bench, () => pause(USUAL_MS));
  bench.run('fabric', QUIET);
  await gateway.runFor(1);

  const mirror = new GatewayMirror(gateway.controller, config, () => live.nowSeconds(), log);
  await mirror.writer.begin(1);
  await mirror.writer.seeded();
  await mirror.writer.drained();
  await control.close();
  await mirror.close();
  gateway.close();
  const redis = await runInChild<Listing>('flows', 'read', ['--redis', url, '--limit', String(resident)]);
  if (whole === null) throw new Error('no list was read');
  const usual = {
    perSecond: (usualBefore.perSecond + usualAfter.perSecond) / 2,
    perCpuSecond: (usualBefore.perCpuSecond + usualAfter.perCpuSecond) / 2,
  };
  return {
    alone,
    beside: { firstLineMs, ...(whole as Omit<Listing, 'firstLineMs'>) },
    usual,
    rateBeside,
    gatewayGrowthBytes: most - before,
    redis,
  };
}

/** Flows that were set up, by the second, while something else was done. @throws Error when none are left meanwhile */
async function rateDuring(bench: BenchBinding, work: () => Promise<unknown>): Promise<Rate> {
  const opened = () => bench.counters().external.accepted;
  const [before, began, cpuBefore] = [opened(), performance.now(), cpuSeconds()];
  await work();
  const [after, ended, cpuAfter] = [opened(), performance.now(), cpuSeconds()];
  if (after >= NEW_FLOWS)
    throw new Error(`${NEW_FLOWS} new flows were too few: all were set up before the list was read`);
  const flows = after - before;
  return { perSecond: (flows / (ended - began)) * 1000, perCpuSecond: flows / (cpuAfter - cpuBefore) };
}

export const parts = { run, read };

export async function measure({ resident, runs, seed }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const results: RunResult[] = [];
  for (let i = 0; i < runs; i++)
    results.push(await runInChild<RunResult>('flows', 'run', { resident, seed: seed + i }));
  const of = (pick: (result: RunResult) => number) => spread(results.map(pick));
  const figures: Record<string, Report['figures'][string]> = {};
  const lines: Report['lines'][number][] = [];
  for (const [kind, means] of Object.entries(KINDS)) {
    const listing = (result: RunResult) => result[kind as keyof typeof KINDS];
    const first = of((result) => listing(result).firstLineMs);
    const whole = of((result) => listing(result).allMs / 1000);
    const told = of((result) => listing(result).lines);
    const cpu = of((result) => listing(result).cpuSeconds);
    const memory = of((result) => listing(result).residentBytes / 1e6);
    figures[kind] = {
      firstLineMs: Math.round(first.median),
      allSeconds: Number(whole.median.toFixed(2)),
      lines: told.median,
      commandMegabytes: Math.round(memory.median),
      commandCpuSeconds: Number(cpu.median.toFixed(2)),
    };
    lines.push({
      label: `flows, ${kind}`,
      value: `first line after ${shown(first)} ms, all ${told.median} after ${shown(whole)} s; ${shown(memory)} MB, ${shown(cpu)} s of CPU`,
      means,
    });
  }
  const share = of(({ rateBeside, usual }) => (100 * rateBeside.perSecond) / usual.perSecond);
  const byCpu = of(({ rateBeside, usual }) => (100 * rateBeside.perCpuSecond) / usual.perCpuSecond);
  const growth = of(({ gatewayGrowthBytes }) => gatewayGrowthBytes / 1e6);
  figures.setupPercentBeside = Number(share.median.toFixed(1));
  figures.setupPercentBesideByCpu = Number(byCpu.median.toFixed(1));
  figures.usualPerSecond = Math.round(of(({ usual }) => usual.perSecond).median);
  figures.gatewayGrowthMegabytes = Number(growth.median.toFixed(1));
  lines.push({
    label: 'set-up beside a list, %',
    value: `${shown(share)} (by the gateway's CPU time ${shown(byCpu)}) of ${shown(of(({ usual }) => usual.perSecond))} a second`,
    means:
      'new flows a second from the start of the command to its end, of those just before and after it, with the same sessions; ' +
      'the command and wc, which counts its lines, take cores too',
  });
  lines.push({
    label: 'memory of the gateway, MB',
    value: `grows by ${shown(growth)}`,
    means: 'while a list is read and no flow is new',
  });
  return { name: 'flows', figures, lines, conditions: { ...conditions, seed, runs, resident }, remarks: [] };
}

const KINDS = {
  alone: '`sluice flows --socket S --format jsonl`, from the start of the command; nothing else happens',
  beside: 'the same while new flows come as fast as they are set up',
  redis: '`sluice flows --redis URL --format jsonl`, with no gateway',
} as const;
