import { BatchBuffer, batchBytes, type DatasetId, recordAt, sealBatch, setVersion } from './batch.js';
import type { ShardKeys } from './keys.js';
import { BatchKind, MOST_RECORDS } from './records.js';
import { Reply, run, SNAPSHOT_BEGIN, SNAPSHOT_COMMIT, verdictOf } from './scripts.js';
import type { LogVerdict, ShardLog, WriterState } from './shard-log.js';

const RETRY_MS = 50;

/** What the walk of one shard came to. */
export interface CommittedSnapshot {
  readonly records: number;
  readonly bytes: number;
}

/**
 * Writes all live sessions of a shard into Redis while its log goes on: chunks first, the index last. A reader that has
 * the chunks and replays the log from the index's `startSeq` on has every session, since each batch before it was
 * packed from states that the walk has seen or overtaken.
 *
 * A chunk is a field of one hash, so that it can be sent again after a fault, and so that what an unfinished snapshot
 * left behind goes with one key.
 */
export class SnapshotWalk {
  private cancelled = false;
  private readonly buffer = new BatchBuffer(MOST_RECORDS);
  private wake: (() => void) | null = null;

  constructor(
    private readonly state: WriterState,
    private readonly shard: number,
    private readonly shards: number,
    private readonly keys: ShardKeys,
    private readonly log: ShardLog,
    private readonly generation: number,
    private readonly dataset: DatasetId,
    private readonly datasetText: string,
    private readonly configHash: string,
    private readonly onVerdict: (verdict: LogVerdict) => void,
  ) {}

  /** Repeats what fails until it succeeds or is cancelled. @returns Null when cancelled. */
  async run(): Promise<CommittedSnapshot | null> {
    const { state, log, keys } = this;
    const { source } = state;
    const key = keys.snapshot(state.epoch, this.generation);
    const old = await this.begin(key);
    if (old === null) return null;
    // Taken together, with nothing in between: the log from here on tells what the walk does not.
    const startSequence = log.local + 1;
    const startCrc = log.lastCrc;
    const cutBytes = log.logBytes + log.inFlightBytes;
    let records = 0;
    let bytes = 0;
    let chunks = 0;
    let crc = 0;
    let count = 0;
    for (let row = this.shard; ; row += this.shards) {
      if (count === 0) source.beginBatch();
      const end = row >= source.highWater;
      if (!end && source.encode(row, this.buffer.words, recordAt(count))) {
        source.dirty.setKnown(row, true);
        setVersion(this.buffer.words, recordAt(count), ++state.version);
        count++;
      }
      if (count < MOST_RECORDS && !(end && count > 0)) {
        if (end) break;
        continue;
      }
      crc = this.seal(count, chunks, crc);
      if (!(await this.put(key, chunks, batchBytes(count)))) return null;
      chunks++;
      records += count;
      bytes += batchBytes(count);
      count = 0;
      if (end) break;
    }
    const index = {
      dataset: this.datasetText,
      epoch: state.epoch,
      generation: this.generation,
      startSeq: startSequence,
      startCrc,
      chunks,
      count: records,
      crc,
      config: this.configHash,
    };
    const fields = Object.entries(index).flatMap(([name, value]) => [name, String(value)]);
    const commitKeys = [keys.fence, keys.index, keys.log, key, old === '' ? key : old];
    const args = [state.epoch, this.datasetText, chunks, ...fields];
    const done = await this.insist(() => run(state.connection, SNAPSHOT_COMMIT, commitKeys, args));
    if (done === null) return null;
    log.logBytes = Math.max(0, log.logBytes - cutBytes);
    return { records, bytes };
  }

  cancel(): void {
    this.cancelled = true;
    this.wake?.();
  }

  /** The connection is usable again. */
  reconnected(): void {
    this.wake?.();
  }

  /** @returns Key of the committed snapshot, '' when there is none; null when cancelled. */
  private async begin(key: string): Promise<string | null> {
    const { state, keys } = this;
    let unfinished = key;
    for (;;) {
      const all = [keys.fence, keys.index, unfinished];
      const reply = await this.insist(() =>
        run(state.connection, SNAPSHOT_BEGIN, all, [state.epoch, this.datasetText, key]),
      );
      if (reply === null) return null;
      const left = String(reply[2]);
      if (left === '') return String(reply[1]);
      unfinished = left;
    }
  }

  private seal(count: number, chunk: number, previousCrc: number): number {
    return sealBatch(this.buffer.words, {
      kind: BatchKind.snapshot,
      shard: this.shard,
      count,
      epoch: this.state.epoch,
      dataset: this.dataset,
      sequence: chunk,
      generation: this.generation,
      previousCrc,
      writtenSeconds: Math.floor(Date.now() / 1000),
    });
  }

  private async put(key: string, chunk: number, bytes: number): Promise<boolean> {
    const { state } = this;
    const blob = this.buffer.bytes.subarray(0, bytes);
    const isOver = () => state.inFlightBytes > 0 && state.inFlightBytes + bytes > state.limits.inFlightBytes;
    while (isOver() && !this.cancelled) await this.pause(1);
    state.inFlightBytes += bytes;
    try {
      const done = await this.insist(async () => {
        await state.connection.hset(key, String(chunk), blob);
        return [Reply.ok];
      });
      return done !== null;
    } finally {
      state.inFlightBytes -= bytes;
    }
  }

  /** Repeats until there is an answer. @returns The reply when it is OK; null when cancelled or the dataset is over. */
  private async insist<T extends readonly unknown[]>(ask: () => Promise<T>): Promise<T | null> {
    while (!this.cancelled) {
      try {
        const reply = await ask();
        if (this.cancelled) return null;
        this.state.refusal = null;
        const verdict = verdictOf(reply as readonly (Buffer | number)[]);
        if (verdict === Reply.ok) return reply;
        if (verdict === Reply.fenced) this.onVerdict({ is: 'fenced', epoch: Number(reply[1]) });
        else this.onVerdict({ is: 'lost' });
        return null;
      } catch (error) {
        this.state.counters.errors++;
        this.state.refusal = error instanceof Error ? error.message.slice(0, 120) : String(error);
        await this.pause();
      }
    }
    return null;
  }

  private pause(ms = RETRY_MS): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        this.wake = null;
        resolve();
      };
    });
  }
}
