import { isDeepStrictEqual } from 'node:util';
import { pointer } from './faults.js';
import type { ConfigFault, ValidatedConfig } from './types.js';

/** Parts that a running gateway cannot follow: its ports and tables are made from them at start. */
const FIXED: readonly (keyof ValidatedConfig)[] = [
  'name',
  'underlay',
  'services',
  'twiceNatPools',
  'dslite',
  'offload',
  'mirror',
  'ha',
  'control',
  'metrics',
];
const FIXED_NAT = ['seed', 'mapping', 'maxSessions', 'portBlockSize', 'log', 'mssClampBytes'] as const;
const NAT_FIELD: Partial<Record<(typeof FIXED_NAT)[number], string>> = { mssClampBytes: 'mssClamp' };
/** Of a port; its next hop may change. */
const FIXED_PORT = ['role', 'device', 'mac', 'address', 'mtu', 'vlan'] as const;

/** What of a new configuration a running gateway cannot take over, one fault each. Empty: it can be followed as a whole. */
export function immutableChanges(old: ValidatedConfig, next: ValidatedConfig): readonly ConfigFault[] {
  const faults: ConfigFault[] = [];
  const refuse = (path: readonly string[]) =>
    faults.push({
      path: pointer([...path]),
      message: 'cannot change while the gateway runs',
      hint: 'leave it as it was, or restart the gateway',
    });
  for (const name of FIXED) if (!isDeepStrictEqual(old[name], next[name])) refuse([name]);
  for (const name of FIXED_NAT) {
    if (!isDeepStrictEqual(old.nat[name], next.nat[name])) refuse(['nat', NAT_FIELD[name] ?? name]);
  }
  const names = (config: ValidatedConfig) => config.ports.map(({ name }) => name);
  if (!isDeepStrictEqual(names(old), names(next))) refuse(['ports']);
  else {
    for (const port of old.ports) {
      for (const name of FIXED_PORT) {
        if (!isDeepStrictEqual(port[name], next.ports[port.index][name])) refuse(['ports', port.name, name]);
      }
    }
  }
  return faults;
}
