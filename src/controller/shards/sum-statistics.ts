import type { DataplaneStatistics } from '../../native/binding.js';

/** @param all Of each shard; what NICs count is in the first one's. @returns Of all together. */
export function sumStatistics(all: readonly DataplaneStatistics[]): DataplaneStatistics {
  const sum = (read: (one: DataplaneStatistics) => number) => all.reduce((total, one) => total + read(one), 0);
  const sums = (read: (one: DataplaneStatistics) => readonly number[]) =>
    read(all[0]).map((_, at) => sum((one) => read(one)[at] ?? 0));
  return {
    ports: all[0].ports.map((_, port) => ({
      received: sum(({ ports }) => ports[port]?.received ?? 0),
      transmitted: sum(({ ports }) => ports[port]?.transmitted ?? 0),
    })),
    slowPath: {
      packets: sum(({ slowPath }) => slowPath.packets),
      misses: sum(({ slowPath }) => slowPath.misses),
      bytes: sum(({ slowPath }) => slowPath.bytes),
      handedOver: sum(({ slowPath }) => slowPath.handedOver),
    },
    nic: {
      packets: sum(({ nic }) => nic.packets),
      bytes: sum(({ nic }) => nic.bytes),
      inserts: sum(({ nic }) => nic.inserts),
    },
    firstPackets: {
      buckets: sums(({ firstPackets }) => firstPackets.buckets),
      nanoseconds: sum(({ firstPackets }) => firstPackets.nanoseconds),
    },
    drops: sums(({ drops }) => drops),
    held: sum(({ held }) => held),
    nicRules: sum(({ nicRules }) => nicRules),
    softwareRules: sum(({ softwareRules }) => softwareRules),
    softwareTableBytes: sum(({ softwareTableBytes }) => softwareTableBytes),
    precedence: {
      engine: sum(({ precedence }) => precedence.engine),
      lcore: sum(({ precedence }) => precedence.lcore),
    },
  };
}
