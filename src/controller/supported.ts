import type { ConfigFault, ValidatedConfig } from '../config/types.js';

/** Parts of a configuration that change what becomes of packets and that this version cannot do: better refused than ignored. */
export function unsupportedParts(config: ValidatedConfig): ConfigFault[] {
  const parts: [string, boolean][] = [
    ['/services', config.services.length > 0],
    ['/twiceNatPools', config.twiceNatPools.length > 0],
    ['/dslite', config.dslite !== null],
  ];
  return parts
    .filter(([, used]) => used)
    .map(([path]) => ({ path, message: 'is valid but not supported by this version', hint: 'leave it out' }));
}
