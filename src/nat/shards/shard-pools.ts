import { keyOf } from '../address-ports.js';
import type { MappingTable } from '../mapping-table.js';
import type { Pool } from '../pool.js';
import type { PortGate } from '../port-gate.js';
import type { PortAllocator } from '../port-set.js';
import { type AddressPorts, Allocation, PublicPools } from '../public-pools.js';
import type { HeldPorts } from './following.js';
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
  /** Hosts that are paired with an address only because more ports of it may be had. */
  private readonly tentative = new Set<number>();

  constructor(
    private readonly shard: Shard,
    ...parts: ConstructorParameters<typeof PublicPools>
  ) {
    super(...parts);
    const { index, mail } = shard;
    const find = ({ protocol, address }: PortGate) => this.find(protocol, address);
    this.ports = new ShardPorts(index, this.config.nat.portBlockSize, mail, {
      open: (gate, range) => {
        find(gate)?.grant(range);
        this.refreshPools();
      },
      retract: (gate, nowSeconds) => find(gate)?.retract(nowSeconds, this.random) ?? [],
      release: (host) => this.endWait(host),
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
    const wasPaired = this.hosts.isPaired(host);
    const port = super.take(vpc, scope, protocol, host, inside, nowSeconds, accepts);
    if (port !== AWAITED_PORT) {
      if (port >= 0 && this.tentative.size > 0) this.tentative.delete(host);
      return port;
    }
    if (!wasPaired) this.tentative.add(host);
    this.awaited = { protocol, address: this.address, host, nowSeconds };
    return Allocation.awaited;
  }

  /** A host that got nothing at the address is paired anew, also where sessions without a mapping hold it. */
  private endWait(host: number): void {
    if (this.tentative.delete(host)) this.hosts.unpair(host);
    this.hosts.release(host);
  }

  /** @returns What the last allocation lacked, once. */
  takeAwaited(): AwaitedPorts | null {
    const { awaited } = this;
    this.awaited = null;
    return awaited;
  }

  /** External ports that mappings own, or that rest. */
  heldPorts(mappings: MappingTable): HeldPorts[] {
    const held = new Map<number, { protocol: number; address: number; ports: number[] }>();
    for (const { scope, protocol, address, ports } of this.sets.all) {
      if (scope !== 0) continue;
      held.set(keyOf(0, protocol, address), { protocol, address, ports: [...(ports as ShardPortSet).rests] });
    }
    for (const row of mappings.rowsInUse()) {
      if (mappings.scope(row) !== 0 || !mappings.ownsPort(row)) continue;
      const [protocol, address] = [mappings.protocol(row), mappings.publicAddress(row)];
      held.get(keyOf(0, protocol, address))?.ports.push(mappings.publicPort(row));
    }
    const some = [...held.values()].filter(({ ports }) => ports.length > 0);
    return some.map(({ protocol, address, ports }) => ({ protocol, address, ports: Uint16Array.from(ports) }));
  }

  override isStillUsed(address: number, mappings: MappingTable): boolean {
    return super.isStillUsed(address, mappings) || this.shard.isStillUsed(address);
  }

  /** Whether live mappings of this shard have an external address that the configuration no longer names. */
  isStillUsedHere(address: number, mappings: MappingTable): boolean {
    return super.isStillUsed(address, mappings);
  }

  protected override isWithheld(scope: number, protocol: number, address: number, port: number): boolean {
    if (super.isWithheld(scope, protocol, address, port)) return true;
    return scope > 0 && this.shard.isForeignPeering(scope, protocol, address, port);
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
      (range) => this.ports.newGate(protocol, address, range),
      (nowSeconds) => this.ports.mayHaveMore(protocol, address, nowSeconds),
      this.restingMemory,
    );
  }

  private find(protocol: number, address: number): ShardPortSet | undefined {
    return this.sets.get(0, protocol, address)?.ports as ShardPortSet | undefined;
  }
}
