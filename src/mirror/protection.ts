import type { Protection, ProtectionReason, ShardStatus } from './types.js';

/** What protection is judged by. */
export interface ProtectionFacts {
  readonly epoch: number;
  readonly begun: boolean;
  /** The epoch that owns the mirror now; null: this one's. */
  readonly fencedBy: number | null;
  readonly connected: boolean;
  /** Why the last attempt to connect failed; null: nothing is known. */
  readonly connectionFault: string | null;
  /** What Redis answered last when it would not write, e.g. OOM; null: it writes. */
  readonly refusal: string | null;
  readonly shards: readonly ShardStatus[];
  readonly atCapacity: boolean;
  readonly lagLimitMs: number;
  readonly standby: StandbyFacts;
}

export interface StandbyFacts {
  readonly expected: boolean;
  readonly present: boolean;
  readonly sameConfig: boolean;
  /** Shards that it is behind in by more than the limit. */
  readonly behind: readonly number[];
}

export interface Judgement {
  readonly protection: Protection;
  readonly reasons: readonly ProtectionReason[];
}

/** The worst reason decides: what loses sessions is UNPROTECTED, what only delays a takeover or risks some is DEGRADED. */
export function judgeProtection(facts: ProtectionFacts): Judgement {
  const grave: ProtectionReason[] = [];
  const slight: ProtectionReason[] = [];
  const where = (test: (shard: ShardStatus) => boolean) =>
    facts.shards.flatMap((shard, index) => (test(shard) ? [index] : []));
  if (facts.fencedBy !== null) {
    grave.push({ code: 'fenced', shards: [], detail: `epoch ${facts.fencedBy} owns the mirror` });
  }
  if (!facts.begun) grave.push({ code: 'not-begun', shards: [], detail: 'no epoch has begun here' });
  if (!facts.connected) {
    const why = facts.connectionFault === null ? '' : `: ${facts.connectionFault}`;
    grave.push({ code: 'redis-down', shards: [], detail: `no connection to Redis${why}` });
  } else if (facts.refusal !== null) {
    grave.push({ code: 'redis-down', shards: [], detail: `Redis does not write: ${facts.refusal}` });
  }
  const unseeded = where(({ seeded }) => !seeded);
  if (facts.begun && unseeded.length > 0) {
    grave.push({ code: 'not-seeded', shards: unseeded, detail: 'no snapshot of this dataset is committed yet' });
  }
  const lagging = where(({ lagMs }) => lagMs > facts.lagLimitMs);
  if (lagging.length > 0) {
    slight.push({
      code: 'lagging',
      shards: lagging,
      detail: `changes older than ${facts.lagLimitMs} ms wait for Redis`,
    });
  }
  if (facts.atCapacity)
    slight.push({ code: 'over-capacity', shards: [], detail: 'bytes on their way are at their bound' });
  const { standby } = facts;
  if (standby.expected && !standby.present) {
    slight.push({ code: 'standby-missing', shards: [], detail: 'no standby tells its position' });
  } else if (standby.expected && !standby.sameConfig) {
    slight.push({ code: 'config-of-standby', shards: [], detail: 'the standby has another configuration' });
  } else if (standby.expected && standby.behind.length > 0) {
    slight.push({ code: 'standby-lagging', shards: standby.behind, detail: 'the standby has yet to apply changes' });
  }
  const protection = grave.length > 0 ? 'UNPROTECTED' : slight.length > 0 ? 'DEGRADED' : 'PROTECTED';
  return { protection, reasons: [...grave, ...slight] };
}
