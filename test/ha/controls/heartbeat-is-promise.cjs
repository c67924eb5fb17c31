// Preloaded into a gateway: each heartbeat of its peer is taken for a promise not to take over, asked for or not.
'use strict';
const { join } = require('node:path');
const { Peer } = require(join(__dirname, '../../../dist/src/ha/peer.js'));
const { heard } = Peer.prototype;
Peer.prototype.heard = function (message, nowMs) {
  heard.call(this, message, nowMs);
  this.grantedUntilMs = nowMs + this.leaseMs - this.marginMs;
};
