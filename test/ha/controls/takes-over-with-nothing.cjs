// Preloaded into a gateway: what it has loaded of the mirror is gone when it takes over.
'use strict';
const { join } = require('node:path');
const { NatEngine } = require(join(__dirname, '../../../dist/src/nat/engine.js'));
const { SessionLife } = require(join(__dirname, '../../../dist/src/nat/session-table.js'));
const { takeOver } = NatEngine.prototype;
NatEngine.prototype.takeOver = function (nowSeconds) {
  for (let row = 0; row < this.sessions.highWater; row++) {
    if (this.sessions.life(row) === SessionLife.live) this.endAdopted(row);
  }
  takeOver.call(this, nowSeconds);
};
