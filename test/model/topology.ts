import type { Ipv4Prefix, Ipv4Range, StaticBinding, ValidatedConfig, Vpc, VpcRoute } from '../../src/config/types.js';

/**
 * Where a packet comes from or goes to: a VPC by its index, the outside, or a peer gateway. Tuples of different contexts
 * never meet.
 */
export type Context = number;
export const OUTSIDE: Context = -1;
export const peerContext = (gateway: number): Context => -2 - gateway;
export const peerOf = (context: Context): number => (context <= -2 ? -2 - context : -1);

export type Side = 'external' | 'peering';

export interface Endpoint {
  readonly address: number;
  readonly port: number;
}

export interface Bound extends Endpoint {
  readonly vpc: number;
}

export function contains(prefix: Ipv4Prefix, address: number): boolean {
  return (address & prefix.mask) >>> 0 === (prefix.address & prefix.mask) >>> 0;
}

export function inRanges(ranges: readonly Ipv4Range[], address: number): boolean {
  return ranges.some((range) => range.first <= address && address <= range.last);
}

/** What the configuration says, looked up by going through it. */
export class Topology {
  constructor(readonly config: ValidatedConfig) {}

  vpc(index: number): Vpc {
    return this.config.vpcs[index];
  }

  inSubnets(vpc: number, address: number): boolean {
    return this.vpc(vpc).subnets.some((prefix) => contains(prefix, address));
  }

  /** Longest prefix wins. */
  route(vpc: number, address: number): VpcRoute | null {
    let best: VpcRoute | null = null;
    for (const route of this.vpc(vpc).routes) {
      if (contains(route.prefix, address) && (best === null || route.prefix.length > best.prefix.length)) best = route;
    }
    return best;
  }

  /** Null: nobody told it. */
  vtepMac(address: number): number | null {
    const listed = this.config.vteps.find((vtep) => vtep.address === address)?.mac;
    return listed ?? this.config.peerGateways.find((gateway) => gateway.vtep === address)?.mac ?? null;
  }

  /** The gateway's address on the side of a context (contract: source of its ICMP errors). */
  ownAddress(context: Context): number {
    if (context === OUTSIDE) return this.externalAddress;
    return (context >= 0 ? this.vpc(context).gatewayAddress : null) ?? this.config.underlay.vtep;
  }

  get externalAddress(): number {
    return this.config.ports[this.config.externalPort].address?.address ?? 0;
  }

  isOwnInVpc(vpc: number, address: number): boolean {
    return (
      address === this.vpc(vpc).gatewayAddress ||
      address === this.config.underlay.vtep ||
      address === this.externalAddress
    );
  }

  arePeered(a: number, b: number): boolean {
    return a === b || this.config.peerings.some((p) => (p.a === a && p.b === b) || (p.a === b && p.b === a));
  }

  /** The static binding that a public endpoint belongs to, and the private endpoint behind it. */
  staticByPublic(
    side: Side,
    protocol: number,
    address: number,
    port: number,
  ): (Bound & { form: StaticBinding }) | null {
    for (const form of this.config.staticBindings) {
      if (form.side !== side || address < form.public.first || address > form.public.last) continue;
      if (form.protocol !== null && (form.protocol !== protocol || form.publicPort !== port)) continue;
      const privateAddress = form.private.first + (address - form.public.first);
      return { vpc: form.vpc, address: privateAddress, port: form.privatePort ?? port, form };
    }
    return null;
  }

  /** The address-only binding of a host: what it uses when it initiates. */
  staticByPrivate(side: Side, vpc: number, address: number): number | null {
    for (const form of this.config.staticBindings) {
      if (form.side !== side || form.vpc !== vpc || form.protocol !== null) continue;
      if (address >= form.private.first && address <= form.private.last) {
        return form.public.first + (address - form.private.first);
      }
    }
    return null;
  }

  /** Ranges and ports that a VPC's hosts get endpoints from, in the order of use. */
  pools(side: Side, vpc: number): { ranges: readonly Ipv4Range[]; first: number; last: number }[] {
    const pools =
      side === 'external'
        ? this.config.externalPools.filter((pool) => pool.vpcs.includes(vpc))
        : this.config.peeringPools.filter((pool) => pool.vpc === vpc);
    return pools.map(({ ranges, portRange }) => ({ ranges, first: portRange.first, last: portRange.last }));
  }

  /** An address of an external pool or binding, bound or not. */
  isExternal(address: number): boolean {
    return (
      this.config.externalPools.some((pool) => inRanges(pool.ranges, address)) ||
      this.config.staticBindings.some((form) => form.side === 'external' && inRanges([form.public], address))
    );
  }

  /** The VPC whose peering address this is, or -1. */
  peeringOwner(address: number): number {
    const form = this.config.staticBindings.find((b) => b.side === 'peering' && inRanges([b.public], address));
    if (form !== undefined) return form.vpc;
    return this.config.peeringPools.find((pool) => inRanges(pool.ranges, address))?.vpc ?? -1;
  }

  isBypassed(vpc: number, address: number): boolean {
    return this.config.bypass.some((b) => b.vpc === vpc && b.destinations.some((prefix) => contains(prefix, address)));
  }

  /** Largest IPv4 packet of a host that fits into a frame towards a context. */
  mtuTowards(context: Context): number {
    const { config } = this;
    return context === OUTSIDE ? config.ports[config.externalPort].mtu : config.ports[config.fabricPort].mtu - 50;
  }
}
