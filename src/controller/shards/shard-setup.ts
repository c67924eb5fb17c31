import type { ValidatedConfig } from '../../config/types.js';
import { Random } from '../../nat/random.js';
import { BlockDealer } from '../../nat/shards/block-dealer.js';
import type { ShardMail } from '../../nat/shards/messages.js';
import {
  BlockOwners,
  type ShardMemory,
  type ShardTables,
  shardMemory,
  shardTableBytes,
} from '../../nat/shards/shared-state.js';
import { steeringOf } from '../../nat/shards/steering.js';
import type { ShardOptions } from '../../native/binding.js';
import { type ShardSeeds, shardSeeds } from './shard-seeds.js';

/** What a dataplane of several shards is made with. */
export function shardOptions(config: ValidatedConfig, count: number): ShardOptions {
  return { count, steering: steeringOf(config), ...shardTableBytes(config) };
}

/** What the control thread of a gateway with several shards has for all of them. */
export interface ShardSetup {
  readonly memory: ShardMemory;
  readonly dealer: BlockDealer;
  readonly seeds: ShardSeeds;
}

/**
 * Once a gateway, before any engine.
 *
 * @param tables Of shard 0's dataplane.
 * @param mail   From the dealer to engines.
 * @throws RangeError naming what shardObstacles() finds.
 */
export function setUpShards(config: ValidatedConfig, shards: number, tables: ShardTables, mail: ShardMail): ShardSetup {
  const seeds = shardSeeds(config, shards);
  const memory = shardMemory(config, shards, seeds.tables, tables);
  const dealer = new BlockDealer(config, new BlockOwners(memory.blocks), mail, new Random(seeds.dealer));
  return { memory, dealer, seeds };
}
