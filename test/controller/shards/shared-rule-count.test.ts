import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { RuleCount } from '../../../src/controller/rule-count.js';
import { ruleCountMemory, SharedRuleCount } from '../../../src/controller/shards/shared-rule-count.js';

test.each([
  ['alone', () => new RuleCount()],
  ['shared', () => new SharedRuleCount(ruleCountMemory())],
])('a count that is %s never goes above the limit and knows its peak', (_, make) => {
  const count = make();
  expect([count.take(2, 5), count.take(2, 5), count.take(2, 5), count.take(1, 5)]).toEqual([true, true, false, true]);
  expect([count.wanted, count.most]).toEqual([5, 5]);
  count.giveBack(3);
  expect([count.wanted, count.most]).toEqual([2, 5]);
  // A limit that has become lower takes nothing away.
  expect(count.take(1, 1)).toBe(false);
  expect(count.wanted).toBe(2);
});

test('threads that count together never have more than the limit, and leave nothing', async () => {
  const memory = ruleCountMemory();
  const live = new SharedArrayBuffer(4);
  const data = { memory, live, limit: 5, rounds: 100_000 };
  await Promise.all(
    [1, 2, 3].map(
      (seed) =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(join(__dirname, 'rule-count-thread.cjs'), { workerData: { ...data, seed } });
          worker.once('error', reject);
          worker.once('exit', () => resolve());
        }),
    ),
  );
  const count = new SharedRuleCount(memory);
  expect(count.wanted).toBe(0);
  expect(count.most).toBeGreaterThanOrEqual(2);
  expect(count.most).toBeLessThanOrEqual(5);
});
