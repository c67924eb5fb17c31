import {
  SHARED_HASH_A,
  SHARED_HASH_B,
  SHARED_HASH_C,
  SharedTableEntry,
  SharedTableHeader,
} from '../../native/records.js';

/** Words before the entries. */
const HEADER = SharedTableHeader.size / 4;
const LOCK = SharedTableHeader.lock / 4;
const COUNT = SharedTableHeader.count / 4;
const SEED = SharedTableHeader.seed / 4;
const SEQUENCE = SharedTableHeader.sequence / 4;
/** Words of an entry. */
const WORDS = SharedTableEntry.size / 4;
const A = SharedTableEntry.a / 4;
const B = SharedTableEntry.b / 4;
const C = SharedTableEntry.c / 4;
/** 0: no entry. */
const VALUE = SharedTableEntry.value / 4;

/** @returns Bytes of a table for so many entries. */
export function sharedTableBytes(entries: number): number {
  const slots = 2 ** Math.ceil(Math.log2(Math.max(8, entries * 2)));
  return (HEADER + slots * WORDS) * 4;
}

/** Makes a table of memory that is zeros, before any other thread sees it. @param seed u32. */
export function beginSharedTable(memory: ArrayBufferLike, seed: number): void {
  new Int32Array(memory)[SEED] = seed;
}

/** @returns Memory for so many entries, all of it zeros but the seed. */
export function sharedTableMemory(entries: number, seed: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(sharedTableBytes(entries));
  beginSharedTable(memory, seed);
  return memory;
}

/**
 * Numbers other than 0 by keys of three words, in memory that the threads of all shards see. Each call is one step to the
 * others: it takes the table's lock, which is held for some tens of nanoseconds and never while anything is waited for.
 *
 * Lcores read without the lock, and never write. Whatever changes goes between two steps of the sequence number, word by
 * word and in the order of the program: who finds the number even, and the same after as before, has seen nothing of a
 * change (a seqlock: Boehm, "Can seqlocks get along with programming language memory models?", 2012).
 */
export class SharedTable {
  private readonly words: Int32Array;
  private readonly mask: number;
  private readonly seed: number;
  /** Within together(). */
  private isTogether = false;

  /** @param memory Of sharedTableMemory(), or of beginSharedTable(); external memory will do. @throws RangeError for another size */
  constructor(memory: ArrayBufferLike) {
    const slots = (memory.byteLength / 4 - HEADER) / WORDS;
    if (!(slots >= 1) || !Number.isInteger(Math.log2(slots))) {
      const size = `${SharedTableHeader.size} + ${SharedTableEntry.size} * 2^n`;
      throw new RangeError(`a shared table has ${size} bytes, not ${memory.byteLength}`);
    }
    this.words = new Int32Array(memory);
    this.mask = slots - 1;
    this.seed = this.words[SEED];
  }

  get count(): number {
    return Atomics.load(this.words, COUNT);
  }

  /** Entries that there may be: half of the slots stay free. */
  get capacity(): number {
    return Math.floor(this.mask / 2) + 1;
  }

  /** What `change` does to this table is one step to others, who wait for its end. */
  together(change: () => void): void {
    this.beginChange();
    this.isTogether = true;
    try {
      change();
    } finally {
      this.isTogether = false;
      this.endChange();
    }
  }

  /** @returns The value, 0 when there is none. */
  get(a: number, b: number, c: number): number {
    this.lock();
    const value = this.words[this.find(a, b, c) + VALUE];
    this.unlock();
    return value;
  }

  /** @param value Other than 0. @returns False when the table is full; then nothing changed. */
  set(a: number, b: number, c: number, value: number): boolean {
    this.beginChange();
    const at = this.find(a, b, c);
    const done = this.words[at + VALUE] !== 0 || this.add(at, a, b, c);
    if (done) this.write(at + VALUE, value);
    this.endChange();
    return done;
  }

  /** Sets a value where there is none. @returns Whether there was none, and room. */
  claim(a: number, b: number, c: number, value: number): boolean {
    this.beginChange();
    const at = this.find(a, b, c);
    const done = this.words[at + VALUE] === 0 && this.add(at, a, b, c);
    if (done) this.write(at + VALUE, value);
    this.endChange();
    return done;
  }

  /** Adds 1 to a value that is less than `most`. @returns Whether it was, and there was room. */
  increment(a: number, b: number, c: number, most: number): boolean {
    this.beginChange();
    const at = this.find(a, b, c);
    const value = this.words[at + VALUE];
    const done = value < most && (value !== 0 || this.add(at, a, b, c));
    if (done) this.write(at + VALUE, value + 1);
    this.endChange();
    return done;
  }

  /** Takes 1 from a value; at 0 the entry is gone. */
  decrement(a: number, b: number, c: number): void {
    this.beginChange();
    const at = this.find(a, b, c);
    const value = this.words[at + VALUE];
    if (value > 1) this.write(at + VALUE, value - 1);
    else if (value === 1) this.remove(at);
    this.endChange();
  }

  delete(a: number, b: number, c: number): void {
    this.beginChange();
    const at = this.find(a, b, c);
    if (this.words[at + VALUE] !== 0) this.remove(at);
    this.endChange();
  }

  /** Removes the entries whose values are over. */
  sweep(isOver: (value: number) => boolean): void {
    this.beginChange();
    for (let at = HEADER; at < this.words.length; ) {
      // Another entry may have come to where one was removed.
      if (this.words[at + VALUE] !== 0 && isOver(this.words[at + VALUE])) this.remove(at);
      else at += WORDS;
    }
    this.endChange();
  }

  private lock(): void {
    if (this.isTogether) return;
    while (Atomics.compareExchange(this.words, LOCK, 0, 1) !== 0) {
      // Its holder is a few instructions from the end.
    }
  }

  private unlock(): void {
    if (this.isTogether) return;
    Atomics.store(this.words, LOCK, 0);
  }

  private beginChange(): void {
    this.lock();
    if (!this.isTogether) Atomics.add(this.words, SEQUENCE, 1);
  }

  private endChange(): void {
    if (!this.isTogether) Atomics.add(this.words, SEQUENCE, 1);
    this.unlock();
  }

  /** Not before the sequence number is odd, and not after it is even again, to whoever reads without the lock. */
  private write(word: number, value: number): void {
    Atomics.store(this.words, word, value);
  }

  /** @returns Word of the key's entry, or of the free one where it would stand. */
  private find(a: number, b: number, c: number): number {
    const { words, mask } = this;
    let slot = this.slotOf(a, b, c);
    for (;;) {
      const at = HEADER + slot * WORDS;
      if (words[at + VALUE] === 0) return at;
      if (words[at + A] === (a | 0) && words[at + B] === (b | 0) && words[at + C] === (c | 0)) return at;
      slot = (slot + 1) & mask;
    }
  }

  private add(at: number, a: number, b: number, c: number): boolean {
    // Half of the slots stay free, so that searches end soon.
    if (this.words[COUNT] * 2 > this.mask) return false;
    this.write(at + A, a);
    this.write(at + B, b);
    this.write(at + C, c);
    this.words[COUNT]++;
    return true;
  }

  /** Entries behind it that were pushed away from their slots move up (Knuth, vol. 3, 6.4, algorithm R). */
  private remove(at: number): void {
    const { words, mask } = this;
    words[COUNT]--;
    let hole = (at - HEADER) / WORDS;
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const from = HEADER + slot * WORDS;
      if (words[from + VALUE] === 0) break;
      const home = this.slotOf(words[from + A], words[from + B], words[from + C]);
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      for (let word = 0; word < WORDS; word++) this.write(HEADER + hole * WORDS + word, words[from + word]);
      hole = slot;
    }
    this.write(HEADER + hole * WORDS + VALUE, 0);
  }

  private slotOf(a: number, b: number, c: number): number {
    let hash = Math.imul(this.seed ^ a, SHARED_HASH_A);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, SHARED_HASH_B);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, SHARED_HASH_C);
    return (hash ^ (hash >>> 16)) & this.mask;
  }
}
