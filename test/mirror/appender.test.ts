import { shardKeys } from '../../src/mirror/keys.js';
import { runAppend } from '../../src/mirror/scripts.js';
import { closeAll, GROUP, startPair } from './pair.js';
import { RedisServer, stopAll } from './redis-servers.js';

afterEach(closeAll);
afterAll(stopAll);

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
beforeEach(() => server.with((client) => client.flushall()));

const SHARDS = 8;

/** Scripts that the server has run since its statistics were reset. */
function scriptsRun(): Promise<number> {
  return server.with(async (client) => {
    const calls = /cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'));
    return Number(calls?.[1] ?? 0);
  });
}

test('changes of all shards that gathered together go in one command', async () => {
  const pair = await startPair(server.url);
  await pair.writer.drained();
  await server.with((client) => client.config('RESETSTAT'));
  for (let row = 0; row < 3 * SHARDS; row++) {
    pair.table.open(row, { inside: row, nat: row, remote: 1, tcpState: 1 });
  }
  await pair.writer.drained();
  expect(pair.writer.status().shards.map(({ redis }) => redis)).toEqual(Array(SHARDS).fill(1));
  expect(await scriptsRun()).toBe(1);
  await pair.same();
});

test('of batches in one command each is judged alone', async () => {
  const pair = await startPair(server.url);
  const datasets = pair.writer.status().shards.map(({ dataset }) => dataset);
  const { epoch } = pair.writer;
  const keys = [0, 1, 2, 3].map((shard) => shardKeys(GROUP, shard));
  await server.with(async (client) => {
    // Shard 0 is another epoch's, shard 1 has another dataset, shard 2 lacks a batch, shard 3 is as it should be.
    await client.hset(keys[0].fence, 'epoch', epoch + 5);
    const all = keys.flatMap(({ fence, log }) => [fence, log]);
    const batches = [datasets[0], 1, 'x', 'another', 1, 'x', datasets[2], 2, 'x', datasets[3], 1, 'x'];
    const answers = await runAppend(client, all, [epoch, ...batches]);
    expect(answers.map((answer) => answer.map(String))).toEqual([
      ['FENCED', String(epoch + 5)],
      ['WRONG_DATASET'],
      ['GAP', '0'],
      ['OK'],
    ]);
    expect(await Promise.all(keys.map(({ log }) => client.xlen(log)))).toEqual([0, 0, 0, 1]);
    expect(await client.hget(keys[3].fence, 'lastSeq')).toBe('1');
    const [doubled, next] = await runAppend(
      client,
      [keys[3].fence, keys[3].log, keys[3].fence, keys[3].log],
      [epoch, datasets[3], 1, 'x', datasets[3], 2, 'y'],
    );
    expect([String(doubled[0]), String(next[0])]).toEqual(['DUP', 'OK']);
  });
});
