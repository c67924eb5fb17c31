import { TupleIndex } from './tuple-index.js';

const FIRST_CAPACITY = 4096;

/**
 * A {@link TupleIndex} for a table whose worst case is far beyond what it commonly holds: begins small and doubles.
 * Entries move to the doubled index a bucket at each insertion, so that growth stalls no packet: a bucket holds at most
 * 15, and all have moved by the time the doubled one is half full.
 */
export class GrowingIndex {
  private current: TupleIndex;
  private currentCapacity: number;
  /** What has not moved yet. */
  private old: TupleIndex | null = null;
  private moved = 0;
  private count = 0;

  /** Parameters as TupleIndex has them. @param capacity Entries at most. */
  constructor(
    private readonly capacity: number,
    private readonly keyMatches: (entry: number, a: number, b: number, c: number, d: number) => boolean,
    private readonly keyHash: (entry: number, index: TupleIndex) => number,
  ) {
    this.currentCapacity = Math.min(capacity, FIRST_CAPACITY);
    this.current = this.make();
  }

  /** @returns The entry, or -1. */
  find(a: number, b: number, c: number, d: number): number {
    const entry = this.current.find(a, b, c, d);
    return entry < 0 && this.old !== null ? this.old.find(a, b, c, d) : entry;
  }

  /** The entry's key must already stand in its row and not be in the index, which must have room. */
  insert(entry: number): void {
    if (this.count === this.currentCapacity) {
      this.old = this.current;
      this.moved = 0;
      this.currentCapacity = Math.min(this.capacity, this.currentCapacity * 2);
      this.current = this.make();
    }
    this.count++;
    this.current.insert(entry);
    if (this.old !== null) this.moveBucket(this.old);
  }

  /** The entry's key must still stand in its row. @returns Whether it was there. */
  remove(entry: number): boolean {
    const found = this.current.remove(entry) || (this.old?.remove(entry) ?? false);
    if (found) this.count--;
    return found;
  }

  private moveBucket(old: TupleIndex): void {
    for (let entry = old.anyOf(this.moved); entry >= 0; entry = old.anyOf(this.moved)) {
      old.remove(entry);
      this.current.insert(entry);
    }
    if (++this.moved === old.buckets) this.old = null;
  }

  private make(): TupleIndex {
    return new TupleIndex(this.currentCapacity, this.keyMatches, this.keyHash, this.capacity);
  }
}
