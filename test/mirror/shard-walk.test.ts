import { BatchReader, R } from '../../src/mirror/batch.js';
import { redisConnector } from '../../src/mirror/connect.js';
import { shardKeys } from '../../src/mirror/keys.js';
import { MirrorFault } from '../../src/mirror/mirror-fault.js';
import { ShardWalk } from '../../src/mirror/shard-walk.js';
import type { RedisConnection } from '../../src/mirror/types.js';
import { closeAll, GROUP, writerOn } from './pair.js';
import { hasRedis, RedisServer, stopAll, until } from './redis-servers.js';
import { PlainTable, random } from './tables.js';

const SHARDS = 8;
const ROWS = 4096;

(hasRedis ? describe : describe.skip)('what a mirror holds is read as a stream', () => {
  let server: RedisServer;
  let url: string;
  let connection: RedisConnection;

  beforeEach(async () => {
    server = await RedisServer.start();
    url = `redis://127.0.0.1:${server.port}`;
    connection = redisConnector(url).connect('snapshot');
    await until(() => connection.status === 'ready', 'connected');
  });
  afterEach(async () => {
    connection.disconnect();
    closeAll();
    await stopAll();
  });

  /** Each told session as a line; `between` is called after each slice. */
  async function read(between: (slice: number) => Promise<void> | void = () => undefined): Promise<string[]> {
    const told: string[] = [];
    let slices = 0;
    for (let shard = 0; shard < SHARDS; shard++) {
      const walk = new ShardWalk(connection, GROUP, shard, SHARDS, 'c', new BatchReader(SHARDS));
      for await (const { words, at } of walk.slices()) {
        for (const word of at) {
          told.push(`${words[word + R.row]} ${words[word + R.generation]} ${words[word] >>> 24}`);
        }
        await between(slices++);
      }
    }
    return told;
  }

  const picture = (table: PlainTable) =>
    table.rows.flatMap((session, row) =>
      session === null ? [] : [`${row} ${table.generations[row]} ${session.tcpState}`],
    );

  function churn(table: PlainTable, draw: (below: number) => number, steps: number): void {
    for (let i = 0; i < steps; i++) {
      const row = draw(ROWS);
      if (table.rows[row] === null) table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
      else if (draw(2) === 0) table.end(row);
      else table.change(row, 1 + draw(5));
    }
  }

  test('every live session once as it is now, whether snapshot, log or both tell of it', async () => {
    const table = new PlainTable(ROWS);
    const draw = random(1);
    churn(table, draw, 5000);
    const writer = writerOn(url, table);
    await writer.begin(null);
    await writer.seeded();
    await writer.drained();
    expect((await read()).sort()).toEqual(picture(table).sort());
    for (let round = 0; round < 4; round++) {
      churn(table, draw, 2000);
      await writer.drained();
      expect((await read()).sort()).toEqual(picture(table).sort());
    }
    expect(await connection.xlen(shardKeys(GROUP, 3).log)).toBeGreaterThan(1);
    expect(picture(table).length).toBeGreaterThan(1000);
  }, 60_000);

  test('a session that lives all the time once, though others come and go and the snapshot is replaced meanwhile', async () => {
    const table = new PlainTable(ROWS);
    const stays = (row: number) => (row >> 3) % 2 === 0;
    for (let row = 0; row < ROWS; row++)
      if (stays(row)) table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
    const lasting = picture(table);
    const writer = writerOn(url, table, { limits: { logBytes: 16_384 } });
    await writer.begin(null);
    await writer.seeded();
    const { index } = shardKeys(GROUP, 0);
    const before = await connection.hget(index, 'key');
    const told = await read(async (slice) => {
      if (slice > 4) return;
      // So much that logs are cut and snapshots written anew.
      for (let i = 0; i < 40; i++) {
        for (let row = 0; row < ROWS; row++) {
          if (stays(row)) continue;
          if (table.rows[row] === null) table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
          else table.end(row);
        }
        await writer.drained();
      }
    });
    expect(await connection.hget(index, 'key')).not.toBe(before);
    expect(new Set(told.map((line) => line.split(' ')[0])).size).toBe(told.length);
    expect(told.filter((line) => stays(Number(line.split(' ')[0]))).sort()).toEqual(lasting.sort());
  }, 60_000);

  test('a log with a hole and a damaged snapshot are not read in part: it says which shard', async () => {
    const table = new PlainTable(ROWS);
    churn(table, random(2), 3000);
    const writer = writerOn(url, table);
    await writer.begin(null);
    await writer.seeded();
    for (let i = 0; i < 5; i++) {
      table.change(
        table.rows.findIndex((session, row) => session !== null && row % SHARDS === 2),
        i + 1,
      );
      await writer.drained();
    }
    writer.close();
    const { log, index } = shardKeys(GROUP, 2);
    const entries = await connection.xrange(log, '-', '+');
    await connection.xdel(log, entries[entries.length - 3][0]);
    await expect(read()).rejects.toThrow(new MirrorFault('the mirror cannot be read: shard 2: its log has a gap'));
    await connection.xtrim(log, 'MAXLEN', 0);
    await expect(read()).rejects.toThrow('shard 2: its log has a gap');
    const key = (await connection.hget(shardKeys(GROUP, 1).index, 'key')) ?? '';
    await connection.hdel(key, '0');
    await expect(read()).rejects.toThrow('shard 1: its snapshot has been replaced');
    await connection.del(index);
    await connection.del(shardKeys(GROUP, 0).index);
    await expect(read()).rejects.toThrow('shard 0: it is being written anew');
  }, 60_000);
});
