/** Rows 0..capacity-1, taken and given back in O(1); the least recently used row comes last. */
export class RowPool {
  private readonly freed: Int32Array;
  private freedCount = 0;
  private fresh = 0;
  private used = 0;

  constructor(readonly capacity: number) {
    this.freed = new Int32Array(capacity);
  }

  /** Rows from here on were never taken. */
  get highWater(): number {
    return this.fresh;
  }

  get inUse(): number {
    return this.used;
  }

  /** @returns A row, or -1 when all are in use. */
  take(): number {
    if (this.freedCount > 0) {
      this.used++;
      return this.freed[--this.freedCount];
    }
    if (this.fresh === this.capacity) return -1;
    this.used++;
    return this.fresh++;
  }

  release(row: number): void {
    this.freed[this.freedCount++] = row;
    this.used--;
  }
}
