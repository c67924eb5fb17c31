import { performance } from 'node:perf_hooks';
import { isReady, redisConnector } from '../src/mirror/connect.js';
import { EngineSink } from '../src/mirror/engine-sink.js';
import { EngineSource } from '../src/mirror/engine-source.js';
import { openMirrorReplay } from '../src/mirror/replay.js';
import { openMirrorWriter } from '../src/mirror/writer.js';
import { NativeRows } from '../src/nat/session-timers.js';
import { SessionRow } from '../src/native/records.js';
import { runInChild } from './child.js';
import { FirstPacketRuns, firstPackets } from './mirror-latency.js';
import { EngineAlone, Outcome, scarceFixture } from './misses.js';
import type { BenchOptions } from './options.js';
import type { Comparison } from './rank-test.js';
import { withRedis } from './redis.js';
import { type Figure, machine, type Report, shown, spread, spreads } from './report.js';

const SHARDS = 8;
const NOW = 1000;
const PORTS_OF_ADDRESS = 16_384;
const HOSTS = 65_536;
/** Changed sessions that wait at most, where the rate is sought: enough that batches are full. */
const BACKLOG = 65_536;
/** New sessions a second where the loss is sought, and what the mirror costs a first packet. */
const LOSS_RATE = 20_000;

interface RunOptions {
  readonly resident: number;
  readonly seconds: number;
  readonly seed: number;
}

interface ReplayResult {
  readonly replaySessionsPerSecond: number;
  readonly replaySessionsPerCpuSecond: number;
  readonly replayLogRecordsPerSecond: number;
  readonly replayMillis: number;
}

interface RunResult extends ReplayResult {
  readonly sessions: number;
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
  /** Of the Redis process, over the same time. */
  readonly eventsPerRedisCpuSecond: number;
  readonly lossMillis: { readonly p50: number; readonly p99: number; readonly most: number };
  readonly bytesPerSession: number;
}

/** A NAT engine alone, with room for some sessions more than it has. */
function newEngine({ resident, seed }: RunOptions): { alone: EngineAlone; rows: NativeRows } {
  const addresses = Math.ceil((resident * 1.5) / PORTS_OF_ADDRESS) + 4;
  const made = scarceFixture({ addresses, portsOfAddress: PORTS_OF_ADDRESS, seed });
  const rows = new NativeRows(new ArrayBuffer(made.config.nat.maxSessions * SessionRow.size));
  return { alone: new EngineAlone(made), rows };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function redisInfo(url: string): Promise<{ readonly cpuSeconds: number; readonly bytes: number }> {
  const connection = redisConnector(url).connect('status');
  try {
    while (!isReady(connection)) await new Promise((resolve) => setTimeout(resolve, 5));
    const info = await connection.info();
    const number = (name: string) => Number(new RegExp(`${name}:([0-9.]+)`).exec(info)?.[1]);
    return {
      cpuSeconds: number('used_cpu_user') + number('used_cpu_sys'),
      bytes: number('used_memory') - number('used_memory_startup'),
    };
  } finally {
    connection.disconnect();
  }
}

async function run(options: RunOptions): Promise<RunResult> {
  return withRedis(async (url) => {
    const { resident, seconds } = options;
    const active = newEngine(options);
    const source = new EngineSource(active.alone.engine, active.rows, () => NOW, SHARDS);
    const open = (i: number) => {
      const opened = active.alone.open((i * 7919) % HOSTS, Math.floor(i / HOSTS), NOW);
      if (opened !== Outcome.session) throw new Error(`session ${i} was not opened`);
    };
    for (let i = 0; i < resident; i++) open(i);
    const writer = openMirrorWriter({
      redis: redisConnector(url),
      group: 'bench',
      writerId: 'bench',
      configHash: 'bench',
      about: '{}',
      source,
      shards: SHARDS,
    });
    await writer.begin(1);
    await writer.seeded();
    await writer.drained();
    const seeded = await redisInfo(url);

    const before = { records: writer.status().counters.records, cpu: cpuSeconds(), redis: seeded.cpuSeconds };
    const began = performance.now();
    let row = 0;
    while (performance.now() - began < seconds * 1000) {
      while (source.dirty.count < BACKLOG && source.dirty.count < resident) {
        source.dirty.mark(row);
        row = row + 1 === resident ? 0 : row + 1;
      }
      writer.flush();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writer.drained();
    const elapsed = (performance.now() - began) / 1000;
    const events = writer.status().counters.records - before.records;
    const cpu = cpuSeconds() - before.cpu;
    const redisCpu = (await redisInfo(url)).cpuSeconds - before.redis;

    // From here on with a log that is as short as it ever is.
    writer.reconfigure('bench', '{}');
    await writer.seeded();
    const lossMillis = await loss(options, source.dirty, writer, open);

    const expected = active.alone.engine.sessions.count;
    const replayed = await runInChild<ReplayResult>('mirror', 'replay', { ...options, url, expected });
    writer.close();
    return {
      sessions: resident,
      eventsPerSecond: events / elapsed,
      eventsPerCpuSecond: events / cpu,
      eventsPerRedisCpuSecond: events / redisCpu,
      ...replayed,
      lossMillis,
      bytesPerSession: seeded.bytes / resident,
    };
  });
}

/** How old the oldest session is that Redis does not have, at times drawn while sessions open steadily. */
async function loss(
  { resident, seconds }: RunOptions,
  dirty: EngineSource['dirty'],
  writer: ReturnType<typeof openMirrorWriter>,
  open: (i: number) => void,
): Promise<RunResult['lossMillis']> {
  const openedAt = new Float64Array(dirty.capacity);
  const ages: number[] = [];
  writer.onAcknowledged = (rows, count) => {
    const now = performance.now();
    for (let i = 0; i < count; i++) if (openedAt[rows[i]] > 0) ages.push(now - openedAt[rows[i]]);
  };
  const most = Math.min(resident / 4, LOSS_RATE * seconds);
  const began = performance.now();
  let opened = 0;
  while (opened < most) {
    const due = Math.min(most, Math.floor(((performance.now() - began) / 1000) * LOSS_RATE));
    for (; opened < due; opened++) {
      open(resident + opened);
      openedAt[resident + opened] = performance.now();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writer.drained();
  writer.onAcknowledged = null;
  ages.sort((a, b) => a - b);
  const share = (part: number) => ages[Math.min(ages.length - 1, Math.floor(ages.length * part))] ?? 0;
  return { p50: share(0.5), p99: share(0.99), most: share(1) };
}

/** A standby that begins with nothing: snapshot and log into its NAT engine, no rule installed. */
async function replay(
  options: RunOptions & { readonly url: string; readonly expected: number },
): Promise<ReplayResult> {
  const { url, expected } = options;
  const { alone } = newEngine(options);
  const sink = new EngineSink(
    alone.engine,
    () => NOW,
    () => Number.POSITIVE_INFINITY,
  );
  const standby = openMirrorReplay({
    redis: redisConnector(url),
    group: 'bench',
    nodeId: 'bench',
    configHash: 'bench',
    sink,
    shards: SHARDS,
  });
  const before = cpuSeconds();
  const began = performance.now();
  standby.start();
  await standby.synced();
  const millis = performance.now() - began;
  const cpu = cpuSeconds() - before;
  const { records } = standby.counters;
  standby.close();
  if (sink.count !== expected) throw new Error(`${sink.count} of ${expected} sessions were replayed`);
  return {
    replaySessionsPerSecond: (expected / millis) * 1000,
    replaySessionsPerCpuSecond: expected / cpu,
    replayLogRecordsPerSecond: (records / millis) * 1000,
    replayMillis: millis,
  };
}

export const parts = { run, replay, firstPackets };

export async function measure({ resident, runs, seconds, seed }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const results: RunResult[] = [];
  for (let i = 0; i < runs; i++) {
    results.push(await runInChild<RunResult>('mirror', 'run', { resident, seconds, seed: seed + i }));
  }
  const latency = new FirstPacketRuns({ resident, runs, seconds, seed }, LOSS_RATE);
  await latency.run();
  const of = (pick: (result: RunResult) => number) => spread(results.map(pick));
  const events = of(({ eventsPerSecond }) => eventsPerSecond);
  const eventsCpu = of(({ eventsPerCpuSecond }) => eventsPerCpuSecond);
  const eventsRedisCpu = of(({ eventsPerRedisCpuSecond }) => eventsPerRedisCpuSecond);
  const sessions = of(({ replaySessionsPerSecond }) => replaySessionsPerSecond);
  const sessionsCpu = of(({ replaySessionsPerCpuSecond }) => replaySessionsPerCpuSecond);
  const records = of(({ replayLogRecordsPerSecond }) => replayLogRecordsPerSecond);
  const millis = of(({ replayMillis }) => replayMillis);
  const lost = of(({ lossMillis }) => lossMillis.p99);
  const lostHalf = of(({ lossMillis }) => lossMillis.p50);
  const bytes = of(({ bytesPerSession }) => bytesPerSession);
  return {
    name: 'mirror',
    figures: {
      eventsPerSecond: Math.round(events.median),
      eventsPerCpuSecond: Math.round(eventsCpu.median),
      eventsPerRedisCpuSecond: Math.round(eventsRedisCpu.median),
      replaySessionsPerSecond: Math.round(sessions.median),
      replaySessionsPerCpuSecond: Math.round(sessionsCpu.median),
      replayRecordsPerSecond: Math.round(records.median),
      replayMillis: Math.round(millis.median),
      lossMillisP99: Number(lost.median.toFixed(2)),
      lossMillisP50: Number(lostHalf.median.toFixed(2)),
      redisBytesPerSession: Math.round(bytes.median),
      firstPacketMicros: {
        async: latency.of('async').figures,
        off: latency.of('off').figures,
        asyncAnyCore: latency.of('asyncAnyCore').figures,
      },
      firstPacketBesideOff: { async: judgement(latency, 'async'), asyncAnyCore: judgement(latency, 'asyncAnyCore') },
      sessions: resident,
      spread: spreads({
        eventsPerSecond: events,
        replaySessionsPerSecond: sessions,
        lossMillisP99: lost,
        ...latency.spreads(),
      }),
    },
    lines: [
      {
        label: 'session events a second',
        value: `${shown(events)}; a CPU second of the writer ${shown(eventsCpu)}, of Redis ${shown(eventsRedisCpu)}`,
        means: `changed sessions of a NAT engine with ${resident} → records → batches of up to 256 → fenced append → acknowledged; snapshots that cut the log meanwhile included; writer and Redis on the machine's cores together`,
      },
      {
        label: 'sessions replayed a second',
        value: `${shown(sessions)}; a CPU second ${shown(sessionsCpu)}; all in ${shown(millis)} ms; records of snapshot and log ${shown(records)}`,
        means:
          'from connecting to the head of every shard, checked and adopted by an empty NAT engine; no rule is installed',
      },
      {
        label: 'lost at a crash, ms of new sessions',
        value: `p50 ${shown(lostHalf)}, p99 ${shown(lost)}`,
        means: `age of a session when Redis acknowledges it, at ${LOSS_RATE} new sessions a second beside ${resident}: what is younger is lost`,
      },
      ...latency.lines(),
      { label: 'bytes of Redis a session', value: shown(bytes), means: 'after the first snapshot, the log empty' },
    ],
    conditions: { ...conditions, seed, runs, resident, seconds },
    remarks: [
      ...latency.remarks(),
      ...(latency.failed > 0 ? [`${latency.failed} flows failed: first-packet times are not valid`] : []),
    ],
  };
}

/** For a program: of p50 and p99 the difference to no mirror, µs, the test's p, and 1 for equal within noise, 0 for not, null for not judged. */
function judgement(latency: FirstPacketRuns, kind: 'async' | 'asyncAnyCore'): Figure {
  const of = ({ difference, p, isWithinNoise }: Comparison) => ({
    difference: Number(difference.toPrecision(3)),
    p: Number(p.toFixed(4)),
    isWithinNoise: isWithinNoise === null ? null : Number(isWithinNoise),
  });
  const { p50, p99 } = latency.beside(kind);
  return { p50: of(p50), p99: of(p99) };
}
