import type { Appender } from './appender.js';
import { BatchBuffer, batchBytes, type DatasetId, R, recordAt, sealBatch, setVersion } from './batch.js';
import type { ShardKeys } from './keys.js';
import { BatchKind } from './records.js';
import { type Answer, Reply, verdictOf } from './scripts.js';
import type { MirrorLimits, MirrorSource, OnAcknowledged, RedisConnection } from './types.js';

/** What all shards of a writer share. */
export interface WriterState {
  readonly connection: RedisConnection;
  readonly appender: Appender;
  /** Whether changes gather for `flushMs` even when there is room in flight: nobody waits for them. */
  readonly gathers: boolean;
  readonly source: MirrorSource;
  readonly limits: MirrorLimits;
  readonly counters: {
    records: number;
    batches: number;
    bytes: number;
    resent: number;
    duplicates: number;
    reseeds: number;
    snapshots: number;
    errors: number;
    cancelled: number;
  };
  /** What Redis answered to the last write when it refused it; null: it took it. */
  refusal: string | null;
  /** Of log and snapshots, all shards. */
  inFlightBytes: number;
  epoch: number;
  /** Counts records, over all shards: the order in which they were written. */
  version: number;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  onAcknowledged: OnAcknowledged | null;
}

/** What became of a shard, as Redis tells. */
export type LogVerdict =
  | { readonly is: 'fenced'; readonly epoch: number }
  /** Something that had been acknowledged is gone, or somebody else's: a new dataset is needed. */
  | { readonly is: 'lost' };

interface Batch {
  readonly buffer: BatchBuffer;
  readonly rows: Int32Array;
  /** Of the sessions in `rows`. */
  readonly generations: Int32Array;
  rowCount: number;
  count: number;
  sequence: number;
  crc: number;
  sent: boolean;
  /** Counts sendings; a reply to an earlier one than the last says nothing. */
  attempt: number;
  /** No change in it is older. */
  since: number;
}

/** After a refusal (OOM, LOADING, READONLY, …), before the next attempt. */
const RETRY_MS = 20;
const MOST_RETRY_MS = 500;

/**
 * The log of one shard in one dataset: takes dirty rows, packs them into batches, and keeps each batch until Redis has
 * it. Batches leave in order, at most `inFlightBatches` at once, and are sent again byte for byte after a fault: an
 * explicit sequence makes a second arrival harmless.
 */
export class ShardLog {
  /** Sequence of the last batch written here. */
  local: number;
  /** Of the last that Redis has. */
  acknowledged: number;
  /** CRC of batch `local`, 0 before the first one of the dataset. */
  lastCrc = 0;
  /** In Redis since the last cut, entries' overhead included. */
  logBytes = 0;
  /** Everything that was dirty at this time has been taken. */
  private cleanAt: number;
  private readonly inFlight: Batch[] = [];
  private readonly spare: Batch[] = [];
  private retryAt = 0;
  private retryMs = RETRY_MS;
  private closed = false;

  constructor(
    private readonly state: WriterState,
    private readonly shard: number,
    private readonly keys: ShardKeys,
    readonly dataset: DatasetId,
    private readonly datasetText: string,
    firstSequence: number,
    private readonly onVerdict: (verdict: LogVerdict) => void,
  ) {
    this.local = firstSequence - 1;
    this.acknowledged = firstSequence - 1;
    this.cleanAt = state.now();
  }

  get inFlightBatches(): number {
    return this.inFlight.length;
  }

  get inFlightBytes(): number {
    let bytes = 0;
    for (const batch of this.inFlight) bytes += batchBytes(batch.count);
    return bytes;
  }

  /** Age of the oldest change that Redis does not have, ms. */
  lagMs(now: number): number {
    if (this.inFlight.length > 0) return now - this.inFlight[0].since;
    if (this.state.source.dirty.countOf(this.shard) > 0) return now - this.cleanAt;
    this.cleanAt = now; // What changes next does not look as old as the last change.
    return 0;
  }

  /** Sends what waits, as far as the bounds allow. @param now state.now(). */
  pump(now: number): void {
    if (this.closed || now < this.retryAt) return;
    for (const batch of this.inFlight) if (!batch.sent) this.send(batch);
    const { limits, source } = this.state;
    while (source.dirty.countOf(this.shard) > 0 && this.inFlight.length < limits.inFlightBatches) {
      if (this.state.inFlightBytes + batchBytes(limits.batchRecords) > limits.inFlightBytes) return;
      const batch = this.pack(now);
      if (batch !== null) this.send(batch);
    }
    if (source.dirty.countOf(this.shard) === 0) this.cleanAt = now;
  }

  /** The connection is usable again: what waited for a retry goes now. */
  reconnected(): void {
    this.retryAt = 0;
  }

  /** From now on nothing is sent, and replies that still come are ignored. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.state.inFlightBytes -= this.inFlightBytes;
    this.inFlight.length = 0;
  }

  /** @returns A sealed batch, in flight but unsent; null when all that was dirty had come and gone unseen. */
  private pack(now: number): Batch | null {
    const { state, shard } = this;
    const { source, counters } = state;
    const { dirty } = source;
    const batch = this.spare.pop() ?? newBatch(state.limits.batchRecords);
    const { words } = batch.buffer;
    batch.since = this.cleanAt;
    let count = 0;
    let rowCount = 0;
    source.beginBatch();
    for (; count < state.limits.batchRecords; ) {
      const row = dirty.take(shard);
      if (row < 0) break;
      const at = recordAt(count);
      const lives = source.encode(row, words, at);
      if (!lives && !dirty.isKnown(row)) {
        counters.cancelled++;
        continue;
      }
      dirty.setKnown(row, lives);
      setVersion(words, at, ++state.version);
      if (lives) {
        batch.generations[rowCount] = words[at + R.generation];
        batch.rows[rowCount++] = row;
      }
      count++;
    }
    if (dirty.countOf(shard) === 0) this.cleanAt = now;
    if (count === 0) {
      this.spare.push(batch);
      return null;
    }
    batch.count = count;
    batch.rowCount = rowCount;
    batch.sequence = ++this.local;
    batch.crc = sealBatch(words, {
      kind: BatchKind.log,
      shard,
      count,
      epoch: state.epoch,
      dataset: this.dataset,
      sequence: batch.sequence,
      generation: 0,
      previousCrc: this.lastCrc,
      writtenSeconds: Math.floor(Date.now() / 1000),
    });
    this.lastCrc = batch.crc;
    batch.sent = false;
    this.inFlight.push(batch);
    const bytes = batchBytes(count);
    state.inFlightBytes += bytes;
    counters.records += count;
    counters.batches++;
    counters.bytes += bytes;
    return batch;
  }

  private send(batch: Batch): void {
    const { state } = this;
    batch.sent = true;
    const attempt = ++batch.attempt;
    const isCurrent = () => !this.closed && batch.attempt === attempt;
    state.appender.send({
      keys: this.keys,
      epoch: state.epoch,
      dataset: this.datasetText,
      sequence: batch.sequence,
      blob: batch.buffer.bytes.subarray(0, batchBytes(batch.count)),
      isFull: batch.count === state.limits.batchRecords,
      isWanted: isCurrent,
      answered: (answer) => {
        if (isCurrent()) this.answered(batch, answer);
      },
      failed: ({ message }) => {
        if (isCurrent()) this.refused(batch, message);
      },
    });
  }

  private refused(batch: Batch, message: string): void {
    const { state } = this;
    state.counters.errors++;
    state.refusal = message.slice(0, 120);
    this.postpone(batch);
  }

  private answered(batch: Batch, answer: Answer): void {
    switch (verdictOf(answer)) {
      case Reply.duplicate:
        this.state.counters.duplicates++;
        return this.confirm(batch.sequence);
      case Reply.ok:
        return this.confirm(batch.sequence);
      case Reply.fenced:
        return this.onVerdict({ is: 'fenced', epoch: Number(answer[1]) });
      case Reply.gap:
        // A batch before this one failed and goes again first; or Redis forgot what it had acknowledged.
        if (Number(answer[1]) >= this.acknowledged) return this.postpone(batch);
        return this.onVerdict({ is: 'lost' });
      case Reply.failed:
        return this.refused(batch, String(answer[1]));
      default:
        return this.onVerdict({ is: 'lost' });
    }
  }

  /** Redis has every batch up to this one. */
  private confirm(sequence: number): void {
    const { state } = this;
    this.retryMs = RETRY_MS;
    state.refusal = null;
    while (this.inFlight.length > 0 && this.inFlight[0].sequence <= sequence) {
      const batch = this.inFlight.shift() as Batch;
      const bytes = batchBytes(batch.count);
      state.inFlightBytes -= bytes;
      this.logBytes += bytes;
      this.acknowledged = batch.sequence;
      state.onAcknowledged?.(batch.rows, batch.rowCount, this.shard, batch.sequence, batch.generations);
      batch.attempt++;
      this.spare.push(batch);
    }
    // What would not fill a batch waits for the other shards' changes, as ever.
    if (!state.gathers || state.source.dirty.countOf(this.shard) >= state.limits.batchRecords) this.pump(state.now());
  }

  /** The batch, and with it those behind it, goes again after a while. */
  private postpone(batch: Batch): void {
    this.state.counters.resent++;
    batch.sent = false;
    const now = this.state.now();
    if (now < this.retryAt) return;
    this.retryAt = now + this.retryMs;
    this.retryMs = Math.min(this.retryMs * 2, MOST_RETRY_MS);
  }
}

function newBatch(records: number): Batch {
  return {
    buffer: new BatchBuffer(records),
    rows: new Int32Array(records),
    generations: new Int32Array(records),
    rowCount: 0,
    count: 0,
    sequence: 0,
    crc: 0,
    sent: false,
    attempt: 0,
    since: 0,
  };
}
