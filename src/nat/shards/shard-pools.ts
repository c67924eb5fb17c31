import type { PortGate } from '../port-gate.js';
import type { PortAllocator } from '../port-set.js';
import { type AddressPorts, Allocation, type Pool, PublicPools } from '../public-pools.js';
import type { Shard } from './shard.js';
import { ShardPortSet } from './shard-port-set.js';
import { type AwaitedPorts, ShardPorts } from './shard-ports.js';

/** Stands for a port that the dealer may have. */
const AWAITED_PORT = 0x1_0000;

/** Pools of one of several engines: of external addresses it gives out ports of the blocks that it was dealt. */
export class ShardPools extends PublicPools {
  readonly ports: ShardPorts;
  /** What the last allocation lacked. */
  private awaited: AwaitedPorts | null = null;

  constructor({ index, mail }: Shard, ...parts: ConstructorParameters<typeof PublicPools>) {
    super(...parts);
    const find = ({ protocol, address }: PortGate) => this.find(protocol, address);
    this.ports = new ShardPorts(index, this.config.nat.portBlockSize, mail, {
      open: (gate, range) => {
        find(gate)?.grant(range);
        this.refreshPools();
      },
      retract: (gate, nowSeconds) => find(gate)?.retract(nowSeconds, this.random) ?? [],
      release: (host) => this.hosts.release(host),
    });
  }

  /** @returns As PublicPools has it, or Allocation.awaited: the host is paired with an address that may have more ports. */
  override take(
    vpc: number,
    scope: number,
    protocol: number,
    host: number,
    inside: number,
    nowSeconds: number,
    accepts: ((address: number) => boolean) | null = null,
  ): number {
    const port = super.take(vpc, scope, protocol, host, inside, nowSeconds, accepts);
    if (port !== AWAITED_PORT) return port;
    this.awaited = { protocol, address: this.address, host, nowSeconds };
    return Allocation.awaited;
  }

  /** @returns What the last allocation lacked, once. */
  takeAwaited(): AwaitedPorts | null {
    const { awaited } = this;
    this.awaited = null;
    return awaited;
  }

  /** A port that was taken has not been used. */
  putBack(protocol: number, address: number, port: number): void {
    const set = this.sets.get(0, protocol, address);
    if (set === undefined) return;
    this.find(protocol, address)?.putBack(port);
    set.count.owned--;
  }

  protected override takeFrom(set: AddressPorts, nowSeconds: number, subscriber: number): number {
    const port = super.takeFrom(set, nowSeconds, subscriber);
    if (port >= 0 || set.scope !== 0) return port;
    return this.ports.mayHaveMore(set.protocol, set.address, nowSeconds) ? AWAITED_PORT : port;
  }

  protected override newPorts(
    pool: Pool,
    scope: number,
    protocol: number,
    address: number,
    gate: PortGate | null,
  ): PortAllocator {
    if (scope !== 0) return super.newPorts(pool, scope, protocol, address, gate);
    return new ShardPortSet(
      pool.portRange,
      (port) => this.isWithheld(scope, protocol, address, port),
      this.ports.newGate(protocol, address, pool.portRange),
      (nowSeconds) => this.ports.mayHaveMore(protocol, address, nowSeconds),
    );
  }

  private find(protocol: number, address: number): ShardPortSet | undefined {
    return this.sets.get(0, protocol, address)?.ports as ShardPortSet | undefined;
  }
}
