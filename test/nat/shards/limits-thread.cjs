// Takes and gives back what several threads share, as fast as it can, and looks whether anybody has more than there is.
const { workerData } = require('node:worker_threads');
const { SharedLimits } = require('../../../dist/src/nat/shards/shared-limits.js');
const { SharedTable } = require('../../../dist/src/nat/shards/shared-table.js');

const { vpcs, maxSessions, memory, table, owners, live, rounds, index } = workerData;
const limits = new SharedLimits(memory, maxSessions);
const claims = new SharedTable(table);
const isOwned = new Int32Array(owners);
const counts = new Int32Array(live);
let state = index + 1;
const below = (bound) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
};
const check = (right, what) => {
  if (!right) throw new Error(what);
};

for (let round = 0; round < rounds; round++) {
  const vpc = vpcs[below(vpcs.length)];
  const address = below(3);
  if (limits.take(vpc, address, 0) === 0) {
    // Counted after it was taken and before it is given back: never more than there are.
    const ofVpc = Atomics.add(counts, vpc.index, 1) + 1;
    const ofAddress = Atomics.add(counts, 16 + vpc.index * 4 + address, 1) + 1;
    const all = Atomics.add(counts, 15, 1) + 1;
    check(ofVpc <= vpc.limits.sessions, `${ofVpc} sessions of a VPC`);
    check(ofAddress <= vpc.limits.sessionsPerAddress, `${ofAddress} sessions of an address`);
    check(all <= maxSessions, `${all} sessions`);
    Atomics.sub(counts, vpc.index, 1);
    Atomics.sub(counts, 16 + vpc.index * 4 + address, 1);
    Atomics.sub(counts, 15, 1);
    limits.giveBack(vpc, address);
  }
  const key = below(isOwned.length);
  if (claims.claim(key, 7, key * 3, index + 1)) {
    check(Atomics.exchange(isOwned, key, 1) === 0, `${key} has two owners`);
    check(claims.get(key, 7, key * 3) === index + 1, `${key} is another's`);
    Atomics.store(isOwned, key, 0);
    claims.delete(key, 7, key * 3);
  }
}
