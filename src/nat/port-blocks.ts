import type { PortRange } from '../config/types.js';
import type { PortGate } from './port-gate.js';
import type { PortAllocator } from './port-set.js';
import type { Random } from './random.js';
import type { RestingMemory } from './resting-memory.js';
import { RestingPorts } from './resting-ports.js';

/** Told when a subscriber gets or gives back a block of ports: what a log of port blocks consists of (RFC 6888 REQ-12, REQ-13). */
export interface PortBlockObserver {
  allocated(subscriber: number, range: PortRange, nowSeconds: number): void;
  released(subscriber: number, range: PortRange, nowSeconds: number): void;
}

/** Ports that one subscriber has for itself. */
class Block {
  /** By port - first: 1 while the port is owned or rests. */
  readonly away: Uint8Array;
  /** Ports that may be given out, in no order. */
  readonly free: Uint16Array;
  freeCount = 0;
  awayCount = 0;
  /** The configuration no longer has the block: nothing is taken from it any more. */
  retired = false;

  constructor(
    readonly range: PortRange,
    readonly subscriber: number,
  ) {
    const size = range.last - range.first + 1;
    this.away = new Uint8Array(size);
    this.free = new Uint16Array(size);
  }

  /** Ports that are at home and not withheld become free. */
  fill(isWithheld: (port: number) => boolean): void {
    this.freeCount = 0;
    const { first, last } = this.range;
    for (let port = first; port <= last; port++) {
      if (this.away[port - first] === 0 && !isWithheld(port)) this.free[this.freeCount++] = port;
    }
  }

  /** Takes a port of the block, wherever it stands among the free ones. */
  claim(port: number): void {
    if (this.away[port - this.range.first] === 1) return;
    this.away[port - this.range.first] = 1;
    this.awayCount++;
    const at = this.free.subarray(0, this.freeCount).indexOf(port);
    if (at >= 0) this.free[at] = this.free[--this.freeCount];
  }

  take(random: Random): number {
    const index = random.below(this.freeCount);
    const port = this.free[index];
    this.free[index] = this.free[--this.freeCount];
    this.away[port - this.range.first] = 1;
    this.awayCount++;
    return port;
  }
}

/**
 * Ports that subscribers get in blocks of their own, so that a log line a block says who had a port (RFC 6888 REQ-13,
 * RFC 7422). Within a subscriber's blocks ports are taken at random (RFC 6056 section 3.3.2). A block goes back once
 * all of its ports have come back and rested.
 */
export class SubscriberBlocks implements PortAllocator {
  private closed: PortRange[] = [];
  private readonly open: Block[] = [];
  private readonly bySubscriber = new Map<number, Block[]>();
  private readonly resting: RestingPorts;

  /** Null: nothing is given out any more. */
  private range: PortRange | null;

  /** @param memory Of ports that rest. @param gate What of a gateway of a pair's own is here; null: every port is. */
  constructor(
    first: number,
    last: number,
    private readonly blockSize: number,
    private isWithheld: (port: number) => boolean,
    private readonly observer: PortBlockObserver,
    memory: RestingMemory,
    private readonly gate: PortGate | null = null,
  ) {
    this.resting = new RestingPorts(memory);
    this.range = { first, last };
    if (gate === null) this.closed = this.blocksOf(this.range);
  }

  take(nowSeconds: number, random: Random, subscriber: number): number {
    this.wakeResting(nowSeconds);
    const own = this.bySubscriber.get(subscriber);
    if (own !== undefined) {
      for (const block of own) if (block.freeCount > 0 && !block.retired) return block.take(random);
    }
    while (this.closed.length > 0) {
      const block = this.openBlock(random, subscriber);
      if (block.freeCount === 0) continue; // all of it is withheld: it never comes back
      this.open.push(block);
      if (own === undefined) this.bySubscriber.set(subscriber, [block]);
      else own.push(block);
      this.observer.allocated(subscriber, block.range, nowSeconds);
      return block.take(random);
    }
    return -1;
  }

  release(port: number, untilSeconds: number): void {
    this.resting.add(port, untilSeconds);
  }

  claim(port: number, nowSeconds: number, subscriber: number): void {
    const open = this.open.find(({ range }) => port >= range.first && port <= range.last);
    if (open !== undefined) return open.claim(port);
    const index = this.closed.findIndex(({ first, last }) => port >= first && port <= last);
    const range = index < 0 ? this.ungranted(port) : this.closed.splice(index, 1)[0];
    if (range === null) return;
    const block = new Block(range, subscriber);
    block.fill((candidate) => this.isKept(candidate));
    block.claim(port);
    this.open.push(block);
    const own = this.bySubscriber.get(subscriber);
    if (own === undefined) this.bySubscriber.set(subscriber, [block]);
    else own.push(block);
    this.observer.allocated(subscriber, range, nowSeconds);
  }

  unclaim(port: number, nowSeconds: number): void {
    this.comeBack(port, nowSeconds);
  }

  hasFree(nowSeconds: number): boolean {
    this.wakeResting(nowSeconds);
    return this.closed.length > 0;
  }

  rebuild(range: PortRange | null, isWithheld: (port: number) => boolean): void {
    this.isWithheld = isWithheld;
    this.range = range;
    for (const block of this.open) {
      block.retired = range === null || block.range.first < range.first || block.range.last > range.last;
      block.fill((port) => this.isKept(port));
    }
    const isAll = range !== null && this.gate === null;
    this.closed = isAll ? this.blocksOf(range).filter((block) => !this.overlapsOpen(block)) : [];
  }

  grant(range: PortRange): void {
    for (const block of this.open) {
      if (block.range.first >= range.first && block.range.last <= range.last) block.fill((port) => this.isKept(port));
    }
    this.closed.push(...this.blocksOf(range).filter((block) => !this.overlapsOpen(block)));
  }

  get ready(): number {
    return this.closed.length * this.blockSize;
  }

  holds({ first, last }: PortRange): boolean {
    return this.overlapsOpen({ first, last });
  }

  /** The block that a port of another gateway's session lies in, where no block of it is this gateway's. */
  private ungranted(port: number): PortRange | null {
    const { range, blockSize } = this;
    if (this.gate === null || range === null || port < range.first || port > range.last) return null;
    const first = port - ((port - range.first) % blockSize);
    return { first, last: Math.min(first + blockSize - 1, range.last) };
  }

  /** Whether a port is never given out, or not by this gateway of a pair. */
  private isKept(port: number): boolean {
    return this.isWithheld(port) || (this.gate !== null && !this.gate.owns(port));
  }

  private wakeResting(nowSeconds: number): void {
    while (this.resting.isDue(nowSeconds)) {
      this.comeBack(this.resting.takeFirst(), nowSeconds);
    }
  }

  /** A port has come back and may be given out again. */
  private comeBack(port: number, nowSeconds: number): void {
    const block = this.open.find(({ range }) => port >= range.first && port <= range.last);
    if (block === undefined) return;
    block.away[port - block.range.first] = 0;
    block.awayCount--;
    if (block.awayCount === 0) this.close(block, nowSeconds);
    else if (!block.retired && !this.isKept(port)) block.free[block.freeCount++] = port;
  }

  private close(block: Block, nowSeconds: number): void {
    this.open.splice(this.open.indexOf(block), 1);
    const own = this.bySubscriber.get(block.subscriber) as Block[];
    own.splice(own.indexOf(block), 1);
    if (own.length === 0) this.bySubscriber.delete(block.subscriber);
    const isOwned = this.gate === null || this.gate.owns(block.range.first);
    if (!block.retired && isOwned) this.closed.push(block.range);
    this.observer.released(block.subscriber, block.range, nowSeconds);
  }

  private openBlock(random: Random, subscriber: number): Block {
    const index = random.below(this.closed.length);
    const range = this.closed[index];
    this.closed[index] = this.closed[this.closed.length - 1];
    this.closed.pop();
    const block = new Block(range, subscriber);
    block.fill((port) => this.isKept(port));
    this.gate?.opened();
    return block;
  }

  private blocksOf({ first, last }: PortRange): PortRange[] {
    const blocks: PortRange[] = [];
    for (let start = first; start <= last; start += this.blockSize) {
      blocks.push({ first: start, last: Math.min(start + this.blockSize - 1, last) });
    }
    return blocks;
  }

  private overlapsOpen({ first, last }: PortRange): boolean {
    return this.open.some(({ range }) => range.first <= last && range.last >= first);
  }
}
