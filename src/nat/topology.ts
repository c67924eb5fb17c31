import type {
  ExternalPool,
  Ipv4Prefix,
  PeerGateway,
  PeeringPool,
  StaticBinding,
  ValidatedConfig,
  VpcRoute,
} from '../config/types.js';
import { AddressMap } from './address-map.js';
import { AddressPlaces } from './address-places.js';
import { isRetired } from './alignment.js';
import { Ways } from './egress.js';
import { PrefixTable } from './prefix-table.js';
import { RangeTable } from './range-table.js';

export type BindingSide = StaticBinding['side'];

/** Static bindings of one side, found from either end. */
class StaticIndex {
  /** By public address: whether it has port mappings, so that others cost no look-up of an endpoint. */
  private readonly mappedAddresses = new AddressMap();
  private readonly publicPorts = new Map<number, StaticBinding>();
  private readonly publicAddresses: RangeTable;
  private readonly privateAddresses: readonly RangeTable[];
  private readonly bindings: readonly StaticBinding[];

  constructor(config: ValidatedConfig, side: BindingSide) {
    this.bindings = config.staticBindings;
    const own = config.staticBindings.filter((binding) => binding.side === side);
    for (const binding of own) {
      if (binding.protocol !== null && binding.publicPort !== null) {
        this.mappedAddresses.set(binding.public.first, 0);
        this.publicPorts.set(endpointKey(binding.protocol, binding.public.first, binding.publicPort), binding);
      }
    }
    const ranges = own.filter((binding) => binding.protocol === null);
    this.publicAddresses = new RangeTable(ranges.map((b) => ({ ...b.public, value: b.index })));
    this.privateAddresses = config.vpcs.map(
      (vpc) => new RangeTable(ranges.filter((b) => b.vpc === vpc.index).map((b) => ({ ...b.private, value: b.index }))),
    );
  }

  /** Whether anything at a public address is bound. */
  has(address: number): boolean {
    return this.mappedAddresses.get(address) >= 0 || this.publicAddresses.find(address) >= 0;
  }

  /** The binding behind a public endpoint: a port mapping before an address. */
  byPublic(protocol: number, address: number, port: number): StaticBinding | null {
    if ((protocol === 6 || protocol === 17) && this.mappedAddresses.get(address) >= 0) {
      const mapping = this.publicPorts.get(endpointKey(protocol, address, port));
      if (mapping !== undefined) return mapping;
    }
    const index = this.publicAddresses.find(address);
    return index < 0 ? null : this.bindings[index];
  }

  /** The address binding of a private host; port mappings are for inbound use only. */
  byPrivate(vpc: number, address: number): StaticBinding | null {
    const index = this.privateAddresses[vpc].find(address);
    return index < 0 ? null : this.bindings[index];
  }
}

/** MACs of neighbours, 48 bits each, by address. */
class NeighbourTable {
  private readonly rows = new AddressMap();
  private readonly addresses: number[] = [];
  private readonly macs: (number | null)[] = [];

  /** @returns Row of an address, made where there is none: with it macOf() needs no search. */
  rowOf(address: number): number {
    const known = this.rows.get(address);
    if (known >= 0) return known;
    this.addresses.push(address);
    this.rows.set(address, this.macs.length);
    return this.macs.push(null) - 1;
  }

  macOf(row: number): number | null {
    return this.macs[row];
  }

  get(address: number): number | null {
    const row = this.rows.get(address);
    return row < 0 ? null : this.macs[row];
  }

  set(address: number, mac: number): void {
    this.macs[this.rowOf(address)] = mac;
  }

  /** Those whose MAC is known. */
  *entries(): Generator<readonly [address: number, mac: number]> {
    for (const [row, address] of this.addresses.entries()) {
      const mac = this.macs[row];
      if (mac !== null) yield [address, mac];
    }
  }
}

function endpointKey(protocol: number, address: number, port: number): number {
  return ((address >>> 0) * 65536 + port) * 2 + (protocol === 6 ? 1 : 0);
}

/**
 * What the configuration says of addresses (u32 or i32, the same 32 bits: V8 keeps the latter without an object): which VPC, whose binding, which way. Every look-up the NAT engine makes
 * before it allocates; nothing in it changes but the learned MACs.
 */
export class Topology {
  readonly external: StaticIndex;
  readonly peering: StaticIndex;
  private readonly vpcByVni = new AddressMap();
  private readonly peersByVni = new Map<number, PeerGateway[]>();
  private readonly subnets: readonly PrefixTable[];
  private readonly routes: readonly PrefixTable[];
  /** By VPC, then by route: rows of `neighbours`. */
  private readonly routeNeighbours: readonly (readonly number[])[];
  private readonly bypasses: readonly PrefixTable[];
  readonly places: AddressPlaces;
  private readonly peerings = new Set<number>();
  private readonly neighbours = new NeighbourTable();
  private readonly externalNeighbours = new NeighbourTable();
  /** Of the external port's next hop; -1: there is none. */
  private readonly nextHopRow: number;
  readonly ways: Ways;
  private readonly served = new Set<number>();
  private readonly ownVtep: number;
  /** By VPC; -1: none. */
  private readonly gatewayAddresses: Float64Array;
  /** The external port's own; -1: none. */
  private readonly outsideAddress: number;
  /** Of a pair; -1: none. */
  private readonly vip: number;

  constructor(readonly config: ValidatedConfig) {
    this.ownVtep = config.underlay.vtep;
    this.gatewayAddresses = Float64Array.from(config.vpcs, ({ gatewayAddress }) => gatewayAddress ?? -1);
    this.outsideAddress = this.externalPort?.address?.address ?? -1;
    this.vip = config.ha?.vip?.address.address ?? -1;
    for (const vpc of config.vpcs) if (!isRetired(vpc)) this.vpcByVni.set(vpc.vni, vpc.index);
    for (const peer of config.peerGateways) {
      if (isRetired(peer)) continue;
      const sharing = this.peersByVni.get(peer.vni);
      if (sharing === undefined) this.peersByVni.set(peer.vni, [peer]);
      else sharing.push(peer);
      this.neighbours.set(peer.vtep, peer.mac);
    }
    for (const vtep of config.vteps) if (vtep.mac !== null) this.neighbours.set(vtep.address, vtep.mac);
    this.subnets = config.vpcs.map(
      (vpc) => new PrefixTable(vpc.subnets.map((prefix) => ({ prefix, value: vpc.index }))),
    );
    this.routes = config.vpcs.map(
      (vpc) => new PrefixTable(vpc.routes.map((route, value) => ({ prefix: route.prefix, value }))),
    );
    this.bypasses = config.vpcs.map(
      (vpc) =>
        new PrefixTable(
          config.bypass
            .filter((bypass) => bypass.vpc === vpc.index)
            .flatMap((bypass) => bypass.destinations.map((prefix) => ({ prefix, value: 0 }))),
        ),
    );
    this.routeNeighbours = config.vpcs.map(({ routes }) => routes.map(({ vtep }) => this.neighbours.rowOf(vtep)));
    this.external = new StaticIndex(config, 'external');
    this.peering = new StaticIndex(config, 'peering');
    this.places = placesOf(config);
    for (const { a, b } of config.peerings) {
      this.peerings.add(a * 65536 + b);
      this.peerings.add(b * 65536 + a);
    }
    for (const { protocol, externalAddress, externalPort } of config.services) {
      this.served.add(endpointKey(protocol, externalAddress, externalPort));
    }
    const nextHop = this.externalPort?.nextHop;
    this.nextHopRow = nextHop ? this.externalNeighbours.rowOf(nextHop.address) : -1;
    if (nextHop && nextHop.mac !== null) this.externalNeighbours.set(nextHop.address, nextHop.mac);
    this.ways = new Ways(this);
  }

  /** Takes over what another configuration's topology learned by ARP, as far as this one says nothing else. */
  adoptLearned(previous: Topology): void {
    for (const [address, mac] of previous.neighbours.entries()) this.learn(this.config.fabricPort, address, mac);
    for (const [address, mac] of previous.externalNeighbours.entries())
      this.learn(this.config.externalPort, address, mac);
  }

  get externalPort() {
    return this.config.externalPort < 0 ? undefined : this.config.ports[this.config.externalPort];
  }

  /** @returns The VPC with that VNI whose gateway this is, or -1. */
  localVpcByVni(vni: number): number {
    const index = this.vpcByVni.get(vni);
    return index < 0 || this.config.vpcs[index].remoteGateway >= 0 ? -1 : index;
  }

  isPeerVni(vni: number): boolean {
    return this.peersByVni.size > 0 && this.peersByVni.has(vni);
  }

  /** @returns Index of the peer gateway that sends this VNI from that VTEP, or -1. */
  peerBySender(vni: number, outerSource: number): number {
    const peers = this.peersByVni.get(vni);
    if (peers === undefined) return -1;
    for (const peer of peers) if (peer.vtep === outerSource) return peer.index;
    return -1;
  }

  inSubnets(vpc: number, address: number): boolean {
    return this.subnets[vpc].find(address) >= 0;
  }

  route(vpc: number, address: number): VpcRoute | null {
    const index = this.routes[vpc].find(address);
    return index < 0 ? null : this.config.vpcs[vpc].routes[index];
  }

  /** @returns Index of the route in the VPC's list, or -1. */
  routeIndex(vpc: number, address: number): number {
    return this.routes[vpc].find(address);
  }

  /** @returns MAC of a route's VTEP, or null while it is unknown. */
  routeMac(vpc: number, index: number): number | null {
    return this.neighbours.macOf(this.routeNeighbours[vpc][index]);
  }

  arePeered(a: number, b: number): boolean {
    return this.peerings.has(a * 65536 + b);
  }

  /** @returns The VPC that an address stands for in front of other VPCs, or -1. */
  peeringOwner(address: number): number {
    return this.places.peeringOwner(this.places.placeOf(address));
  }

  /** Whether an address is of our external pools or static bindings. */
  isExternal(address: number): boolean {
    return this.places.isExternal(this.places.placeOf(address));
  }

  /** Whether an external endpoint is a published service's. */
  isServed(protocol: number, address: number, port: number): boolean {
    return this.served.size > 0 && this.served.has(endpointKey(protocol, address, port));
  }

  /** Whether no port of an external address is a static binding's or a service's, as far as is easily told. */
  leavesAll(address: number): boolean {
    return this.served.size === 0 && !this.external.has(address);
  }

  isBypassed(vpc: number, address: number): boolean {
    return this.bypasses[vpc].find(address) >= 0;
  }

  /** The addresses of the gateway itself, as a host of the VPC sees them. */
  isGatewayAddress(vpc: number, address: number): boolean {
    const wanted = address >>> 0;
    return wanted === this.gatewayAddresses[vpc] || wanted === this.ownVtep || this.isOwnOutside(address);
  }

  /** The gateway's own addresses outside: the external port's, and the VIP of a pair. */
  isOwnOutside(address: number): boolean {
    const wanted = address >>> 0;
    return wanted === this.outsideAddress || wanted === this.vip;
  }

  /** @returns MAC of an underlay neighbour, or null while it is unknown. */
  neighbourMac(vtep: number): number | null {
    return this.neighbours.get(vtep);
  }

  nextHopMac(): number | null {
    return this.nextHopRow < 0 ? null : this.externalNeighbours.macOf(this.nextHopRow);
  }

  /** Takes a MAC learned by ARP; configured ones are not overwritten. @returns Whether something new was learned. */
  learn(port: number, address: number, mac: number): boolean {
    if (port === this.config.fabricPort) {
      const configured = this.config.vteps.some((vtep) => vtep.address === address && vtep.mac !== null);
      const known = this.config.vteps.some((vtep) => vtep.address === address) || this.isRouteVtep(address);
      if (configured || !known || this.neighbours.get(address) === mac) return false;
      this.neighbours.set(address, mac);
      this.ways.forget();
      return true;
    }
    const nextHop = this.externalPort?.nextHop;
    if (!nextHop || nextHop.mac !== null || nextHop.address !== address) return false;
    if (this.externalNeighbours.get(address) === mac) return false;
    this.externalNeighbours.set(address, mac);
    this.ways.forget();
    return true;
  }

  /** Next hop and VTEPs whose MAC is neither configured nor learned. */
  unknownNeighbours(): { readonly port: number; readonly address: number }[] {
    const { config } = this;
    const unknown = new Set<number>();
    for (const { address } of config.vteps) if (this.neighbourMac(address) === null) unknown.add(address);
    for (const vpc of config.vpcs) {
      for (const { vtep } of vpc.routes) if (this.neighbourMac(vtep) === null) unknown.add(vtep);
    }
    const asked = [...unknown].map((address) => ({ port: config.fabricPort as number, address }));
    const nextHop = this.externalPort?.nextHop;
    if (nextHop && this.nextHopMac() === null) asked.push({ port: config.externalPort, address: nextHop.address });
    return asked;
  }

  private isRouteVtep(address: number): boolean {
    return this.config.vpcs.some((vpc) => vpc.routes.some((route) => route.vtep === address));
  }
}

function placesOf(config: ValidatedConfig): AddressPlaces {
  const pools = (list: readonly (ExternalPool | PeeringPool)[], vpcOf: (index: number) => number) =>
    list.flatMap(({ ranges }, index) => ranges.map((range) => ({ ...range, value: vpcOf(index) })));
  const external = pools(config.externalPools, (index) => index);
  const peering = pools(config.peeringPools, (index) => config.peeringPools[index].vpc);
  const fixed = (side: BindingSide) => mergePublic(config.staticBindings.filter((binding) => binding.side === side));
  const subnets = config.vpcs.flatMap((vpc) => vpc.subnets.map((prefix) => ({ prefix, value: vpc.index as number })));
  const lastOf = ({ address, mask }: Ipv4Prefix) => (address | ~mask) >>> 0;
  return new AddressPlaces(
    [
      ...external,
      ...peering,
      ...fixed('external'),
      ...fixed('peering'),
      ...subnets.map(({ prefix }) => ({ first: (prefix.address & prefix.mask) >>> 0, last: lastOf(prefix) })),
    ],
    [new RangeTable(external), new RangeTable(fixed('external'))],
    // A static binding's public address says more than the pool that it lies in.
    [new RangeTable(fixed('peering')), new RangeTable(peering)],
    new PrefixTable(subnets),
  );
}

/** Public addresses of static bindings with their VPC; an address with several port mappings counts once. */
function mergePublic(bindings: readonly StaticBinding[]) {
  const ranges = bindings.filter((b) => b.protocol === null).map((b) => ({ ...b.public, value: b.vpc as number }));
  const addresses = new RangeTable(ranges);
  const single = new Map<number, number>();
  for (const binding of bindings) {
    const address = binding.public.first;
    if (binding.protocol !== null && addresses.find(address) < 0) single.set(address, binding.vpc);
  }
  for (const [address, value] of single) ranges.push({ first: address, last: address, value });
  return ranges;
}
