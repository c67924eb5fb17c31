import { pointer } from './faults.js';
import type { ConfigFault, ValidatedConfig } from './types.js';

/** What a valid configuration still lacks for a live gateway or standby, where ports need devices. */
export function liveFaults(config: ValidatedConfig): readonly ConfigFault[] {
  const faults: ConfigFault[] = [];
  for (const port of config.ports) {
    if (port.device === null) {
      faults.push({
        path: pointer(['ports', port.name, 'device']),
        message: 'is missing',
        hint: 'a live gateway needs EAL device arguments or a PCI address; only replay does without',
      });
    }
  }
  if (config.ha !== null && config.mirror === null) {
    faults.push({ path: '/mirror', message: 'is missing', hint: 'ha keeps its lease and the sessions in Redis' });
  }
  return faults;
}

/** What a valid configuration still lacks for `replay`, where nobody answers ARP. */
export function replayFaults(config: ValidatedConfig): readonly ConfigFault[] {
  return config.ports.flatMap((port) =>
    port.nextHop !== null && port.nextHop.mac === null
      ? [
          {
            path: pointer(['ports', port.name, 'nextHop', 'mac']),
            message: 'is missing',
            hint: 'replay has nobody to ask by ARP',
          },
        ]
      : [],
  );
}
