// Adds entries to a small table and takes them away, so that others move all the time.
const { parentPort, workerData } = require('node:worker_threads');
const { SharedTable } = require('../../../dist/src/nat/shards/shared-table.js');

const { memory, state, rounds, passing } = workerData;
const table = new SharedTable(memory);
const done = new Int32Array(state);
let random = 7;
const below = (bound) => {
  random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
  return Math.floor((random / 2 ** 32) * bound);
};
parentPort.postMessage('begun');
try {
  for (let round = 0; round < rounds; round++) {
    const key = below(passing);
    if (!table.claim(key, 1, key, key + 1)) table.delete(key, 1, key);
  }
  for (let key = 0; key < passing; key++) table.delete(key, 1, key);
} finally {
  Atomics.store(done, 0, 1);
}
