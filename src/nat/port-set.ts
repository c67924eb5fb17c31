import type { PortRange } from '../config/types.js';
import type { Random } from './random.js';
import { RestingPorts } from './resting-ports.js';

/** The external ports (or ICMP identifiers) of one address, protocol and scope: which are given out, and to whom. */
export interface PortAllocator {
  /**
   * @param nowSeconds Gateway clock.
   * @param subscriber Who asks: VPC * 2^32 + private address.
   * @returns A port that is now owned, or -1 when the subscriber can have none.
   */
  take(nowSeconds: number, random: Random, subscriber: number): number;
  /** Gives a port back; it rests until `untilSeconds`. Releases come in the order of time. */
  release(port: number, untilSeconds: number): void;
  /** Whether a subscriber that owns nothing here could perhaps take a port at that time. Changes nothing. */
  hasFree(nowSeconds: number): boolean;
  /**
   * The configuration changed: from now on ports of `range` are given out, none when it is null. Ports that are owned or
   * rest stay so.
   *
   * @param owned Ports that live mappings own.
   */
  rebuild(range: PortRange | null, isWithheld: (port: number) => boolean, owned: Iterable<number>): void;
}

/**
 * Ports that all subscribers share: taken at random, O(1) at any fill, given back through a rest.
 *
 * Ports are opened block by block, blocks in random order, so that a large pool of addresses costs memory only for
 * what is used; within the open blocks the choice is uniform (RFC 6056 section 3.3.2).
 */
export class PortSet implements PortAllocator {
  private free: Uint16Array;
  private freeCount = 0;
  private closedBlocks: Uint16Array;
  private closedCount: number;
  private readonly resting = new RestingPorts();
  /** Ports that were owned or rested when the set was rebuilt: they come back by release, not by opening a block. */
  private away: Set<number> | null = null;

  /**
   * @param first       First port, 1..65535.
   * @param last        Last port, >= first.
   * @param blockSize   Ports opened at a time.
   * @param isWithheld  Whether a port belongs to a static binding and is never given out.
   */
  constructor(
    private first: number,
    private last: number,
    private readonly blockSize: number,
    private isWithheld: (port: number) => boolean,
  ) {
    this.closedCount = Math.ceil((last - first + 1) / blockSize);
    this.closedBlocks = Uint16Array.from({ length: this.closedCount }, (_, i) => i);
    this.free = new Uint16Array(Math.min(blockSize, last - first + 1));
  }

  take(nowSeconds: number, random: Random): number {
    while (this.resting.isDue(nowSeconds)) {
      const port = this.resting.takeFirst();
      if (port >= this.first && port <= this.last && !this.isWithheld(port)) this.pushFree(port);
      else this.away?.delete(port);
    }
    while (this.freeCount === 0 && this.closedCount > 0) this.openBlock(random);
    if (this.freeCount === 0) return -1;
    const index = random.below(this.freeCount);
    const port = this.free[index];
    this.free[index] = this.free[--this.freeCount];
    return port;
  }

  release(port: number, untilSeconds: number): void {
    this.resting.add(port, untilSeconds);
  }

  hasFree(nowSeconds: number): boolean {
    return this.freeCount > 0 || this.closedCount > 0 || this.resting.isDue(nowSeconds);
  }

  rebuild(range: PortRange | null, isWithheld: (port: number) => boolean, owned: Iterable<number>): void {
    this.away = new Set(owned);
    for (const port of this.resting) this.away.add(port);
    this.isWithheld = isWithheld;
    // An empty range has its last port before its first.
    this.first = range?.first ?? 1;
    this.last = range?.last ?? 0;
    this.freeCount = 0;
    this.closedCount = Math.ceil((this.last - this.first + 1) / this.blockSize);
    this.closedBlocks = Uint16Array.from({ length: this.closedCount }, (_, i) => i);
  }

  private openBlock(random: Random): void {
    const index = random.below(this.closedCount);
    const block = this.closedBlocks[index];
    this.closedBlocks[index] = this.closedBlocks[--this.closedCount];
    const start = this.first + block * this.blockSize;
    const end = Math.min(start + this.blockSize - 1, this.last);
    for (let port = start; port <= end; port++) {
      if (!this.isWithheld(port) && !this.away?.has(port)) this.pushFree(port);
    }
  }

  private pushFree(port: number): void {
    if (this.freeCount === this.free.length) {
      const larger = new Uint16Array(this.free.length * 2);
      larger.set(this.free);
      this.free = larger;
    }
    this.free[this.freeCount++] = port;
  }
}
