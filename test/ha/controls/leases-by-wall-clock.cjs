// Preloaded into a gateway: it judges leases by its wall clock, which SIGUSR2 shifts.
'use strict';
const { join } = require('node:path');
require('./shift-wall-clock.cjs');
require(join(__dirname, '../../../dist/src/ha/clock.js')).monotonicMs = () => Date.now();
