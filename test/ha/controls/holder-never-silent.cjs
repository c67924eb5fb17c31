// Preloaded into a gateway: whoever once had the lease is taken to live for ever.
'use strict';
const { join } = require('node:path');
const { HolderSilence } = require(join(__dirname, '../../../dist/src/ha/silence.js'));
HolderSilence.prototype.silentMs = () => 0;
