// Preloaded into a gateway: it hands over by letting its lease run out.
'use strict';
const { join } = require('node:path');
const { LeaseKeeper } = require(join(__dirname, '../../../dist/src/ha/lease-keeper.js'));
LeaseKeeper.prototype.handOver = async function (successor) {
  this.end(`left to node "${successor}"`);
};
