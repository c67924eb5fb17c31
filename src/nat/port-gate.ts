import type { PortRange } from '../config/types.js';
import { Random } from './random.js';

/** A block of public ports: what a gateway of a pair owns as a whole. */
export interface PortBlock {
  /** 0: external; n+1: peering towards VPC n. */
  readonly scope: number;
  /** 1, 6 or 17. */
  readonly protocol: number;
  /** u32, host order. */
  readonly address: number;
  readonly firstPort: number;
  readonly lastPort: number;
}

const Block = { free: 0, asked: 1, ours: 2, foreign: 3 } as const;
type BlockState = (typeof Block)[keyof typeof Block];

/** The blocks of one address, protocol and scope: which of them this gateway may give ports of. */
export class PortGate {
  private states: Uint8Array;
  private freeCount: number;
  private askedCount = 0;
  private order = new Uint16Array(0);
  isTold = false;
  /** A port was looked for in vain since blocks were last granted. */
  isStarved = false;

  constructor(
    readonly scope: number,
    readonly protocol: number,
    readonly address: number,
    private range: PortRange,
    readonly size: number,
    private readonly seed: number,
    private readonly onOpened: (gate: PortGate) => void,
  ) {
    this.freeCount = Math.ceil((range.last - range.first + 1) / size);
    this.states = new Uint8Array(this.freeCount);
  }

  prepare(): void {
    this.orderOf();
  }

  owns(port: number): boolean {
    const { first, last } = this.range;
    return port >= first && port <= last && this.states[Math.floor((port - first) / this.size)] === Block.ours;
  }

  /** Ports that were kept ready come into use. */
  opened(): void {
    this.onOpened(this);
  }

  starved(): void {
    this.isStarved = true;
    this.onOpened(this);
  }

  get hasAny(): boolean {
    return this.states.includes(Block.ours);
  }

  /** Blocks that nobody owns. */
  get free(): number {
    return this.freeCount;
  }

  get asked(): number {
    return this.askedCount;
  }

  /** The first free block in the address's order, or the last one, asked for from now on; null: there is none. */
  ask(isBackwards: boolean): PortBlock | null {
    if (this.freeCount === 0) return null;
    const order = this.orderOf();
    const at = (step: number) => order[isBackwards ? order.length - 1 - step : step];
    let step = 0;
    while (this.states[at(step)] !== Block.free) step++;
    this.put(at(step), Block.asked);
    return this.block(at(step));
  }

  firstAsked(): PortBlock | null {
    const index = this.askedCount === 0 ? -1 : this.states.indexOf(Block.asked);
    return index < 0 ? null : this.block(index);
  }

  /** @returns Blocks within a range that have become ours and were not. */
  grant({ firstPort, lastPort }: PortBlock): PortRange[] {
    const granted: PortRange[] = [];
    this.isStarved = false;
    for (let index = 0; index < this.states.length; index++) {
      const block = this.block(index);
      const isWithin = block.firstPort >= firstPort && block.lastPort <= lastPort;
      if (!isWithin || this.states[index] === Block.ours) continue;
      this.put(index, Block.ours);
      granted.push({ first: block.firstPort, last: block.lastPort });
    }
    return granted;
  }

  /** Ports in the range are another epoch's, or nobody's any more. */
  set({ firstPort, lastPort }: PortBlock, state: 'foreign' | 'free'): void {
    for (let index = 0; index < this.states.length; index++) {
      const block = this.block(index);
      if (block.lastPort >= firstPort && block.firstPort <= lastPort) this.put(index, Block[state]);
    }
  }

  /** A block is nobody's any more. */
  giveBack(index: number): void {
    this.put(index, Block.free);
  }

  /** Another pool has the address now: of its blocks those are ours that were ours as a whole. */
  follow(range: PortRange): void {
    if (range.first === this.range.first && range.last === this.range.last) return;
    const before = Array.from(this.states, (state, index) => ({ state: state as BlockState, ...this.block(index) }));
    this.range = range;
    this.freeCount = Math.ceil((range.last - range.first + 1) / this.size);
    this.askedCount = 0;
    this.states = new Uint8Array(this.freeCount);
    for (const block of before) if (block.state === Block.ours) this.grant(block);
    for (const block of before) if (block.state === Block.foreign) this.set(block, 'foreign');
  }

  withdraw(): void {
    this.states.fill(Block.free);
    this.freeCount = this.states.length;
    this.askedCount = 0;
    this.isStarved = false;
  }

  *granted(): Generator<PortRange> {
    for (let index = 0; index < this.states.length; index++) {
      if (this.states[index] !== Block.ours) continue;
      const { firstPort, lastPort } = this.block(index);
      yield { first: firstPort, last: lastPort };
    }
  }

  private block(index: number): PortBlock {
    const { scope, protocol, address, range, size } = this;
    const firstPort = range.first + index * size;
    return { scope, protocol, address, firstPort, lastPort: Math.min(firstPort + size - 1, range.last) };
  }

  /** Blocks by chance, but the same way on both gateways of a pair. */
  private orderOf(): Uint16Array {
    const { length } = this.states;
    if (this.order.length === length) return this.order;
    const random = new Random(this.seed);
    this.order = Uint16Array.from({ length }, (_, index) => index);
    for (let index = length - 1; index > 0; index--) {
      const other = random.below(index + 1);
      [this.order[index], this.order[other]] = [this.order[other], this.order[index]];
    }
    return this.order;
  }

  private put(index: number, state: BlockState): void {
    const was = this.states[index];
    if (was === Block.free) this.freeCount--;
    if (was === Block.asked) this.askedCount--;
    if (state === Block.free) this.freeCount++;
    if (state === Block.asked) this.askedCount++;
    this.states[index] = state;
  }
}
