import type { ConfigFault, ValidatedConfig } from '../../config/types.js';

/** @returns What in a configuration several shards cannot do yet, each with its path and remedy. */
export function shardObstacles({ nat, mirror, ha }: ValidatedConfig): readonly ConfigFault[] {
  const faults: ConfigFault[] = [];
  const add = (path: string, message: string, hint: string) => faults.push({ path, message, hint });
  if (nat.mapping === 'address-and-port-dependent')
    add('/nat/mapping', 'a port that serves several remotes has one shard', 'use endpoint-independent, or one shard');
  if (nat.log === 'blocks')
    add('/nat/log', 'blocks of subscribers are not dealt to shards', 'use sessions, or one shard');
  if (mirror !== null) add('/mirror', 'several shards are not mirrored', 'leave it out, or use one shard');
  if (ha !== null) add('/ha', 'several shards are no member of a pair', 'leave it out, or use one shard');
  return faults;
}
