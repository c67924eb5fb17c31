import type { IneligibilityCode } from '../mirror/types.js';
import type { Check } from './health.js';

export type ReasonCode = IneligibilityCode | 'failed-check' | 'node-name-taken';

export interface Reason {
  readonly code: ReasonCode;
  /** Whether it forbids taking over altogether; the others only forbid taking over from a gateway that lives. */
  readonly forbids: boolean;
  /** For an operator. */
  readonly detail: string;
}

/**
 * Reasons that forbid a takeover even when nobody serves. With another configuration, or another record format, this
 * gateway would give endpoints out that others own; without Redis it cannot win a lease. A mirror that is incomplete
 * forbids nothing then: most sessions are better than none, and ports of lost ones are not given out again.
 */
const FORBIDDING: ReadonlySet<ReasonCode> = new Set<ReasonCode>([
  'config',
  'format',
  'redis-down',
  'failed-check',
  'node-name-taken',
]);

export interface Facts {
  readonly redisAnswers: boolean;
  readonly failedChecks: readonly Check[];
  /** Another boot says that it is this node. */
  readonly nameTaken: boolean;
  /** The mirror's own reasons. */
  readonly mirror: readonly { readonly code: IneligibilityCode; readonly detail: string }[];
  /** Of the lease, as last seen; 0: nobody ever held it. */
  readonly leaseEpoch: number;
  /** Lowest epoch, over the mirror's shards, in which what is here was written. */
  readonly mirrorEpoch: number;
}

/**
 * Whether a standby may take over. Judged from the facts of the moment, each time anew: nothing here knows the time, so
 * that no reason is ever lifted by waiting.
 */
export function ineligibility(facts: Facts): readonly Reason[] {
  const reasons: Reason[] = [];
  const add = (code: ReasonCode, detail: string) => {
    if (!reasons.some((reason) => reason.code === code)) reasons.push({ code, forbids: FORBIDDING.has(code), detail });
  };
  if (!facts.redisAnswers) add('redis-down', 'Redis does not answer');
  if (facts.nameTaken) add('node-name-taken', 'the other gateway of the pair has the same node name');
  for (const { check, detail } of facts.failedChecks)
    add('failed-check', detail === '' ? check : `${check}: ${detail}`);
  for (const { code, detail } of facts.mirror) add(code, detail);
  // Between winning the lease and beginning to write, the sessions of the new holder are not in the mirror: what was
  // complete in the epoch before is not any more.
  if (facts.mirrorEpoch < facts.leaseEpoch) {
    add('unsynced', `the gateway of epoch ${facts.leaseEpoch} has not yet begun to write its sessions`);
  }
  return reasons;
}
