import type { ValidatedConfig } from '../config/types.js';
import type { DataplaneStatistics } from '../native/binding.js';
import { DropReason, DropReasonNames } from '../native/records.js';

/** Counters of a gateway as its users read them; drop reasons that never occurred are left out. */
export interface GatewayCounters {
  readonly ports: Readonly<Record<string, { readonly received: number; readonly transmitted: number }>>;
  readonly slowPath: { readonly packets: number; readonly misses: number };
  readonly nic: { readonly packets: number };
  readonly drops: Readonly<Record<string, number>>;
}

export function gatewayCounters(config: ValidatedConfig, statistics: DataplaneStatistics): GatewayCounters {
  const drops: Record<string, number> = {};
  for (let reason = 0; reason < DropReasonNames.length; reason++) {
    if (reason !== DropReason.none && statistics.drops[reason] > 0) {
      drops[DropReasonNames[reason]] = statistics.drops[reason];
    }
  }
  return {
    ports: Object.fromEntries(config.ports.map(({ name, index }) => [name, { ...statistics.ports[index] }])),
    slowPath: { packets: statistics.slowPath.packets, misses: statistics.slowPath.misses },
    nic: { packets: statistics.nic.packets },
    drops,
  };
}
