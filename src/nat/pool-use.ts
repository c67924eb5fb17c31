import type { Ipv4Range, PortRange, ValidatedConfig } from '../config/types.js';
import { RangeTable } from './range-table.js';

/** Protocols whose mappings own a public port (or identifier). */
const PROTOCOLS = [1, 6, 17];

/** How much of a pool is given out, for one protocol and scope. Changed in place, one increment a mapping. */
export interface PoolCount {
  readonly kind: 'external' | 'peering';
  /** Name of the external pool, or of the VPC that the peering pools belong to. */
  readonly pool: string;
  /** 0: external; n+1: peering towards VPC n. */
  readonly scope: number;
  readonly protocol: number;
  /** Addresses there are. */
  readonly addresses: number;
  /** Ports there are, those that static bindings withhold among them. */
  readonly ports: number;
  /** Ports that mappings own; ports that rest are none of them. */
  owned: number;
}

interface PoolSize {
  readonly ranges: readonly Ipv4Range[];
  readonly portRange: PortRange;
}

/** Counts the ports that mappings own, by pool. */
export class PoolUse {
  private byKey = new Map<string, PoolCount>();
  private external = new RangeTable([]);
  private peering = new RangeTable([]);

  constructor(private config: ValidatedConfig) {
    this.follow(config);
  }

  /** From now on pools are those of another configuration; every count is 0, and counts from of() before mean nothing. */
  follow(config: ValidatedConfig): void {
    this.config = config;
    this.byKey = new Map();
    const { externalPools, peeringPools } = config;
    this.external = tableOf(externalPools.map((pool, value) => ({ ...pool, value })));
    // A VPC's peering pools count as one: they have no names.
    this.peering = tableOf(peeringPools.map((pool) => ({ ...pool, value: pool.vpc })));
    for (let pool = 0; pool < externalPools.length; pool++) {
      for (const protocol of PROTOCOLS) this.countOf(0, protocol, pool);
    }
  }

  /** @returns What counts an address's ports; a count that counts() does not have when no pool holds the address. */
  of(scope: number, protocol: number, address: number): PoolCount {
    return this.countOf(scope, protocol, (scope === 0 ? this.external : this.peering).find(address));
  }

  /** Every external pool by protocol; peering pools by protocol and scope that had a mapping. */
  counts(): Iterable<PoolCount> {
    return this.byKey.values();
  }

  private countOf(scope: number, protocol: number, value: number): PoolCount {
    const key = `${scope} ${protocol} ${value}`;
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const made = this.newCount(scope, protocol, value);
    if (value >= 0) this.byKey.set(key, made);
    return made;
  }

  private newCount(scope: number, protocol: number, value: number): PoolCount {
    const { externalPools, peeringPools, vpcs } = this.config;
    const kind = scope === 0 ? 'external' : 'peering';
    if (value < 0) return { kind, pool: '', scope, protocol, addresses: 0, ports: 0, owned: 0 };
    const pools: readonly PoolSize[] =
      scope === 0 ? [externalPools[value]] : peeringPools.filter(({ vpc }) => vpc === value);
    let addresses = 0;
    let ports = 0;
    for (const { ranges, portRange } of pools) {
      const size = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
      addresses += size;
      ports += size * (portRange.last - portRange.first + 1);
    }
    const pool = scope === 0 ? externalPools[value].name : vpcs[value].name;
    return { kind, pool, scope, protocol, addresses, ports, owned: 0 };
  }
}

function tableOf(pools: readonly (PoolSize & { readonly value: number })[]): RangeTable {
  return new RangeTable(pools.flatMap(({ ranges, value }) => ranges.map((range) => ({ ...range, value }))));
}
