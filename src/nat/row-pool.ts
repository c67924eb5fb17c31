/** Rows that were given back are kept in pieces of so many. */
const PIECE_BITS = 12;
const PIECE_MASK = 2 ** PIECE_BITS - 1;

/**
 * Rows 0..capacity-1, taken and given back in O(1); the least recently used row comes last. Takes 4 bytes for each row
 * that was used and is free again, nothing for the others.
 */
export class RowPool {
  /** A stack in pieces; at most one beyond what it holds. */
  private readonly freed: Int32Array[] = [];
  private freedCount = 0;
  private fresh = 0;
  private used = 0;

  constructor(readonly capacity: number) {}

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
      const at = --this.freedCount;
      const piece = at >>> PIECE_BITS;
      if (this.freed.length > piece + 2) this.freed.pop();
      return this.freed[piece][at & PIECE_MASK];
    }
    if (this.fresh === this.capacity) return -1;
    this.used++;
    return this.fresh++;
  }

  release(row: number): void {
    const { freed, freedCount } = this;
    const piece = freedCount >>> PIECE_BITS;
    if (piece === freed.length) freed.push(new Int32Array(1 << PIECE_BITS));
    freed[piece][freedCount & PIECE_MASK] = row;
    this.freedCount = freedCount + 1;
    this.used--;
  }
}
