// Preloaded into a gateway: a peer that is not heard any more over the direct way is taken to be dead, as without a lease.
'use strict';
const { join } = require('node:path');
const { LeaseKeeper } = require(join(__dirname, '../../../dist/src/ha/lease-keeper.js'));
const { monotonicMs } = require(join(__dirname, '../../../dist/src/ha/clock.js'));
const HEARTBEAT_MS = 200;
const { takeOverIfFree } = LeaseKeeper.prototype;
let wasHeard = false;
LeaseKeeper.prototype.takeOverIfFree = function () {
  const isHeard = this.options.peer.alive(monotonicMs(), HEARTBEAT_MS) !== null;
  if (wasHeard && !isHeard) this.silence.silentMs = () => Infinity;
  wasHeard ||= isHeard;
  return takeOverIfFree.call(this);
};
