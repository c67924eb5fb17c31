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
/** Entries that may wait for their place in the index, and as many to leave theirs. */
const MOST_PENDING = 32;
/** Of one of them: the place of the bucket that it belongs in, and the word that will stand there. */
const PENDING_FIELDS = 2;
/** Words of 32 bits each that tell which hashes wait: of 1024, so that one search in sixteen meets a wrong one at most. */
const PENDING_WORDS = 32;
/**
 * One hash in 1024 is searched for whatever its bucket holds: what has never run has no types, and V8 throws the whole
 * function away that it was inlined in when it first does, in the midst of traffic.
 */
const SAMPLE = 1023;
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
  /** The bits of a slot that are a part of the hash. */
  private readonly tagBits: number;
  private readonly secret: Int32Array;
  private readonly seed: number;
  private readonly straight: number;
  private readonly turned: number;
  private readonly pending = new Int32Array(MOST_PENDING * PENDING_FIELDS);
  /** Entries that are to be removed, as those in `pending`. */
  private readonly leaving = new Int32Array(MOST_PENDING * PENDING_FIELDS);
  private readonly pendingHashes = new Int32Array(PENDING_WORDS);
  private pendingCount = 0;
  private leavingCount = 0;
  /** As many as have room beside all that the index may hold. */
  private readonly mostLeaving: number;
  /** Whatever settle() read before it wrote: without a use for it V8 would read nothing. */
  touched = 0;

  /**
   * @param capacity   Entries the index can hold, numbered 0..numbers-1.
   * @param keyMatches Whether entry's key is (a, b, c, d).
   * @param keyHash    Hash of the entry's own key: must call {@link hash} with it, or always one of those of fewer words.
   * @param numbers    Bound of the entries' numbers, at most 2^30, where it is not the capacity.
   * @param words      Zeros, as many as {@link wordsFor} says, to be used and not made.
   * @param twin       An index of the same keys: hashes are the same in both.
   */
  constructor(
    capacity: number,
    private readonly keyMatches: (entry: number, a: number, b: number, c: number, d: number) => boolean,
    private readonly keyHash: (entry: number, index: TupleIndex) => number,
    numbers = capacity,
    private readonly words: Int32Array = new Int32Array(wordsFor(capacity)),
    twin: TupleIndex | null = null,
  ) {
    this.buckets = words.length / BUCKET_WORDS;
    this.scale = this.buckets / 0x1_0000_0000;
    this.mostLeaving = Math.min(MOST_PENDING, this.buckets * SLOTS - capacity);
    this.entryBits = Math.max(1, 32 - Math.clz32(numbers - 1));
    this.entryMask = (1 << this.entryBits) - 1;
    this.tagBits = ~this.entryMask;
    this.secret = twin === null ? randomFillSync(new Int32Array(3)) : twin.secret;
    this.seed = this.secret[0];
    this.straight = this.secret[1] | 1;
    this.turned = this.secret[2] | 1;
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

  /** The same of a key that is told by its first three words. */
  hash3(a: number, b: number, c: number): number {
    const { straight, turned } = this;
    let h = this.seed ^ a;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h ^= (h >>> 15) ^ b;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h ^= (h >>> 15) ^ c;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h = imul(h ^ (h >>> 15), 0x9e3779b1);
    return h ^ (h >>> 15);
  }

  /** The same of a key that is told by its first two words. */
  hash2(a: number, b: number): number {
    const { straight, turned } = this;
    let h = this.seed ^ a;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h ^= (h >>> 15) ^ b;
    h = (imul(h, straight) + imul((h << 16) | (h >>> 16), turned)) | 0;
    h = imul(h ^ (h >>> 15), 0x9e3779b1);
    return h ^ (h >>> 15);
  }

  /**
   * insertHashed() that need not wait for the bucket's memory: the entry is found from now on, but gets its place with
   * others that wait, side by side, or when a search could be for one of them.
   */
  deferHashed(hash: number, entry: number): void {
    const { pending, pendingHashes, pendingCount } = this;
    const at = pendingCount * PENDING_FIELDS;
    pending[at] = (this.home(hash) * BUCKET_WORDS) & PLACE;
    pending[at + 1] = entry | (hash << this.entryBits);
    pendingHashes[(hash >>> 5) & (PENDING_WORDS - 1)] |= 1 << hash;
    this.pendingCount = pendingCount + 1;
    if (pendingCount === MOST_PENDING - 1) this.settle();
  }

  /**
   * Removes an entry that is there: it is not found from now on, and its key may leave its row, but its place is given up
   * with others that wait, side by side, or when a search could be for one of them.
   *
   * @param hash Of its key.
   */
  deferRemoval(hash: number, entry: number): void {
    const { leaving, pendingHashes, leavingCount } = this;
    const at = leavingCount * PENDING_FIELDS;
    leaving[at] = (this.home(hash) * BUCKET_WORDS) & PLACE;
    leaving[at + 1] = entry | (hash << this.entryBits);
    pendingHashes[(hash >>> 5) & (PENDING_WORDS - 1)] |= 1 << hash;
    this.leavingCount = leavingCount + 1;
    if (leavingCount + 1 >= this.mostLeaving) this.settle();
  }

  /** Whether an entry of this hash may wait for its place, or to leave it. */
  private mayBePending(hash: number): boolean {
    return ((this.pendingHashes[(hash >>> 5) & (PENDING_WORDS - 1)] >>> hash) & 1) !== 0;
  }

  /** Gives all entries that wait their places, and takes those that wait to leave from theirs. */
  private settle(): void {
    const { pending, leaving, words, pendingHashes } = this;
    const end = this.pendingCount * PENDING_FIELDS;
    const last = this.leavingCount * PENDING_FIELDS;
    let touched = 0;
    for (let i = 0; i < end; i += PENDING_FIELDS) touched ^= words[pending[i]];
    for (let i = 0; i < last; i += PENDING_FIELDS) touched ^= words[leaving[i]];
    this.touched = touched;
    this.pendingCount = 0;
    this.leavingCount = 0;
    for (let i = 0; i < PENDING_WORDS; i += 8) {
      pendingHashes[i] = 0;
      pendingHashes[i + 1] = 0;
      pendingHashes[i + 2] = 0;
      pendingHashes[i + 3] = 0;
      pendingHashes[i + 4] = 0;
      pendingHashes[i + 5] = 0;
      pendingHashes[i + 6] = 0;
      pendingHashes[i + 7] = 0;
    }
    // Without a call in it the loop has the arrays in registers: entries whose bucket is full wait for the end of it.
    let left = 0;
    for (let i = 0; i < end; i += PENDING_FIELDS) {
      const at = pending[i];
      const word = pending[i + 1];
      const control = words[at];
      const inUse = control & IN_USE;
      if (inUse !== SLOTS) {
        words[at] = control + 1;
        words[at + inUse + 1] = word;
      } else {
        pending[left] = at;
        pending[left + 1] = word;
        left += PENDING_FIELDS;
      }
    }
    for (let i = 0; i < left; i += PENDING_FIELDS) this.passOver(pending[i], pending[i + 1]);
    // Last, as some of them may just have come. Here too, those that are not where they belong wait for the end.
    let astray = 0;
    for (let i = 0; i < last; i += PENDING_FIELDS) {
      const at = leaving[i];
      const word = leaving[i + 1];
      const control = words[at];
      const highest = at + (control & IN_USE);
      let slot = at + 1;
      while (slot <= highest && words[slot] !== word) slot++;
      if (slot <= highest) {
        words[slot] = words[highest];
        words[at] = control - 1;
      } else {
        leaving[astray] = at;
        leaving[astray + 1] = word;
        astray += PENDING_FIELDS;
      }
    }
    for (let i = 0; i < astray; i += PENDING_FIELDS) this.takeFrom(leaving[i], leaving[i + 1]);
  }

  /** Asks for the memory that a search will look at first. @param hash Of the key. @returns Something of it, which the caller must use. */
  touch(hash: number): number {
    return this.words[(this.home(hash) * BUCKET_WORDS) & PLACE];
  }

  /** Where touch() would look, for touchAll(). */
  placeOf(hash: number): number {
    return (this.home(hash) * BUCKET_WORDS) & PLACE;
  }

  /**
   * touch() for several: with nothing else between them, their misses overlap, as many as the processor has room for.
   *
   * @param places placeOf() their keys' hashes. @returns Something of that memory, which the caller must use.
   */
  touchAll(places: Int32Array, count: number): number {
    const { words } = this;
    let touched = 0;
    for (let i = 0; i < count; i++) touched ^= words[places[i]];
    return touched;
  }

  /** @returns The entry, or -1. */
  find(a: number, b: number, c: number, d: number): number {
    return this.findHashed(this.hash(a, b, c, d), a, b, c, d);
  }

  /** The same, with the key's hash known. */
  findHashed(hash: number, a: number, b: number, c: number, d: number): number {
    const first = this.candidate(hash);
    return first < 0 ? -1 : this.search(first, hash, a, b, c, d);
  }

  /** Whether there may be an entry of that hash; of those that are not there one in some hundreds. */
  mayHave(hash: number): boolean {
    return this.candidate(hash) >= 0;
  }

  /**
   * Looks for the hash alone. A bucket's slots one after the other without a loop: in a loop V8 loads the array anew for
   * each, at twice the instructions. Slots that are not in use hold anything; since the first that fits counts, one of
   * those that fits says that none of the others does.
   *
   * @returns Place of the first slot from which on search() may find it; -1: it is not there.
   */
  private candidate(hash: number): number {
    if (this.pendingCount + this.leavingCount !== 0 && this.mayBePending(hash) === true) this.settle();
    const { words, tagBits } = this;
    const tag = hash << this.entryBits;
    const home = this.home(hash);
    let bucket = home;
    do {
      const at = (bucket * BUCKET_WORDS) & PLACE;
      const control = words[at];
      const inUse = control & IN_USE;
      let slot = 16;
      if (((words[at + 1] ^ tag) & tagBits) === 0) slot = 1;
      else if (((words[at + 2] ^ tag) & tagBits) === 0) slot = 2;
      else if (((words[at + 3] ^ tag) & tagBits) === 0) slot = 3;
      else if (inUse > 3) {
        if (((words[at + 4] ^ tag) & tagBits) === 0) slot = 4;
        else if (((words[at + 5] ^ tag) & tagBits) === 0) slot = 5;
        else if (((words[at + 6] ^ tag) & tagBits) === 0) slot = 6;
        else if (inUse > 6) {
          if (((words[at + 7] ^ tag) & tagBits) === 0) slot = 7;
          else if (((words[at + 8] ^ tag) & tagBits) === 0) slot = 8;
          else if (((words[at + 9] ^ tag) & tagBits) === 0) slot = 9;
          else if (inUse > 9) {
            if (((words[at + 10] ^ tag) & tagBits) === 0) slot = 10;
            else if (((words[at + 11] ^ tag) & tagBits) === 0) slot = 11;
            else if (inUse > 11) {
              if (((words[at + 12] ^ tag) & tagBits) === 0) slot = 12;
              else if (((words[at + 13] ^ tag) & tagBits) === 0) slot = 13;
              else if (inUse > 13) {
                if (((words[at + 14] ^ tag) & tagBits) === 0) slot = 14;
                else if (((words[at + 15] ^ tag) & tagBits) === 0) slot = 15;
              }
            }
          }
        }
      }
      if (slot <= inUse) return at + slot;
      if (control < PASSED_OVER) return (hash & SAMPLE) === 0 ? at + 1 : -1;
      bucket = this.after(bucket);
    } while (bucket !== home);
    return -1;
  }

  /** @param from Place of the slot to begin at: candidate(). */
  private search(from: number, hash: number, a: number, b: number, c: number, d: number): number {
    const { words, entryBits, tagBits } = this;
    const tag = hash << entryBits;
    const home = this.home(hash);
    let bucket = (from / BUCKET_WORDS) | 0;
    let slot = from;
    do {
      const at = (bucket * BUCKET_WORDS) & PLACE;
      const control = words[at];
      const last = at + (control & IN_USE);
      for (; slot <= last; slot++) {
        const word = words[slot];
        if (((word ^ tag) & tagBits) !== 0) continue;
        const entry = word & this.entryMask;
        if (this.keyMatches(entry, a, b, c, d)) return entry;
      }
      if (control < PASSED_OVER) return -1;
      bucket = this.after(bucket);
      slot = ((bucket * BUCKET_WORDS) & PLACE) + 1;
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
    const at = (this.home(hash) * BUCKET_WORDS) & PLACE;
    const word = entry | (hash << this.entryBits);
    const control = words[at];
    const inUse = control & IN_USE;
    if (inUse === SLOTS) return this.passOver(at, word);
    words[at] = control + 1;
    words[at + inUse + 1] = word;
  }

  /** Gives an entry its place whose bucket is full. @param full Place of the bucket. @param word The entry's slot. */
  private passOver(full: number, word: number): void {
    const { words } = this;
    let at = full;
    let control = words[at];
    while ((control & IN_USE) === SLOTS) {
      words[at] = control + PASSED_OVER;
      at += BUCKET_WORDS;
      if (at === words.length) at = 0;
      control = words[at];
    }
    words[at] = control + 1;
    words[at + (control & IN_USE) + 1] = word;
  }

  /** The entry's key must still stand in its row. @returns Whether it was there. */
  remove(entry: number): boolean {
    const hash = this.keyHash(entry, this);
    if (this.pendingCount + this.leavingCount !== 0) this.settle();
    return this.takeFrom((this.home(hash) * BUCKET_WORDS) & PLACE, entry | (hash << this.entryBits));
  }

  /** @param home Place of the bucket that an entry belongs in. @param word Its slot. @returns Whether it was there. */
  private takeFrom(home: number, word: number): boolean {
    const { words } = this;
    let at = home;
    do {
      const control = words[at];
      const last = at + (control & IN_USE);
      let slot = at;
      do slot++;
      while (slot <= last && words[slot] !== word);
      if (slot <= last) {
        words[slot] = words[last];
        words[at] = control - 1;
        if (at !== home) this.takeBack(home, at);
        return true;
      }
      if (control < PASSED_OVER) return false;
      at += BUCKET_WORDS;
      if (at === words.length) at = 0;
    } while (at !== home);
    return false;
  }

  /** An entry is gone that had passed over the buckets from the place `home` to the one before `found`. */
  private takeBack(home: number, found: number): void {
    const { words } = this;
    let at = home;
    do {
      words[at] -= PASSED_OVER;
      at += BUCKET_WORDS;
      if (at === words.length) at = 0;
    } while (at !== found);
  }

  /** @returns An entry that stands in a bucket, or -1. */
  anyOf(bucket: number): number {
    if (this.pendingCount + this.leavingCount !== 0) this.settle();
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

/** Entries of rehearse(): those of two buckets, all of which belong in the same one. */
const REHEARSED = 2 * ENTRIES_PER_BUCKET;
const REHEARSALS = 50;

/**
 * Buckets that are full, entries that pass them over, and those that leave: they run before there is traffic, for the
 * reason of {@link SAMPLE}. The first full bucket would come among hundreds of thousands of sessions.
 */
function rehearse(): void {
  const index = new TupleIndex(
    REHEARSED,
    (entry, a) => entry === a,
    (entry) => entry,
  );
  for (let i = 0; i < REHEARSALS; i++) {
    // The highest bit chooses the bucket. By turns it is full for entries that wait and for those that do not.
    const bucket = (i & 1) === 0 ? 0 : 0x8000_0000 | 0;
    const waitAtFirst = (i & 2) === 0;
    for (let entry = 0; entry < REHEARSED; entry++) {
      const isEarly = entry < ENTRIES_PER_BUCKET;
      if (isEarly === waitAtFirst) index.deferHashed(bucket | entry, entry);
      else index.insertHashed(bucket | entry, entry);
      // What waits gets its place.
      if (isEarly) index.findHashed(bucket | entry, entry, 0, 0, 0);
    }
    for (let entry = 0; entry < REHEARSED; entry++) index.findHashed(bucket | entry, entry, 0, 0, 0);
    for (let entry = 0; entry < REHEARSED; entry++) index.deferRemoval(bucket | entry, entry);
  }
}

rehearse();
