import { randomBytes } from 'node:crypto';
import { type DatasetId, datasetText } from './batch.js';
import type { ShardFound } from './group-state.js';
import { type ShardKeys, shardKeys } from './keys.js';
import { MIRROR_FORMAT } from './records.js';
import { BEGIN, FENCE, Reply, run, verdictOf } from './scripts.js';
import { type LogVerdict, ShardLog, type WriterState } from './shard-log.js';
import { SnapshotWalk } from './snapshot-walk.js';
import type { ShardPosition, ShardStatus } from './types.js';

const RETRY_MS = 50;
const RENEW_MS = 1000;

export interface ShardContext {
  readonly state: WriterState;
  readonly group: string;
  readonly shards: number;
  readonly writerId: string;
  /** Of the configuration as it is now. */
  configHash(): string;
  onFenced(epoch: number, shard: number): void;
  onSeeded(): void;
  onReseed(shard: number, cause: string): void;
}

export interface ShardExpectation {
  readonly dataset: string;
  readonly acknowledged: number;
  readonly seeded: boolean;
}

/** One shard of the writer: fence, dataset, log, snapshot. Each goes its own way, as each may live on another server. */
export class ShardWriter {
  readonly keys: ShardKeys;
  /** Whether a snapshot of the present dataset is committed. */
  seeded = false;
  snapshotRecords = 0;
  committedAtMs = 0;
  private log: ShardLog | null = null;
  private walk: SnapshotWalk | null = null;
  private generation = 0;
  private snapshotBytes = 0;
  /** Never used again in this epoch, whatever the dataset. */
  private nextSequence = 1;
  private beginning: Promise<void> | null = null;
  private ended = false;

  constructor(
    private readonly context: ShardContext,
    readonly shard: number,
  ) {
    this.keys = shardKeys(context.group, shard);
  }

  /** @returns Position of the log, once the fence stands. Null when this writer is over. */
  async fence(epoch: number): Promise<ShardPosition | null> {
    const { state, writerId } = this.context;
    for (;;) {
      if (this.ended) return null;
      try {
        const reply = await run(state.connection, FENCE, [this.keys.fence], [epoch, writerId]);
        if (verdictOf(reply) === Reply.ok) return { epoch: Number(reply[1]), sequence: Number(reply[2]) };
        this.context.onFenced(Number(reply[1]), this.shard);
        return null;
      } catch {
        state.counters.errors++;
        await pause();
      }
    }
  }

  /** Starts a new dataset, and its snapshot. @returns Once Redis takes batches of it, or this writer is over. */
  begin(): Promise<void> {
    this.beginning ??= this.beginOnce().finally(() => {
      this.beginning = null;
    });
    return this.beginning;
  }

  get isRunning(): boolean {
    return this.log !== null;
  }

  pump(now: number): void {
    const { log } = this;
    if (log === null) return;
    log.pump(now);
    if (this.walk === null && this.seeded && log.logBytes > this.logBytesWorthASnapshot()) this.takeSnapshot();
  }

  reconnected(): void {
    this.log?.reconnected();
    this.walk?.reconnected();
  }

  /** What Redis must know, at the time of asking; see judge(). */
  expectation(): ShardExpectation | null {
    const { log } = this;
    if (log === null) return null;
    return { dataset: datasetText(log.dataset), acknowledged: log.acknowledged, seeded: this.seeded };
  }

  /**
   * What Redis says of the shard without being asked to append: an idle writer must notice a loss too.
   *
   * @param expected Of before the question: the answer may be older than what has been acknowledged since.
   */
  judge(expected: ShardExpectation | null, found: ShardFound): void {
    if (found.epoch > this.context.state.epoch) return this.context.onFenced(found.epoch, this.shard);
    const { log } = this;
    if (expected === null || log === null || datasetText(log.dataset) !== expected.dataset) return;
    const isWhole =
      found.epoch === this.context.state.epoch &&
      found.dataset === expected.dataset &&
      found.lastSequence >= expected.acknowledged &&
      (!expected.seeded || found.indexDataset === expected.dataset);
    if (!isWhole) this.verdict({ is: 'lost' });
  }

  /** A standby met a broken history: what it needs is a snapshot behind the break. At most one a second. */
  renewSnapshot(): void {
    if (this.seeded && this.context.state.now() - this.committedAtMs > RENEW_MS) this.takeSnapshot();
  }

  get acknowledged(): ShardPosition {
    return { epoch: this.context.state.epoch, sequence: this.log?.acknowledged ?? 0 };
  }

  get local(): number {
    return this.log?.local ?? 0;
  }

  status(now: number, applied: number | null): ShardStatus {
    const { log } = this;
    return {
      dataset: log === null ? '' : datasetText(log.dataset),
      local: log?.local ?? 0,
      redis: log?.acknowledged ?? 0,
      applied,
      inFlightBatches: log?.inFlightBatches ?? 0,
      inFlightBytes: log?.inFlightBytes ?? 0,
      dirty: this.context.state.source.dirty.countOf(this.shard),
      lagMs: log?.lagMs(now) ?? 0,
      seeded: this.seeded,
    };
  }

  /** Nothing is sent any more. */
  end(): void {
    this.ended = true;
    this.dropDataset();
  }

  private async beginOnce(): Promise<void> {
    const { context } = this;
    const { state } = context;
    this.dropDataset();
    const random = randomBytes(8);
    const dataset: DatasetId = { low: random.readUInt32LE(0), high: random.readUInt32LE(4) };
    const text = datasetText(dataset);
    while (!this.ended) {
      try {
        const reply = await run(
          state.connection,
          BEGIN,
          [this.keys.fence, this.keys.log],
          [
            state.epoch,
            context.writerId,
            text,
            this.nextSequence,
            context.configHash(),
            MIRROR_FORMAT,
            context.shards,
            state.source.capacity,
          ],
        );
        if (this.ended) return;
        if (verdictOf(reply) === Reply.fenced) return context.onFenced(Number(reply[1]), this.shard);
        this.nextSequence = Number(reply[1]);
        break;
      } catch {
        state.counters.errors++;
        await pause();
      }
    }
    if (this.ended) return;
    const log = new ShardLog(state, this.shard, this.keys, dataset, text, this.nextSequence, (verdict) => {
      if (this.log === log) this.verdict(verdict);
    });
    this.log = log;
    this.takeSnapshot();
    log.pump(state.now());
  }

  private dropDataset(): void {
    this.seeded = false;
    this.walk?.cancel();
    this.walk = null;
    if (this.log !== null) this.nextSequence = this.log.local + 1;
    this.log?.close();
    this.log = null;
  }

  private verdict(verdict: LogVerdict): void {
    if (this.ended) return;
    if (verdict.is === 'fenced') return this.context.onFenced(verdict.epoch, this.shard);
    if (this.beginning !== null) return;
    this.context.state.counters.reseeds++;
    this.context.onReseed(this.shard, 'Redis lost what it had acknowledged');
    void this.begin();
  }

  private takeSnapshot(): void {
    const { log, context } = this;
    if (log === null || this.walk !== null) return;
    const { state } = context;
    const text = datasetText(log.dataset);
    const walk = new SnapshotWalk(
      state,
      this.shard,
      context.shards,
      this.keys,
      log,
      ++this.generation,
      log.dataset,
      text,
      context.configHash(),
      (verdict) => {
        if (this.walk === walk) this.verdict(verdict);
      },
    );
    this.walk = walk;
    void walk.run().then((committed) => {
      if (this.walk !== walk) return;
      this.walk = null;
      if (committed === null) return;
      state.counters.snapshots++;
      this.snapshotRecords = committed.records;
      this.snapshotBytes = committed.bytes;
      this.committedAtMs = state.now();
      this.seeded = true;
      context.onSeeded();
    });
  }

  private logBytesWorthASnapshot(): number {
    return Math.max(this.context.state.limits.logBytes, 2 * this.snapshotBytes);
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}
