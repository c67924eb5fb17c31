export * from './address.js';
export { loadConfig, parseConfig, validateConfig } from './load.js';
export { liveFaults, replayFaults } from './purpose.js';
export * from './types.js';
