import type { ReplayShard } from './replay-shard.js';
import type { Eligibility, IneligibilityReason } from './types.js';

export interface EligibilityFacts {
  readonly isHeard: boolean;
  readonly configHash: string;
  readonly parts: readonly ReplayShard[];
  /** By shard. */
  readonly refused: readonly number[];
  readonly lagBatches: number;
}

/** A shard that is behind and has applied nothing for so long does not follow. */
const STALLED_MS = 1000;

/** Judges by what is so now; what was once wrong and is mended without a trace does not count, what time alone passed over does. */
export function judgeEligibility(facts: EligibilityFacts): Eligibility {
  const reasons: IneligibilityReason[] = [];
  const { parts } = facts;
  const where = (test: (part: ReplayShard) => boolean) => parts.filter(test).map(({ shard }) => shard);
  const add = (code: IneligibilityReason['code'], shards: readonly number[], detail: string) => {
    if (shards.length > 0) reasons.push({ code, shards: shards.length === parts.length ? [] : shards, detail });
  };
  if (!facts.isHeard) reasons.push({ code: 'redis-down', shards: [], detail: 'Redis does not answer' });
  add(
    'format',
    where((part) => !part.formatIsKnown),
    'the active gateway writes a format or number of shards that this version does not read',
  );
  add(
    'config',
    where(({ fence }) => fence !== null && fence.config !== '' && fence.config !== facts.configHash),
    'the active gateway runs another configuration',
  );
  add(
    'no-snapshot',
    where(({ fence, hasIndex }) => fence !== null && !hasIndex),
    'the mirror holds no committed snapshot of the present dataset',
  );
  add(
    'unsynced',
    where((part) => !part.isFollowing || part.needsSnapshot),
    'sessions have not been loaded since the history broke',
  );
  add(
    'refused',
    where(({ shard }) => facts.refused[shard] > 0),
    'sessions could not be had here, as when the table is smaller',
  );
  add(
    'lagging',
    where(
      ({ isFollowing, head, position, stalledMs }) =>
        isFollowing && (head.sequence - position.sequence > facts.lagBatches || stalledMs > STALLED_MS),
    ),
    `more than ${facts.lagBatches} batches behind, or behind and at a standstill`,
  );
  return { eligible: reasons.length === 0, reasons };
}
