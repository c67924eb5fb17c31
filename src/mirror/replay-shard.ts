import { type BatchReader, datasetText, recordAt } from './batch.js';
import { type ShardKeys, shardKeys } from './keys.js';
import { BatchKind, MIRROR_FORMAT, OLDEST_FORMAT } from './records.js';
import { Applied, type ReplicaTable } from './replica-table.js';
import type { FenceFields, IndexFields } from './shard-fields.js';
import type { BreakCause, RedisConnection, ReplayShardStatus, ReplicaSink, ShardPosition } from './types.js';

/** Chunks asked for at once: 256 KiB. */
const CHUNKS_AT_ONCE = 16;
/** A snapshot that failed is tried again after so long, unless another one is committed first. */
const RELOAD_MS = 1000;
/** A log that is ahead and from which nothing comes for so long has lost what is next. */
const STALLED_MS = 1000;
/** The same, where the committed snapshot says that it was cut: time for what has been read and not yet applied. */
const CUT_MS = 150;

export interface ReplayTally {
  records: number;
  batches: number;
  stale: number;
  duplicates: number;
  reloads: number;
  readonly breaks: Record<BreakCause, number>;
  refused: number;
}

/** One shard of the replay: loads its snapshot, follows its log, stops where the history breaks. */
export class ReplayShard {
  readonly keys: ShardKeys;
  state: ReplayShardStatus['state'] = 'waiting';
  position: ShardPosition = { epoch: 0, sequence: 0 };
  head: ShardPosition = { epoch: 0, sequence: 0 };
  dataset = '';
  fence: FenceFields | null = null;
  hasIndex = false;
  private previousCrc = 0;
  private failedKey = '';
  private failedAtMs = 0;
  /** Key of the snapshot loaded last. */
  private loadedKey = '';
  /** Key of the snapshot whose log has a hole, and where the log then ended; see needsSnapshot. */
  private holed: { readonly key: string; readonly end: ShardPosition } | null = null;
  private closed = false;
  private stalledSinceMs = 0;
  private stalledAt = 0;
  /** Reads since then that brought nothing, of those that began when the log was known to be ahead. */
  private emptyReads = 0;
  /** Fences no longer say where the history ends: what fence() found is the end. */
  private final = false;

  constructor(
    group: string,
    readonly shard: number,
    private readonly shards: number,
    private readonly reader: BatchReader,
    private readonly table: ReplicaTable,
    private readonly sink: ReplicaSink,
    private readonly tally: ReplayTally,
    private readonly now: () => number,
    private readonly onChange: () => void,
  ) {
    this.keys = shardKeys(group, shard);
  }

  /** Id behind which the log is read. */
  get readFrom(): string {
    return `${this.position.epoch}-${this.position.sequence}`;
  }

  get isFollowing(): boolean {
    return this.state === 'following';
  }

  /**
   * Whether the history behind the committed snapshot has a hole: loading that snapshot once more leads to the same
   * place, so that only a new one mends it.
   */
  get needsSnapshot(): boolean {
    return this.holed !== null;
  }

  /** Whether the shard's history is readable by this version and configuration. */
  isCompatible(configHash: string): boolean {
    const { fence } = this;
    return fence !== null && this.formatIsKnown && fence.config === configHash;
  }

  get formatIsKnown(): boolean {
    const { fence } = this;
    if (fence === null || fence.format === 0) return true;
    return fence.format >= OLDEST_FORMAT && fence.format <= MIRROR_FORMAT && fence.shards === this.shards;
  }

  /** From now on only the log up to `head` counts, whatever a new owner begins. */
  finish(head: ShardPosition): void {
    this.final = true;
    this.head = head;
  }

  close(): void {
    this.closed = true;
  }

  /** What Redis shows of the shard now. @returns Whether a snapshot is to be loaded. */
  observe(fence: FenceFields, index: IndexFields | null, configHash: string): boolean {
    this.fence = fence;
    this.hasIndex = index !== null && index.dataset === fence.dataset && fence.dataset !== '';
    if (!this.final) this.head = { epoch: fence.logEpoch, sequence: fence.lastSequence };
    if (this.state === 'following' && !this.final) {
      const { position } = this;
      if (fence.dataset !== this.dataset || !this.isCompatible(configHash)) this.break('dataset');
      else if (fence.logEpoch === position.epoch && fence.lastSequence < position.sequence) this.break('regressed');
    }
    this.judgeProgress();
    // A log that was cut empty, or has lost its last entry, gives no sign of a gap but that nothing comes.
    const { position } = this;
    const isCut = index !== null && index.epoch === position.epoch && index.startSequence - 1 > position.sequence;
    const isStalled = this.stalledMs > (isCut ? CUT_MS : STALLED_MS);
    // One that waits for room, or cannot reach Redis, misses nothing yet.
    if (isStalled && this.emptyReads > 0 && this.sink.hasRoom) this.break('gap');
    if (this.final) return false;
    if (this.state === 'following' || this.state === 'loading' || !this.hasIndex || index === null) return false;
    if (!this.isCompatible(configHash)) return false;
    return index.key !== this.failedKey || this.now() - this.failedAtMs > RELOAD_MS;
  }

  /** Since when the log has been ahead without anything being applied, ms; 0: it is not. */
  get stalledMs(): number {
    return this.stalledSinceMs === 0 ? 0 : this.now() - this.stalledSinceMs;
  }

  /** Loads a committed snapshot. Never rejects: what is wrong leaves the shard unsynced. */
  async load(connection: RedisConnection, index: IndexFields): Promise<void> {
    this.state = 'loading';
    this.tally.reloads++;
    this.table.beginLoad(this.shard, index.epoch);
    this.loadedKey = index.key;
    this.failedKey = index.key;
    this.failedAtMs = this.now();
    this.onChange();
    try {
      const cause = await this.loadChunks(connection, index);
      if (this.closed) return;
      if (cause !== null) {
        this.break(cause);
        return;
      }
    } catch {
      // The connection: tried again at once when it is back.
      this.failedKey = '';
      this.state = 'unsynced';
      return this.onChange();
    }
    this.dataset = index.dataset;
    this.position = { epoch: index.epoch, sequence: index.startSequence - 1 };
    this.previousCrc = index.startCrc;
    this.state = 'following';
    if (this.holed?.key !== index.key) this.holed = null;
    this.onChange();
  }

  /**
   * Applies one entry of the log, or refuses it whole.
   *
   * @param id   The entry's. @param blob Its only field.
   * @returns False when the shard's history is broken here.
   */
  take(id: string, blob: Buffer): boolean {
    const { reader, tally, position } = this;
    const fault = reader.open(blob);
    if (fault !== null) return this.break(fault === 'format' ? 'format' : 'corrupt');
    const { head } = reader;
    if (head.kind !== BatchKind.log || head.shard !== this.shard || id !== `${head.epoch}-${head.sequence}`) {
      return this.break('corrupt');
    }
    if (datasetText(head.dataset) !== this.dataset) return this.break('dataset');
    if (head.epoch === position.epoch && head.sequence <= position.sequence) {
      tally.duplicates++;
      return true;
    }
    if (
      head.epoch !== position.epoch ||
      head.sequence !== position.sequence + 1 ||
      head.previousCrc !== this.previousCrc
    ) {
      return this.break('gap');
    }
    tally.batches++;
    this.applyRecords();
    this.position = { epoch: head.epoch, sequence: head.sequence };
    this.previousCrc = head.crc;
    const { holed } = this;
    if (holed !== null && holed.end.epoch === head.epoch && holed.end.sequence <= head.sequence) this.holed = null;
    if (this.head.epoch === head.epoch && this.head.sequence < head.sequence) this.head = this.position;
    return true;
  }

  /** A read of the log brought nothing. @param head The log's, as it was known when the read began. */
  readNothing(head: ShardPosition): void {
    const { position } = this;
    if (head.epoch === position.epoch && head.sequence > position.sequence) this.emptyReads++;
  }

  /** Stops following; what is here stays until a load has told what is still true. @returns False. */
  break(cause: BreakCause): false {
    this.tally.breaks[cause]++;
    this.state = 'unsynced';
    if (cause === 'dataset' || cause === 'regressed') this.failedKey = '';
    if (cause === 'gap' || cause === 'corrupt' || cause === 'chunk-missing') {
      this.holed = { key: this.loadedKey, end: this.head };
    }
    this.onChange();
    return false;
  }

  private judgeProgress(): void {
    const { position, head } = this;
    const isBehind = this.isFollowing && head.epoch === position.epoch && head.sequence > position.sequence;
    if (!isBehind) this.stalledSinceMs = 0;
    else if (this.stalledSinceMs === 0 || this.stalledAt !== position.sequence) {
      this.stalledSinceMs = this.now();
      this.stalledAt = position.sequence;
      this.emptyReads = 0;
    }
  }

  private async loadChunks(connection: RedisConnection, index: IndexFields): Promise<BreakCause | null> {
    const { reader } = this;
    let crc = 0;
    let records = 0;
    for (let first = 0; first < index.chunks; first += CHUNKS_AT_ONCE) {
      const names = Array.from({ length: Math.min(CHUNKS_AT_ONCE, index.chunks - first) }, (_, i) => String(first + i));
      const blobs = await connection.hmgetBuffer(index.key, ...names);
      for (const [i, blob] of blobs.entries()) {
        await this.room();
        if (this.closed) return null;
        if (blob === null) return 'chunk-missing';
        const fault = reader.open(blob);
        if (fault !== null) return fault === 'format' ? 'format' : 'corrupt';
        const { head } = reader;
        const isNext =
          head.kind === BatchKind.snapshot &&
          head.shard === this.shard &&
          head.epoch === index.epoch &&
          head.generation === index.generation &&
          head.sequence === first + i &&
          head.previousCrc === crc &&
          datasetText(head.dataset) === index.dataset;
        if (!isNext) return 'corrupt';
        this.applyRecords();
        records += head.count;
        crc = head.crc;
      }
    }
    return crc === index.crc && records === index.count ? null : 'corrupt';
  }

  private applyRecords(): void {
    const { reader, table, tally } = this;
    const { words, head } = reader;
    const together = this.sink.mostExpected;
    for (let first = 0; first < head.count; first += together) {
      const count = Math.min(together, head.count - first);
      table.expect(words, recordAt(first), count);
      for (let i = 0; i < count; i++) {
        const applied = table.apply(words, recordAt(first + i), i);
        if (applied === Applied.stale) tally.stale++;
        else if (applied === Applied.refused) tally.refused++;
      }
    }
    tally.records += head.count;
  }

  /** Waits while the way to the NIC is full. */
  private async room(): Promise<void> {
    while (!this.sink.hasRoom && !this.closed) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
