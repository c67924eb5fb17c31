import type { PortRange } from '../../config/types.js';
import { keyOf } from '../address-ports.js';
import { PortGate } from '../port-gate.js';
import { blockSizeOf, wholeBlocks } from './block-size.js';
import type { DealtBlocks } from './following.js';
import type { EngineMessage, ShardMail } from './messages.js';

/** What waits for a port. */
interface Waiting {
  /** Row of its host, held and paired with the address meanwhile. */
  readonly host: number;
  readonly again: () => void;
}

/** An address's ports that a host could have, were there a block of them here. */
export interface AwaitedPorts {
  readonly protocol: number;
  readonly address: number;
  readonly host: number;
  readonly nowSeconds: number;
}

/** What a shard's ports need of its pools and hosts. */
export interface PortsOfShard {
  open(gate: PortGate, range: PortRange): void;
  /** @returns Numbers of blocks in which nothing is owned or rests; their ports are given out no more. */
  retract(gate: PortGate, nowSeconds: number): number[];
  release(host: number): void;
}

/**
 * The external ports of one shard: those of blocks that the dealer gave it. Peering addresses are not dealt, since all
 * sessions of a scope are one shard's.
 */
export class ShardPorts {
  private readonly gates = new Map<number, PortGate>();
  /** By address: until which second there was no block to be had. */
  private readonly refusedAt = new Map<number, number>();
  private readonly waiting = new Map<number, Waiting[]>();
  /** As the last change of configuration left them. */
  private dealt = new Map<number, DealtBlocks>();

  constructor(
    private readonly shard: number,
    private readonly portBlockSize: number,
    private readonly mail: ShardMail,
    private readonly pools: PortsOfShard,
  ) {}

  /** An address comes into use, or has other ports. @returns What of all blocks that have some of them is here. */
  newGate(protocol: number, address: number, range: PortRange): PortGate {
    const key = keyOf(0, protocol, address);
    const dealt = this.dealt.get(key);
    const size = dealt?.size ?? blockSizeOf(range, this.portBlockSize);
    const gate = new PortGate(0, protocol, address, wholeBlocks(range, size), size, 0, () => {});
    for (const block of dealt?.blocks ?? [])
      gate.grant({ scope: 0, protocol, address, firstPort: block * size, lastPort: (block + 1) * size - 1 });
    this.gates.set(key, gate);
    return gate;
  }

  /** The configuration has changed: what is here from now on. Gates are made anew; see newGate(). */
  follow(dealt: readonly DealtBlocks[]): void {
    this.gates.clear();
    this.refusedAt.clear();
    this.dealt = new Map(dealt.map((one) => [keyOf(0, one.protocol, one.address), one]));
  }

  /** What waited for the dealer of before is to be done again. */
  askAgain(): void {
    const waiting = [...this.waiting.values()].flat();
    this.waiting.clear();
    this.decideAnew(waiting);
  }

  /** Whether the dealer may have a block of an address: it has not said otherwise within the second. */
  mayHaveMore(protocol: number, address: number, nowSeconds: number): boolean {
    return nowSeconds > (this.refusedAt.get(keyOf(0, protocol, address)) ?? -1);
  }

  /** @param again Called when there is a block, or none to be had. */
  wait({ protocol, address, host, nowSeconds }: AwaitedPorts, again: () => void): void {
    const key = keyOf(0, protocol, address);
    const waiting = this.waiting.get(key);
    if (waiting !== undefined) {
      waiting.push({ host, again });
      return;
    }
    this.waiting.set(key, [{ host, again }]);
    this.mail.toDealer({ kind: 'ask-block', shard: this.shard, protocol, address, nowSeconds });
  }

  onBlock({ protocol, address, firstPort, lastPort }: EngineMessage & { kind: 'block' }): void {
    const gate = this.gates.get(keyOf(0, protocol, address));
    if (gate === undefined) return;
    for (const range of gate.grant({ scope: 0, protocol, address, firstPort, lastPort })) this.pools.open(gate, range);
    for (const { host, again } of this.takeWaiting(protocol, address)) {
      again();
      this.pools.release(host);
    }
  }

  onNoBlock({ protocol, address, nowSeconds }: EngineMessage & { kind: 'no-block' }): void {
    this.refusedAt.set(keyOf(0, protocol, address), nowSeconds);
    this.decideAnew(this.takeWaiting(protocol, address));
  }

  /** A host that has nothing else there is paired anew. */
  private decideAnew(waiting: readonly Waiting[]): void {
    for (const { host } of waiting) this.pools.release(host);
    for (const { again } of waiting) again();
  }

  onGiveBack({ protocol, address, nowSeconds }: EngineMessage & { kind: 'give-back' }): void {
    const gate = this.gates.get(keyOf(0, protocol, address));
    const blocks = gate === undefined ? [] : this.pools.retract(gate, nowSeconds);
    this.mail.toDealer({ kind: 'gave-back', shard: this.shard, protocol, address, blocks });
  }

  private takeWaiting(protocol: number, address: number): Waiting[] {
    const key = keyOf(0, protocol, address);
    const waiting = this.waiting.get(key) ?? [];
    this.waiting.delete(key);
    return waiting;
  }
}
