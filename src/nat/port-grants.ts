import type { PortRange } from '../config/types.js';
import { keyOf } from './address-ports.js';
import { type PortBlock, PortGate } from './port-gate.js';

/** Ports of a block, of an address with many; of one with few a part, so that more than one epoch has some. */
const USUAL_SIZE = 512;
const SMALLEST_PART = 32;
/** Blocks that are kept ready at least once an address is in use. */
const LEAST_READY = 1;
/** Of an address's free blocks, the part that is kept ready: what goes on while nobody answers. */
const READY_PART = 16;
/** Addresses that get a block before anybody asks, scopes and protocols counted apart. */
const MOST_PRIMED = 4096;

/** What the grants need to know of the pools. */
export interface GatedPools {
  /** Addresses that have mappings, or could; the first of each pool first. */
  addresses(): Iterable<{ scope: number; protocol: number; address: number; range: PortRange }>;
  /** Ports of the gate's address that could be taken now; null: none has been looked at yet. */
  ready(gate: PortGate): number | null;
  /** Ports of the range may be taken from now on. */
  open(gate: PortGate, range: PortRange): void;
  /** Something was opened. */
  granted(): void;
  /** Whether an adopted session has a port of the block. */
  holds(block: PortBlock): boolean;
}

/**
 * Public ports of a gateway of a pair. It gives out none but those of blocks that it was granted, since what the other
 * gateway gave out shortly before its end may be known to nobody else.
 */
export class PortGrants {
  private readonly gates = new Map<number, PortGate>();
  /** By key; also of addresses that have no gate yet. */
  private readonly foreign = new Map<number, PortBlock[]>();
  private touched: PortGate[] = [];
  private needsAddresses = false;
  private isBackwards = false;

  /**
   * @param blockSize nat.portBlockSize: such a block is never parted.
   * @param seed      u32, the same on both gateways of the pair.
   */
  constructor(
    private readonly pools: GatedPools,
    private readonly blockSize: number,
    private readonly seed: number,
  ) {}

  gate(scope: number, protocol: number, address: number, range: PortRange): PortGate {
    const key = keyOf(scope, protocol, address);
    let gate = this.gates.get(key);
    if (gate === undefined) {
      const seed = (this.seed ^ Math.imul(key % 0xffff_fffb, 0x9e3779b1)) >>> 0;
      gate = new PortGate(scope, protocol, address, range, this.sizeFor(range), seed, (opened) => this.touch(opened));
      for (const block of this.foreign.get(key) ?? []) gate.set(block, 'foreign');
      this.gates.set(key, gate);
    }
    return gate;
  }

  /** Whether any block of an address is this gateway's. Asks for nothing. */
  hasAny(scope: number, protocol: number, address: number): boolean {
    return this.gates.get(keyOf(scope, protocol, address))?.hasAny === true;
  }

  /** Every address that has a block is full: others are to get theirs. */
  exhausted(): void {
    this.needsAddresses = true;
  }

  /** From now on nothing is owned here: another gateway decides. */
  withdraw(): void {
    this.foreign.clear();
    for (const gate of this.gates.values()) {
      gate.withdraw();
      if (this.pools.ready(gate) !== null) this.touch(gate);
    }
  }

  /**
   * From now on this gateway decides. Odd epochs take each address's blocks from one end of their order and even ones
   * from the other, so that also those that could not be reserved are the last that the next epoch comes to.
   */
  begin(epoch: number): void {
    this.isBackwards = epoch % 2 === 0;
  }

  /** Blocks of other epochs, before anything is asked for: nobody gets a port of theirs. */
  setForeign(blocks: readonly PortBlock[]): void {
    for (const block of blocks) {
      const key = keyOf(block.scope, block.protocol, block.address);
      const known = this.foreign.get(key);
      if (known === undefined) this.foreign.set(key, [block]);
      else known.push(block);
      this.gates.get(key)?.set(block, 'foreign');
    }
  }

  /** Blocks of another epoch are nobody's any more. */
  release(blocks: readonly PortBlock[]): void {
    for (const block of blocks) {
      const key = keyOf(block.scope, block.protocol, block.address);
      const rest = (this.foreign.get(key) ?? []).filter(({ firstPort }) => firstPort !== block.firstPort);
      if (rest.length === 0) this.foreign.delete(key);
      else this.foreign.set(key, rest);
      const gate = this.gates.get(key);
      gate?.set(block, 'free');
      if (gate !== undefined) this.touch(gate);
    }
  }

  holds(block: PortBlock): boolean {
    return this.pools.holds(block);
  }

  /** Makes ready, while another gateway decides, what a takeover would have to wait for. */
  prepare(): void {
    let prepared = 0;
    for (const { scope, protocol, address, range } of this.pools.addresses()) {
      if (prepared++ >= MOST_PRIMED) return;
      this.gate(scope, protocol, address, range).prepare();
    }
  }

  /** @returns A first block for addresses that have none, so that a first packet finds one. */
  prime(): PortBlock[] {
    const asked: PortBlock[] = [];
    this.needsAddresses = false;
    for (const { scope, protocol, address, range } of this.pools.addresses()) {
      if (asked.length >= MOST_PRIMED) break;
      const gate = this.gate(scope, protocol, address, range);
      if (!gate.hasAny) this.askUpTo(gate, 1, asked);
    }
    return asked;
  }

  /** @returns Blocks that are to be reserved, asked for from now on. */
  ask(): PortBlock[] {
    const asked = this.needsAddresses ? this.prime() : [];
    const { touched } = this;
    this.touched = [];
    for (const gate of touched) {
      gate.isTold = false;
      this.askUpTo(gate, this.wanted(gate), asked);
    }
    return asked;
  }

  /** @returns Blocks that were asked for and not granted yet, one for each address that is about to have no port left. */
  starving(): PortBlock[] {
    return [...this.gates.values()].flatMap((gate) => {
      if (gate.asked === 0) return [];
      if (!gate.isStarved && (this.pools.ready(gate) ?? gate.size) >= gate.size) return [];
      return gate.firstAsked() ?? [];
    });
  }

  /** Blocks are this gateway's: ports of them may be given out. */
  grant(blocks: readonly PortBlock[]): void {
    for (const block of blocks) {
      const gate = this.gates.get(keyOf(block.scope, block.protocol, block.address));
      if (gate === undefined) continue;
      for (const range of gate.grant(block)) this.pools.open(gate, range);
    }
    this.pools.granted();
  }

  private sizeFor({ first, last }: PortRange): number {
    const ports = Math.min(USUAL_SIZE, (last - first + 1) / SMALLEST_PART);
    return this.blockSize * Math.max(1, Math.floor(ports / this.blockSize));
  }

  private touch(gate: PortGate): void {
    if (gate.isTold) return;
    gate.isTold = true;
    this.touched.push(gate);
  }

  /** Blocks that should be ready or asked for. */
  private wanted(gate: PortGate): number {
    return Math.max(LEAST_READY, Math.ceil((gate.free + gate.asked) / READY_PART));
  }

  private askUpTo(gate: PortGate, blocks: number, into: PortBlock[]): void {
    const ready = Math.floor((this.pools.ready(gate) ?? 0) / gate.size);
    for (let count = ready + gate.asked; count < blocks; count++) {
      const block = gate.ask(this.isBackwards);
      if (block === null) return;
      into.push(block);
    }
  }
}
