import type { Ipv4Range, PortRange } from '../config/types.js';

/** One pool of the configuration, in one scope: its addresses in turn. */
export class Pool {
  readonly size: number;
  /** Next address to pair a new host with, by range and place in it: round robin keeps the spread even. */
  private range = 0;
  private offset = 0;
  /** By protocol: the second in which no address had a free port, so that exhaustion costs one look and not a walk. */
  private readonly exhaustedAt = new Map<number, number>();

  constructor(
    readonly ranges: readonly Ipv4Range[],
    readonly portRange: PortRange,
  ) {
    this.size = ranges.reduce((sum, range) => sum + range.last - range.first + 1, 0);
  }

  /** @param address u32 or i32: the same 32 bits. */
  has(address: number): boolean {
    const wanted = address >>> 0;
    return this.ranges.some(({ first, last }) => wanted >= first && wanted <= last);
  }

  /** Whether no address would do in this second; `key` names what is looked for. */
  isExhausted(key: number, nowSeconds: number): boolean {
    return this.exhaustedAt.size > 0 && this.exhaustedAt.get(key) === nowSeconds;
  }

  /** No address will do in this second. */
  exhaust(key: number, nowSeconds: number): void {
    this.exhaustedAt.set(key, nowSeconds);
  }

  /** @returns The address whose turn it is to be looked at, i32; the next one's is after it. */
  nextAddress(): number {
    const { ranges, offset } = this;
    const { first, last } = ranges[this.range];
    const address = first + offset;
    if (address === last) {
      this.range = this.range + 1 === ranges.length ? 0 : this.range + 1;
      this.offset = 0;
    } else {
      this.offset = offset + 1;
    }
    return address | 0;
  }

  /** A port of the protocol came back. */
  refresh(protocol: number): void {
    this.exhaustedAt.delete(protocol);
  }

  refreshAll(): void {
    this.exhaustedAt.clear();
  }

  addressAt(index: number): number {
    let rest = index;
    for (const range of this.ranges) {
      const size = range.last - range.first + 1;
      if (rest < size) return range.first + rest;
      rest -= size;
    }
    throw new RangeError(`address ${index} of a pool of ${this.size}`);
  }
}
