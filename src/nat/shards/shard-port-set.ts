import type { PortRange } from '../../config/types.js';
import type { PortGate } from '../port-gate.js';
import { PortSet } from '../port-set.js';
import type { Random } from '../random.js';

/** The ports of one external address that a shard has: those of blocks that it was dealt. */
export class ShardPortSet extends PortSet {
  /** @param mayHaveMore Whether the dealer may have a block more at that second. */
  constructor(
    { first, last }: PortRange,
    isWithheld: (port: number) => boolean,
    private readonly ours: PortGate,
    private readonly mayHaveMore: (nowSeconds: number) => boolean,
  ) {
    super(first, last, ours.size, isWithheld, ours);
  }

  override hasFree(nowSeconds: number): boolean {
    return super.hasFree(nowSeconds) || this.mayHaveMore(nowSeconds);
  }

  /** A port that was taken has not been used: it can be taken again at once. */
  putBack(port: number): void {
    this.pushFree(port);
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
    return given;
  }
}
