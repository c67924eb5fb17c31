import type { Ipv4Prefix } from '../config/types.js';
import { AddressMap } from './address-map.js';

/** Longest prefix match: one map per length in use, longest first. */
export class PrefixTable {
  private readonly lengths: { readonly mask: number; readonly values: AddressMap }[] = [];

  /** @param entries Values are >= 0; of equal prefixes the first counts. */
  constructor(entries: readonly { readonly prefix: Ipv4Prefix; readonly value: number }[]) {
    const byLength = new Map<number, { readonly mask: number; readonly values: AddressMap }>();
    for (const { prefix, value } of entries) {
      let level = byLength.get(prefix.length);
      if (level === undefined) {
        level = { mask: prefix.mask, values: new AddressMap() };
        byLength.set(prefix.length, level);
      }
      const key = prefix.address & prefix.mask;
      if (level.values.get(key) < 0) level.values.set(key, value);
    }
    for (const length of [...byLength.keys()].sort((a, b) => b - a)) {
      const level = byLength.get(length);
      if (level !== undefined) this.lengths.push(level);
    }
  }

  /** @param address u32 or i32: the same 32 bits. @returns The value of the longest prefix that holds the address, or -1. */
  find(address: number): number {
    for (let i = 0; i < this.lengths.length; i++) {
      const level = this.lengths[i];
      const value = level.values.get(address & level.mask);
      if (value >= 0) return value;
    }
    return -1;
  }
}
