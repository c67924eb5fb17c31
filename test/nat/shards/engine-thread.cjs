// A NAT engine of a gateway with several, in a thread of its own. Its hosts' first packets come at once; what it and the
// others say to each other goes through the main thread. Says which endpoints it gave, once every packet is decided on.
const { parentPort, workerData } = require('node:worker_threads');
const { NatEngine } = require('../../../dist/src/nat/engine.js');
const { NativeRows } = require('../../../dist/src/nat/session-timers.js');
const { rowsOfShard } = require('../../../dist/src/nat/shards/shared-state.js');

const { config, memory, index, misses, rowBytes } = workerData;
const given = [];
let refused = 0;
const told = () => {
  if (given.length / 2 + refused === misses.length) parentPort.postMessage({ kind: 'done', given, refused });
};
const sink = {
  session(_hold, { facts }) {
    given.push(facts.translatedSource, facts.translatedSourcePort);
    told();
  },
  drop() {
    refused++;
    told();
  },
  icmpError() {
    refused++;
    told();
  },
};
const mail = {
  toDealer: (message) => parentPort.postMessage({ kind: 'mail', to: -1, message }),
  toEngine: (to, message) => parentPort.postMessage({ kind: 'mail', to, message }),
};
const rows = new NativeRows(new ArrayBuffer(rowsOfShard(config.nat.maxSessions, memory.shards) * rowBytes));
const engine = new NatEngine(config, rows, sink, undefined, undefined, { index, memory, mail });
parentPort.on('message', (message) => engine.receive(message));
for (const words of misses) {
  engine.touch(words, 0, 0);
  engine.onMiss(words, 0, 0);
}
