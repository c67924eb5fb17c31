import { join } from 'node:path';
import type { ShardStart } from '../../../src/controller/shards/messages.js';
import { ShardThread } from '../../../src/controller/shards/shard-thread.js';

function begin(level: string) {
  const deaths: string[] = [];
  const thread = new ShardThread(
    join(__dirname, 'mortal-thread.cjs'),
    { index: 3, level } as ShardStart,
    [],
    () => undefined,
    (fault) => deaths.push(fault.message),
  );
  return { thread, deaths };
}

const ask = (thread: ShardThread, url: string) => thread.ask({ method: 'GET', url });

test('answers come to whoever asked, and a thread that was to end has not died', async () => {
  const { thread, deaths } = begin('well');
  await thread.ready;
  await thread.start();
  const answers = await Promise.all([ask(thread, '/a'), ask(thread, '/b')]);
  expect(answers.map(({ body }) => [...body])).toEqual([[1], [2]]);
  await thread.close();
  await thread.close();
  await expect(ask(thread, '/c')).rejects.toThrow('the gateway ends');
  expect(deaths).toEqual([]);
});

test.each([
  ['throws', 'something is broken'],
  ['exits', 'its thread has ended with 7'],
])('one that %s is told of once, and everybody who waits for it too', async (level, fault) => {
  const { thread, deaths } = begin(level);
  await thread.ready;
  await expect(Promise.all([ask(thread, '/die'), thread.measure()])).rejects.toThrow(fault);
  await expect(thread.start()).rejects.toThrow(fault);
  await expect(ask(thread, '/late')).rejects.toThrow(fault);
  await thread.close();
  expect(deaths).toEqual([fault]);
});

test('one that does not begin says why', async () => {
  const deaths: string[] = [];
  const start = { index: 0, level: '' } as ShardStart;
  const file = join(__dirname, 'no-such-file.cjs');
  const thread = new ShardThread(
    file,
    start,
    [],
    () => undefined,
    ({ message }) => deaths.push(message),
  );
  await expect(thread.ready).rejects.toThrow('no-such-file');
  await thread.close();
  expect(deaths).toHaveLength(1);
});

test('one that does not end when it is asked to is ended', async () => {
  const { thread, deaths } = begin('stubborn');
  await thread.ready;
  await thread.close();
  expect(deaths).toEqual([]);
});
