// Takes and gives back rules as fast as it can, and looks whether anybody has more than there may be.
const { workerData } = require('node:worker_threads');
const { SharedRuleCount } = require('../../../dist/src/controller/shards/shared-rule-count.js');

const { memory, live, limit, rounds, seed } = workerData;
const count = new SharedRuleCount(memory);
const taken = new Int32Array(live);
for (let round = 0; round < rounds; round++) {
  const rules = 1 + ((round + seed) & 1);
  if (!count.take(rules, limit)) continue;
  // Counted after it was taken and before it is given back: never more than there are.
  if (Atomics.add(taken, 0, rules) + rules > limit) throw new Error('more rules than there may be');
  Atomics.sub(taken, 0, rules);
  count.giveBack(rules);
}
