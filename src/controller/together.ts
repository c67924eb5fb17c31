import type { NatEngine } from '../nat/engine.js';
import type { ShardFollowing } from '../nat/shards/shard-following.js';

/** @returns How an engine follows a configuration with others. @throws Error unless it is one of several */
export function togetherOf({ together }: NatEngine): ShardFollowing {
  if (together === null) throw new Error('an engine that is alone follows a configuration alone');
  return together;
}
