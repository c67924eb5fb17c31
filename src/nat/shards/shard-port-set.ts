import type { PortRange } from '../../config/types.js';
import type { PortGate } from '../port-gate.js';
import { PortSet } from '../port-set.js';
import type { Random } from '../random.js';
import type { RestingMemory } from '../resting-memory.js';
import { wholeBlocks } from './block-size.js';

/** The ports of one external address that a shard has: those of blocks that it was dealt. */
export class ShardPortSet extends PortSet {
  /** @param newGate Called when the pool has other ports. @param mayHaveMore Whether the dealer may have a block more at that second. */
  constructor(
    range: PortRange,
    isWithheld: (port: number) => boolean,
    private ours: PortGate,
    private readonly newGate: (range: PortRange) => PortGate,
    private readonly mayHaveMore: (nowSeconds: number) => boolean,
    memory: RestingMemory,
  ) {
    const { first, last } = wholeBlocks(range, ours.size);
    super(first, last, ours.size, onlyOf(range, isWithheld), memory, ours);
  }

  override rebuild(range: PortRange | null, isWithheld: (port: number) => boolean, owned: Iterable<number>): void {
    if (range === null) return super.rebuild(null, isWithheld, owned);
    const gate = this.newGate(range);
    this.ours = gate;
    this.gate = gate;
    this.blockSize = gate.size;
    super.rebuild(wholeBlocks(range, gate.size), onlyOf(range, isWithheld), owned);
    // Of each block that is left here some port is owned or rests: it is open.
    for (const { first, last } of gate.granted())
      for (let port = first; port <= last; port++)
        if (!this.isWithheld(port) && !this.away?.has(port)) this.pushFree(port);
  }

  /** Ports that rest. */
  get rests(): Iterable<number> {
    return this.resting;
  }

  override hasFree(nowSeconds: number): boolean {
    return super.hasFree(nowSeconds) || this.mayHaveMore(nowSeconds);
  }

  /** A port that was taken has not been used: it can be taken again at once. */
  putBack(port: number): void {
    if (port >= this.first && port <= this.last && !this.isKept(port)) this.pushFree(port);
  }

  /**
   * @returns Numbers of the blocks in which no port is owned or rests; from now on they are nobody's here. One whose ports
   *          are all withheld is of no use to anybody and stays: given back, it would be dealt again and again.
   */
  retract(nowSeconds: number, random: Random): number[] {
    // Taking one brings back what has rested.
    const port = this.take(nowSeconds, random);
    if (port >= 0) this.pushFree(port);
    const { first, last, blockSize, ours } = this;
    const blockOf = (one: number) => Math.floor((one - first) / blockSize);
    // Of each block the ports that are owned or rest.
    const lacking = new Int32Array(blockOf(last) + 1);
    for (let one = first; one <= last; one++) if (!this.isWithheld(one)) lacking[blockOf(one)]++;
    const isUseful = [...lacking].map((ports) => ports > 0);
    for (let i = 0; i < this.freeCount; i++) lacking[blockOf(this.free[i])]--;
    for (let i = 0; i < this.closedCount; i++) lacking[this.closedBlocks[i]] = 0;
    this.closedCount = 0;
    const left = this.free.subarray(0, this.freeCount).filter((one) => lacking[blockOf(one)] > 0);
    this.free.set(left);
    this.freeCount = left.length;
    const given = [...lacking.keys()].filter(
      (block) => isUseful[block] && lacking[block] === 0 && ours.owns(first + block * blockSize),
    );
    for (const block of given) ours.giveBack(block);
    return given.map((block) => first / blockSize + block);
  }
}

/** Blocks at both ends may have ports that the pool has not. */
function onlyOf({ first, last }: PortRange, isWithheld: (port: number) => boolean): (port: number) => boolean {
  return (port) => port < first || port > last || isWithheld(port);
}
