/** Disjoint address ranges with a value each; finds the one that holds an address in log2(n) steps. */
export class RangeTable {
  private readonly first: Uint32Array;
  private readonly last: Uint32Array;
  private readonly value: Int32Array;

  /** @param ranges Any order, disjoint; u32 host order, both ends included. Where two overlap the later one of equal start is unreachable. */
  constructor(ranges: readonly { readonly first: number; readonly last: number; readonly value: number }[]) {
    const sorted = [...ranges].sort((a, b) => a.first - b.first);
    this.first = Uint32Array.from(sorted, (range) => range.first);
    this.last = Uint32Array.from(sorted, (range) => range.last);
    this.value = Int32Array.from(sorted, (range) => range.value);
  }

  /** @param address u32 or i32: the same 32 bits. @returns The range's value, or -1. */
  find(address: number): number {
    const wanted = address >>> 0;
    let low = 0;
    let high = this.first.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (wanted < this.first[middle]) high = middle - 1;
      else if (wanted > this.last[middle]) low = middle + 1;
      else return this.value[middle];
    }
    return -1;
  }
}
