import { LAST_PLACE, ordinaryMemory } from './table-memory.js';

/** By its own name: an imported one is looked up anew each time. */
const PLACE = LAST_PLACE;

/** Three words a row, so that it costs one cache line. */
const WORDS = 3;
/** Row + 1 of the next in the list; at the list's end ~slot; 0: not armed. */
const NEXT = 0;
/** Row + 1 of the one before in the list; at the list's begin ~slot. */
const PREVIOUS = 1;
/** Seconds, u32. */
const DEADLINE = 2;
const LAST_SECOND = 0xffff_ffff;
const { max, min } = Math;

/**
 * Deadlines in whole seconds for rows of a table: one doubly linked list a second, O(1) to arm and disarm; 12 bytes a
 * row. Deadlines beyond the wheel's turn wait in its farthest slot and are armed again from there.
 */
export class TimerWheel {
  /** Row + 1 of each slot's first and last row, 0: none. */
  private readonly heads: Int32Array;
  private readonly tails: Int32Array;
  private readonly words: Int32Array;
  /** Of each slot: rows that were armed for it since its last turn. */
  private readonly counts: Int32Array;
  private readonly mask: number;
  /** Every second before this one has been taken. */
  private cursor: number | null = null;
  private armed = 0;
  /** No row is armed for a second before this one. */
  private earliest = 0;

  /** @param rows Rows 0..rows-1. @param memory Of the rows. @param slots Seconds of one turn, a power of two. */
  constructor(rows: number, memory = ordinaryMemory, slots = 8192) {
    this.heads = new Int32Array(slots);
    this.tails = new Int32Array(slots);
    this.counts = new Int32Array(slots);
    this.words = memory(rows * WORDS);
    this.mask = slots - 1;
  }

  isArmed(row: number): boolean {
    return this.words[(row * WORDS + NEXT) & PLACE] !== 0;
  }

  /** @returns The deadline of the last arm(), also when it has been taken. */
  deadlineOf(row: number): number {
    return this.words[(row * WORDS + DEADLINE) & PLACE] >>> 0;
  }

  /** Arms or re-arms. @param deadlineSeconds Up to 2^32 - 1. @param nowSeconds Gateway clock; a deadline not after it is due at once. */
  arm(row: number, deadlineSeconds: number, nowSeconds: number): void {
    const { words } = this;
    if (words[(row * WORDS + NEXT) & PLACE] !== 0) this.disarm(row);
    if (this.cursor === null) this.cursor = nowSeconds;
    const at = min(max(deadlineSeconds, this.cursor), this.cursor + this.mask);
    if (at < this.earliest) this.earliest = at;
    const slot = at & this.mask;
    const tail = this.tails[slot];
    words[(row * WORDS + DEADLINE) & PLACE] = min(deadlineSeconds, LAST_SECOND);
    words[(row * WORDS + NEXT) & PLACE] = ~slot;
    if (tail === 0) {
      words[(row * WORDS + PREVIOUS) & PLACE] = ~slot;
      this.heads[slot] = row + 1;
    } else {
      words[(row * WORDS + PREVIOUS) & PLACE] = tail;
      words[((tail - 1) * WORDS + NEXT) & PLACE] = row + 1;
    }
    this.tails[slot] = row + 1;
    this.counts[slot]++;
    this.armed++;
  }

  disarm(row: number): void {
    const { words } = this;
    const after = words[(row * WORDS + NEXT) & PLACE];
    if (after === 0) return;
    const before = words[(row * WORDS + PREVIOUS) & PLACE];
    if (before > 0) words[((before - 1) * WORDS + NEXT) & PLACE] = after;
    else this.heads[~before] = max(after, 0);
    if (after > 0) words[((after - 1) * WORDS + PREVIOUS) & PLACE] = before;
    else this.tails[~after] = max(before, 0);
    words[(row * WORDS + NEXT) & PLACE] = 0;
    this.armed--;
  }

  /** @returns About how many rows are due in a second of this turn: those of them that were disarmed count too. */
  armedFor(second: number): number {
    return this.counts[second & this.mask];
  }

  /** @returns The second of the next slot with a row, at or after the cursor; Infinity when nothing is armed. Amortised O(1): the search starts where the last one ended. */
  nextDue(): number {
    if (this.armed === 0 || this.cursor === null) return Number.POSITIVE_INFINITY;
    const last = this.cursor + this.mask;
    let second = max(this.cursor, this.earliest);
    while (second < last && this.heads[second & this.mask] === 0) second++;
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
        this.counts.fill(0);
        return -1;
      }
      const row = this.heads[this.cursor & this.mask] - 1;
      if (row < 0) {
        this.counts[this.cursor & this.mask] = 0;
        this.cursor++;
        continue;
      }
      this.disarm(row);
      const deadline = this.deadlineOf(row);
      if (deadline > this.cursor) this.arm(row, deadline, this.cursor);
      else return row;
    }
    return -1;
  }
}
