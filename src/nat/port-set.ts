import type { PortRange } from '../config/types.js';
import type { PortGate } from './port-gate.js';
import type { Random } from './random.js';
import type { RestingMemory } from './resting-memory.js';
import { RestingPorts } from './resting-ports.js';

/** `untilSeconds` of a port that does not rest, the only negative one: it was claimed for a session of another gateway, where it rests. */
export const NO_REST = -1;

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
  /**
   * A session of the gateway that this one mirrors owns the port: it is given to nobody until it is released or
   * unclaimed. Nothing happens when it is claimed already.
   */
  claim(port: number, nowSeconds: number, subscriber: number): void;
  /** The claim is over, and the port does not rest here. */
  unclaim(port: number, nowSeconds: number): void;
  /** Whether a subscriber that owns nothing here could perhaps take a port at that time. Changes nothing. */
  hasFree(nowSeconds: number): boolean;
  /**
   * The configuration changed: from now on ports of `range` are given out, none when it is null. Ports that are owned or
   * rest stay so.
   *
   * @param owned Ports that live mappings own.
   */
  rebuild(range: PortRange | null, isWithheld: (port: number) => boolean, owned: Iterable<number>): void;
  /** A gateway of a pair has been granted those whole blocks: their ports may be given out. */
  grant(range: PortRange): void;
  /** Ports that can be taken now, those that rest left out; withheld ones of blocks that are closed count. */
  readonly ready: number;
  /** Whether a session that was adopted or came before the last rebuild() has a port of the range. */
  holds(range: PortRange): boolean;
}

/** A set of ports: 8 KiB however many. */
class PortBits {
  private readonly words = new Uint32Array(2048);

  has(port: number): boolean {
    return (this.words[port >>> 5] & (1 << (port & 31))) !== 0;
  }

  add(port: number): void {
    this.words[port >>> 5] |= 1 << (port & 31);
  }

  /** @returns Whether it was there. */
  delete(port: number): boolean {
    const was = this.has(port);
    this.words[port >>> 5] &= ~(1 << (port & 31));
    return was;
  }
}

/**
 * Ports that all subscribers share: taken at random, O(1) at any fill, given back through a rest.
 *
 * Ports are opened block by block, blocks in random order, so that a large pool of addresses costs memory only for
 * what is used; within the open blocks the choice is uniform (RFC 6056 section 3.3.2).
 */
export class PortSet implements PortAllocator {
  protected free: Uint16Array;
  protected freeCount = 0;
  protected closedBlocks: Uint16Array;
  protected closedCount: number;
  protected readonly resting: RestingPorts;
  /** Ports that were owned or rested when the set was rebuilt: they come back by release, not by opening a block. */
  protected away: Set<number> | null = null;
  /** Ports that sessions adopted from another gateway own: they were not taken from here. */
  private claimed: PortBits | null = null;

  /**
   * @param first       First port, 1..65535.
   * @param last        Last port, >= first.
   * @param blockSize   Ports opened at a time.
   * @param isWithheld  Whether a port belongs to a static binding and is never given out.
   * @param memory      Of ports that rest.
   * @param gate        What of a gateway of a pair's own is here; null: every port is.
   */
  constructor(
    protected first: number,
    protected last: number,
    protected blockSize: number,
    protected isWithheld: (port: number) => boolean,
    memory: RestingMemory,
    protected gate: PortGate | null = null,
  ) {
    this.resting = new RestingPorts(memory);
    this.closedCount = Math.ceil((last - first + 1) / blockSize);
    this.closedBlocks = Uint16Array.from({ length: this.closedCount }, (_, i) => i);
    if (gate !== null) this.closedCount = 0;
    this.free = new Uint16Array(Math.min(blockSize, last - first + 1));
  }

  take(nowSeconds: number, random: Random): number {
    while (this.resting.isDue(nowSeconds)) {
      const port = this.resting.takeFirst();
      if (this.claimed !== null && this.isBackFromClaim(port)) continue;
      if (port >= this.first && port <= this.last && !this.isKept(port)) this.pushFree(port);
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

  claim(port: number): void {
    this.claimed ??= new PortBits();
    this.claimed.add(port);
    this.away?.delete(port);
    const at = this.freeCount === 0 ? -1 : this.free.subarray(0, this.freeCount).indexOf(port);
    if (at >= 0) this.free[at] = this.free[--this.freeCount];
  }

  unclaim(port: number): void {
    const was = this.claimed?.delete(port) || this.away?.delete(port);
    if (was && this.isOpen(port) && !this.isKept(port)) this.pushFree(port);
  }

  hasFree(nowSeconds: number): boolean {
    return this.freeCount > 0 || this.closedCount > 0 || this.resting.isDue(nowSeconds);
  }

  rebuild(range: PortRange | null, isWithheld: (port: number) => boolean, owned: Iterable<number>): void {
    this.away = new Set(owned);
    for (const port of this.resting) this.away.add(port);
    this.claimed = null;
    this.isWithheld = isWithheld;
    // An empty range has its last port before its first.
    this.first = range?.first ?? 1;
    this.last = range?.last ?? 0;
    this.freeCount = 0;
    this.closedCount = Math.ceil((this.last - this.first + 1) / this.blockSize);
    this.closedBlocks = Uint16Array.from({ length: this.closedCount }, (_, i) => i);
    if (this.gate !== null) this.closedCount = 0;
  }

  grant({ first, last }: PortRange): void {
    for (let port = first; port <= last; port += this.blockSize) {
      this.closedBlocks[this.closedCount++] = Math.floor((port - this.first) / this.blockSize);
    }
  }

  get ready(): number {
    return this.freeCount + this.closedCount * this.blockSize;
  }

  holds({ first, last }: PortRange): boolean {
    for (let port = first; port <= last; port++) {
      if (this.claimed?.has(port) || this.away?.has(port)) return true;
    }
    return false;
  }

  /** Whether a port is never given out, or not by this gateway of a pair. */
  protected isKept(port: number): boolean {
    return this.isWithheld(port) || (this.gate !== null && !this.gate.owns(port));
  }

  /** A claimed port that was released has rested. @returns Whether its block has yet to be opened, and brings it then. */
  private isBackFromClaim(port: number): boolean {
    return this.claimed?.delete(port) === true && !this.isOpen(port);
  }

  /** Whether the block that a port lies in has been opened. */
  private isOpen(port: number): boolean {
    if (port < this.first || port > this.last) return false;
    const block = Math.floor((port - this.first) / this.blockSize);
    return !this.closedBlocks.subarray(0, this.closedCount).includes(block);
  }

  private openBlock(random: Random): void {
    this.gate?.opened();
    const index = random.below(this.closedCount);
    const block = this.closedBlocks[index];
    this.closedBlocks[index] = this.closedBlocks[--this.closedCount];
    const start = this.first + block * this.blockSize;
    const end = Math.min(start + this.blockSize - 1, this.last);
    for (let port = start; port <= end; port++) {
      if (!this.isWithheld(port) && !this.away?.has(port) && !this.claimed?.has(port)) this.pushFree(port);
    }
  }

  protected pushFree(port: number): void {
    if (this.freeCount === this.free.length) {
      const larger = new Uint16Array(this.free.length * 2);
      larger.set(this.free);
      this.free = larger;
    }
    this.free[this.freeCount++] = port;
  }
}
