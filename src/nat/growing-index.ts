import { TupleIndex, wordsFor } from './tuple-index.js';

const FIRST_CAPACITY = 4096;
/** Words that an insertion clears of the index to come: ready after a tenth of the insertions for which it is begun ahead. */
const CLEARED_AT_ONCE = 128;

/**
 * A {@link TupleIndex} for a table whose worst case is far beyond what it commonly holds: begins small and doubles.
 *
 * No packet waits for that. From three quarters on, each insertion clears a piece of the doubled index; once it is in
 * use, each moves a bucket to it, of at most 15 entries, so that all have moved before it is half full.
 */
export class GrowingIndex {
  private current: TupleIndex;
  private currentCapacity: number;
  /** Entries from which on the doubled index is made ready. */
  private preparesAt: number;
  private count = 0;
  /** Words of the doubled index, cleared up to a place. */
  private coming: Int32Array | null = null;
  private cleared = 0;
  /** The index before, without the buckets that have moved. */
  private old: TupleIndex | null = null;
  private moved = 0;

  /** Parameters as TupleIndex has them. @param capacity Entries at most. */
  constructor(
    private readonly capacity: number,
    private readonly keyMatches: (entry: number, a: number, b: number, c: number, d: number) => boolean,
    private readonly keyHash: (entry: number, index: TupleIndex) => number,
  ) {
    this.currentCapacity = Math.min(capacity, FIRST_CAPACITY);
    this.preparesAt = Math.ceil(this.currentCapacity * 0.75);
    this.current = new TupleIndex(this.currentCapacity, keyMatches, keyHash, capacity);
  }

  /** As TupleIndex has it; the same however the index grows. */
  hash(a: number, b: number, c: number, d: number): number {
    return this.current.hash(a, b, c, d);
  }

  /** As TupleIndex has it. */
  hash2(a: number, b: number): number {
    return this.current.hash2(a, b);
  }

  /** As TupleIndex has it, until it grows. */
  placeOf(hash: number): number {
    return this.current.placeOf(hash);
  }

  /** As TupleIndex has it. */
  touchAll(places: Int32Array, count: number): number {
    return this.current.touchAll(places, count);
  }

  /** @returns The entry, or -1. */
  find(a: number, b: number, c: number, d: number): number {
    return this.findHashed(this.hash(a, b, c, d), a, b, c, d);
  }

  /** The same, with the key's hash known. */
  findHashed(hash: number, a: number, b: number, c: number, d: number): number {
    const entry = this.current.findHashed(hash, a, b, c, d);
    return entry < 0 && this.old !== null ? this.old.findHashed(hash, a, b, c, d) : entry;
  }

  /** The entry's key must already stand in its row and not be in the index, which must have room. */
  insert(entry: number): void {
    this.insertHashed(this.keyHash(entry, this.current), entry);
  }

  /** The same, with the key's hash known. */
  insertHashed(hash: number, entry: number): void {
    if (this.count >= this.preparesAt) this.prepare();
    this.count++;
    this.current.insertHashed(hash, entry);
    if (this.old !== null) this.moveBucket(this.old);
  }

  /** The entry's key must still stand in its row. @returns Whether it was there. */
  remove(entry: number): boolean {
    const found = this.current.remove(entry) || (this.old?.remove(entry) ?? false);
    if (found) this.count--;
    return found;
  }

  /** Clears a piece of the doubled index, and takes it into use when the present one is full. */
  private prepare(): void {
    const doubled = Math.min(this.capacity, this.currentCapacity * 2);
    if (doubled === this.currentCapacity) return;
    // As it comes, which takes no time: to have megabytes cleared at once does.
    this.coming ??= new Int32Array(Buffer.allocUnsafeSlow(wordsFor(doubled) * Int32Array.BYTES_PER_ELEMENT).buffer);
    this.coming.fill(0, this.cleared, this.cleared + CLEARED_AT_ONCE);
    this.cleared += CLEARED_AT_ONCE;
    if (this.count < this.currentCapacity) return;
    this.old = this.current;
    this.moved = 0;
    this.current = new TupleIndex(doubled, this.keyMatches, this.keyHash, this.capacity, this.coming, this.old);
    this.currentCapacity = doubled;
    this.preparesAt = Math.ceil(doubled * 0.75);
    this.coming = null;
    this.cleared = 0;
  }

  private moveBucket(old: TupleIndex): void {
    for (let entry = old.anyOf(this.moved); entry >= 0; entry = old.anyOf(this.moved)) {
      old.remove(entry);
      this.current.insert(entry);
    }
    if (++this.moved === old.buckets) this.old = null;
  }
}
