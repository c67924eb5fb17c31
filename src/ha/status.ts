import type { MirrorStatus, Protection, ReplayShardStatus, ShardPosition } from '../mirror/types.js';
import type { Reason } from './eligibility.js';
import type { Check } from './health.js';
import type { PortBlockCounts } from './port-reserve.js';
import { FAILOVER_STATES, type FailoverState, type Role, type Transition } from './transitions.js';

/** What each member says of itself in `{g}:members` and with the lease. */
export interface MemberStatus {
  readonly boot: string;
  readonly state: FailoverState;
  readonly epoch: number;
  readonly eligible: boolean;
  readonly reasons: readonly string[];
  /** Whether it asks for the active role. */
  readonly wants: boolean;
  /** Sessions changed and not yet in Redis, of an active gateway. */
  readonly unwritten: number;
}

/** @returns Null for what is not a member's status; Redis is shared. */
export function readMember(text: string): MemberStatus | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const m = (value ?? {}) as Partial<Record<keyof MemberStatus, unknown>>;
  const isState = FAILOVER_STATES.some((state) => state === m.state);
  const numbers = Number.isSafeInteger(m.epoch) && Number.isSafeInteger(m.unwritten);
  const flags = typeof m.eligible === 'boolean' && typeof m.wants === 'boolean';
  const texts = typeof m.boot === 'string' && Array.isArray(m.reasons) && m.reasons.every((r) => typeof r === 'string');
  return isState && numbers && flags && texts ? (m as MemberStatus) : null;
}

/** The other gateway of the pair, as known here. */
export interface PeerStatus {
  readonly node: string;
  /** Since Redis last heard of it, ms; null: it never did. */
  readonly agoMs: number | null;
  readonly member: MemberStatus | null;
  /** Whether it is heard over the direct way; null: there is none. */
  readonly heard: boolean | null;
}

/** `sluice ha status`, GET /v1/ha. */
export interface PairStatus {
  readonly node: string;
  readonly bootId: string;
  readonly group: string;
  readonly role: Role;
  readonly failoverState: FailoverState;
  readonly epoch: number;
  readonly lease: {
    readonly holder: string;
    readonly epoch: number;
    /** Until this gateway falls silent; 0 on a standby. */
    readonly leftMs: number;
  };
  readonly eligible: boolean;
  readonly reasons: readonly Reason[];
  /** Of an active gateway; null on a standby. */
  readonly protection: Protection | null;
  /** Why protection is not full. */
  readonly protectionReasons: readonly string[];
  readonly peer: PeerStatus | null;
  readonly health: readonly Check[];
  readonly sessions: number;
  readonly rulesInstalled: number;
  /** Sequence applied here, by shard; empty on an active gateway. */
  readonly applied: readonly ShardPosition[];
  readonly replay: readonly ReplayShardStatus[];
  readonly mirror: MirrorStatus | null;
  /** Milliseconds from winning the lease to each stage of the latest takeover. */
  readonly phases: Readonly<Partial<Record<FailoverState, number>>>;
  readonly lastTransition: Transition | null;
  /** Shards whose last moments were missing at the latest takeover. */
  readonly shardsIncomplete: readonly number[];
  /** Sessions changed just before the latest takeover that may be missing or out of date; null: it cannot be told. */
  readonly estimatedLost: number | null;
  /** Of an active gateway; all 0 on a standby. */
  readonly portBlocks: PortBlockCounts;
  readonly configHash: string;
  readonly pairConfigHash: string;
}

/** ha_monitor_result.json. */
export interface MonitorResult {
  readonly schema: 1;
  /** Grows with each write of this boot. */
  readonly seq: number;
  readonly node: string;
  readonly bootId: string;
  /** Wall clock of the write, ms since 1970. */
  readonly at: number;
  readonly role: Role;
  readonly failoverState: FailoverState;
  readonly epoch: number;
  /** Cause of the last transition. */
  readonly reason: string;
  readonly phases: Readonly<Partial<Record<FailoverState, number>>>;
  readonly health: readonly Check[];
  readonly eligible: boolean;
  readonly reasons: readonly Reason[];
  readonly protection: Protection | null;
  readonly sessions: number;
  readonly applied: readonly ShardPosition[];
  readonly rulesInstalled: number;
  /** Sessions changed just before the latest takeover that may be missing or out of date; null: it cannot be told. */
  readonly estimatedLost: number | null;
  readonly configHash: string;
}

export function monitorResult(status: PairStatus): Omit<MonitorResult, 'seq'> {
  return {
    schema: 1,
    node: status.node,
    bootId: status.bootId,
    at: Date.now(),
    role: status.role,
    failoverState: status.failoverState,
    epoch: status.epoch,
    reason: status.lastTransition?.cause ?? 'started',
    phases: status.phases,
    health: status.health,
    eligible: status.eligible,
    reasons: status.reasons,
    protection: status.protection,
    sessions: status.sessions,
    applied: status.applied,
    rulesInstalled: status.rulesInstalled,
    estimatedLost: status.estimatedLost,
    configHash: status.configHash,
  };
}
