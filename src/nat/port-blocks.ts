import type { PortRange } from '../config/types.js';
import type { PortAllocator } from './port-set.js';
import type { Random } from './random.js';
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
  private readonly resting = new RestingPorts();

  constructor(
    first: number,
    last: number,
    private readonly blockSize: number,
    private isWithheld: (port: number) => boolean,
    private readonly observer: PortBlockObserver,
  ) {
    this.closed = this.blocksOf({ first, last });
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
    if (index < 0) return;
    const [range] = this.closed.splice(index, 1);
    const block = new Block(range, subscriber);
    block.fill(this.isWithheld);
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
    for (const block of this.open) {
      block.retired = range === null || block.range.first < range.first || block.range.last > range.last;
      block.fill(isWithheld);
    }
    this.closed = range === null ? [] : this.blocksOf(range).filter((block) => !this.overlapsOpen(block));
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
    else if (!block.retired && !this.isWithheld(port)) block.free[block.freeCount++] = port;
  }

  private close(block: Block, nowSeconds: number): void {
    this.open.splice(this.open.indexOf(block), 1);
    const own = this.bySubscriber.get(block.subscriber) as Block[];
    own.splice(own.indexOf(block), 1);
    if (own.length === 0) this.bySubscriber.delete(block.subscriber);
    if (!block.retired) this.closed.push(block.range);
    this.observer.released(block.subscriber, block.range, nowSeconds);
  }

  private openBlock(random: Random, subscriber: number): Block {
    const index = random.below(this.closed.length);
    const range = this.closed[index];
    this.closed[index] = this.closed[this.closed.length - 1];
    this.closed.pop();
    const block = new Block(range, subscriber);
    block.fill(this.isWithheld);
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
