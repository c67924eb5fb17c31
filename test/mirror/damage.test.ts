import { BatchReader } from '../../src/mirror/batch.js';
import { BlockLedger } from '../../src/mirror/block-ledger.js';
import { crc32c } from '../../src/mirror/crc32c.js';
import { shardKeys } from '../../src/mirror/keys.js';
import { LogFollower } from '../../src/mirror/log-follower.js';
import { blockText } from '../../src/mirror/port-block-text.js';
import { MirrorBatch, MirrorRecord } from '../../src/mirror/records.js';
import { churn, fault, lateStandbyIsSame, RECOVERY_MS, ROWS } from './fault.js';
import { GROUP, type Pair, same, startPair } from './pair.js';
import { type RedisServer, until } from './redis-servers.js';
import { startForEachTest } from './server-of-test.js';
import { random } from './tables.js';
import * as unprotected from './unprotected.js';

let server: RedisServer;

startForEachTest((started) => {
  server = started;
});

const SHARD = 5;
const { log } = shardKeys(GROUP, SHARD);

/** The standby reads a batch that has been damaged in Redis. @returns sessions that it has taken for true and that never were */
async function readsDamaged(pair: Pair, damage: (blob: Buffer) => Buffer): Promise<string[]> {
  const { table, sink, writer } = pair;
  const wrong: string[] = [];
  const look = () => {
    for (const { inside, nat } of sink.sessions.values()) if (inside !== nat) wrong.push(`${inside} ${nat}`);
  };
  const reloads = pair.replay.counters.reloads;
  sink.hasRoom = false;
  for (const row of [SHARD, SHARD + 8, SHARD + 16]) {
    table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
    await writer.drained();
  }
  await server.with(async (client) => {
    const entries = await client.xrangeBuffer(log, '-', '+');
    const [last, before] = [entries[entries.length - 1], entries[entries.length - 2]];
    await client.xdel(log, last[0]);
    await client.call('XSETID', log, before[0]);
    await client.xadd(log, last[0].toString(), 'b', damage(last[1][1]));
  });
  const adopt = sink.adopt.bind(sink);
  sink.adopt = (words, at, index) => {
    const row = adopt(words, at, index);
    look();
    return row;
  };
  sink.hasRoom = true;
  await until(() => pair.replay.counters.reloads > reloads, 'it loads what is true', 3000);
  await pair.same();
  return wrong;
}

/** Checksums are made right before anybody looks at them. */
function mendsChecksums(): () => void {
  const { open } = BatchReader.prototype;
  BatchReader.prototype.open = function (blob) {
    const mended = Buffer.from(new Uint8Array(blob).buffer);
    const words = new Int32Array(mended.buffer, 0, blob.length >>> 2);
    words[MirrorBatch.crc / 4] = crc32c(words, MirrorBatch.format / 4, words.length);
    return open.call(this, mended);
  };
  return () => {
    BatchReader.prototype.open = open;
  };
}

fault('31: a bit of a batch flips', mendsChecksums, async () => {
  const pair = await startPair(server.url, ROWS);
  const wrong = await readsDamaged(pair, (blob) => {
    const flipped = Buffer.from(blob);
    flipped[flipped.length - MirrorRecord.size + MirrorRecord.forwardSource + 1] ^= 8;
    return flipped;
  });
  expect(wrong).toEqual([]);
  expect(pair.replay.counters.breaks.corrupt).toBeGreaterThan(0);
  await until(() => pair.replay.eligibility().eligible, 'eligible again', RECOVERY_MS);
});

fault('32: a batch is cut off', unprotected.skipsGaps, async () => {
  const pair = await startPair(server.url, ROWS);
  expect(await readsDamaged(pair, (blob) => blob.subarray(0, blob.length - 64))).toEqual([]);
  expect(pair.replay.counters.breaks.corrupt).toBeGreaterThan(0);
  await until(() => pair.replay.eligibility().eligible, 'eligible again', RECOVERY_MS);
});

fault('an idle log has lost its last entry', unprotected.keepsHolesToItself, async () => {
  const pair = await startPair(server.url, ROWS);
  pair.sink.hasRoom = false;
  for (const row of [SHARD, SHARD + 8]) {
    pair.table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
    await pair.writer.drained();
    // The first entry has been read, and waits for room; the second has not.
    await until(async () => (await server.with((client) => client.xlen(log))) > 0, 'an entry', RECOVERY_MS);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await server.with(async (client) => client.xdel(log, (await client.xrevrange(log, '+', '-', 'COUNT', 1))[0][0]));
  pair.sink.hasRoom = true;
  await until(() => pair.replay.counters.breaks.gap > 0, 'the hole is seen', RECOVERY_MS);
  const isWhole = () => pair.sink.picture().length === pair.table.picture().length;
  let trusted = 0;
  await until(
    () => {
      if (!isWhole() && pair.replay.eligibility().eligible) trusted++;
      return isWhole();
    },
    'the hole is mended',
    RECOVERY_MS,
  );
  // Loading the same snapshot again brings the same hole, whatever time passes.
  expect(trusted).toBe(0);
  await pair.same();
  await until(() => pair.replay.eligibility().eligible, 'eligible again', RECOVERY_MS);
});

fault('a second standby finds a chunk of the snapshot gone', unprotected.hearsOneStandby, async () => {
  const pair = await startPair(server.url, ROWS, { begin: false });
  churn(pair.table, random(1), 2 * ROWS);
  await pair.writer.begin(null);
  await pair.same();
  await server.with(async (client) => {
    const key = await client.hget(shardKeys(GROUP, SHARD).index, 'key');
    expect(await client.hdel(key ?? '', '0')).toBe(1);
  });
  await lateStandbyIsSame(server.url, pair.table);
});

/** A reader that, once it has lost its connection, goes on with what comes next. */
function goesOnWithTheNext(): () => void {
  const prototype = LogFollower.prototype as unknown as { readAll: (...given: unknown[]) => Promise<number> };
  const { readAll } = prototype;
  let wasLost = false;
  prototype.readAll = async function (connection, following) {
    if (wasLost) {
      for (const part of following as { position: { epoch: number; sequence: number }; head: { sequence: number } }[]) {
        part.position = { ...part.position, sequence: part.head.sequence };
      }
      wasLost = false;
    }
    return readAll.call(this, connection, following).catch((error: Error) => {
      wasLost = true;
      throw error;
    });
  };
  return () => {
    prototype.readAll = readAll;
  };
}

fault('26: Redis disconnects a reader whose replies fill its buffer', goesOnWithTheNext, async () => {
  const pair = await startPair(server.url, ROWS);
  const draw = random(26);
  pair.sink.hasRoom = false;
  for (let i = 0; i < 200; i++) {
    churn(pair.table, draw, 60);
    await pair.writer.drained();
  }
  await server.with(async (client) => {
    const connections = async () => Number(/total_connections_received:(\d+)/.exec(await client.info('stats'))?.[1]);
    const before = await connections();
    const reloads = pair.replay.counters.reloads;
    await client.config('SET', 'client-output-buffer-limit', 'normal 20000 0 0');
    pair.sink.hasRoom = true;
    await until(async () => (await connections()) > before, 'the reader was disconnected, and comes again');
    await client.config('SET', 'client-output-buffer-limit', 'normal 0 0 0');
    // All of the log, not a new snapshot: nothing of it was missing.
    await pair.same();
    expect(pair.replay.counters.reloads).toBe(reloads);
  });
});

/** A writer that never looks whether Redis still has its port blocks. */
const { compare } = BlockLedger.prototype;
afterEach(() => {
  BlockLedger.prototype.compare = compare;
});

function forgetsBlocks(): () => void {
  BlockLedger.prototype.compare = async () => undefined;
  return () => {
    BlockLedger.prototype.compare = compare;
  };
}

fault('51: reserved port blocks are lost in a failover of Redis', forgetsBlocks, async () => {
  const pair = await startPair(server.url, ROWS);
  const block = (firstPort: number) => ({
    scope: 0,
    protocol: 6,
    address: 0xcb007110,
    firstPort,
    lastPort: firstPort + 511,
  });
  await pair.writer.foreignBlocks(null);
  expect(await pair.writer.reserveBlocks([block(1024)])).toBeNull();
  await server.with((client) => client.save());
  expect(await pair.writer.reserveBlocks([block(2048), block(4096)])).toBeNull();
  await server.restart(); // From the dump, as a replica that lagged: one block.
  const stored = () => server.with(async (client) => Object.keys(await client.hgetall(`{${GROUP}}:blocks`)));
  const all = [1024, 2048, 4096].map((port) => blockText(block(port))).sort();
  await until(async () => (await stored()).length === 3, 'all blocks are there again', 3000);
  expect((await stored()).sort()).toEqual(all);
  // Lost once more, and the next reservation comes before anybody has looked.
  BlockLedger.prototype.compare = async () => undefined;
  await server.with((client) => client.del(`{${GROUP}}:blocks`, `{${GROUP}}:owner`));
  expect(await pair.writer.reserveBlocks([block(8192)])).toBeNull();
  expect((await stored()).sort()).toEqual([...all, blockText(block(8192))].sort());
  await lateStandbyIsSame(server.url, pair.table);
  await same(pair.table, pair.sink);
});
