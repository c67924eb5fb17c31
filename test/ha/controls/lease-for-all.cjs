// Preloaded into a gateway: it takes every answer about the lease for a yes, and the mirror has no fence.
'use strict';
const { join } = require('node:path');
require('./no-port-blocks.cjs');
const { LeaseStore } = require(join(__dirname, '../../../dist/src/ha/lease-store.js'));
const { HolderSilence } = require(join(__dirname, '../../../dist/src/ha/silence.js'));
const { PairSessions } = require(join(__dirname, '../../../dist/src/ha/pair-sessions.js'));
HolderSilence.prototype.silentMs = () => Infinity;
for (const name of ['acquire', 'renew']) {
  const original = LeaseStore.prototype[name];
  LeaseStore.prototype[name] = async function (...words) {
    return { ...(await original.apply(this, words)), code: 'OK' };
  };
}
Object.assign(PairSessions.prototype, {
  async takeOver() {
    this.replay?.close();
    this.following = null;
    this.sides.decide();
    return [];
  },
  async reservePorts() {},
  async lead() {},
});
