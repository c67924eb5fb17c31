/**
 * Deadlines in whole seconds for rows of a table: one doubly linked list a second, O(1) to arm and disarm. Deadlines
 * beyond the wheel's turn wait in its farthest slot and are armed again from there.
 */
export class TimerWheel {
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly slotOf: Int32Array;
  private readonly deadline: Float64Array;
  private readonly mask: number;
  /** Every second before this one has been taken. */
  private cursor: number | null = null;
  private armed = 0;
  /** No row is armed for a second before this one. */
  private earliest = 0;

  /** @param rows Rows 0..rows-1. @param slots Seconds of one turn, a power of two. */
  constructor(rows: number, slots = 8192) {
    this.heads = new Int32Array(slots).fill(-1);
    this.tails = new Int32Array(slots).fill(-1);
    this.next = new Int32Array(rows);
    this.previous = new Int32Array(rows);
    this.slotOf = new Int32Array(rows).fill(-1);
    this.deadline = new Float64Array(rows);
    this.mask = slots - 1;
  }

  isArmed(row: number): boolean {
    return this.slotOf[row] >= 0;
  }

  deadlineOf(row: number): number {
    return this.deadline[row];
  }

  /** Arms or re-arms. @param nowSeconds Gateway clock; a deadline not after it is due at once. */
  arm(row: number, deadlineSeconds: number, nowSeconds: number): void {
    if (this.slotOf[row] >= 0) this.disarm(row);
    if (this.cursor === null) this.cursor = nowSeconds;
    const at = Math.min(Math.max(deadlineSeconds, this.cursor), this.cursor + this.mask);
    if (at < this.earliest) this.earliest = at;
    const slot = at & this.mask;
    this.deadline[row] = deadlineSeconds;
    this.slotOf[row] = slot;
    this.next[row] = -1;
    const tail = this.tails[slot];
    this.previous[row] = tail;
    if (tail < 0) this.heads[slot] = row;
    else this.next[tail] = row;
    this.tails[slot] = row;
    this.armed++;
  }

  disarm(row: number): void {
    const slot = this.slotOf[row];
    if (slot < 0) return;
    const before = this.previous[row];
    const after = this.next[row];
    if (before < 0) this.heads[slot] = after;
    else this.next[before] = after;
    if (after < 0) this.tails[slot] = before;
    else this.previous[after] = before;
    this.slotOf[row] = -1;
    this.armed--;
  }

  /** @returns The second of the next slot with a row, at or after the cursor; Infinity when nothing is armed. Amortised O(1): the search starts where the last one ended. */
  nextDue(): number {
    if (this.armed === 0 || this.cursor === null) return Number.POSITIVE_INFINITY;
    const last = this.cursor + this.mask;
    let second = Math.max(this.cursor, this.earliest);
    while (second < last && this.heads[second & this.mask] < 0) second++;
    this.earliest = second;
    return second;
  }

  /**
   * Takes the next row that is due at or before `nowSeconds`, in the order of seconds, then of arming. The row is
   * disarmed. Rows parked in the farthest slot are armed again and not returned.
   *
   * @returns A row, or -1 when none is due any more.
   */
  takeDue(nowSeconds: number): number {
    if (this.cursor === null) return -1;
    while (this.cursor <= nowSeconds) {
      if (this.armed === 0) {
        this.cursor = nowSeconds + 1;
        return -1;
      }
      const row = this.heads[this.cursor & this.mask];
      if (row < 0) {
        this.cursor++;
        continue;
      }
      this.disarm(row);
      if (this.deadline[row] > this.cursor) this.arm(row, this.deadline[row], this.cursor);
      else return row;
    }
    return -1;
  }
}
