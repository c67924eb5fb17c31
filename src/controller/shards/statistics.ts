import type { DataplaneStatistics } from '../../native/binding.js';

/**
 * @param list Of each shard, the first one's first. What the ports and NICs count for all stands in that one's; in the
 *             others' there are zeros, or nothing.
 * @returns What all count together.
 */
export function sumStatistics(list: readonly DataplaneStatistics[]): DataplaneStatistics {
  if (list.length === 1) return list[0];
  const sum = (of: (one: DataplaneStatistics) => number | undefined) =>
    list.reduce((total, one) => total + (of(one) ?? 0), 0);
  return {
    ports: list[0].ports.map((_, port) => ({
      received: sum(({ ports }) => ports.at(port)?.received),
      transmitted: sum(({ ports }) => ports.at(port)?.transmitted),
    })),
    slowPath: {
      packets: sum(({ slowPath }) => slowPath.packets),
      misses: sum(({ slowPath }) => slowPath.misses),
      bytes: sum(({ slowPath }) => slowPath.bytes),
    },
    nic: {
      packets: sum(({ nic }) => nic.packets),
      bytes: sum(({ nic }) => nic.bytes),
      inserts: sum(({ nic }) => nic.inserts),
    },
    firstPackets: {
      buckets: list[0].firstPackets.buckets.map((_, bucket) => sum(({ firstPackets }) => firstPackets.buckets[bucket])),
      nanoseconds: sum(({ firstPackets }) => firstPackets.nanoseconds),
    },
    drops: list[0].drops.map((_, reason) => sum(({ drops }) => drops[reason])),
    held: sum(({ held }) => held),
    nicRules: sum(({ nicRules }) => nicRules),
    softwareRules: sum(({ softwareRules }) => softwareRules),
    softwareTableBytes: sum(({ softwareTableBytes }) => softwareTableBytes),
  };
}
