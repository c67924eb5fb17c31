/** By its own name: to look a global up costs jest's sandbox more than all else that a search does. */
const { imul } = Math;

/**
 * Numbers 0..2^31-2 by 32-bit keys (addresses, VNIs), for look-ups on every first packet: open addressing in typed
 * arrays. A `Map` keeps keys beyond 2^31 as objects and takes five times as long.
 *
 * Keys come from the configuration and from neighbours on the wire's own subnets, not from senders: the hash needs no
 * secret.
 */
export class AddressMap {
  private keys: Int32Array;
  /** Value + 1; 0: empty. */
  private values: Int32Array;
  private mask: number;
  private count = 0;

  constructor() {
    this.mask = 7;
    this.keys = new Int32Array(8);
    this.values = new Int32Array(8);
  }

  get size(): number {
    return this.count;
  }

  /** @returns The value, or -1. */
  get(key: number): number {
    const wanted = key | 0;
    for (let slot = this.slotOf(wanted); ; slot = (slot + 1) & this.mask) {
      const value = this.values[slot];
      if (value === 0 || this.keys[slot] === wanted) return value - 1;
    }
  }

  set(key: number, value: number): void {
    if ((this.count + 1) * 2 > this.keys.length) this.grow();
    const wanted = key | 0;
    let slot = this.slotOf(wanted);
    while (this.values[slot] !== 0 && this.keys[slot] !== wanted) slot = (slot + 1) & this.mask;
    if (this.values[slot] === 0) this.count++;
    this.keys[slot] = wanted;
    this.values[slot] = value + 1;
  }

  private slotOf(key: number): number {
    const h = imul(key ^ (key >>> 15), 0x2c1b3c6d);
    return (h ^ (h >>> 13)) & this.mask;
  }

  private grow(): void {
    const { keys, values } = this;
    this.mask = keys.length * 2 - 1;
    this.keys = new Int32Array(keys.length * 2);
    this.values = new Int32Array(keys.length * 2);
    this.count = 0;
    for (let slot = 0; slot < keys.length; slot++) if (values[slot] !== 0) this.set(keys[slot], values[slot] - 1);
  }
}
