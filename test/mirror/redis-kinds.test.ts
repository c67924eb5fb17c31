import { shardKeys } from '../../src/mirror/keys.js';
import { churn, fault, lateStandbyIsSame, RECOVERY_MS, ROWS } from './fault.js';
import { GROUP, startPair } from './pair.js';
import { RedisServer, startCluster, startSentinelGroup, until } from './redis-servers.js';
import { endWithEachTest } from './server-of-test.js';
import { random } from './tables.js';
import * as unprotected from './unprotected.js';

/** A failover that three sentinels agree on takes some seconds. */
const FAILOVER_MS = 45_000;

endWithEachTest();

async function sentinelsFailOverToALaggingReplica(): Promise<void> {
  const { master, replica, url } = await startSentinelGroup();
  const pair = await startPair(url, ROWS);
  const draw = random(11);
  churn(pair.table, draw, 300);
  await pair.same();
  // The replica goes with what it has, and comes back with that when the master is gone.
  await until(async () => {
    const positions = await Promise.all(
      [master, replica].map((node) => node.with((client) => client.hget(shardKeys(GROUP, 0).fence, 'lastSeq'))),
    );
    return positions[0] === positions[1];
  }, 'the replica follows');
  await replica.with((client) => client.save());
  await replica.kill();
  for (let i = 0; i < 20; i++) {
    churn(pair.table, draw, 60);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await pair.same();
  await master.kill();
  await replica.run();
  churn(pair.table, draw, 50);
  await until(
    () => replica.with(async (client) => String(await client.info('replication')).includes('role:master')),
    'the sentinels have agreed',
    FAILOVER_MS,
  );
  await until(
    () => pair.writer.protection === 'PROTECTED' && pair.writer.status().counters.reseeds > 0,
    'filled anew on the new master',
    RECOVERY_MS,
  );
  await pair.same();
  await lateStandbyIsSame(url, pair.table);
}

fault(
  '11: sentinels fail over to a replica that lags',
  unprotected.appendsUnfenced,
  sentinelsFailOverToALaggingReplica,
  120_000,
);

test('a cluster of three: shards on each, one node loses everything and only its shards are written anew', async () => {
  const { nodes, url } = await startCluster();
  const pair = await startPair(url, ROWS);
  const draw = random(3);
  churn(pair.table, draw, 800);
  await pair.same();
  const held = await Promise.all(
    nodes.map((node) => node.with(async (client) => (await client.keys('*:fence')).length)),
  );
  expect(held.reduce((sum, count) => sum + count, 0)).toBe(8);
  expect(Math.min(...held)).toBeGreaterThan(0);
  await nodes[1].with((client) => client.flushall());
  churn(pair.table, draw, 200);
  await until(() => pair.writer.status().counters.reseeds === held[1], 'its shards, and no others', 10_000);
  await until(() => pair.writer.protection === 'PROTECTED', 'PROTECTED', 10_000);
  await pair.same();
  await lateStandbyIsSame(url, pair.table);
}, 60_000);

test('a cluster one node of which is away: its shards wait, the others go on, and it is made up for', async () => {
  const { nodes, url } = await startCluster();
  const pair = await startPair(url, ROWS);
  churn(pair.table, random(4), 300);
  await pair.same();
  const mine = await nodes[2].with(async (client) =>
    (await client.keys('*:fence')).map((key) => Number(/s(\d\d)}/.exec(key)?.[1])),
  );
  await nodes[2].kill();
  const other = [0, 1, 2, 3, 4, 5, 6, 7].find((shard) => !mine.includes(shard)) as number;
  const free = (shard: number) => pair.table.rows.findIndex((session, row) => session === null && row % 8 === shard);
  pair.table.open(free(other), { inside: 10_001, nat: 10_001, remote: 1, tcpState: 1 });
  pair.table.open(free(mine[0]), { inside: 10_002, nat: 10_002, remote: 1, tcpState: 1 });
  await until(() => pair.sink.picture().some((text) => text.startsWith('10001 ')), 'a shard elsewhere goes on', 10_000);
  await until(() => pair.writer.protection !== 'PROTECTED', 'it is told');
  await nodes[2].run();
  await until(() => pair.writer.protection === 'PROTECTED', 'PROTECTED', 20_000);
  await pair.same();
}, 60_000);

test('a single Redis that is not there at first', async () => {
  const server = await RedisServer.start();
  await server.kill();
  const pair = await startPair(server.url, ROWS, { begin: false });
  churn(pair.table, random(5), 200);
  const begun = pair.writer.begin(null);
  await until(() => pair.writer.protection === 'UNPROTECTED', 'UNPROTECTED');
  await server.run();
  await begun;
  await pair.same();
});
