import { R, RECORD_WORDS, versionOf } from './batch.js';
import { MirrorOp } from './records.js';
import { RefusedReason, type ReplicaSink } from './types.js';

/** Nothing is known of the writer's row. */
const UNKNOWN = 0;
/** A session that could not be adopted. */
const REFUSED = -1;

/** What became of a record. */
export const Applied = { changed: 0, stale: 1, refused: 2 } as const;
export type Applied = (typeof Applied)[keyof typeof Applied];

/**
 * Which local session stands for which row of the writer, and how new what is known of it is. The writer's row and
 * generation name a session as long as one writer lives; another one numbers anew, and its sessions are found again by
 * their tuples.
 *
 * Versions order everything that one writer wrote, over all shards: the newer of two records that contradict each other
 * is true, whatever shard was read first. 16 bytes a row of the writer, 5 a local row.
 */
export class ReplicaTable {
  /** Records that could not be adopted and have not ended since, by shard. */
  readonly refused: number[];
  readonly sessions: number[];
  /** By the writer's row: local row + 1, UNKNOWN or REFUSED. */
  private local = new Int32Array(1024);
  /** 0: nothing is known. */
  private generations = new Int32Array(1024);
  private versions = new Float64Array(1024);
  /** By local row: the writer's row + 1, or 0. */
  private readonly owner: Int32Array;
  /** By local row: 1 while a load is to tell whether the session still is. */
  private readonly orphan: Uint8Array;
  private readonly isExpected: Uint8Array;
  private orphans = 0;
  /** Whether shards are of different writers: a session of one may be here as another's. */
  private isMixed = false;
  /** By shard: epoch, and so the writer, that its rows are numbered by. */
  private readonly epochs: number[];

  constructor(
    private readonly sink: ReplicaSink,
    private readonly shards: number,
  ) {
    this.isExpected = new Uint8Array(sink.mostExpected);
    this.owner = new Int32Array(sink.capacity);
    this.orphan = new Uint8Array(sink.capacity);
    this.refused = Array.from({ length: shards }, () => 0);
    this.sessions = Array.from({ length: shards }, () => 0);
    this.epochs = Array.from({ length: shards }, () => 0);
    for (const row of sink.rows()) {
      this.orphan[row] = 1;
      this.orphans++;
    }
  }

  /** A shard is about to be loaded: what is there of it must be found in the snapshot, or goes with sweep(). */
  beginLoad(shard: number, epoch: number): void {
    for (let row = shard; row < this.local.length; row += this.shards) {
      if (this.local[row] > 0) {
        const local = this.local[row] - 1;
        this.owner[local] = 0;
        this.orphan[local] = 1;
        this.orphans++;
      }
      this.local[row] = UNKNOWN;
      this.generations[row] = 0;
      this.versions[row] = 0;
    }
    this.epochs[shard] = epoch;
    this.isMixed = this.epochs.some((other) => other !== 0 && other !== epoch);
    this.refused[shard] = 0;
    this.sessions[shard] = 0;
  }

  /** Ends what no load has found again. Only while no shard is loading or waits for it: sessions may change shards. */
  sweep(): void {
    if (this.orphans === 0) return;
    for (let local = 0; local < this.orphan.length; local++) {
      if (this.orphan[local] === 0) continue;
      this.orphan[local] = 0;
      this.sink.end(local);
    }
    this.orphans = 0;
  }

  /**
   * Tells the sink of records that will open sessions, so that it can get their memory ready together.
   *
   * @param first First word of the first of `count` records, at most `sink.mostExpected`.
   */
  expect(words: Int32Array, first: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const at = first + i * RECORD_WORDS;
      const row = words[at + R.row] >>> 0;
      const isOpen = row < this.local.length && this.local[row] > 0;
      this.isExpected[i] = isOpen || (words[at] & 0xff) === MirrorOp.end ? 0 : 1;
      if (this.isExpected[i] === 1) this.sink.expect(words, at, i);
    }
  }

  /**
   * @param at    First word of a record that BatchReader has judged.
   * @param index Of the record among those that expect() was just told of; -1: it was told of none.
   */
  apply(words: Int32Array, at: number, index = -1): Applied {
    const row = words[at + R.row] >>> 0;
    const generation = words[at + R.generation];
    const version = versionOf(words, at);
    if (row >= this.local.length) this.grow(row + 1);
    const known = this.generations[row];
    const later = (generation - known) | 0;
    if (known !== 0 && (later < 0 || (later === 0 && version <= this.versions[row]))) return Applied.stale;
    this.generations[row] = generation;
    this.versions[row] = version;
    if ((words[at] & 0xff) === MirrorOp.end) {
      this.drop(row);
      return Applied.changed;
    }
    const local = this.local[row];
    const isOurs = local > 0 && this.owner[local - 1] === row + 1;
    if (isOurs && later === 0 && this.sink.refresh(local - 1, words, at)) return Applied.changed;
    this.drop(row);
    return this.open(row, version, words, at, this.isExpected[index] === 1 ? index : -1);
  }

  private open(row: number, version: number, words: Int32Array, at: number, index: number): Applied {
    const shard = row % this.shards;
    if (this.orphans > 0 || this.isMixed) {
      const known = this.sink.find(words, at);
      if (known >= 0 && this.isLeft(known, shard) && this.sink.refresh(known, words, at)) {
        this.detach(known);
        this.attach(row, known);
        return Applied.changed;
      }
    }
    let local = this.sink.adopt(words, at, index);
    while (local === -1 - RefusedReason.conflict) {
      const other = this.sink.conflict(words, at);
      if (other < 0) break;
      const owner = this.owner[other] - 1;
      // The writer never has two that contradict each other: the older one has ended, as its shard will tell.
      if (owner >= 0 && this.isNewer(owner, shard, version)) return Applied.stale;
      this.detach(other);
      this.sink.end(other);
      local = this.sink.adopt(words, at, index);
    }
    if (local < 0) {
      this.local[row] = REFUSED;
      this.refused[shard]++;
      return Applied.refused;
    }
    this.attach(row, local);
    return Applied.changed;
  }

  private attach(row: number, local: number): void {
    // Its local row may have been that of an orphan that has ended since.
    if (this.orphan[local] === 1) {
      this.orphan[local] = 0;
      this.orphans--;
    }
    this.local[row] = local + 1;
    this.owner[local] = row + 1;
    this.sessions[row % this.shards]++;
  }

  /** Whether nobody of this shard's writer has the local session: it may be taken over with its rules. */
  private isLeft(local: number, shard: number): boolean {
    const owner = this.owner[local] - 1;
    return owner < 0 ? this.orphan[local] === 1 : this.epochs[owner % this.shards] < this.epochs[shard];
  }

  private isNewer(owner: number, shard: number, version: number): boolean {
    const epoch = this.epochs[owner % this.shards];
    return epoch === this.epochs[shard] ? this.versions[owner] > version : epoch > this.epochs[shard];
  }

  /** The local session is no row's any more. */
  private detach(local: number): void {
    const owner = this.owner[local] - 1;
    if (owner >= 0) {
      this.local[owner] = UNKNOWN;
      this.sessions[owner % this.shards]--;
      this.owner[local] = 0;
    } else if (this.orphan[local] === 1) {
      this.orphan[local] = 0;
      this.orphans--;
    }
  }

  private drop(row: number): void {
    const local = this.local[row];
    if (local === REFUSED) this.refused[row % this.shards]--;
    this.local[row] = UNKNOWN;
    if (local <= 0) return;
    // The sink may have lost a session of its own accord and given its row to another.
    if (this.owner[local - 1] !== row + 1) return;
    this.owner[local - 1] = 0;
    this.sessions[row % this.shards]--;
    this.sink.end(local - 1);
  }

  private grow(rows: number): void {
    const size = 2 ** Math.ceil(Math.log2(rows));
    const local = new Int32Array(size);
    const generations = new Int32Array(size);
    const versions = new Float64Array(size);
    local.set(this.local);
    generations.set(this.generations);
    versions.set(this.versions);
    this.local = local;
    this.generations = generations;
    this.versions = versions;
  }
}
