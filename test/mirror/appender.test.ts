import { runAppend } from '../../src/mirror/append-command.js';
import { Appender } from '../../src/mirror/appender.js';
import { shardKeys } from '../../src/mirror/keys.js';
import type { Answer } from '../../src/mirror/scripts.js';
import { GROUP, startPair } from './pair.js';
import { type RedisServer, until } from './redis-servers.js';
import { startForAllTests } from './server-of-test.js';

let server: RedisServer;
startForAllTests((started) => {
  server = started;
});

const SHARDS = 8;

/** How often the server has run commands since its statistics were reset; those in scripts count. */
function runsOf(...commands: string[]): Promise<readonly number[]> {
  return server.with(async (client) => {
    const told = await client.info('commandstats');
    return commands.map((command) => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(told)?.[1] ?? 0));
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
  expect(await runsOf('evalsha')).toEqual([1]);
  await pair.same();
});

test('the writer asks for the whole group in one command, which writes nothing', async () => {
  await startPair(server.url);
  await server.with((client) => client.config('RESETSTAT'));
  let [scripts, asked] = [0, 0];
  const hasAsked = async () => {
    [scripts, asked] = await runsOf('evalsha_ro', 'hmget');
    return scripts >= 4;
  };
  await until(hasAsked, 'it has asked four times', 20_000);
  // Of each shard its fence and its index, and the group's owner.
  expect(asked).toBe(scripts * (2 * SHARDS + 1));
});

test('of batches in one command each is judged alone', async () => {
  const pair = await startPair(server.url);
  const datasets = pair.writer.status().shards.map(({ dataset }) => dataset);
  const { epoch } = pair.writer;
  const keys = [0, 1, 2, 3].map((shard) => shardKeys(GROUP, shard));
  await server.with(async (client) => {
    // Shard 0 is another epoch's, shard 1 has another dataset, shard 2 lacks a batch, shard 3 is as it should be.
    await client.hset(keys[0].fence, 'epoch', epoch + 5);
    const batch = (shard: number, dataset: string, sequence: number) => ({
      keys: keys[shard],
      dataset,
      sequence,
      blob: Buffer.from('x'),
    });
    const answers = await runAppend(client, epoch, [
      batch(0, datasets[0], 1),
      batch(1, 'another', 1),
      batch(2, datasets[2], 2),
      batch(3, datasets[3], 1),
    ]);
    expect(answers.map((answer) => answer.map(String))).toEqual([
      ['FENCED', String(epoch + 5)],
      ['WRONG_DATASET'],
      ['GAP', '0'],
      ['OK'],
    ]);
    expect(await Promise.all(keys.map(({ log }) => client.xlen(log)))).toEqual([0, 0, 0, 1]);
    expect(await client.hget(keys[3].fence, 'lastSeq')).toBe('1');
    const [doubled, next] = await runAppend(client, epoch, [batch(3, datasets[3], 1), batch(3, datasets[3], 2)]);
    expect([String(doubled[0]), String(next[0])]).toEqual(['DUP', 'OK']);
    const taken = await runAppend(client, epoch, [batch(2, datasets[2], 1), batch(3, datasets[3], 3)]);
    expect(taken.map((answer) => answer.map(String))).toEqual([['OK'], ['OK']]);
  });
});

test('batches of two epochs never share a command', async () => {
  const keys = shardKeys(GROUP, 0);
  await server.with(async (client) => {
    await client.hset(keys.fence, 'epoch', 2, 'dataset', 'd', 'lastSeq', 0);
    const appender = new Appender(client, true, true);
    const answered = (epoch: number, sequence: number) =>
      new Promise<string>((resolve, reject) => {
        const blob = Buffer.from('x');
        const answered = ([verdict]: Answer) => resolve(String(verdict));
        const how = { isFull: false, isWanted: () => true, answered, failed: reject };
        appender.send({ keys, epoch, dataset: 'd', sequence, blob, ...how });
      });
    expect(await Promise.all([answered(1, 1), answered(2, 1), answered(2, 2)])).toEqual(['FENCED', 'OK', 'OK']);
  });
});

test('keys of any letters, and a server that does not know the script', async () => {
  const keys = shardKeys('Gruppe Süd', 0);
  await server.with(async (client) => {
    await client.script('FLUSH');
    await client.hset(keys.fence, 'epoch', 1, 'dataset', 'd', 'lastSeq', 0);
    const batch = { keys, dataset: 'd', sequence: 1, blob: Buffer.from([0, 255, 13, 10]) };
    expect((await runAppend(client, 1, [batch])).map(String)).toEqual(['OK']);
    const [[id, fields]] = await client.xrangeBuffer(keys.log, '-', '+');
    expect([String(id), fields[1]]).toEqual(['1-1', batch.blob]);
  });
});
