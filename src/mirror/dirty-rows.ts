import type { DirtySource } from './types.js';

const QUEUED = 1;
const KNOWN = 2;

/**
 * Rows that changed since the mirror last wrote them: a byte a row and, a shard, a ring of rows in the order in which
 * they first changed. A row stands in its ring at most once however often it changes, so that a Redis that takes
 * nothing for a day costs no more memory than one that takes everything. No tombstones are kept either: what a row says
 * when its turn comes is a session or the end of the last one that lived in it.
 */
export class DirtyRows implements DirtySource {
  count = 0;
  onFirst: (() => void) | null = null;

  private readonly flags: Uint8Array;
  private readonly rings: readonly Int32Array[];
  private readonly ringSize: number;
  private readonly heads: Uint32Array;
  private readonly counts: Uint32Array;
  private readonly mask: number;

  /** @param capacity Rows. @param shards A power of two. */
  constructor(
    readonly capacity: number,
    shards: number,
  ) {
    this.flags = new Uint8Array(capacity);
    this.ringSize = Math.ceil(capacity / shards);
    this.rings = Array.from({ length: shards }, () => new Int32Array(this.ringSize));
    this.heads = new Uint32Array(shards);
    this.counts = new Uint32Array(shards);
    this.mask = shards - 1;
  }

  /** O(1), nothing is allocated: called for each session that opens, changes its state or ends. */
  mark(row: number): void {
    if ((this.flags[row] & QUEUED) !== 0) return;
    this.flags[row] |= QUEUED;
    const shard = row & this.mask;
    const tail = this.heads[shard] + this.counts[shard]++;
    this.rings[shard][tail < this.ringSize ? tail : tail - this.ringSize] = row;
    if (this.count++ === 0) this.onFirst?.();
  }

  countOf(shard: number): number {
    return this.counts[shard];
  }

  take(shard: number): number {
    if (this.counts[shard] === 0) return -1;
    const head = this.heads[shard];
    const row = this.rings[shard][head];
    this.heads[shard] = head + 1 === this.ringSize ? 0 : head + 1;
    this.counts[shard]--;
    this.count--;
    this.flags[row] &= ~QUEUED;
    return row;
  }

  /** Whether Redis may hold something of the row, so that its end must be told. */
  isKnown(row: number): boolean {
    return (this.flags[row] & KNOWN) !== 0;
  }

  setKnown(row: number, known: boolean): void {
    if (known) this.flags[row] |= KNOWN;
    else this.flags[row] &= ~KNOWN;
  }
}
