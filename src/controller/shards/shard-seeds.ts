import type { ValidatedConfig } from '../../config/types.js';
import { Random } from '../../nat/random.js';

/** Seeds of what a gateway of several shards has by chance: repeatable where its configuration has a seed. */
export interface ShardSeeds {
  /** Of the tables' hashes, u32. */
  readonly tables: number;
  /** Of the dealer of ports; null: from the system. */
  readonly dealer: number | null;
  /** By shard. */
  readonly engines: readonly (number | null)[];
}

export function shardSeeds({ nat: { seed } }: ValidatedConfig, shards: number): ShardSeeds {
  const random = new Random(seed);
  const next = () => (seed === null ? null : random.next());
  return { tables: random.next(), dealer: next(), engines: Array.from({ length: shards }, next) };
}

/** @returns The configuration as a shard's engine has it: all of them give out ports by chances of their own. */
export function configOfShard(config: ValidatedConfig, seed: number | null): ValidatedConfig {
  return { ...config, nat: { ...config.nat, seed } };
}
