import type { Ipv4Range, PortRange, ValidatedConfig } from '../config/types.js';
import type { HostTable } from './host-table.js';
import { PortSet } from './port-set.js';
import type { Random } from './random.js';
import type { Topology } from './topology.js';

/** Result of an allocation that failed. Ports are >= 0. */
export const Allocation = { noPool: -1, exhausted: -2 } as const;

/** One pool of public addresses in one scope: its addresses in turn, and a PortSet for each that was used. */
class Pool {
  readonly size: number;
  /** Next address to pair a new host with: round robin keeps the spread even. */
  private cursor = 0;
  private readonly portSets = new Map<number, PortSet>();
  /** By protocol: the second in which no address had a free port, so that exhaustion costs one look and not a walk. */
  private readonly exhaustedAt = new Map<number, number>();

  constructor(
    readonly ranges: readonly Ipv4Range[],
    private readonly portRange: PortRange,
    private readonly blockSize: number,
    private readonly isWithheld: (protocol: number, address: number, port: number) => boolean,
    private readonly isReserved: (address: number) => boolean,
  ) {
    this.size = ranges.reduce((sum, range) => sum + range.last - range.first + 1, 0);
  }

  private addressAt(index: number): number {
    let rest = index;
    for (const range of this.ranges) {
      const size = range.last - range.first + 1;
      if (rest < size) return range.first + rest;
      rest -= size;
    }
    throw new RangeError(`address ${index} of a pool of ${this.size}`);
  }

  portSet(protocol: number, address: number): PortSet {
    const key = address * 256 + protocol;
    let set = this.portSets.get(key);
    if (set === undefined) {
      const withheld = (port: number) => this.isWithheld(protocol, address, port);
      set = new PortSet(this.portRange.first, this.portRange.last, this.blockSize, withheld);
      this.portSets.set(key, set);
    }
    return set;
  }

  /** @returns An address for a new host with a free port of the protocol, or -1; protocol 0 asks for no port. */
  pickAddress(protocol: number, nowSeconds: number): number {
    if (this.exhaustedAt.get(protocol) === nowSeconds) return -1;
    for (let tried = 0; tried < this.size; tried++) {
      const address = this.addressAt(this.cursor);
      this.cursor = this.cursor + 1 === this.size ? 0 : this.cursor + 1;
      if (this.isReserved(address)) continue;
      if (protocol === 0 || this.portSet(protocol, address).hasFree(nowSeconds)) return address;
    }
    this.exhaustedAt.set(protocol, nowSeconds);
    return -1;
  }

  findPort(protocol: number, address: number, random: Random, isFree: (port: number) => boolean): number {
    const { first, last } = this.portRange;
    const size = last - first + 1;
    const start = random.below(size);
    for (let i = 0; i < size; i++) {
      const port = first + ((start + i) % size);
      if (!this.isWithheld(protocol, address, port) && isFree(port)) return port;
    }
    return -1;
  }

  release(protocol: number, address: number, port: number, untilSeconds: number): void {
    this.portSet(protocol, address).release(port, untilSeconds);
    this.exhaustedAt.delete(protocol);
  }
}

/**
 * External and peering pools: which public endpoint a host gets. Paired pooling: a host keeps one public address per
 * scope while it has anything there, and is refused when that address is full (RFC 4787 REQ-2).
 */
export class PublicPools {
  /** Address of the last successful take(). */
  address = 0;
  /** Number of the pool of the last successful take(), for release(). */
  pool = -1;

  private readonly pools: Pool[] = [];
  /** By VPC: numbers of its external pools in order. */
  private readonly external: readonly number[][];
  /** By VPC * 65536 + scope: numbers of its peering pools in that scope. */
  private readonly peering = new Map<number, number[]>();

  constructor(
    private readonly config: ValidatedConfig,
    private readonly topology: Topology,
    private readonly hosts: HostTable,
    private readonly random: Random,
  ) {
    this.external = config.vpcs.map(() => []);
    const service = new Set(config.services.map((s) => `${s.protocol} ${s.externalAddress} ${s.externalPort}`));
    for (const pool of config.externalPools) {
      const number = this.add(pool.ranges, pool.portRange, 'external', (protocol, address, port) =>
        service.size > 0 ? service.has(`${protocol} ${address} ${port}`) : false,
      );
      for (const vpc of pool.vpcs) this.external[vpc].push(number);
    }
  }

  /**
   * Takes a public endpoint for a host.
   *
   * @param scope    0: external; n+1: peering towards VPC n.
   * @param protocol 6, 17 or 1; 0 pairs an address and takes no port.
   * @param host     Row of the host in that scope; its pairing may be set.
   * @returns The port (0 for protocol 0), with `address` and `pool` set, or an Allocation code; then nothing changed.
   */
  take(vpc: number, scope: number, protocol: number, host: number, nowSeconds: number): number {
    const paired = this.hosts.pairedPool(host);
    if (paired >= 0) {
      const address = this.hosts.pairedAddress(host);
      if (protocol === 0) return this.took(paired, address, 0);
      const port = this.pools[paired].portSet(protocol, address).take(nowSeconds, this.random);
      return port < 0 ? Allocation.exhausted : this.took(paired, address, port);
    }
    const numbers = scope === 0 ? this.external[vpc] : this.peeringPools(vpc, scope);
    if (numbers.length === 0) return Allocation.noPool;
    for (const number of numbers) {
      const pool = this.pools[number];
      // An address whose remaining ports all turn out to be withheld has none from then on: the loop ends.
      for (;;) {
        const address = pool.pickAddress(protocol, nowSeconds);
        if (address < 0) break;
        const port = protocol === 0 ? 0 : pool.portSet(protocol, address).take(nowSeconds, this.random);
        if (port < 0) continue;
        this.hosts.pair(host, number, address);
        return this.took(number, address, port);
      }
    }
    return Allocation.exhausted;
  }

  /**
   * Looks for a port of an address from a random start, without taking it.
   *
   * @param isFree Whether the caller can use a port that no static binding has.
   * @returns The port, or -1.
   */
  findPort(pool: number, protocol: number, address: number, isFree: (port: number) => boolean): number {
    return this.pools[pool].findPort(protocol, address, this.random, isFree);
  }

  release(pool: number, protocol: number, address: number, port: number, untilSeconds: number): void {
    this.pools[pool].release(protocol, address, port, untilSeconds);
  }

  private took(pool: number, address: number, port: number): number {
    this.pool = pool;
    this.address = address;
    return port;
  }

  private peeringPools(vpc: number, scope: number): number[] {
    const key = vpc * 65536 + scope;
    let numbers = this.peering.get(key);
    if (numbers === undefined) {
      numbers = this.config.peeringPools
        .filter((pool) => pool.vpc === vpc)
        .map((pool) => this.add(pool.ranges, pool.portRange, 'peering', () => false));
      this.peering.set(key, numbers);
    }
    return numbers;
  }

  private add(
    ranges: readonly Ipv4Range[],
    portRange: PortRange,
    side: 'external' | 'peering',
    isServed: (protocol: number, address: number, port: number) => boolean,
  ): number {
    const statics = this.topology[side];
    this.pools.push(
      new Pool(
        ranges,
        portRange,
        this.config.nat.portBlockSize,
        (protocol, address, port) =>
          statics.byPublic(protocol, address, port) !== null || isServed(protocol, address, port),
        // An address binding withholds the whole address: ICMP has no port mappings, so only that form answers.
        (address) => statics.byPublic(1, address, 0) !== null,
      ),
    );
    return this.pools.length - 1;
  }
}
