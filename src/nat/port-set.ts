import type { Random } from './random.js';

/**
 * The external ports (or ICMP identifiers) of one address, protocol and scope: taken at random, O(1) at any fill, given
 * back through a rest (RFC 6888 REQ-8).
 *
 * Ports are opened block by block, blocks in random order, so that a large pool of addresses costs memory only for
 * what is used; within the open blocks the choice is uniform (RFC 6056 section 3.3.2).
 */
export class PortSet {
  private free: Uint16Array;
  private freeCount = 0;
  private readonly closedBlocks: Uint16Array;
  private closedCount: number;
  /** Ring of resting ports in the order of their release: port, and the second at which it may be used again. */
  private restingPort = new Uint16Array(16);
  private restingUntil = new Float64Array(16);
  private restingHead = 0;
  private restingCount = 0;

  /**
   * @param first       First port, 1..65535.
   * @param last        Last port, >= first.
   * @param blockSize   Ports opened at a time.
   * @param isWithheld  Whether a port belongs to a static binding and is never given out.
   */
  constructor(
    private readonly first: number,
    private readonly last: number,
    private readonly blockSize: number,
    private readonly isWithheld: (port: number) => boolean,
  ) {
    this.closedCount = Math.ceil((last - first + 1) / blockSize);
    this.closedBlocks = Uint16Array.from({ length: this.closedCount }, (_, i) => i);
    this.free = new Uint16Array(Math.min(blockSize, last - first + 1));
  }

  /** @param nowSeconds Gateway clock. @returns A port that is now owned, or -1 when none is free. */
  take(nowSeconds: number, random: Random): number {
    while (this.restingCount > 0 && this.restingUntil[this.restingHead] <= nowSeconds) {
      this.pushFree(this.restingPort[this.restingHead]);
      this.restingHead = (this.restingHead + 1) & (this.restingPort.length - 1);
      this.restingCount--;
    }
    while (this.freeCount === 0 && this.closedCount > 0) this.openBlock(random);
    if (this.freeCount === 0) return -1;
    const index = random.below(this.freeCount);
    const port = this.free[index];
    this.free[index] = this.free[--this.freeCount];
    return port;
  }

  /** Gives a port back; it rests until `untilSeconds`. Releases come in the order of time. */
  release(port: number, untilSeconds: number): void {
    if (this.restingCount === this.restingPort.length) this.growResting();
    const slot = (this.restingHead + this.restingCount) & (this.restingPort.length - 1);
    this.restingPort[slot] = port;
    this.restingUntil[slot] = untilSeconds;
    this.restingCount++;
  }

  /** Whether a port could be taken at that time. Does not change the set. */
  hasFree(nowSeconds: number): boolean {
    return (
      this.freeCount > 0 ||
      this.closedCount > 0 ||
      (this.restingCount > 0 && this.restingUntil[this.restingHead] <= nowSeconds)
    );
  }

  private openBlock(random: Random): void {
    const index = random.below(this.closedCount);
    const block = this.closedBlocks[index];
    this.closedBlocks[index] = this.closedBlocks[--this.closedCount];
    const start = this.first + block * this.blockSize;
    const end = Math.min(start + this.blockSize - 1, this.last);
    for (let port = start; port <= end; port++) if (!this.isWithheld(port)) this.pushFree(port);
  }

  private pushFree(port: number): void {
    if (this.freeCount === this.free.length) {
      const larger = new Uint16Array(this.free.length * 2);
      larger.set(this.free);
      this.free = larger;
    }
    this.free[this.freeCount++] = port;
  }

  private growResting(): void {
    const size = this.restingPort.length;
    const ports = new Uint16Array(size * 2);
    const until = new Float64Array(size * 2);
    for (let i = 0; i < size; i++) {
      const from = (this.restingHead + i) & (size - 1);
      ports[i] = this.restingPort[from];
      until[i] = this.restingUntil[from];
    }
    this.restingPort = ports;
    this.restingUntil = until;
    this.restingHead = 0;
  }
}
