import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { ValidatedConfig } from '../src/config/types.js';
import { LiveGateway } from '../src/controller/live.js';
import { nicTarget } from '../src/controller/nic-target.js';
import { monotonicMs } from '../src/ha/clock.js';
import { HaMember } from '../src/ha/member.js';
import { PairMirror } from '../src/ha/pair-mirror.js';
import { readPairSettings } from '../src/ha/settings.js';
import { fixture } from './fixture.js';
import { loadBindings, QUIET } from './gateways.js';
import type { BenchOptions } from './options.js';
import { freePort, startRedis } from './redis.js';
import { machine, type Report } from './report.js';

const FEW_SESSIONS = 1000;
const LEASE_MS = 1000;
const PACKETS_PER_SECOND = 10_000;
/** First packets on their way at once while the sessions are opened. */
const WINDOW = 512;
/** A step of a run in which nothing changes for so long has failed. */
const STALL_MS = 15_000;
const GROUP = 'bench';

interface MemberPart {
  readonly node: string;
  readonly redis: string;
  readonly folder: string;
  readonly sessions: number;
  readonly seed: number;
  /** Opens the sessions; else stands by. */
  readonly leads: boolean;
}

/** What a member tells the bench; times are CLOCK_MONOTONIC, which all processes share. */
type Told =
  | { readonly what: 'full'; readonly sessions: number }
  | { readonly what: 'eligible'; readonly sessions: number; readonly loadedMs: number }
  | { readonly what: 'first-packet'; readonly atMs: number; readonly phases: Record<string, number> }
  | { readonly what: 'handed-over'; readonly askedMs: number; readonly tookMs: number }
  | { readonly what: 'failed'; readonly message: string };

/**
 * One gateway of the pair: software NIC, traffic of the bench's driver, a real Redis. Packets of all sessions arrive at
 * a standby too, from the beginning: the first that comes out again is the first translated packet.
 */
async function member(options: MemberPart): Promise<unknown> {
  const made = fixture({
    flows: options.sessions,
    offload: 'immediate',
    seed: options.seed,
    behindSoftwareNic: true,
    checkEvery: 64,
  });
  const config: ValidatedConfig = {
    ...made.config,
    path: join(options.folder, 'gateway.json'),
    mirror: { redis: options.redis, mode: 'async' },
    ha: { group: GROUP, vip: null, leaseMs: LEASE_MS, configFile: null, resultFile: null, virtualMac: null },
  };
  const settings = readPairSettings(
    JSON.stringify({ schema: 1, node: options.node, epochFile: `${options.node}.epoch`, probe: { everyMs: 0 } }),
    config,
  );
  if (!settings.ok) throw new Error(JSON.stringify(settings.faults));
  const { root, binding, bench } = loadBindings();
  bench.setScenario(made.scenario);
  const log = pino({ level: 'error' }, pino.destination(2));
  const gateway = new LiveGateway(config, binding, root, (driver) => nicTarget(config.offload.target, driver), log);
  const mirror = new PairMirror(gateway, options.node, log);
  const pair = new HaMember({ gateway, settings: settings.settings, mirror, prefersStandby: !options.leads, log });
  const tell = (told: Told) => process.send?.(told);
  const count = () => gateway.controller.engine.sessions.count;
  const random = { ...QUIET, pattern: 'random', count: options.sessions, perSecond: PACKETS_PER_SECOND } as const;
  gateway.start();
  pair.start();
  const startedMs = monotonicMs();
  process.on('message', (word) => {
    if (word !== 'switchover') return;
    const askedMs = monotonicMs();
    pair.switchover('the bench asks').then(
      ({ tookMs }) => tell({ what: 'handed-over', askedMs, tookMs }),
      (error: Error) => tell({ what: 'failed', message: error.message }),
    );
  });
  const lead = async () => {
    await until(() => pair.status().failoverState === 'E2E_CONN_DONE', 'the gateway serves');
    bench.run('fabric', { ...QUIET, pattern: 'new', count: options.sessions, window: WINDOW });
    const opened = () => Math.max(bench.counters().external.accepted, count());
    await until(() => opened() >= options.sessions, `${options.sessions} sessions are open`, opened);
    const dirty = () => pair.status().mirror?.dirty ?? 0;
    await until(() => pair.status().protection === 'DEGRADED' && dirty() === 0, 'Redis has all of them', dirty);
    tell({ what: 'full', sessions: count() });
  };
  const standBy = async () => {
    // The probe of an epoch has a session too.
    await until(() => pair.status().eligible && count() >= options.sessions, 'the standby has all sessions', count);
    tell({ what: 'eligible', sessions: count(), loadedMs: monotonicMs() - startedMs });
    bench.resetCounters();
    bench.run('fabric', random);
    while (bench.counters().external.accepted === 0) await pause(1);
    tell({ what: 'first-packet', atMs: monotonicMs(), phases: { ...pair.status().phases } });
  };
  await (options.leads ? lead() : standBy()).catch((error: Error) => {
    const { drops } = gateway.counters();
    tell({ what: 'failed', message: `${options.node}: ${error.message}; dropped: ${JSON.stringify(drops)}` });
  });
  return new Promise(() => undefined); // until it is killed
}

/** A member's process, and what it tells. */
class MemberProcess {
  private readonly child: ChildProcess;
  private readonly told: Told[] = [];
  private ended: string | null = null;
  private wake: () => void = () => undefined;

  constructor(options: MemberPart) {
    const words = [process.argv[1], '--part', 'takeover', 'member', JSON.stringify(options)];
    this.child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.child.on('message', (message) => {
      this.told.push(message as Told);
      this.wake();
    });
    this.child.on('exit', (code, signal) => {
      this.ended = `${options.node} ended with ${signal ?? code}`;
      this.wake();
    });
  }

  async next<What extends Told['what']>(what: What): Promise<Extract<Told, { what: What }>> {
    for (;;) {
      const message = this.told.shift();
      if (message?.what === what) return message as Extract<Told, { what: What }>;
      if (message?.what === 'failed') throw new Error(message.message);
      if (message !== undefined) continue;
      if (this.ended !== null) throw new Error(this.ended);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  ask(word: string): void {
    this.child.send(word);
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}

interface Run {
  readonly sessions: number;
  readonly killToFirstPacketMs: number;
  readonly plannedMs: number;
  readonly takeoverMs: number;
  readonly standbyLoadMs: number;
}

/** A pair with so many sessions: its active gateway is killed; a new one joins, and the roles are handed over. */
async function pairRun(sessions: number, seed: number): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-takeover-'));
  const port = await freePort();
  const server = startRedis(port, folder);
  const members: MemberProcess[] = [];
  const start = (node: string, leads: boolean) => {
    const made = new MemberProcess({ node, redis: `redis://127.0.0.1:${port}`, folder, sessions, seed, leads });
    members.push(made);
    return made;
  };
  try {
    const first = start('first', true);
    await first.next('full');
    const second = start('second', false);
    const { loadedMs } = await second.next('eligible');
    const killedMs = monotonicMs();
    first.kill();
    const unplanned = await second.next('first-packet');
    const third = start('third', false);
    await third.next('eligible');
    await pause(LEASE_MS); // it says so in Redis too, and the mirror has settled
    second.ask('switchover');
    const [planned, asked] = await Promise.all([third.next('first-packet'), second.next('handed-over')]);
    return {
      sessions,
      killToFirstPacketMs: unplanned.atMs - killedMs,
      plannedMs: planned.atMs - asked.askedMs,
      takeoverMs: unplanned.phases.VIP_ACQUIRED,
      standbyLoadMs: loadedMs,
    };
  } finally {
    for (const one of members) one.kill();
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

export async function measure(options: BenchOptions): Promise<Report> {
  const runs: Run[] = [];
  for (const sessions of [...new Set([Math.min(FEW_SESSIONS, options.resident), options.resident])]) {
    runs.push(await pairRun(sessions, options.seed));
  }
  const most = runs[runs.length - 1];
  const named = (pick: (run: Run) => number) =>
    Object.fromEntries(runs.map((run) => [`${run.sessions}`, round(pick(run))]));
  const shownBy = (pick: (run: Run) => number) =>
    runs.map((run) => `${pick(run).toFixed(1)} ms at ${run.sessions.toLocaleString('en')}`).join(', ');
  return {
    name: 'takeover',
    figures: {
      killToFirstPacketMs: round(most.killToFirstPacketMs),
      plannedMs: round(most.plannedMs),
      sessions: most.sessions,
      killToFirstPacketMsBySessions: named((run) => run.killToFirstPacketMs),
      plannedMsBySessions: named((run) => run.plannedMs),
      takeoverMsBySessions: named((run) => run.takeoverMs),
      standbyLoadMsBySessions: named((run) => run.standbyLoadMs),
    },
    lines: [
      {
        label: 'kill to first packet',
        value: shownBy((run) => run.killToFirstPacketMs),
        means: `from SIGKILL of the active gateway to the first packet of its sessions translated by the other; lease ${LEASE_MS} ms`,
      },
      {
        label: 'of it, takeover',
        value: shownBy((run) => run.takeoverMs),
        means: 'from winning the lease to the first packet that may leave: fence, rest of the log, rules',
      },
      {
        label: 'planned',
        value: shownBy((run) => run.plannedMs),
        means: "from the operator's word to the first packet that the other gateway translates",
      },
      {
        label: 'standby loads',
        value: shownBy((run) => run.standbyLoadMs),
        means: 'from its start to all sessions here, their rules in the software table and in the software NIC',
      },
    ],
    conditions: { ...machine(), sessions: runs.map((run) => run.sessions).join(', '), seed: options.seed },
    remarks: ['one run of each; the lease, not the work, is what an unplanned takeover takes'],
  };
}

export const parts = { member };

/** @param progress What changes while it goes on. @throws Error when nothing has changed for STALL_MS */
async function until(holds: () => boolean, what: string, progress: () => number = () => 0): Promise<void> {
  let last = progress();
  let sinceMs = monotonicMs();
  while (!holds()) {
    await pause(20);
    const now = progress();
    if (now !== last) sinceMs = monotonicMs();
    last = now;
    if (monotonicMs() - sinceMs > STALL_MS) throw new Error(`nothing goes on before ${what}: ${now}`);
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
