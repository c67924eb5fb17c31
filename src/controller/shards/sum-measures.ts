import type { PoolCount } from '../../nat/pool-use.js';
import type { SessionCount } from '../../nat/session-tally.js';
import type { ShardMeasures } from './messages.js';
import { sumStatistics } from './sum-statistics.js';

/** @param all Of each shard. @returns Of all together. */
export function sumMeasures(all: readonly ShardMeasures[]): ShardMeasures {
  const failures = new Map<number, number>();
  for (const [error, count] of all.flatMap(({ installFailures }) => installFailures)) {
    failures.set(error, (failures.get(error) ?? 0) + count);
  }
  const sum = (read: (one: ShardMeasures) => number) => all.reduce((total, one) => total + read(one), 0);
  return {
    sessions: sumSessions(all.flatMap(({ sessions }) => sessions)),
    pools: sumPools(all.flatMap(({ pools }) => pools)),
    mappings: sum(({ mappings }) => mappings),
    evictions: sum(({ evictions }) => evictions),
    ruleRetries: sum(({ ruleRetries }) => ruleRetries),
    installFailures: [...failures],
    statistics: sumStatistics(all.map(({ statistics }) => statistics)),
  };
}

function sumSessions(counts: readonly SessionCount[]): SessionCount[] {
  const found = new Map<string, SessionCount>();
  for (const count of counts) {
    const key = `${count.sessionClass} ${count.vpc}`;
    const { opened, ended } = found.get(key) ?? { opened: 0, ended: 0 };
    found.set(key, { ...count, opened: opened + count.opened, ended: ended + count.ended });
  }
  return [...found.values()];
}

/** Each shard tells the whole pool's size, and what its own mappings own of it. */
function sumPools(counts: readonly PoolCount[]): PoolCount[] {
  const found = new Map<string, PoolCount>();
  for (const count of counts) {
    const key = `${count.kind} ${count.scope} ${count.protocol} ${count.pool}`;
    found.set(key, { ...count, owned: (found.get(key)?.owned ?? 0) + count.owned });
  }
  return [...found.values()];
}
