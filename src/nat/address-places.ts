import type { PrefixTable } from './prefix-table.js';
import type { RangeTable } from './range-table.js';

/** What an address is to the gateway, whoever asks. */
const EXTERNAL = 1;
const IN_A_SUBNET = 2;

/** Where the answers may change: first addresses of stretches over which all tables say the same. */
function boundaries(ranges: readonly { readonly first: number; readonly last: number }[]): number[] {
  const starts = new Set([0]);
  for (const { first, last } of ranges) {
    starts.add(first);
    if (last < 0xffff_ffff) starts.add(last + 1);
  }
  return [...starts].sort((a, b) => a - b);
}

/**
 * All that the configuration says of an address as such, in one search instead of five: whether it is an external one of
 * ours, whose peering address it is, and whether it lies in some VPC's subnets.
 */
export class AddressPlaces {
  private readonly starts: Uint32Array;
  private readonly kinds: Uint8Array;
  /** VPC + 1 behind a peering address, 0: it is none. */
  private readonly owners: Uint32Array;

  constructor(
    ranges: readonly { readonly first: number; readonly last: number }[],
    external: readonly RangeTable[],
    peering: readonly RangeTable[],
    subnets: PrefixTable,
  ) {
    const first = (tables: readonly RangeTable[], address: number): number => {
      for (const table of tables) {
        const value = table.find(address);
        if (value >= 0) return value;
      }
      return -1;
    };
    this.starts = Uint32Array.from(boundaries(ranges));
    this.owners = Uint32Array.from(this.starts, (address) => first(peering, address) + 1);
    this.kinds = Uint8Array.from(
      this.starts,
      (address) => (first(external, address) >= 0 ? EXTERNAL : 0) | (subnets.find(address) >= 0 ? IN_A_SUBNET : 0),
    );
  }

  /** @param address u32 or i32: the same 32 bits. @returns The stretch of addresses that it lies in, for the questions below. */
  placeOf(address: number): number {
    const { starts } = this;
    const wanted = address >>> 0;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (starts[middle] <= wanted) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  isExternal(place: number): boolean {
    return (this.kinds[place] & EXTERNAL) !== 0;
  }

  inAnySubnet(place: number): boolean {
    return (this.kinds[place] & IN_A_SUBNET) !== 0;
  }

  /** @returns The VPC that addresses of the place stand for in front of other VPCs, or -1. */
  peeringOwner(place: number): number {
    return this.owners[place] - 1;
  }
}
