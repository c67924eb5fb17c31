import { shardKeys } from '../../src/mirror/keys.js';
import type { MirrorReplay, MirrorWriter } from '../../src/mirror/types.js';
import { BadWire } from './bad-wire.js';
import { GROUP, replayOn, same, writerOn } from './pair.js';
import { RedisServer, until } from './redis-servers.js';
import { endWithEachTest } from './server-of-test.js';
import { PlainReplica, PlainTable, random } from './tables.js';

/** How long faults are made at random; more with SLUICE_HISTORY_SECONDS. */
const SECONDS = Number(process.env.SLUICE_HISTORY_SECONDS ?? 20);
const SEED = Number(process.env.SLUICE_HISTORY_SEED ?? 1);
const ROWS = 1024;
const CAP = 64 * 1024;
const RECOVERY_MS = 10_000;

endWithEachTest();

/** Where a history stands: one table, its writer of the moment, and a standby. */
class History {
  readonly table = new PlainTable(ROWS);
  sink = new PlainReplica(ROWS);
  replay: MirrorReplay;
  writer: MirrorWriter;
  epoch = 1;
  readonly faults = new Map<string, number>();
  private readonly draw: (below: number) => number;

  constructor(
    readonly server: RedisServer,
    readonly wire: BadWire,
    seed: number,
  ) {
    this.draw = random(seed);
    this.replay = replayOn(server.url, this.sink);
    this.writer = this.newWriter();
  }

  newWriter(): MirrorWriter {
    return writerOn(this.wire.url, this.table, {
      limits: { inFlightBytes: CAP, batchRecords: 32, logBytes: 16_384 },
      expectsStandby: true,
    });
  }

  churn(steps: number): void {
    const { table, draw } = this;
    for (let i = 0; i < steps; i++) {
      const row = draw(ROWS);
      // An endpoint wanders among rows, and so among shards, as a pool's ports do.
      const nat = (row + draw(4) * 257) % ROWS;
      if (table.rows[row] !== null && draw(3) === 0) table.end(row);
      else if (table.rows[row] !== null) table.change(row, 1 + draw(5));
      else if (!table.rows.some((session) => session?.nat === nat)) {
        table.open(row, { inside: row, nat, remote: draw(1000), tcpState: 1 });
      }
    }
    expect(this.writer.status().inFlightBytes).toBeLessThanOrEqual(CAP);
  }

  /** Goes on with traffic for a while. */
  async traffic(ms: number): Promise<void> {
    const end = Date.now() + ms;
    while (Date.now() < end) {
      this.churn(10);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async fault(): Promise<void> {
    const { server, wire, draw } = this;
    const faults: Record<string, () => Promise<unknown>> = {
      'restart empty': () => server.restart(),
      'restart from an old dump': async () => {
        await server.with((client) => client.save());
        await this.traffic(50);
        await server.restart();
      },
      emptied: () => server.with((client) => client.flushall()),
      stopped: async () => {
        server.pause();
        await this.traffic(700);
        server.resume();
      },
      cut: async () => wire.cut(),
      'replies lost': async () => {
        wire.rules.swallowReplies = true;
        await this.traffic(60);
        wire.rules.swallowReplies = false;
      },
      late: async () => {
        wire.rules.delayMs = 200;
        await this.traffic(500);
        wire.rules.delayMs = 0;
      },
      'entry gone': () => this.spoil('log'),
      'chunk gone': () => this.spoil('chunk'),
      'fence gone': () => server.with((client) => client.del(shardKeys(GROUP, draw(8)).fence)),
      'standby anew': async () => {
        this.replay.close();
        this.sink = new PlainReplica(ROWS);
        this.replay = replayOn(server.url, this.sink);
      },
      'standby full': async () => {
        this.sink.hasRoom = false;
        await this.traffic(200);
        this.sink.hasRoom = true;
      },
      takeover: () => this.takeOver(),
    };
    const names = Object.keys(faults);
    const name = names[draw(names.length)];
    this.faults.set(name, (this.faults.get(name) ?? 0) + 1);
    await faults[name]();
  }

  /** All that was acknowledged is on the standby once it has fenced and drained. */
  private async takeOver(): Promise<void> {
    await this.settled();
    this.churn(30);
    await this.writer.drained();
    const acknowledged = this.table.picture();
    this.churn(20);
    const old = this.writer;
    const heir = this.newWriter();
    const heads = await heir.fence(++this.epoch);
    await this.replay.drain(heads);
    const there = new Set(this.sink.picture());
    const touched = new Set(this.table.picture());
    for (const session of acknowledged) if (touched.has(session)) expect(there).toContain(session);
    old.close();
    this.replay.close();
    this.sink = new PlainReplica(ROWS);
    this.replay = replayOn(this.server.url, this.sink);
    this.writer = heir;
    await heir.begin(this.epoch);
  }

  async settled(): Promise<void> {
    const awaited = async (isSo: () => boolean, what: string) =>
      until(isSo, what, RECOVERY_MS).catch((error: Error) => {
        const { reasons, shards } = this.writer.status();
        const parts = [reasons, shards, this.replay.shards(), this.replay.eligibility(), this.replay.counters];
        throw new Error([error.message, ...parts.map((part) => JSON.stringify(part))].join('\n'));
      });
    await awaited(() => this.writer.protection === 'PROTECTED', 'PROTECTED');
    await awaited(() => this.replay.eligibility().eligible, 'eligible');
    // Eligible may still lag, or not have noticed yet what a fault of just now took out of the log.
    const isApplied = () =>
      this.replay.position().every(({ sequence }, shard) => sequence === this.writer.status().shards[shard].redis);
    await awaited(isApplied, 'all applied');
  }

  private spoil(what: 'log' | 'chunk'): Promise<unknown> {
    const keys = shardKeys(GROUP, this.draw(8));
    return this.server.with(async (client) => {
      if (what === 'log') {
        const [last] = await client.xrevrange(keys.log, '+', '-', 'COUNT', 1);
        if (last !== undefined) await client.xdel(keys.log, last[0]);
        return;
      }
      const key = await client.hget(keys.index, 'key');
      if (key !== null) await client.hdel(key, '0');
    });
  }
}

test(
  `a random history of ${SECONDS} s: nothing acknowledged is lost, no endpoint has two owners, memory is bounded`,
  async () => {
    const server = await RedisServer.start();
    const wire = await BadWire.to(server.port);
    try {
      const history = new History(server, wire, SEED);
      await history.writer.begin(1);
      const end = Date.now() + SECONDS * 1000;
      while (Date.now() < end) {
        await history.traffic(150);
        await history.fault();
      }
      await history.settled();
      const { table, writer } = history;
      await same(table, history.sink, history);
      const late = new PlainReplica(ROWS);
      await same(table, late, { writer, replay: replayOn(server.url, late) });
      expect(history.faults.size).toBeGreaterThan(SECONDS >= 20 ? 8 : 3);
      if (SECONDS > 60) process.stdout.write(`${JSON.stringify([...history.faults])}\n`);
    } finally {
      wire.close();
    }
  },
  SECONDS * 3000 + 60_000,
);
