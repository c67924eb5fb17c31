import type { MessagePort } from 'node:worker_threads';
import type { ValidatedConfig } from '../../config/types.js';
import type { PoolCount } from '../../nat/pool-use.js';
import type { ReviewReport } from '../../nat/session-review.js';
import type { SessionCount } from '../../nat/session-tally.js';
import type { LeftOver, ShardChange, ShardHoldings } from '../../nat/shards/following.js';
import type { DealerMessage, EngineMessage } from '../../nat/shards/messages.js';
import type { LimitsMemory } from '../../nat/shards/shared-limits.js';
import type { DataplaneStatistics } from '../../native/binding.js';
import type { RuleSet } from '../reconcile.js';
import type { Repair, Repaired } from '../rule-keeper.js';
import type { KnownNic } from '../templates.js';

// What the control thread and the workers of shards say to each other: plain data, in order from one to another.

/** What a worker begins with. */
export interface ShardStart {
  readonly config: ValidatedConfig;
  readonly root: string;
  /** Dataplane.id. */
  readonly shardOf: number;
  readonly index: number;
  readonly shards: number;
  readonly wantsPrecedence: boolean;
  readonly limits: LimitsMemory;
  /** Of SharedRuleCount. */
  readonly nicRules: SharedArrayBuffer;
  readonly target: string | null;
  readonly nic: KnownNic;
  /** Of pino. */
  readonly level: string;
  /** To the engine of each shard, null to its own; what comes over them are EngineMessages. */
  readonly peers: readonly (MessagePort | null)[];
}

/** A request as the control API has it. */
export interface EngineRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly body?: object;
}

export interface EngineAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

export interface Neighbour {
  readonly port: number;
  /** u32, host order. */
  readonly address: number;
  readonly mac: number;
}

/** What metrics need of a shard. */
export interface ShardMeasures {
  readonly sessions: readonly SessionCount[];
  readonly pools: readonly PoolCount[];
  readonly mappings: number;
  readonly evictions: number;
  readonly ruleRetries: number;
  /** By negative errno. */
  readonly installFailures: readonly (readonly [number, number])[];
  readonly statistics: DataplaneStatistics;
}

/** What an engine is led through when the configuration changes; it answers each. */
export type FollowStep =
  /** It decides nothing from now on, and says what it has. */
  | { readonly step: 'stand-still' }
  /** The new configuration, which it has as soon as it answers with what is left over. */
  | { readonly step: 'follow'; readonly change: ShardChange }
  /** It goes on, and answers once its sessions have followed. Null: there was no change. */
  | { readonly step: 'go-on'; readonly leftOver: LeftOver | null }
  /** What is left over by now. */
  | { readonly step: 'left-over' }
  | { readonly step: 'know'; readonly leftOver: LeftOver };

/** What RuleKeeping asks of an engine. */
export type RuleStep =
  | { readonly step: 'own-rules'; readonly port: number }
  | { readonly step: 'repair'; readonly port: number; readonly what: Repair; readonly rules: RuleSet }
  | { readonly step: 'close-port'; readonly port: number }
  | { readonly step: 'port-reopened'; readonly port: number };

export type StepAnswer = ShardHoldings | LeftOver | ReviewReport | RuleSet | Repaired | number | null;

/** To a worker. */
export type ToShard =
  /** Packets come. */
  | { readonly kind: 'start' }
  /** Of the dealer. */
  | { readonly kind: 'mail'; readonly message: EngineMessage }
  | { readonly kind: 'ask'; readonly id: number; readonly request: EngineRequest }
  | { readonly kind: 'measure'; readonly id: number }
  | { readonly kind: 'lead'; readonly id: number; readonly step: FollowStep | RuleStep }
  | { readonly kind: 'neighbour'; readonly neighbour: Neighbour }
  /** The NIC has more of its constant rules, or fewer. */
  | { readonly kind: 'nic'; readonly nic: KnownNic }
  | { readonly kind: 'close' };

/** Of a worker. */
export type FromShard =
  /** It is there: packets may come. */
  | { readonly kind: 'ready' }
  /** Its lcore runs. */
  | { readonly kind: 'started' }
  | { readonly kind: 'mail'; readonly message: DealerMessage }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: EngineAnswer }
  | { readonly kind: 'measures'; readonly id: number; readonly answer: ShardMeasures }
  | { readonly kind: 'led'; readonly id: number; readonly answer: StepAnswer }
  /** One that asked got no answer: a fault. */
  | { readonly kind: 'failed'; readonly id: number; readonly message: string }
  | { readonly kind: 'neighbour'; readonly neighbour: Neighbour }
  /** Its lcore has stopped. */
  | { readonly kind: 'closed' };
