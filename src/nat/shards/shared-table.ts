/** Words before the entries: the lock, how many entries there are, the seed of the hash, one that is free. */
const HEADER = 4;
const LOCK = 0;
const COUNT = 1;
const SEED = 2;
/** Three words of key and one of value; value 0: no entry. */
const WORDS = 4;
const VALUE = 3;

/** @returns Memory for so many entries, all of it zeros but the seed. */
export function sharedTableMemory(entries: number, seed: number): SharedArrayBuffer {
  const slots = 2 ** Math.ceil(Math.log2(Math.max(8, entries * 2)));
  const memory = new SharedArrayBuffer((HEADER + slots * WORDS) * 4);
  new Int32Array(memory)[SEED] = seed;
  return memory;
}

/**
 * Numbers other than 0 by keys of three words, in memory that the threads of all shards see. Each call is one step to the
 * others: it takes the table's lock, which is held for some tens of nanoseconds and never while anything is waited for.
 */
export class SharedTable {
  private readonly words: Int32Array;
  private readonly mask: number;
  private readonly seed: number;

  /** @param memory Of sharedTableMemory(). */
  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
    this.mask = (this.words.length - HEADER) / WORDS - 1;
    this.seed = this.words[SEED];
  }

  get count(): number {
    return Atomics.load(this.words, COUNT);
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
    this.lock();
    const at = this.find(a, b, c);
    const done = this.words[at + VALUE] !== 0 || this.add(at, a, b, c);
    if (done) this.words[at + VALUE] = value;
    this.unlock();
    return done;
  }

  /** Sets a value where there is none. @returns Whether there was none, and room. */
  claim(a: number, b: number, c: number, value: number): boolean {
    this.lock();
    const at = this.find(a, b, c);
    const done = this.words[at + VALUE] === 0 && this.add(at, a, b, c);
    if (done) this.words[at + VALUE] = value;
    this.unlock();
    return done;
  }

  /** Adds 1 to a value that is less than `most`. @returns Whether it was, and there was room. */
  increment(a: number, b: number, c: number, most: number): boolean {
    this.lock();
    const at = this.find(a, b, c);
    const value = this.words[at + VALUE];
    const done = value < most && (value !== 0 || this.add(at, a, b, c));
    if (done) this.words[at + VALUE] = value + 1;
    this.unlock();
    return done;
  }

  /** Takes 1 from a value; at 0 the entry is gone. */
  decrement(a: number, b: number, c: number): void {
    this.lock();
    const at = this.find(a, b, c);
    if (this.words[at + VALUE] > 1) this.words[at + VALUE]--;
    else if (this.words[at + VALUE] === 1) this.remove(at);
    this.unlock();
  }

  delete(a: number, b: number, c: number): void {
    this.lock();
    const at = this.find(a, b, c);
    if (this.words[at + VALUE] !== 0) this.remove(at);
    this.unlock();
  }

  /** Removes the entries whose values are over. */
  sweep(isOver: (value: number) => boolean): void {
    this.lock();
    for (let at = HEADER; at < this.words.length; ) {
      // Another entry may have come to where one was removed.
      if (this.words[at + VALUE] !== 0 && isOver(this.words[at + VALUE])) this.remove(at);
      else at += WORDS;
    }
    this.unlock();
  }

  private lock(): void {
    while (Atomics.compareExchange(this.words, LOCK, 0, 1) !== 0) {
      // Its holder is a few instructions from the end.
    }
  }

  private unlock(): void {
    Atomics.store(this.words, LOCK, 0);
  }

  /** @returns Word of the key's entry, or of the free one where it would stand. */
  private find(a: number, b: number, c: number): number {
    const { words, mask } = this;
    let slot = this.slotOf(a, b, c);
    for (;;) {
      const at = HEADER + slot * WORDS;
      if (words[at + VALUE] === 0) return at;
      if (words[at] === (a | 0) && words[at + 1] === (b | 0) && words[at + 2] === (c | 0)) return at;
      slot = (slot + 1) & mask;
    }
  }

  private add(at: number, a: number, b: number, c: number): boolean {
    // Half of the slots stay free, so that searches end soon.
    if (this.words[COUNT] * 2 > this.mask) return false;
    this.words[at] = a;
    this.words[at + 1] = b;
    this.words[at + 2] = c;
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
      const home = this.slotOf(words[from], words[from + 1], words[from + 2]);
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      words.copyWithin(HEADER + hole * WORDS, from, from + WORDS);
      hole = slot;
    }
    words[HEADER + hole * WORDS + VALUE] = 0;
  }

  private slotOf(a: number, b: number, c: number): number {
    let hash = Math.imul(this.seed ^ a, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) & this.mask;
  }
}
