import { groupKeys, shardKeys } from '../../src/mirror/keys.js';
import { RECOVERY_MS, ROWS } from './fault.js';
import { GROUP, replayOn, same, startPair, writerOn } from './pair.js';
import { type RedisServer, until } from './redis-servers.js';
import { startForEachTest } from './server-of-test.js';
import { PlainReplica, PlainTable } from './tables.js';

let server: RedisServer;

startForEachTest((started) => {
  server = started;
});

const SHARD = 5;
const { log, fence, index } = shardKeys(GROUP, SHARD);
const { owner, blocks, applied, about } = groupKeys(GROUP);
const BLOCK = { scope: 0, protocol: 17, address: 0x0a000001, firstPort: 1024, lastPort: 1279 };
const NOBODYS_EPOCH = '1795299045828';

/** Redis is shared: whatever somebody else writes there must not end what works. */
test.each<[string, string[][]]>([
  ['an entry in a log, by the server’s clock', [['XADD', log, '*', 'b', 'garbage']]],
  [
    'a log of another kind',
    [
      ['DEL', log],
      ['SET', log, 'x'],
    ],
  ],
  ['a fence whose epoch is none', [['HSET', fence, 'epoch', 'abc']]],
  ['a fence whose epoch is nobody’s', [['HSET', fence, 'epoch', NOBODYS_EPOCH]]],
  ['a fence whose position is none', [['HSET', fence, 'lastSeq', 'abc', 'logEpoch', 'abc']]],
  ['a fence of another kind', [['SET', fence, 'x']]],
  ['an index of another kind', [['SET', index, 'x']]],
  ['an index whose start is none', [['HSET', index, 'startSeq', 'abc']]],
  ['an owner whose epoch is none', [['HSET', owner, 'epoch', 'abc']]],
  ['an owner whose epoch is nobody’s', [['HSET', owner, 'epoch', NOBODYS_EPOCH]]],
  ['an owner of another kind', [['SET', owner, 'x']]],
  ['blocks of another kind', [['SET', blocks, 'x']]],
  ['a block that is none', [['HSET', blocks, 'a', 'b']]],
  ['a standby that is none', [['HSET', applied, 'c', 'garbage']]],
  ['standbys of another kind', [['SET', applied, 'x']]],
  ['a name of another kind', [['SET', about, 'x']]],
])('what somebody else writes ends no mirror: %s', async (_what, commands) => {
  const pair = await startPair(server.url, ROWS);
  const fenced: string[] = [];
  pair.writer.onFenced = (error) => fenced.push(error.message);
  expect(await pair.writer.reserveBlocks([BLOCK])).toBeNull();
  const open = async (row: number) => {
    pair.table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
    await pair.same();
  };
  await open(SHARD);
  await server.with(async (client) => {
    for (const [name, ...words] of commands) await client.call(name, ...words);
  });
  await open(SHARD + 8);
  await until(() => pair.writer.protection === 'PROTECTED', 'protected', RECOVERY_MS);
  await until(() => pair.replay.eligibility().eligible, 'eligible', RECOVERY_MS);
  expect(Number.isSafeInteger(pair.replay.highestEpoch)).toBe(true);
  expect(fenced).toEqual([]);
  // The next one to lead finds its way too, also when the damage comes just before.
  pair.writer.close();
  await server.with(async (client) => {
    for (const [name, ...words] of commands) await client.call(name, ...words);
  });
  const next = writerOn(server.url, new PlainTable(ROWS));
  const epoch = pair.replay.highestEpoch + 1;
  await next.fence(epoch);
  await next.foreignBlocks(pair.replay.blocks);
  expect(await next.begin(epoch)).toBe(epoch);
  expect(epoch).toBe(2);
});

test('an index of which a number is none is written anew, for who comes later', async () => {
  const pair = await startPair(server.url, ROWS);
  pair.table.open(SHARD, { inside: SHARD, nat: SHARD, remote: 1, tcpState: 1 });
  await pair.same();
  await server.with((client) => client.hset(index, 'startSeq', 'abc'));
  const sink = new PlainReplica(ROWS);
  const late = replayOn(server.url, sink);
  await until(() => late.eligibility().eligible, 'the one that came later is eligible', RECOVERY_MS);
  await same(pair.table, sink);
  expect(await server.with((client) => client.hget(index, 'startSeq'))).toMatch(/^\d+$/);
});

test('a takeover does not wait for a last entry that somebody else has removed', async () => {
  const pair = await startPair(server.url, ROWS);
  pair.sink.hasRoom = false;
  for (const row of [SHARD, SHARD + 8]) {
    pair.table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
    await pair.writer.drained();
    await until(async () => (await server.with((client) => client.xlen(log))) > 0, 'an entry', RECOVERY_MS);
    // The standby has read the first entry, which waits for room.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await server.with(async (client) => client.xdel(log, (await client.xrevrange(log, '+', '-', 'COUNT', 1))[0][0]));
  const heads = await writerOn(server.url, new PlainTable(ROWS)).fence(2);
  const drained = pair.replay.drain(heads).then(
    () => 'complete',
    (error: Error) => error.name,
  );
  pair.sink.hasRoom = true;
  expect(await drained).toBe('DrainError');
});
