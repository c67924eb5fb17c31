import { loadConfig } from '../config/load.js';
import type { ValidatedConfig } from '../config/types.js';
import { UserFault } from './errors.js';

/**
 * Loads the configuration a command was given.
 *
 * @throws UserFault with every fault; faults of the file as a whole carry its name.
 */
export function requireConfig(path: string): ValidatedConfig {
  const result = loadConfig(path);
  if (result.ok) return result.config;
  throw new UserFault(result.faults.map((fault) => ({ ...fault, path: fault.path === '' ? path : fault.path })));
}
