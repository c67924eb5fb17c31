import { randomBytes } from 'node:crypto';

/**
 * Integer hash index: 4-word keys to entries, open addressing with linear probing and deletion by backward shift (no
 * tombstones, so probes stay short however long the table lives). The keys stand in the owner's rows; the index holds
 * entry numbers only, 4 bytes each at a load of at most 0.5.
 */
export class TupleIndex {
  private readonly slots: Int32Array;
  private readonly mask: number;
  private readonly seed = randomBytes(4).readUInt32LE(0);

  /**
   * @param capacity   Entries the index must hold.
   * @param keyMatches Whether entry's key is (a, b, c, d).
   * @param keyHash    Hash of the entry's own key: must call {@link hash} with it.
   */
  constructor(
    capacity: number,
    private readonly keyMatches: (entry: number, a: number, b: number, c: number, d: number) => boolean,
    private readonly keyHash: (entry: number, index: TupleIndex) => number,
  ) {
    let size = 16;
    while (size < capacity * 2) size *= 2;
    this.slots = new Int32Array(size);
    this.mask = size - 1;
  }

  /** Seeded, so that senders cannot aim at one bucket. */
  hash(a: number, b: number, c: number, d: number): number {
    let h = this.seed;
    h = Math.imul(h ^ a, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ b, 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13) ^ c, 0x27d4eb2f);
    h = Math.imul(h ^ (h >>> 16) ^ d, 0x9e3779b1);
    h ^= h >>> 15;
    return h;
  }

  /** @returns The entry, or -1. */
  find(a: number, b: number, c: number, d: number): number {
    let slot = this.hash(a, b, c, d) & this.mask;
    for (;;) {
      const entry = this.slots[slot] - 1;
      if (entry < 0) return -1;
      if (this.keyMatches(entry, a, b, c, d)) return entry;
      slot = (slot + 1) & this.mask;
    }
  }

  /** The entry's key must already stand in its row and not be in the index. */
  insert(entry: number): void {
    let slot = this.keyHash(entry, this) & this.mask;
    while (this.slots[slot] !== 0) slot = (slot + 1) & this.mask;
    this.slots[slot] = entry + 1;
  }

  /** The entry's key must still stand in its row. */
  remove(entry: number): void {
    let slot = this.keyHash(entry, this) & this.mask;
    while (this.slots[slot] !== entry + 1) {
      if (this.slots[slot] === 0) return;
      slot = (slot + 1) & this.mask;
    }
    let hole = slot;
    for (;;) {
      slot = (slot + 1) & this.mask;
      const moving = this.slots[slot] - 1;
      if (moving < 0) break;
      const home = this.keyHash(moving, this) & this.mask;
      // The entry may fill the hole when the hole lies between its home and where it stands now.
      if (((slot - home) & this.mask) >= ((slot - hole) & this.mask)) {
        this.slots[hole] = moving + 1;
        hole = slot;
      }
    }
    this.slots[hole] = 0;
  }
}
