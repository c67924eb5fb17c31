import type { ValidatedConfig } from '../../config/types.js';
import type { LimitsMemory } from './shared-limits.js';

// What engines and whoever leads them say to each other when a configuration changes: plain data. All engines stand still
// from the first question to the last answer, so that none ever meets another configuration than its neighbours do.

/** Ports of an external address that mappings of an engine own, or that rest there. */
export interface HeldPorts {
  readonly protocol: number;
  /** u32, host order. */
  readonly address: number;
  readonly ports: Uint16Array;
}

/** What an engine has that a new configuration must leave it. */
export interface ShardHoldings {
  readonly ports: readonly HeldPorts[];
  /** Indexes that its sessions refer to. See referredParts(). */
  readonly vpcs: readonly number[];
  readonly peers: readonly number[];
}

/** How the ports of an external address are dealt. */
export interface DealtBlocks {
  readonly protocol: number;
  readonly address: number;
  /** Ports of a block, a power of two. */
  readonly size: number;
  /** Numbers of the blocks that this engine has. */
  readonly blocks: readonly number[];
}

/** A new configuration, for one engine. */
export interface ShardChange {
  /** As alignConfig() has it, the same for all. */
  readonly config: ValidatedConfig;
  /** Zeros but for the buckets: each engine counts its own sessions into it. */
  readonly limits: LimitsMemory;
  /** Of every address that anybody has blocks of. */
  readonly dealt: readonly DealtBlocks[];
}

/** A mapping of a peering address that is another VPC's by the configuration as it is, or nobody's. */
export interface LeftPeering {
  readonly shard: number;
  readonly scope: number;
  readonly protocol: number;
  readonly address: number;
  readonly port: number;
  readonly vpc: number;
}

/** What live sessions have that the configuration as it is would look up elsewhere. */
export interface LeftOver {
  /** External addresses that are in no pool any more, or have static bindings over mappings. u32. */
  readonly addresses: readonly number[];
  readonly peering: readonly LeftPeering[];
}

export const NOTHING_LEFT: LeftOver = { addresses: [], peering: [] };

/** @returns What is left over in any of several engines. */
export function mergeLeftOvers(all: readonly LeftOver[]): LeftOver {
  const addresses = [...new Set(all.flatMap((one) => one.addresses))].sort((a, b) => a - b);
  return { addresses, peering: all.flatMap(({ peering }) => peering) };
}
