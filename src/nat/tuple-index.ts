import { randomFillSync } from 'node:crypto';
import { LAST_PLACE } from './table-memory.js';

/** By its own name: to look a global up costs jest's sandbox more than all else that a search does. */
const { imul } = Math;
const PLACE = LAST_PLACE;

/** A bucket is one cache line: a control word and 15 slots. */
const BUCKET_WORDS = 16;
const SLOTS = BUCKET_WORDS - 1;
/**
 * Entries a bucket when the index holds all it may: a load of 2/3. Fresh, one bucket in 18 is then ever passed over;
 * after each entry was replaced some times one in four, and a search for what is not there looks at 1.5 buckets. With
 * 12 entries a bucket it would be 7.
 */
const ENTRIES_PER_BUCKET = 10;
/** Entries that may wait for their place in the index. */
const MOST_PENDING = 32;
/** Of one of them: hash, entry, and the place of the bucket that it belongs in. */
const PENDING_FIELDS = 3;
/** Words of 32 bits each that tell which hashes wait: of 1024, so that one search in thirty meets a wrong one at most. */
const PENDING_WORDS = 32;
/** Control word: slots in use (low 4 bits), entries that passed the bucket over because it was full (the rest). */
const IN_USE = 15;
const PASSED_OVER = 16;

/** @returns Words of an index for so many entries. */
export function wordsFor(capacity: number): number {
  return Math.ceil(capacity / ENTRIES_PER_BUCKET) * BUCKET_WORDS;
}

/**
 * Integer hash index: 4-word keys to entries, in buckets of one cache line; 6.4 bytes an entry. The keys stand in the
 * owner's rows; a slot holds an entry's number and, in the bits that are left, a part of its hash, so that a search
 * looks at one line and seldom at a row that is not the wanted one.
 *
 * An entry whose bucket is full stands in the next with room, and each bucket on its way counts it; a search goes on
 * only from a bucket that counts some. So removal moves nothing but within one bucket: no tombstones, and no rows but
 * the entry's own are looked at.
 */
export class TupleIndex {
  readonly buckets: number;
  private readonly scale: number;
  private readonly entryBits: number;
  private readonly entryMask: number;
  private readonly tagMask: number;
  private readonly seed: number;
  private readonly straight: number;
  private readonly turned: number;
  private readonly pending = new Int32Array(MOST_PENDING * PENDING_FIELDS);
  private readonly pendingHashes = new Int32Array(PENDING_WORDS);
  private pendingCount = 0;
  /** Whatever settle() read before it wrote: without a use for it V8 would read nothing. */
  touched = 0;

  /**
   * @param capacity   Entries the index can hold, numbered 0..numbers-1.
   * @param keyMatches Whether entry's key is (a, b, c, d).
   * @param keyHash    Hash of the entry's own key: must call {@link hash} with it.
   * @param numbers    Bound of the entries' numbers, at most 2^30, where it is not the capacity.
   * @param words      Zeros, as many as {@link wordsFor} says, to be used and not made.
   */
  constructor(
    capacity: number,
    private readonly keyMatches: (entry: number, a: number, b: number, c: number, d: number) => boolean,
    private readonly keyHash: (entry: number, index: TupleIndex) => number,
    numbers = capacity,
    private readonly words: Int32Array = new Int32Array(wordsFor(capacity)),
  ) {
    this.buckets = words.length / BUCKET_WORDS;
    this.scale = this.buckets / 0x1_0000_0000;
    this.entryBits = Math.max(1, 32 - Math.clz32(numbers - 1));
    this.entryMask = 2 ** this.entryBits - 1;
    this.tagMask = 2 ** (32 - this.entryBits) - 1;
    const secret = randomFillSync(new Int32Array(3));
    this.seed = secret[0];
    this.straight = secret[1] | 1;
    this.turned = secret[2] | 1;
  }

  /**
   * With secret factors, so that senders cannot aim at one bucket: were they known, a difference in a word's highest
   * bit could be made up for in the next word whatever the seed. Each word counts twice, once with its halves swapped,
   * for the highest bits of a product alone depend on all bits of a factor.
   *
   * @returns 32 bits, signed.
   */
  hash(a: number, b: number, c: number, d: number): number {
    const { straight, turned } = this;
    let h = this.seed ^ a;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h ^= (h >>> 15) ^ b;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h ^= (h >>> 15) ^ c;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h ^= (h >>> 15) ^ d;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h = imul(h ^ (h >>> 15), 0x9e3779b1);
    return h ^ (h >>> 15);
  }

  /**
   * insertHashed() that need not wait for the bucket's memory: the entry is found from now on, but gets its place with
   * others that wait, side by side, or when a search could be for one of them.
   */
  deferHashed(hash: number, entry: number): void {
    const { pending, pendingHashes } = this;
    const at = this.pendingCount * PENDING_FIELDS;
    pending[at] = hash;
    pending[at + 1] = entry;
    pending[at + 2] = (this.home(hash) * BUCKET_WORDS) & PLACE;
    pendingHashes[(hash >>> 5) & (PENDING_WORDS - 1)] |= 1 << hash;
    this.pendingCount++;
    if (this.pendingCount === MOST_PENDING) this.settle();
  }

  /** Whether an entry of this hash may wait for its place. */
  private mayBePending(hash: number): boolean {
    return ((this.pendingHashes[(hash >>> 5) & (PENDING_WORDS - 1)] >>> hash) & 1) !== 0;
  }

  /** Gives all entries that wait their places. */
  private settle(): void {
    const { pending, words, pendingHashes, entryBits } = this;
    const end = this.pendingCount * PENDING_FIELDS;
    let touched = 0;
    for (let i = 0; i < end; i += PENDING_FIELDS) {
      touched ^= words[pending[i + 2]];
      pendingHashes[(pending[i] >>> 5) & (PENDING_WORDS - 1)] = 0;
    }
    this.touched = touched;
    this.pendingCount = 0;
    for (let i = 0; i < end; i += PENDING_FIELDS) {
      const hash = pending[i];
      const at = pending[i + 2];
      const control = words[at];
      const inUse = control & IN_USE;
      if (inUse === SLOTS) {
        this.insertHashed(hash, pending[i + 1]);
        continue;
      }
      words[at] = control + 1;
      words[at + inUse + 1] = pending[i + 1] | (hash << entryBits);
    }
  }

  /** Asks for the memory that a search will look at first. @param hash Of the key. @returns Something of it, which the caller must use. */
  touch(hash: number): number {
    return this.words[(this.home(hash) * BUCKET_WORDS) & PLACE];
  }

  /** @returns The entry, or -1. */
  find(a: number, b: number, c: number, d: number): number {
    return this.findHashed(this.hash(a, b, c, d), a, b, c, d);
  }

  /** The same, with the key's hash known. */
  findHashed(hash: number, a: number, b: number, c: number, d: number): number {
    if (this.mayBePending(hash) === true) this.settle();
    const { words, entryBits } = this;
    const tag = hash & this.tagMask;
    const home = this.home(hash);
    let bucket = home;
    do {
      const at = (bucket * BUCKET_WORDS) & PLACE;
      const control = words[at];
      const last = at + (control & IN_USE);
      for (let slot = at + 1; slot <= last; slot++) {
        const word = words[slot];
        if (word >>> entryBits !== tag) continue;
        const entry = word & this.entryMask;
        if (this.keyMatches(entry, a, b, c, d)) return entry;
      }
      if (control < PASSED_OVER) return -1;
      bucket = this.after(bucket);
    } while (bucket !== home);
    return -1;
  }

  /** The entry's key must already stand in its row and not be in the index, which must have room. */
  insert(entry: number): void {
    this.insertHashed(this.keyHash(entry, this), entry);
  }

  /** The same, with the key's hash known. */
  insertHashed(hash: number, entry: number): void {
    const { words } = this;
    let bucket = this.home(hash);
    let at = (bucket * BUCKET_WORDS) & PLACE;
    let control = words[at];
    while ((control & IN_USE) === SLOTS) {
      words[at] = control + PASSED_OVER;
      bucket = this.after(bucket);
      at = (bucket * BUCKET_WORDS) & PLACE;
      control = words[at];
    }
    words[at] = control + 1;
    words[at + (control & IN_USE) + 1] = entry | (hash << this.entryBits);
  }

  /** The entry's key must still stand in its row. @returns Whether it was there. */
  remove(entry: number): boolean {
    const { words } = this;
    const hash = this.keyHash(entry, this);
    if (this.pendingCount !== 0) this.settle();
    const word = entry | (hash << this.entryBits);
    const home = this.home(hash);
    let bucket = home;
    do {
      const at = (bucket * BUCKET_WORDS) & PLACE;
      const control = words[at];
      const last = at + (control & IN_USE);
      for (let slot = at + 1; slot <= last; slot++) {
        if (words[slot] !== word) continue;
        words[slot] = words[last];
        words[at]--;
        for (let passed = home; passed !== bucket; passed = this.after(passed)) {
          words[(passed * BUCKET_WORDS) & PLACE] -= PASSED_OVER;
        }
        return true;
      }
      if (control < PASSED_OVER) return false;
      bucket = this.after(bucket);
    } while (bucket !== home);
    return false;
  }

  /** @returns An entry that stands in a bucket, or -1. */
  anyOf(bucket: number): number {
    if (this.pendingCount !== 0) this.settle();
    const at = (bucket * BUCKET_WORDS) & PLACE;
    const inUse = this.words[at] & IN_USE;
    return inUse === 0 ? -1 : this.words[at + inUse] & this.entryMask;
  }

  private home(hash: number): number {
    // The highest bits choose the bucket, the lowest are kept in the slot.
    return ((hash >>> 0) * this.scale) | 0;
  }

  private after(bucket: number): number {
    return bucket + 1 === this.buckets ? 0 : bucket + 1;
  }
}
