import { formatIpv4, formatPrefix, prefixContains, prefixRange } from '../address.js';
import { suggestion } from '../faults.js';
import { type Field, type NameTable, quote } from '../field.js';
import { overlaps } from '../intervals.js';
import {
  type Ipv4Prefix,
  NONE,
  type PeerGateway,
  type Peering,
  type SessionLimits,
  type Vpc,
  type VpcRoute,
} from '../types.js';

/** A VPC with what the checks of other parts need to know about it. */
export interface ParsedVpc extends Vpc {
  /** False when a subnet could not be read: then nothing is said about addresses outside the others. */
  readonly hasAllSubnets: boolean;
}

export interface GatewayNames {
  readonly own: string | null;
  readonly peers: NameTable;
  readonly peerGateways: readonly PeerGateway[];
  readonly vtep: number;
}

export function resolveVpcs(field: Field, gateways: GatewayNames, names: NameTable): readonly ParsedVpc[] {
  const owners = new Map<number, string>();
  for (const peer of gateways.peerGateways) owners.set(peer.vni, `peer gateway "${peer.name}"`);
  return field.items().map((item, index) => {
    names.define(item.at('name'), index);
    const name = item.at('name').text() ?? '';
    const vni = item.at('vni').integer() ?? NONE;
    if (vni !== NONE) {
      const owner = owners.get(vni);
      if (owner !== undefined) item.at('vni').fault(`VNI ${vni} is that of ${owner} already`, 'give each its own');
      else owners.set(vni, `VPC "${name}"`);
    }
    const remoteGateway = resolveGateway(item.at('gateway'), gateways);
    const subnets = resolveSubnets(item.at('subnets'), remoteGateway === NONE);
    const gatewayAddress = item.at('gatewayAddress').address();
    if (
      gatewayAddress !== null &&
      subnets.complete &&
      !subnets.prefixes.some((p) => prefixContains(p, gatewayAddress))
    ) {
      const known = subnets.prefixes.map(formatPrefix).join(', ') || 'it has none';
      item.at('gatewayAddress').fault(`${formatIpv4(gatewayAddress)} is in none of the VPC's subnets`, known);
    }
    return {
      index,
      name,
      vni,
      remoteGateway,
      subnets: subnets.prefixes,
      hasAllSubnets: subnets.complete,
      routes: resolveRoutes(item.at('routes'), gateways.vtep),
      limits: resolveLimits(item.at('limits')),
      gatewayAddress,
    };
  });
}

function resolveGateway(field: Field, gateways: GatewayNames): number {
  const name = field.text();
  const { own } = gateways;
  if (name === null || own === null || name === own) return NONE;
  const known = gateways.peers.names();
  if (known.includes(name)) return gateways.peers.resolve(field) ?? NONE;
  field.fault(`unknown gateway ${quote(name)}`, suggestion(name, [own, ...known]));
  return NONE;
}

function resolveSubnets(field: Field, isLocal: boolean): { prefixes: readonly Ipv4Prefix[]; complete: boolean } {
  if (isLocal && !field.isPresent) field.fault('is missing', "the VPC's private prefixes");
  const items = field.items();
  if (isLocal && Array.isArray(field.value) && items.length === 0) {
    field.fault('must not be empty', 'a VPC without subnets has no hosts');
  }
  const parsed = items.flatMap((item) => {
    const prefix = item.prefix();
    return prefix === null ? [] : [{ ...prefixRange(prefix), prefix, item }];
  });
  for (const [earlier, later] of overlaps(parsed)) {
    const same = earlier.first === later.first && earlier.last === later.last;
    later.item.fault(
      `${formatPrefix(later.prefix)} ${same ? 'repeats' : 'overlaps'} ${formatPrefix(earlier.prefix)} of the same VPC`,
      same ? 'remove one of the two' : 'the subnets of one VPC are disjoint',
    );
  }
  return {
    prefixes: parsed.map(({ prefix }) => prefix),
    complete: parsed.length === items.length && (Array.isArray(field.value) || !isLocal),
  };
}

function resolveRoutes(field: Field, ownVtep: number): readonly VpcRoute[] {
  const seen = new Map<string, string>();
  const routes = field.items().map((item) => {
    const prefix = item.at('prefix').prefix();
    if (prefix !== null) {
      const text = formatPrefix(prefix);
      const before = seen.get(text);
      if (before !== undefined)
        item.at('prefix').fault(`${text} has a route at ${before} already`, 'remove one of the two');
      else seen.set(text, item.path);
    }
    const vtep = item.at('vtep').address();
    if (vtep !== null && vtep === ownVtep) {
      item.at('vtep').fault("is this gateway's own VTEP", 'give the VTEP behind which the prefix lives');
    }
    return { prefix: prefix ?? { address: 0, length: 0, mask: 0 }, vtep: vtep ?? 0, mac: item.at('mac').mac() ?? 0 };
  });
  return routes.sort((a, b) => b.prefix.length - a.prefix.length || a.prefix.address - b.prefix.address);
}

export function resolveLimits(field: Field): SessionLimits {
  return {
    sessions: field.at('sessions').integer() ?? Infinity,
    sessionsPerAddress: field.at('sessionsPerAddress').integer() ?? Infinity,
    newSessionsPerSecond: field.at('newSessionsPerSecond').integer() ?? Infinity,
  };
}

export function resolvePeerings(field: Field, vpcs: readonly ParsedVpc[], names: NameTable): readonly Peering[] {
  const pairs = new Map<number, Peering>();
  for (const item of field.items()) {
    const members = new Set<number>();
    for (const member of item.at('vpcs').items()) {
      const vpc = names.resolve(member);
      if (vpc === null) continue;
      if (members.has(vpc)) member.fault(`VPC "${vpcs[vpc].name}" is peered with itself`, 'name another VPC');
      for (const peer of members) {
        if (peer === vpc) continue;
        const [a, b] = peer < vpc ? [peer, vpc] : [vpc, peer];
        pairs.set(a * vpcs.length + b, { a, b });
      }
      members.add(vpc);
    }
  }
  return [...pairs.values()].sort((x, y) => x.a - y.a || x.b - y.b);
}
