import type { Ipv4Range, PortRange, ValidatedConfig } from '../config/types.js';
import { keyOf, PortSets, type AddressPorts as PortsOf } from './address-ports.js';
import type { HostTable } from './host-table.js';
import { hasPorts, type MappingTable } from './mapping-table.js';
import type { NatLog } from './nat-log.js';
import { Pool } from './pool.js';
import { PoolUse } from './pool-use.js';
import { SubscriberBlocks } from './port-blocks.js';
import type { PortBlock, PortGate } from './port-gate.js';
import { PortGrants } from './port-grants.js';
import { type PortAllocator, PortSet } from './port-set.js';
import type { Random } from './random.js';
import { RangeTable } from './range-table.js';
import { RestingMemory } from './resting-memory.js';
import type { BindingSide, Topology } from './topology.js';

/** Result of an allocation that failed. Ports are >= 0. */
export const Allocation = {
  noPool: -1,
  exhausted: -2,
  tableFull: -3,
  /** Of a shard: its ports are used up, and more may be had. */
  awaited: -4,
} as const;

export type AddressPorts = PortsOf<Pool>;

/**
 * External and peering pools: which public endpoint a host gets. Paired pooling: a host keeps one public address per
 * scope while it has anything there, and is refused when that address is full (RFC 4787 REQ-2).
 */
export class PublicPools {
  /** Address of the last successful take(). */
  address = 0;
  /** Of pickAddress(), i32. */
  private picked = 0;
  /** Whether somebody wants to know whose a port is. */
  private readonly namesSubscribers: boolean;
  readonly use: PoolUse;

  protected config: ValidatedConfig;
  private topology: Topology;
  /** By VPC: its external pools in order. */
  private external: readonly Pool[][] = [];
  /** By VPC * 65536 + scope: its peering pools in that scope. */
  private readonly peering = new Map<number, Pool[]>();
  /** External addresses of live mappings that a change of configuration took away. */
  private readonly leftBehind = new Set<number>();
  protected readonly sets = new PortSets<Pool>();
  protected readonly restingMemory = new RestingMemory();
  /** Of a gateway of a pair: what of the pools it owns. */
  private grants: PortGrants | null = null;

  constructor(
    config: ValidatedConfig,
    topology: Topology,
    protected readonly hosts: HostTable,
    protected readonly random: Random,
    private readonly log: NatLog,
  ) {
    this.config = config;
    this.namesSubscribers = config.nat.log === 'blocks';
    this.topology = topology;
    this.use = new PoolUse(config);
    this.readPools();
  }

  /**
   * Takes a public endpoint for a host.
   *
   * @param scope    0: external; n+1: peering towards VPC n.
   * @param protocol 6, 17 or 1; 0 pairs an address and takes no port.
   * @param host     Row of the host in that scope; its pairing may be set.
   * @param inside   The host's private address.
   * @param accepts  Whether an address will do; for protocol 0, where the remote decides.
   * @returns The port (0 for protocol 0), with `address` set, or an Allocation code; then nothing changed.
   */
  take(
    vpc: number,
    scope: number,
    protocol: number,
    host: number,
    inside: number,
    nowSeconds: number,
    accepts: ((address: number) => boolean) | null = null,
  ): number {
    const { hosts } = this;
    const pools = this.poolsOf(vpc, scope);
    // Who asks is told to those who want to know: it is a number beyond 32 bits, which is made anew.
    const subscriber = this.namesSubscribers === true ? vpc * 0x1_0000_0000 + (inside >>> 0) : 0;
    if (hosts.isPaired(host)) {
      const address = hosts.pairedAddress(host) | 0;
      const set = this.pairedPorts(pools, scope, protocol, address);
      // A host whose address left its pools is paired anew.
      if (set !== undefined) {
        this.address = address >>> 0;
        if (set === null) return accepts === null || accepts(address >>> 0) ? 0 : Allocation.exhausted;
        const port = this.takeFrom(set, nowSeconds, subscriber);
        return port < 0 ? Allocation.exhausted : port;
      }
    }
    if (pools.length === 0) return Allocation.noPool;
    for (let i = 0; i < pools.length; i++) {
      const pool = pools[i];
      if (protocol === 0) {
        if (!this.pickBare(pool, scope, accepts)) continue;
        hosts.pair(host, this.picked);
        this.address = this.picked >>> 0;
        return 0;
      }
      // An address whose remaining ports all turn out to be withheld has none from then on: the loop ends.
      for (;;) {
        const set = this.pickAddress(pool, scope, protocol, nowSeconds);
        if (set === null) break;
        const port = this.takeFrom(set, nowSeconds, subscriber);
        if (port < 0) continue;
        hosts.pair(host, this.picked);
        this.address = set.address;
        return port;
      }
    }
    this.grants?.exhausted();
    return Allocation.exhausted;
  }

  /** Looks for an address of the pool that has a free port, from that on whose turn it is. @returns Its ports, or null; the address is `picked`. */
  private pickAddress(pool: Pool, scope: number, protocol: number, nowSeconds: number): AddressPorts | null {
    if (pool.isExhausted(protocol, nowSeconds)) return null;
    const { grants, sets } = this;
    for (let tried = 0; tried < pool.size; tried++) {
      const address = pool.nextAddress();
      this.picked = address;
      const known = sets.get(scope, protocol, address);
      if (known === undefined ? this.isReserved(scope, address) : known.isReserved) continue;
      if (grants !== null && !grants.hasAny(scope, protocol, address >>> 0)) continue;
      const set = known === undefined ? this.newSet(pool, scope, protocol, address >>> 0) : known;
      if (set.pool !== pool) set.pool = pool;
      if (set.ports.hasFree(nowSeconds)) return set;
    }
    pool.exhaust(protocol, nowSeconds);
    return null;
  }

  /**
   * Looks for an address of the pool that will do, of which no port is wanted. What a remote decides says nothing of the
   * next search.
   *
   * @returns Whether there is one; then it is `picked`.
   */
  private pickBare(pool: Pool, scope: number, accepts: ((address: number) => boolean) | null): boolean {
    for (let tried = 0; tried < pool.size; tried++) {
      const address = pool.nextAddress();
      if (this.isReserved(scope, address) || (accepts !== null && !accepts(address >>> 0))) continue;
      this.picked = address;
      return true;
    }
    return false;
  }

  /**
   * Looks for a port of a paired address from a random start, without taking it.
   *
   * @param isFree Whether the caller can use a port that no static binding has.
   * @returns The port, or -1.
   */
  findPort(vpc: number, scope: number, protocol: number, address: number, isFree: (port: number) => boolean): number {
    const pool = this.poolsOf(vpc, scope).find((candidate) => candidate.has(address));
    if (pool === undefined) return -1;
    const { first, last } = pool.portRange;
    const size = last - first + 1;
    const start = this.random.below(size);
    const gate = this.grants?.gate(scope, protocol, address, pool.portRange) ?? null;
    for (let i = 0; i < size; i++) {
      const port = first + ((start + i) % size);
      if (gate !== null && !gate.owns(port)) continue;
      if (!this.isWithheld(scope, protocol, address, port) && isFree(port)) return port;
    }
    gate?.starved();
    return -1;
  }

  /** A session of the gateway that this one mirrors owns that endpoint: nobody else gets it. */
  claim(
    vpc: number,
    scope: number,
    protocol: number,
    address: number,
    port: number,
    inside: number,
    nowSeconds: number,
  ): void {
    let set = this.sets.get(scope, protocol, address);
    if (set === undefined || set.pool === null) {
      const pool = this.poolsOf(vpc, scope).find((candidate) => candidate.has(address));
      if (pool === undefined) return;
      set = this.portsOf(pool, scope, protocol, address);
    }
    set.ports.claim(port, nowSeconds, vpc * 0x1_0000_0000 + inside);
    set.count.owned++;
  }

  /** @param untilSeconds End of the port's rest; NO_REST: it was claimed and is only given up. */
  release(scope: number, protocol: number, address: number, port: number, untilSeconds: number): void {
    const set = this.sets.get(scope, protocol, address);
    if (set === undefined) return;
    if (untilSeconds < 0) set.ports.unclaim(port, 0);
    else set.ports.release(port, untilSeconds);
    set.count.owned--;
    // A port that rests changes nothing within the second that exhaustion is remembered for.
    if (this.config.nat.portReuseDelaySeconds === 0) set.pool?.refresh(protocol);
  }

  /** Whether the configuration gives the VPC any public address in that scope. */
  serves(vpc: number, scope: number): boolean {
    return this.poolsOf(vpc, scope).length > 0;
  }

  /** Whether a VPC's dynamic mapping could have been given that endpoint by the configuration as it is. */
  offers(vpc: number, scope: number, protocol: number, address: number, port: number): boolean {
    const pool = this.poolsOf(vpc, scope).find((candidate) => candidate.has(address));
    if (pool === undefined || this.isReserved(scope, address)) return false;
    if (!hasPorts(protocol)) return true;
    const { first, last } = pool.portRange;
    return port >= first && port <= last && !this.isWithheld(scope, protocol, address, port);
  }

  /** From now on pools and withheld ports are those of another configuration; what is owned stays owned. */
  reconfigure(config: ValidatedConfig, topology: Topology, mappings: MappingTable): void {
    this.config = config;
    this.topology = topology;
    this.readPools();
    this.use.follow(config);
    const owned = this.ownedPorts(mappings);
    for (const row of mappings.rowsInUse()) {
      const address = mappings.publicAddress(row);
      if (mappings.scope(row) === 0 && !topology.isExternal(address)) this.leftBehind.add(address);
    }
    const pools = { external: config.externalPools, peering: config.peeringPools };
    const ranges = { external: rangesOf(pools.external), peering: rangesOf(pools.peering) };
    for (const set of this.sets.all) {
      const { scope, protocol, address } = set;
      const side = sideOf(scope);
      const pool: { readonly portRange: PortRange } | undefined = pools[side][ranges[side].find(address)];
      const ownedHere = owned.get(keyOf(scope, protocol, address)) ?? [];
      set.pool = null;
      set.isReserved = this.isReserved(scope, address);
      set.count = this.use.of(scope, protocol, address);
      set.count.owned += ownedHere.length;
      if (pool !== undefined) set.gate?.follow(pool.portRange);
      set.ports.rebuild(pool?.portRange ?? null, this.withheldOf(scope, protocol, address), ownedHere);
      if (pool !== undefined) openGranted(set);
    }
    this.grants?.exhausted();
  }

  /**
   * From now on this gateway, one of a pair, gives out ports of blocks alone that it is granted. Before anything else.
   *
   * @param seed u32, the same on both gateways of the pair and hard to guess.
   * @returns Where blocks are asked for and granted.
   */
  ownByBlocks(seed: number): PortGrants {
    const find = ({ scope, protocol, address }: PortBlock | PortGate) => this.sets.get(scope, protocol, address);
    this.grants = new PortGrants(
      {
        addresses: () => this.addresses(),
        ready: (gate) => find(gate)?.ports.ready ?? null,
        open: (gate, range) => find(gate)?.ports.grant(range),
        granted: () => this.refreshPools(),
        holds: (block) => find(block)?.ports.holds({ first: block.firstPort, last: block.lastPort }) ?? false,
      },
      this.config.nat.portBlockSize,
      seed,
    );
    return this.grants;
  }

  /** Another gateway of the pair decides: nothing is granted here any more, and what mappings own stays owned. */
  withdraw(mappings: MappingTable): void {
    const { grants } = this;
    if (grants === null) return;
    grants.withdraw();
    const owned = this.ownedPorts(mappings);
    for (const { scope, protocol, address, pool, ports } of this.sets.all) {
      const ownedHere = owned.get(keyOf(scope, protocol, address)) ?? [];
      ports.rebuild(pool?.portRange ?? null, this.withheldOf(scope, protocol, address), ownedHere);
    }
  }

  /** Whether live mappings have an external address that the configuration no longer names. */
  isStillUsed(address: number, mappings: MappingTable): boolean {
    if (!this.leftBehind.has(address)) return false;
    for (const row of mappings.rowsInUse()) {
      if (mappings.scope(row) === 0 && mappings.publicAddress(row) === address) return true;
    }
    this.leftBehind.delete(address);
    return false;
  }

  private readPools(): void {
    const { vpcs, externalPools } = this.config;
    const external: Pool[][] = vpcs.map(() => []);
    for (const { ranges, portRange, vpcs: users } of externalPools) {
      const pool = new Pool(ranges, portRange);
      for (const vpc of users) external[vpc].push(pool);
    }
    this.external = external;
    this.peering.clear();
  }

  /** @returns Ports of the address that a host is paired with (null for protocol 0), or undefined when it is in no pool. */
  private pairedPorts(
    pools: readonly Pool[],
    scope: number,
    protocol: number,
    address: number,
  ): AddressPorts | null | undefined {
    if (protocol !== 0) {
      const set = this.sets.get(scope, protocol, address);
      const pool = set === undefined ? null : set.pool;
      if (pool !== null && (pools[0] === pool || pools.includes(pool))) return set;
    }
    return this.portsOfUnused(pools, scope, protocol, address);
  }

  /** pairedPorts() of an address without ports, or without any that were used. */
  private portsOfUnused(
    pools: readonly Pool[],
    scope: number,
    protocol: number,
    address: number,
  ): AddressPorts | null | undefined {
    if (this.isReserved(scope, address)) return undefined;
    const pool = pools.find((candidate) => candidate.has(address));
    if (pool === undefined) return undefined;
    return protocol === 0 ? null : this.portsOf(pool, scope, protocol, address);
  }

  /** Every address that could have mappings with ports, in every scope: the first of each pool, then the second. */
  private *addresses(): Generator<{ scope: number; protocol: number; address: number; range: PortRange }> {
    const places = [...new Set(this.external.flat())].map((pool) => ({ scope: 0, pool }));
    for (const { a, b } of this.config.peerings) {
      for (const pool of this.poolsOf(a, b + 1)) places.push({ scope: b + 1, pool });
      for (const pool of this.poolsOf(b, a + 1)) places.push({ scope: a + 1, pool });
    }
    for (let index = 0; ; index++) {
      const left = places.filter(({ pool }) => index < pool.size);
      if (left.length === 0) return;
      for (const { scope, pool } of left) {
        for (const protocol of [6, 17, 1]) {
          yield { scope, protocol, address: pool.addressAt(index), range: pool.portRange };
        }
      }
    }
  }

  /** Ports have come to addresses that had none a moment ago. */
  protected refreshPools(): void {
    for (const pool of [...this.external.flat(), ...[...this.peering.values()].flat()]) pool.refreshAll();
  }

  private poolsOf(vpc: number, scope: number): readonly Pool[] {
    return scope === 0 ? this.external[vpc] : this.peeringPoolsOf(vpc, scope);
  }

  private peeringPoolsOf(vpc: number, scope: number): readonly Pool[] {
    const key = vpc * 65536 + scope;
    let pools = this.peering.get(key);
    if (pools === undefined) {
      pools = this.config.peeringPools
        .filter((pool) => pool.vpc === vpc)
        .map(({ ranges, portRange }) => new Pool(ranges, portRange));
      this.peering.set(key, pools);
    }
    return pools;
  }

  private portsOf(pool: Pool, scope: number, protocol: number, address: number): AddressPorts {
    const known = this.sets.get(scope, protocol, address);
    if (known === undefined) return this.newSet(pool, scope, protocol, address >>> 0);
    if (known.pool !== pool) known.pool = pool;
    return known;
  }

  private newSet(pool: Pool, scope: number, protocol: number, address: number): AddressPorts {
    const gate = this.grants?.gate(scope, protocol, address, pool.portRange) ?? null;
    const ports = this.newPorts(pool, scope, protocol, address, gate);
    const isReserved = this.isReserved(scope, address);
    const set = {
      scope,
      protocol,
      address,
      ports,
      gate,
      isReserved,
      count: this.use.of(scope, protocol, address),
      pool,
    };
    this.sets.add(set);
    openGranted(set);
    return set;
  }

  protected takeFrom(set: AddressPorts, nowSeconds: number, subscriber: number): number {
    const port = set.ports.take(nowSeconds, this.random, subscriber);
    if (port >= 0) set.count.owned++;
    return port;
  }

  protected newPorts(
    { portRange }: Pool,
    scope: number,
    protocol: number,
    address: number,
    gate: PortGate | null,
  ): PortAllocator {
    const { first, last } = portRange;
    const { restingMemory } = this;
    const { portBlockSize, log } = this.config.nat;
    const isWithheld = this.withheldOf(scope, protocol, address);
    if (log !== 'blocks') return new PortSet(first, last, portBlockSize, isWithheld, restingMemory, gate);
    const tell = (allocated: boolean) => (subscriber: number, range: PortRange, nowSeconds: number) =>
      this.log.portBlock(allocated, {
        vpc: Math.floor(subscriber / 0x1_0000_0000),
        scope,
        protocol,
        inside: subscriber % 0x1_0000_0000,
        address,
        range,
        seconds: nowSeconds,
      });
    const observer = { allocated: tell(true), released: tell(false) };
    return new SubscriberBlocks(first, last, portBlockSize, isWithheld, observer, restingMemory, gate);
  }

  /** isWithheld() of an address's ports, as the configuration is: one that withholds none of them is asked for none. */
  private withheldOf(scope: number, protocol: number, address: number): (port: number) => boolean {
    if (scope === 0 && this.topology.leavesAll(address)) return NEVER;
    return (port) => this.isWithheld(scope, protocol, address, port);
  }

  protected isWithheld(scope: number, protocol: number, address: number, port: number): boolean {
    if (this.topology[sideOf(scope)].byPublic(protocol, address, port) !== null) return true;
    return scope === 0 && this.topology.isServed(protocol, address, port);
  }

  /** An address binding withholds the whole address: ICMP has no port mappings, so only that form answers. */
  private isReserved(scope: number, address: number): boolean {
    return this.topology[sideOf(scope)].byPublic(1, address, 0) !== null;
  }

  private ownedPorts(mappings: MappingTable): Map<number, number[]> {
    const owned = new Map<number, number[]>();
    for (const row of mappings.rowsInUse()) {
      if (!mappings.ownsPort(row)) continue;
      const key = keyOf(mappings.scope(row), mappings.protocol(row), mappings.publicAddress(row));
      const ports = owned.get(key);
      if (ports === undefined) owned.set(key, [mappings.publicPort(row)]);
      else ports.push(mappings.publicPort(row));
    }
    return owned;
  }
}

const NEVER = () => false;

function sideOf(scope: number): BindingSide {
  return scope === 0 ? 'external' : 'peering';
}

function rangesOf(pools: readonly { readonly ranges: readonly Ipv4Range[] }[]): RangeTable {
  return new RangeTable(pools.flatMap(({ ranges }, value) => ranges.map((range) => ({ ...range, value }))));
}

/** Ports of an address come into use that were granted before anybody looked at it. */
function openGranted({ gate, ports }: AddressPorts): void {
  if (gate === null) return;
  for (const range of gate.granted()) ports.grant(range);
  gate.opened();
}
