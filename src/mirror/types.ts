/**
 * The session mirror as other parts see it: a writer on the active gateway, a replay on the standby, both over one
 * Redis, Sentinel group or Cluster.
 *
 * Terms. A *shard* is one log and one snapshot with their fence; a session lives in the shard of its row. The *epoch*
 * counts owners of the mirror: it grows with every change of the active gateway and never goes back. A *dataset* is one
 * unbroken history: whoever finds that Redis has lost something starts another one, with a new snapshot, and readers
 * reload. A *position* is the sequence number of a shard's last batch; batches are numbered from 1 without gaps within
 * an epoch.
 *
 * Keys, G being the group: `{G.sNN}:fence`, `{G.sNN}:log`, `{G.sNN}:snapidx`, `{G.sNN}:snap:EPOCH:GENERATION` for each
 * shard; `{G}:applied`, `{G}:blocks`, `{G}:about` for the group; `{G}:lease` is the lease's own.
 */

import type { Cluster, Redis } from 'ioredis';
import type { Logger } from 'pino';

/** Whether a first packet waits for the mirror: never; for Redis at most 20 ms; until the standby has applied it. */
export type MirrorMode = 'async' | 'defer-open' | 'defer-closed';

/** A connection of either kind: both take the same commands. */
export type RedisConnection = Redis | Cluster;

/** What a connection is for: each purpose has its own, so that none waits behind another's replies. */
export type ConnectionPurpose = 'append' | 'snapshot' | 'status' | 'read' | 'lease';

/**
 * Makes connections to what `mirror.redis` of the configuration names. A connection never queues a command while it is
 * down (it fails at once) and never sends one again by itself: whoever sent it knows whether it may be repeated.
 */
export interface RedisConnector {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  /** For messages: without user and password. */
  readonly name: string;
  /** The caller closes it with `disconnect()`. Errors of the connection never throw; they are told to `onError`. */
  connect(purpose: ConnectionPurpose, onError?: (error: Error) => void): RedisConnection;
}

/** Where a shard's history stands. `sequence` 0: nothing yet in that epoch. */
export interface ShardPosition {
  readonly epoch: number;
  readonly sequence: number;
}

/** How well the sessions are protected against the loss of this gateway. */
export type Protection = 'PROTECTED' | 'DEGRADED' | 'UNPROTECTED';

/**
 * Why protection is not full.
 *
 * UNPROTECTED: `not-begun`, `fenced` (another gateway owns a higher epoch), `redis-down`, `not-seeded` (no snapshot of
 * this dataset yet).
 * DEGRADED: `lagging` (a shard is behind by more than `lagLimitMs`), `over-capacity` (in-flight bytes at their cap),
 * `standby-missing`, `standby-lagging`, `config-of-standby` (it waits for this configuration).
 */
export type ProtectionCode =
  | 'not-begun'
  | 'fenced'
  | 'redis-down'
  | 'not-seeded'
  | 'lagging'
  | 'over-capacity'
  | 'standby-missing'
  | 'standby-lagging'
  | 'config-of-standby';

export interface ProtectionReason {
  readonly code: ProtectionCode;
  /** Shards concerned; empty: all. */
  readonly shards: readonly number[];
  /** One sentence for an operator. */
  readonly detail: string;
}

/** One shard, as `sluice ha status` and the metrics show it. */
export interface ShardStatus {
  /** 16 hexadecimal digits; each shard has its own, since a Cluster may lose one alone. */
  readonly dataset: string;
  /** Sequence of the last batch that was written into memory here. */
  readonly local: number;
  /** Sequence of the last batch that Redis has acknowledged. */
  readonly redis: number;
  /** Sequence of the last batch that the standby has applied; null: none tells. */
  readonly applied: number | null;
  readonly inFlightBatches: number;
  readonly inFlightBytes: number;
  /** Sessions changed since they were last written. */
  readonly dirty: number;
  /** Age of the oldest change that Redis has not acknowledged, ms; 0: none. */
  readonly lagMs: number;
  /** Whether a snapshot of this dataset is committed. */
  readonly seeded: boolean;
}

export interface MirrorStatus {
  readonly protection: Protection;
  readonly reasons: readonly ProtectionReason[];
  readonly epoch: number;
  readonly shards: readonly ShardStatus[];
  readonly dirty: number;
  readonly inFlightBytes: number;
  /** Of the shard that is farthest behind. */
  readonly lagMs: number;
  /** Since the last snapshot was committed on every shard; null: never. */
  readonly snapshotAgeMs: number | null;
  /** Records of that snapshot. */
  readonly snapshotRecords: number;
  readonly counters: MirrorCounters;
}

/** Since the writer was opened. */
export interface MirrorCounters {
  readonly records: number;
  readonly batches: number;
  readonly bytes: number;
  /** Batches sent again, whose first reply was lost. */
  readonly resent: number;
  /** Replies DUP: a batch that had arrived although its reply was lost. */
  readonly duplicates: number;
  /** Times that Redis was found to have lost something and was filled anew. */
  readonly reseeds: number;
  readonly snapshots: number;
  /** Commands that failed: connection lost, timeout, OOM, READONLY, … */
  readonly errors: number;
  /** Sessions that opened and ended before they were ever written. */
  readonly cancelled: number;
}

/** Bounds of a writer; each has a default. */
export interface MirrorLimits {
  /** Batches on their way to Redis, a shard. 4. */
  readonly inFlightBatches: number;
  /** Bytes on their way to Redis, all shards together, log and snapshot. 16 MiB. */
  readonly inFlightBytes: number;
  /** Records of a batch at most, 1..256. 256. */
  readonly batchRecords: number;
  /** How long a change waits for others at most before it is sent, ms. 1. */
  readonly flushMs: number;
  /** Lag of a shard from which on protection is DEGRADED, ms. 1000. */
  readonly lagLimitMs: number;
  /** Bytes of a shard's log from which on a new snapshot is taken and the log cut, unless twice the snapshot is more. 1 MiB. */
  readonly logBytes: number;
}

/**
 * Where the writer gets sessions from: the NAT engine's tables, by row. Everything is called on the event loop and
 * returns at once.
 */
export interface MirrorSource {
  /** Rows are 0..capacity-1. */
  readonly capacity: number;
  /** Rows from here on were never used. */
  readonly highWater: number;
  /** Rows that changed since they were last taken. */
  readonly dirty: DirtySource;
  /** Rows are about to be encoded: times of records are counted from now. */
  beginBatch(): void;
  /**
   * Writes the row's session as a MirrorRecord, all of it but version.
   *
   * @param into Words of the record's buffer. @param at First of MirrorRecord.size / 4 words.
   * @returns False when no session lives in the row; then only row and generation are written, those of the last one.
   */
  encode(row: number, into: Int32Array, at: number): boolean;
}

/** Rows that changed, in the order in which they first did. See dirty-rows.ts. */
export interface DirtySource {
  readonly count: number;
  /** Calls back when a row becomes dirty while none was. */
  onFirst: (() => void) | null;
  countOf(shard: number): number;
  /** The next row of a shard, clean from now on, or -1. */
  take(shard: number): number;
  mark(row: number): void;
  /** Whether Redis may hold something of the row. */
  isKnown(row: number): boolean;
  setKnown(row: number, known: boolean): void;
}

export interface MirrorWriterOptions {
  readonly redis: RedisConnector;
  /** `ha.group`, or the gateway's name. */
  readonly group: string;
  /** Identifies this boot of this gateway: two writers never share one. */
  readonly writerId: string;
  /** See mirrorConfigHash(): what both gateways of a pair must agree on. */
  readonly configHash: string;
  /** What `sluice flows --redis` needs to name things: the configuration without what is this node's own. */
  readonly about: string;
  readonly source: MirrorSource;
  /** A power of two, 1..64; both gateways must agree. 8. */
  readonly shards?: number;
  readonly mode?: MirrorMode;
  /** Whether a standby is expected: without one, protection is not DEGRADED for its absence. */
  readonly expectsStandby?: boolean;
  readonly limits?: Partial<MirrorLimits>;
  readonly log?: Logger;
}

/**
 * Writes sessions to Redis, on the active gateway. Traffic never waits for it and its memory is bounded: what Redis
 * does not take stays a bit in the dirty rows. Whatever Redis loses (emptied, restarted from an old dump, failed over
 * to a lagging replica) is noticed at the next append, and the mirror is filled anew without being asked.
 */
export interface MirrorWriter {
  /**
   * Claims the mirror for an epoch on every shard, so that any lower epoch's writer is FENCED at its next append. Does
   * not touch log and snapshot: a standby that has won the lease fences, then drains its replay to the positions
   * returned, then begins. Repeats until every shard has answered; idempotent.
   *
   * @returns The last position of each shard's log at that moment.
   * @throws FencedError when a shard has a higher epoch, or this one from another writer.
   */
  fence(epoch: number): Promise<readonly ShardPosition[]>;

  /**
   * Fences unless done, then starts a new dataset: the log goes on from here and a snapshot is taken. Until it is
   * committed the snapshot and log before it stay in Redis.
   *
   * @param epoch Null, without HA: one more than the highest found.
   * @returns The epoch, once every shard takes this writer's batches. The snapshot goes on; see seeded().
   * @throws FencedError
   */
  begin(epoch: number | null): Promise<number>;

  /** @returns Once a snapshot of the present dataset is committed on every shard. @throws FencedError, ClosedError */
  seeded(): Promise<void>;

  /** Sends what is dirty, as far as the bounds allow. Cheap when nothing is. Runs by itself every `flushMs` too. */
  flush(): void;

  /**
   * For a planned switchover, once nothing opens sessions any more.
   *
   * @returns Positions, once everything that is dirty now has been acknowledged. @throws FencedError, ClosedError
   */
  drained(): Promise<readonly ShardPosition[]>;

  /** The configuration changed: what is in Redis was written under another one, so a new dataset begins. */
  reconfigure(configHash: string, about: string): void;

  /**
   * Reserves port blocks for this epoch, ahead of need.
   *
   * @returns Null when they are ours; else the epoch that owns one of them (a block of an earlier epoch, to be left alone
   *          until releaseBlocks() of whoever quarantines it). @throws FencedError, ClosedError
   */
  reserveBlocks(blocks: readonly PortBlock[]): Promise<number | null>;
  /**
   * Blocks of other epochs, once this one is fenced: their ports without a session are in quarantine after a takeover.
   *
   * @param remembered What this gateway knew of them while standing by, in case that Redis has lost some; those are
   *                   written anew.
   */
  foreignBlocks(remembered: RememberedBlocks | null): Promise<readonly ForeignBlock[]>;
  /** Gives blocks back, whoever had them: their quarantine is over, or none of their ports is in use. */
  releaseBlocks(blocks: readonly PortBlock[]): Promise<void>;
  /** Blocks of other epochs become this one's. */
  takeBlocks(blocks: readonly PortBlock[]): Promise<void>;

  readonly protection: Protection;
  readonly epoch: number;
  status(): MirrorStatus;

  /** A higher epoch owns the mirror: step down at once. Called once, before any promise is rejected for it. */
  onFenced: ((by: FencedError) => void) | null;
  /** Protection or its reasons changed. */
  onProtection: ((protection: Protection, reasons: readonly ProtectionReason[]) => void) | null;
  /** Redis has acknowledged these rows' batch: sessions that lived then, with their generations. Valid during the call. */
  onAcknowledged: OnAcknowledged | null;
  /** The standby has applied the shard up to that sequence of this epoch. */
  onApplied: ((shard: number, sequence: number) => void) | null;

  /** Stops writing and closes connections; what is dirty stays unwritten. Can be called twice. */
  close(): void;
}

/** A block of public ports: the unit in which an epoch owns them. */
export interface PortBlock {
  /** 0: external; n+1: peering towards the VPC of VNI n. */
  readonly scope: number;
  /** 1, 6 or 17. */
  readonly protocol: number;
  /** u32, host order. */
  readonly address: number;
  readonly firstPort: number;
  readonly lastPort: number;
}

export type OnAcknowledged = (
  rows: Int32Array,
  count: number,
  shard: number,
  sequence: number,
  generations: Int32Array,
) => void;

/** A block that an earlier epoch reserved. */
export interface ForeignBlock {
  readonly block: PortBlock;
  readonly epoch: number;
}

/** Port blocks as a standby last saw them: a Redis that forgets them does not make it forget. */
export interface RememberedBlocks {
  /** Grows with every change, over epochs. */
  readonly revision: string;
  /** Epoch by the block's text. */
  readonly epochs: ReadonlyMap<string, number>;
}

/** The standby's side: sessions of the active gateway, to be had here in the same place of the NAT. */
export interface ReplicaSink {
  /** Live sessions here, also those of before a reload. */
  readonly count: number;
  readonly capacity: number;
  /** Rows of the sessions that live here when a replay begins: those of a gateway that decided itself until now. */
  rows(): Iterable<number>;
  /** Records that can be expected together. */
  readonly mostExpected: number;
  /**
   * A record is about to be adopted, as far as can be told: its memory is asked for together with that of others.
   *
   * @param index 0..mostExpected-1, for adopt().
   */
  expect(words: Int32Array, record: number, index: number): void;
  /**
   * Opens the session that the record describes: same mappings and endpoints, rules made for the NIC here.
   *
   * @param record First word in `words`; valid during the call.
   * @param index  With which expect() was told of it; -1: it was not.
   * @returns The local row, or -1 - RefusedReason; `conflict`: see conflict(). Nothing changed then.
   */
  adopt(words: Int32Array, record: number, index: number): number;
  /** State or times of a session changed; tuples are the same. @returns False when the local session is not that one. */
  refresh(localRow: number, words: Int32Array, record: number): boolean;
  /** Ends a session as its idle time would: rules, then endpoints, which rest. */
  end(localRow: number): void;
  /** @returns The local row of a live session with the record's tuples, or -1. */
  find(words: Int32Array, record: number): number;
  /** @returns The local row of a live session that stands in the way of the record's (a tuple or endpoint of it), or -1. */
  conflict(words: Int32Array, record: number): number;
  /** Whether more records may come now: false while the way to the NIC is full. */
  readonly hasRoom: boolean;
}

/** Why a sink did not adopt. The standby is not eligible while any record is refused. */
export const RefusedReason = { tableFull: 0, conflict: 1, unknownPart: 2, noWay: 3, malformed: 4 } as const;
export type RefusedReason = (typeof RefusedReason)[keyof typeof RefusedReason];

/** Whether a standby may take over, and why not. None of these is ever lifted by time alone. */
export type IneligibilityCode =
  /** Nothing has been loaded yet, or a shard's history broke and is being loaded anew. */
  | 'unsynced'
  /** Redis does not answer. */
  | 'redis-down'
  /** The mirror holds no committed snapshot. */
  | 'no-snapshot'
  /** The active gateway runs another configuration. */
  | 'config'
  /** The active gateway writes another number of shards, or a record format that this version does not know. */
  | 'format'
  /** Records that could not be adopted here, e.g. the table is smaller. */
  | 'refused'
  /** Behind the head of a shard by more than the bound. */
  | 'lagging';

export interface IneligibilityReason {
  readonly code: IneligibilityCode;
  readonly shards: readonly number[];
  readonly detail: string;
}

export interface Eligibility {
  readonly eligible: boolean;
  readonly reasons: readonly IneligibilityReason[];
}

export interface ReplayShardStatus {
  readonly state: 'waiting' | 'loading' | 'following' | 'unsynced';
  readonly position: ShardPosition;
  /** Head of the shard's log as last seen. */
  readonly head: ShardPosition;
  readonly sessions: number;
}

export interface ReplayCounters {
  readonly records: number;
  readonly batches: number;
  /** Records older than what is here. */
  readonly stale: number;
  /** Batches that had been applied before. */
  readonly duplicates: number;
  readonly reloads: number;
  /** By cause. */
  readonly breaks: Readonly<Record<BreakCause, number>>;
  readonly refused: number;
}

/** Why a shard's history broke. */
export type BreakCause = 'gap' | 'corrupt' | 'dataset' | 'format' | 'chunk-missing' | 'regressed';

export interface MirrorReplayOptions {
  readonly redis: RedisConnector;
  readonly group: string;
  /** Name of this node in `{G}:applied`; null: a reader that takes no part and tells nothing. */
  readonly nodeId: string | null;
  readonly configHash: string;
  readonly sink: ReplicaSink;
  readonly shards?: number;
  /** Batches behind the head of a shard from which on the standby is not eligible. 64. */
  readonly lagBatches?: number;
  /** How often the applied position is published while it moves, ms. 10; 1 with `defer-closed`. */
  readonly publishMs?: number;
  readonly log?: Logger;
}

/**
 * Follows the mirror into a sink, on the standby. A missing sequence, a broken checksum chain or another dataset stops
 * the shard, which is unsynced until its snapshot has been loaded anew; nothing is ever skipped. What the sink holds
 * stays meanwhile: a reload keeps sessions whose tuples are unchanged, rules and all.
 */
export interface MirrorReplay {
  /** Connects and follows until close(). Never rejects: what goes wrong shows in eligibility(). */
  start(): void;
  /** @returns Once every shard has been loaded and has reached the head that Redis shows. */
  synced(): Promise<void>;
  /**
   * After this node's writer has fenced the mirror: applies all that is left and stops following.
   *
   * @param heads What fence() returned.
   * @returns Once every shard has been applied up to its head. @throws DrainError when a shard is broken before it; what
   *          was applied stays, and the other shards are drained.
   */
  drain(heads: readonly ShardPosition[]): Promise<void>;
  /** Applied up to here, by shard. */
  position(): readonly ShardPosition[];
  eligibility(): Eligibility;
  /** The highest epoch seen in any fence. */
  readonly highestEpoch: number;
  /** Port blocks of the active gateway, as last seen; null: none were. */
  readonly blocks: RememberedBlocks | null;
  shards(): readonly ReplayShardStatus[];
  readonly counters: ReplayCounters;
  /** The configuration here changed. Sessions are loaded anew if the writer's is the same again. */
  reconfigure(configHash: string): void;
  onEligibility: ((eligibility: Eligibility) => void) | null;
  /** Can be called twice. */
  close(): void;
}

/** Another gateway owns the mirror. */
export class FencedError extends Error {
  override readonly name = 'FencedError';
  readonly code = 'FENCED';
  constructor(
    readonly epoch: number,
    readonly higherEpoch: number,
    readonly shard: number,
  ) {
    super(`epoch ${epoch} of the mirror is over: epoch ${higherEpoch} owns shard ${shard}`);
  }
}

/** The mirror's writer or replay has been closed. */
export class ClosedError extends Error {
  override readonly name = 'ClosedError';
  readonly code = 'CLOSED';
}

/** A drain met a broken history: sessions of that shard's last moments may be missing. */
export class DrainError extends Error {
  override readonly name = 'DrainError';
  readonly code = 'DRAIN';
  constructor(
    readonly shards: readonly number[],
    cause: string,
  ) {
    super(`shards ${shards.join(', ')} of the mirror could not be applied to their heads: ${cause}`);
  }
}
