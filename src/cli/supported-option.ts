import type { ConfigFault, ValidatedConfig } from '../config/types.js';
import { unsupportedParts } from '../controller/supported.js';
import { UserFault } from './errors.js';

/**
 * Refuses a valid configuration that the command at hand cannot run.
 *
 * @param faults What the command itself misses in it.
 * @throws UserFault with those, and with each part that this version cannot do.
 */
export function requireFit(config: ValidatedConfig, faults: readonly ConfigFault[]): void {
  const all = [...faults, ...unsupportedParts(config)];
  if (all.length > 0) throw new UserFault(all);
}
