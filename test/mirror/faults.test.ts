import { shardKeys } from '../../src/mirror/keys.js';
import { BadWire } from './bad-wire.js';
import { churn, fault, lateStandbyIsSame, RECOVERY_MS, ROWS } from './fault.js';
import { GROUP, type Pair, replayOn, same, startPair, writerOn } from './pair.js';
import { type RedisServer, until } from './redis-servers.js';
import { startForEachTest } from './server-of-test.js';
import { PlainReplica, PlainTable, random } from './tables.js';
import * as unprotected from './unprotected.js';

let server: RedisServer;
const wires: BadWire[] = [];

afterEach(() => {
  for (const wire of wires.splice(0)) wire.close();
});
startForEachTest((started) => {
  server = started;
});

async function breath(ms = 5): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** What a shard's log holds, as `epoch-sequence`. */
function idsOf(shard: number): Promise<string[]> {
  return server.with(async (client) => (await client.xrange(shardKeys(GROUP, shard).log, '-', '+')).map(([id]) => id));
}

async function protectedAgain(pair: Pair): Promise<void> {
  await until(() => pair.writer.protection === 'PROTECTED', 'PROTECTED again', RECOVERY_MS);
}

fault('2: the connection dies between Redis’ OK and its reply', unprotected.appendsBlindly, async () => {
  const wire = await BadWire.to(server.port);
  wires.push(wire);
  const pair = await startPair(server.url, ROWS, { begin: false });
  const table = pair.table;
  const writer = writerOn(wire.url, table);
  await writer.begin(2);
  await writer.seeded();
  await pair.replay.synced();
  const draw = random(2);
  for (let round = 0; round < 5; round++) {
    wire.rules.swallowReplies = true;
    churn(table, draw, 50);
    await until(() => wire.swallowed > round, 'a reply was swallowed');
    wire.rules.swallowReplies = false;
    await same(table, pair.sink);
  }
  expect(writer.status().counters.duplicates).toBeGreaterThan(0);
  expect(writer.status().counters.reseeds).toBe(0);
  for (let shard = 0; shard < 8; shard++) {
    const ids = await idsOf(shard);
    expect(ids).toEqual(ids.map((_, i) => `2-${Number(ids[0]?.split('-')[1]) + i}`));
  }
});

fault('9: Redis restarts empty', unprotected.appendsUnfenced, async () => {
  const pair = await startPair(server.url, ROWS);
  const draw = random(9);
  churn(pair.table, draw, 800);
  await pair.same();
  await server.restart();
  churn(pair.table, draw, 50);
  await protectedAgain(pair);
  await pair.same();
  await lateStandbyIsSame(server.url, pair.table);
  expect(pair.writer.status().counters.reseeds).toBeGreaterThan(0);
});

fault('9: Redis is emptied while the gateway is idle', unprotected.appendsUnfenced, async () => {
  const pair = await startPair(server.url, ROWS);
  churn(pair.table, random(99), 800);
  await pair.same();
  await pair.writer.drained();
  await server.with((client) => client.flushall());
  await until(() => pair.writer.status().counters.reseeds > 0, 'it is noticed without an append', RECOVERY_MS);
  await protectedAgain(pair);
  await lateStandbyIsSame(server.url, pair.table);
});

fault('10: Redis restarts from an old dump', unprotected.appendsUnfenced, async () => {
  const pair = await startPair(server.url, ROWS);
  const draw = random(10);
  churn(pair.table, draw, 400);
  await pair.same();
  await server.with((client) => client.save());
  for (let i = 0; i < 20; i++) {
    churn(pair.table, draw, 100);
    await breath();
  }
  await pair.same();
  await server.restart();
  churn(pair.table, draw, 50);
  await protectedAgain(pair);
  await pair.same();
  expect(pair.writer.status().counters.reseeds).toBeGreaterThan(0);
  await lateStandbyIsSame(server.url, pair.table);
});

fault('20: a batch stands in the log twice', unprotected.skipsGaps, async () => {
  const pair = await startPair(server.url, ROWS);
  pair.table.open(3, { inside: 3, nat: 3, remote: 1, tcpState: 1 });
  await pair.same();
  const [first] = await server.with((client) => client.xrangeBuffer(shardKeys(GROUP, 3).log, '-', '+'));
  pair.table.end(3);
  await pair.same();
  pair.sink.hasRoom = false;
  await server.with((client) => client.xadd(shardKeys(GROUP, 3).log, `${pair.writer.epoch}-9`, 'b', first[1][1]));
  pair.sink.hasRoom = true;
  await until(() => pair.replay.counters.breaks.corrupt > 0, 'it is refused', 3000);
  await pair.same();
  pair.table.open(11, { inside: 11, nat: 11, remote: 1, tcpState: 1 });
  await pair.same();
  await until(() => pair.replay.eligibility().eligible, 'eligible again', RECOVERY_MS);
});

fault('21: a batch overtakes another', unprotected.appendsBlindly, async () => {
  const { runAppend } = await import('../../src/mirror/append-command.js');
  const pair = await startPair(server.url, ROWS);
  const [{ dataset }] = pair.writer.status().shards;
  const keys = shardKeys(GROUP, 0);
  await server.with(async (client) => {
    const send = async (sequence: number) =>
      String((await runAppend(client, pair.writer.epoch, [{ keys, dataset, sequence, blob: Buffer.from('x') }]))[0][0]);
    expect(await send(2)).toBe('GAP');
    expect(await client.xlen(keys.log)).toBe(0);
    expect([await send(1), await send(1), await send(2), await send(1)]).toEqual(['OK', 'DUP', 'OK', 'DUP']);
  });
});

fault('22: one batch is missing', unprotected.skipsGaps, async () => {
  const pair = await startPair(server.url, ROWS);
  pair.sink.hasRoom = false;
  for (const row of [5, 13, 21]) {
    pair.table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
    await pair.writer.drained();
  }
  const ids = await idsOf(5);
  expect(ids.length).toBe(3);
  await server.with((client) => client.xdel(shardKeys(GROUP, 5).log, ids[1]));
  const eligible: boolean[] = [];
  pair.replay.onEligibility = (eligibility) => eligible.push(eligibility.eligible);
  pair.sink.hasRoom = true;
  await until(() => pair.replay.counters.breaks.gap > 0, 'the gap is seen', 3000);
  expect(eligible).toContain(false);
  await pair.same();
  await until(() => pair.replay.eligibility().eligible, 'eligible again', RECOVERY_MS);
});

/** The writer's bounds hold while Redis takes nothing. */
async function staysWithinBounds(pair: Pair, cap: number, ms: number): Promise<void> {
  const draw = random(24);
  const end = Date.now() + ms;
  let steps = 0;
  while (Date.now() < end) {
    churn(pair.table, draw, 200);
    steps += 200;
    await breath(1);
    expect(pair.writer.status().inFlightBytes).toBeLessThanOrEqual(cap);
    expect(pair.writer.status().dirty).toBeLessThanOrEqual(ROWS);
  }
  expect(steps).toBeGreaterThan(ROWS * 8);
}

describe('24: Redis stops answering', () => {
  const CAP = 4096;
  const scenario = async (bytes: number, batches: number) => {
    const limits = { inFlightBytes: bytes, inFlightBatches: batches, batchRecords: 8 };
    const pair = await startPair(server.url, ROWS, { writer: { limits } });
    server.pause();
    await staysWithinBounds(pair, CAP, 3000);
    expect(pair.writer.protection).toBe('UNPROTECTED');
    server.resume();
    await protectedAgain(pair);
    await pair.same();
  };
  test('memory stays within its bound, and all is there once it answers', () => scenario(CAP, 4));
  test('without the bound this test fails', () => expect(scenario(2 ** 30, 1000)).rejects.toThrow());
});

describe('46: twice what the way to Redis carries', () => {
  const CAP = 8192;
  const scenario = async (bytes: number, batches: number) => {
    const wire = await BadWire.to(server.port);
    wires.push(wire);
    const table = new PlainTable(ROWS);
    const writer = writerOn(wire.url, table, {
      limits: { inFlightBytes: bytes, inFlightBatches: batches, batchRecords: 8, lagLimitMs: 100 },
    });
    await writer.begin(null);
    await writer.seeded();
    wire.rules.bytesPerSecond = 20_000;
    const seen = new Set<string>();
    writer.onProtection = (protection) => seen.add(protection);
    const draw = random(46);
    const end = Date.now() + 2500;
    while (Date.now() < end) {
      churn(table, draw, 20);
      await breath(2);
      expect(writer.status().inFlightBytes).toBeLessThanOrEqual(CAP);
    }
    expect(seen).toContain('DEGRADED');
    wire.rules.bytesPerSecond = Number.POSITIVE_INFINITY;
    await until(() => writer.protection === 'PROTECTED', 'PROTECTED again', RECOVERY_MS);
    await lateStandbyIsSame(server.url, table);
  };
  test('changes are told together, and protection says so', () => scenario(CAP, 4));
  test('without the bound this test fails', () => expect(scenario(2 ** 30, 1000)).rejects.toThrow());
});

fault('25: Redis is out of memory', unprotected.takesErrorsForSuccess, async () => {
  const pair = await startPair(server.url, ROWS);
  const draw = random(25);
  churn(pair.table, draw, 400);
  await pair.same();
  await server.with((client) => client.config('SET', 'maxmemory', '1'));
  churn(pair.table, draw, 400);
  await until(() => pair.writer.protection === 'UNPROTECTED', 'UNPROTECTED', 3000);
  expect(
    pair.writer
      .status()
      .reasons.map(({ detail }) => detail)
      .join(),
  ).toMatch(/OOM/);
  // Nothing counts as acknowledged that Redis has not.
  for (const [shard, { redis }] of pair.writer.status().shards.entries()) {
    const last = await server.with((client) => client.hget(shardKeys(GROUP, shard).fence, 'lastSeq'));
    expect(Number(last)).toBeGreaterThanOrEqual(redis);
  }
  await server.with((client) => client.config('SET', 'maxmemory', '0'));
  await protectedAgain(pair);
  await pair.same();
});

fault('27: the log is cut behind a standby’s back', unprotected.skipsGaps, async () => {
  const pair = await startPair(server.url, ROWS, { writer: { limits: { logBytes: 4096 } } });
  const draw = random(27);
  pair.sink.hasRoom = false;
  const before = pair.writer.status().counters.snapshots;
  for (let i = 0; i < 300 && pair.writer.status().counters.snapshots < before + 16; i++) {
    churn(pair.table, draw, 200);
    await breath();
  }
  expect(pair.writer.status().counters.snapshots).toBeGreaterThan(before);
  await pair.writer.drained();
  pair.sink.hasRoom = true;
  await pair.same();
  expect(pair.replay.counters.breaks.gap).toBeGreaterThan(0);
});

describe('33: a writer of a newer version', () => {
  test('is not read, and the standby says so', async () => {
    const pair = await startPair(server.url, ROWS);
    await server.with((client) => client.hset(shardKeys(GROUP, 1).fence, 'format', 2));
    await until(() => !pair.replay.eligibility().eligible, 'not eligible');
    expect(pair.replay.eligibility().reasons.map(({ code }) => code)).toContain('format');
    await server.with((client) => client.hset(shardKeys(GROUP, 1).fence, 'format', 1));
    await until(() => pair.replay.eligibility().eligible, 'eligible once it is of this version again', RECOVERY_MS);
    await pair.same();
  });
});

fault('35: a snapshot that was never finished', unprotected.loadsHalves, async () => {
  const table = new PlainTable(4096);
  for (let row = 0; row < 4096; row++) table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
  const first = writerOn(server.url, table);
  await first.begin(null);
  await first.seeded();
  await server.with((client) => client.hdel(shardKeys(GROUP, 2).snapshot(1, 1), '1'));
  const sink = new PlainReplica(4096);
  const replay = replayOn(server.url, sink);
  await until(() => replay.counters.breaks['chunk-missing'] > 0, 'the hole is seen', 3000);
  expect(replay.eligibility().eligible).toBe(false);
  await same(table, sink);
  await until(() => replay.eligibility().eligible, 'mended by a new snapshot', RECOVERY_MS);
});

test('35: a writer that died in the middle leaves nothing that is loaded, and nothing behind', async () => {
  const table = new PlainTable(8192);
  for (let row = 0; row < 8192; row++) table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
  const first = writerOn(server.url, table);
  await first.begin(null);
  first.close();
  const sink = new PlainReplica(8192);
  const replay = replayOn(server.url, sink);
  await until(() => replay.eligibility().reasons.some(({ code }) => code === 'no-snapshot'), 'no-snapshot');
  const second = writerOn(server.url, new PlainTable(8192));
  await second.begin(null);
  await second.seeded();
  await replay.synced();
  expect(sink.count).toBe(0);
  const keys = await server.with((client) => client.keys('*:snap:*'));
  expect(keys.filter((key) => key.includes(':snap:1:'))).toEqual([]);
});

fault('36: sessions end while the snapshot is written', unprotected.tellsNoEnds, async () => {
  const rows = 20_000;
  const table = new PlainTable(rows);
  for (let row = 0; row < rows; row++) table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
  const writer = writerOn(server.url, table);
  await writer.begin(null);
  const draw = random(36);
  let ended = 0;
  const seeded = writer.seeded().then(() => true);
  const pass = () => new Promise<false>((resolve) => setImmediate(() => resolve(false)));
  while (!(await Promise.race([seeded, pass()]))) {
    for (let i = 0; i < 20; i++) {
      const row = draw(rows);
      if (table.rows[row] === null) continue;
      table.end(row);
      ended++;
    }
  }
  expect(ended).toBeGreaterThan(100);
  const sink = new PlainReplica(rows);
  const replay = replayOn(server.url, sink);
  await replay.synced();
  await writer.drained();
  await until(() => sink.count === table.live, 'as many as there are', 5000);
  expect(sink.picture()).toEqual(table.picture());
});

fault('37: the pools of the two gateways differ', unprotected.ignoresConfigurations, async () => {
  const pair = await startPair(server.url, ROWS, { begin: false, replay: { configHash: 'other' } });
  churn(pair.table, random(37), 100);
  await pair.writer.begin(null);
  await pair.writer.seeded();
  await until(() => pair.replay.eligibility().reasons.some(({ code }) => code === 'config'), 'it is told');
  await breath(300);
  expect(pair.sink.count).toBe(0);
  pair.replay.reconfigure('c');
  await pair.same();
  await until(() => pair.replay.eligibility().eligible, 'eligible with the same configuration');
});

fault(
  '48: the same tuple in two epochs, and a writer that does not know it is over',
  unprotected.appendsUnfenced,
  async () => {
    const old = new PlainTable(ROWS);
    const next = new PlainTable(ROWS);
    const first = writerOn(server.url, old);
    await first.begin(1);
    await first.seeded();
    const sink = new PlainReplica(ROWS);
    const replay = replayOn(server.url, sink);
    old.open(3, { inside: 3, nat: 3, remote: 1, tcpState: 1 });
    await same(old, sink);
    old.end(3);
    await same(old, sink);
    const fenced = new Promise<number>((resolve) => {
      first.onFenced = ({ higherEpoch }) => resolve(higherEpoch);
    });
    const second = writerOn(server.url, next);
    await second.begin(2);
    await second.seeded();
    // Same row, same generation, same endpoint; another remote.
    next.open(3, { inside: 3, nat: 3, remote: 2, tcpState: 1 });
    await same(next, sink);
    old.open(3, { inside: 3, nat: 3, remote: 1, tcpState: 2 });
    first.flush();
    const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error('never fenced')), 3000));
    expect(await Promise.race([fenced, late])).toBe(2);
    expect(first.protection).toBe('UNPROTECTED');
    await breath(100);
    expect(sink.picture()).toEqual(next.picture());
    expect(replay.highestEpoch).toBe(2);
    // Nothing of the old one has reached what the new one wrote.
    const { gap, corrupt, regressed } = replay.counters.breaks;
    expect(gap + corrupt + regressed + second.status().counters.reseeds).toBe(0);
  },
);

test('a standby that has fenced the active drains what was acknowledged, and no more comes', async () => {
  const pair = await startPair(server.url, ROWS);
  churn(pair.table, random(50), 1000);
  await pair.writer.drained();
  const heir = writerOn(server.url, new PlainTable(ROWS));
  const heads = await heir.fence(pair.writer.epoch + 1);
  await pair.replay.drain(heads);
  expect(pair.replay.position()).toEqual(heads);
  expect(pair.sink.picture()).toEqual(pair.table.picture());
  churn(pair.table, random(51), 50);
  await until(() => pair.writer.protection === 'UNPROTECTED', 'the old one is fenced');
  expect(pair.writer.status().reasons[0].code).toBe('fenced');
});
