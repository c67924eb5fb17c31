/**
 * Names of the mirror's keys. Those of a shard share a hash tag, so that a Cluster keeps them in one slot and one script
 * can touch them all.
 */
export interface ShardKeys {
  readonly fence: string;
  readonly log: string;
  readonly index: string;
  snapshot(epoch: number, generation: number): string;
}

export interface GroupKeys {
  readonly applied: string;
  readonly blocks: string;
  readonly owner: string;
  readonly about: string;
}

/** Set of the groups that a Redis holds, for `sluice flows --redis`. */
export const GROUPS_KEY = 'sluice:groups';

export function shardKeys(group: string, shard: number): ShardKeys {
  const tag = `{${group}.s${String(shard).padStart(2, '0')}}`;
  return {
    fence: `${tag}:fence`,
    log: `${tag}:log`,
    index: `${tag}:snapidx`,
    snapshot: (epoch, generation) => `${tag}:snap:${epoch}:${generation}`,
  };
}

export function groupKeys(group: string): GroupKeys {
  const tag = `{${group}}`;
  return { applied: `${tag}:applied`, blocks: `${tag}:blocks`, owner: `${tag}:owner`, about: `${tag}:about` };
}
