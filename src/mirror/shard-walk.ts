import { type BatchReader, datasetText, R, recordAt } from './batch.js';
import { type ShardKeys, shardKeys } from './keys.js';
import { MirrorFault } from './mirror-fault.js';
import { BatchKind, MirrorOp } from './records.js';
import { type FenceFields, type IndexFields, readFence, readIndex } from './shard-fields.js';
import type { RedisConnection } from './types.js';

/** Chunks, or entries of the log, asked for at once: 256 KiB. */
const AT_ONCE = 16;
/** How long a shard that cannot be read is tried again: a snapshot may be committed just now. */
const PATIENCE_MS = 3000;
const PAUSE_MS = 50;

/** Records of live sessions. The words are valid until the next slice is asked for. */
export interface RecordSlice {
  readonly words: Int32Array;
  /** First word of each. */
  readonly at: readonly number[];
  /** When they were written, seconds since 1970. */
  readonly writtenSeconds: number;
}

const GAP = 'its log has a gap';

/** The history is not there as it should be; it may be another time. */
class Unreadable extends Error {}

/**
 * Reads one shard of a mirror once, and tells what is known of each row when it first meets it: the log backwards, so that
 * a row's youngest record comes first, then the snapshot, of which the log is the continuation. What is held is a bit a row
 * (a byte, for speed) and some batches. A session that lives all the time is told once; one that opens or ends meanwhile may
 * be told or not. When the snapshot is replaced meanwhile, reading goes on with the new one.
 */
export class ShardWalk {
  private readonly keys: ShardKeys;
  /** By row divided by the number of shards: 1 when it has been met. */
  private met = new Uint8Array(1024);

  constructor(
    private readonly connection: RedisConnection,
    group: string,
    private readonly shard: number,
    private readonly shards: number,
    private readonly configHash: string,
    private readonly reader: BatchReader,
  ) {
    this.keys = shardKeys(group, shard);
  }

  /** @throws MirrorFault */
  async *slices(): AsyncGenerator<RecordSlice> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        const [fence, index] = await this.begin();
        yield* this.log(fence, index);
        yield* this.snapshot(index);
        return;
      } catch (error) {
        const fault = this.connection.status === 'ready' ? error : new Unreadable('Redis does not answer');
        if (!(fault instanceof Unreadable)) throw fault;
        if (Date.now() > end) throw new MirrorFault(`the mirror cannot be read: shard ${this.shard}: ${fault.message}`);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  /** @throws Unreadable */
  private async begin(): Promise<readonly [FenceFields, IndexFields]> {
    const [fields, found] = await Promise.all([
      this.connection.hgetall(this.keys.fence),
      this.connection.hgetall(this.keys.index),
    ]);
    const fence = readFence(fields);
    const index = readIndex(found);
    if (index === null || index.dataset !== fence.dataset) throw new Unreadable('it is being written anew');
    if (fence.config !== this.configHash) throw new Unreadable('it is of another configuration');
    return [fence, index];
  }

  /** From the end back to where the snapshot begins. @throws Unreadable */
  private async *log(fence: FenceFields, index: IndexFields): AsyncGenerator<RecordSlice> {
    const { connection, reader } = this;
    const begin = `(${index.epoch}-${index.startSequence - 1}`;
    let end = '+';
    /** Of the entry behind the one that is read: what it must be. */
    let sequence = Number.NaN;
    let crc = 0;
    for (;;) {
      const reply = await connection.callBuffer('XREVRANGE', this.keys.log, end, begin, 'COUNT', AT_ONCE);
      const entries = reply as readonly (readonly [Buffer, readonly Buffer[]])[];
      for (const [id, fields] of entries) {
        this.open(fields[1], BatchKind.log, index);
        const { head } = reader;
        const isNext = Number.isNaN(sequence)
          ? head.sequence >= fence.lastSequence
          : head.sequence === sequence && head.crc === crc;
        if (!isNext || head.epoch !== index.epoch || id.toString() !== `${index.epoch}-${head.sequence}`)
          throw new Unreadable(GAP);
        sequence = head.sequence - 1;
        crc = head.previousCrc;
        end = `(${id.toString()}`;
        yield this.slice();
      }
      if (entries.length < AT_ONCE) break;
    }
    const isEmpty = Number.isNaN(sequence) && fence.lastSequence < index.startSequence;
    const isWhole = sequence === index.startSequence - 1 && crc === index.startCrc;
    if (!isEmpty && !isWhole) throw new Unreadable(GAP);
  }

  /** What the log does not tell of. @throws Unreadable */
  private async *snapshot(index: IndexFields): AsyncGenerator<RecordSlice> {
    const { reader } = this;
    let crc = 0;
    let records = 0;
    let ahead = this.chunks(index, 0);
    for (let first = 0; first < index.chunks; first += AT_ONCE) {
      const blobs = await ahead;
      ahead = this.chunks(index, first + AT_ONCE);
      // Whoever leaves off here waits for nothing: what was asked for ahead may then fail unheard.
      ahead.catch(() => undefined);
      for (const [i, blob] of blobs.entries()) {
        if (blob === null) throw new Unreadable('its snapshot has been replaced');
        this.open(blob, BatchKind.snapshot, index);
        const { head } = reader;
        const isNext = head.sequence === first + i && head.previousCrc === crc && head.generation === index.generation;
        if (!isNext) throw new Unreadable('its snapshot is damaged');
        crc = head.crc;
        records += head.count;
        yield this.slice();
      }
    }
    if (crc !== index.crc || records !== index.count) throw new Unreadable('its snapshot is damaged');
  }

  /** Live sessions of the batch that has been read, of rows that were not met before. */
  private slice(): RecordSlice {
    const { words, head } = this.reader;
    const at: number[] = [];
    // The last record of a row in a batch is the youngest.
    for (let i = head.count - 1; i >= 0; i--) {
      const word = recordAt(i);
      if (this.meets(words[word + R.row] >>> 0) && (words[word] & 0xff) !== MirrorOp.end) at.push(word);
    }
    return { words, at, writtenSeconds: head.writtenSeconds };
  }

  private chunks(index: IndexFields, first: number): Promise<readonly (Buffer | null)[]> {
    const count = Math.min(AT_ONCE, index.chunks - first);
    if (count <= 0) return Promise.resolve([]);
    const names = Array.from({ length: count }, (_, i) => String(first + i));
    return this.connection.hmgetBuffer(index.key, ...names);
  }

  private open(blob: Buffer, kind: BatchKind, index: IndexFields): void {
    const fault = this.reader.open(blob);
    const { head } = this.reader;
    if (fault === 'format') throw new MirrorFault('the mirror is of another version of sluice');
    if (fault !== null || head.kind !== kind || head.shard !== this.shard) throw new Unreadable('it is damaged');
    if (datasetText(head.dataset) !== index.dataset) throw new Unreadable('it is being written anew');
  }

  /** Whether it is the first time. */
  private meets(row: number): boolean {
    const place = Math.floor(row / this.shards);
    if (place >= this.met.length) {
      const met = new Uint8Array(2 ** Math.ceil(Math.log2(place + 1)));
      met.set(this.met);
      this.met = met;
    }
    if (this.met[place] !== 0) return false;
    this.met[place] = 1;
    return true;
  }
}
