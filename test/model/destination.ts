import { mappingRemote } from './allocation.js';
import type { Packet } from './ipv4.js';
import type { Mapping, SessionClass, State } from './state.js';
import { type Bound, type Context, OUTSIDE, peerContext, peerOf, type Side, type Topology } from './topology.js';

/** What the classification makes of a new packet. */
export type Classified =
  | { readonly kind: 'refused'; readonly reasons: readonly string[] }
  | {
      readonly kind: 'session';
      readonly sessionClass: SessionClass;
      /** Whose host it is: limits count there. */
      readonly vpc: number;
      /** Where forward packets leave to. */
      readonly reverseContext: Context;
      /** Null: the destination stays. */
      readonly bound: (Bound & { readonly mapping: Mapping | null }) | null;
      /** Where the source comes from; null: it stays. */
      readonly source: { readonly side: Side; readonly scope: number } | null;
    };

const refused = (...reasons: string[]): Classified => ({ kind: 'refused', reasons });

/** Who a public endpoint belongs to now: a static binding first, then a live mapping. */
export function bindingOf(topology: Topology, state: State, side: Side, scope: number, packet: Packet) {
  const { protocol, destination: address, destinationPort: port } = packet;
  const fixed = topology.staticByPublic(side, protocol, address, port);
  if (fixed !== null) return { vpc: fixed.vpc, address: fixed.address, port: fixed.port, mapping: null };
  const from = { address: packet.source, port: packet.sourcePort };
  const remote = mappingRemote(topology, { protocol, remote: from });
  const mapping = state.owner(side, scope, protocol, { address, port }, remote);
  return mapping === null ? null : { vpc: mapping.vpc, ...mapping.inside, mapping };
}

/** No binding, or one that serves another remote alone: a filter by another name. */
function unbound(state: State, side: Side, scope: number, packet: Packet): string[] {
  const { protocol, destination, destinationPort } = packet;
  const held = [...state.mappings.values()].some(
    (mapping) =>
      mapping.side === side &&
      mapping.scope === scope &&
      mapping.protocol === protocol &&
      mapping.public.address === destination &&
      mapping.public.port === destinationPort,
  );
  return held ? ['no-binding', 'filtered'] : ['no-binding'];
}

/** Lines 4 to 8 of the contract's classification, and what comes from outside and from peer gateways. */
export function classify(topology: Topology, state: State, context: Context, packet: Packet): Classified {
  if (context === OUTSIDE) return fromOutside(topology, state, packet);
  if (context < 0) return fromPeer(topology, state, peerOf(context), packet);
  return fromVpc(topology, state, context, packet);
}

function fromOutside(topology: Topology, state: State, packet: Packet): Classified {
  const bound = bindingOf(topology, state, 'external', -1, packet);
  if (bound === null)
    return refused(
      ...(topology.isExternal(packet.destination) ? unbound(state, 'external', -1, packet) : ['not-for-us']),
    );
  return {
    kind: 'session',
    sessionClass: 'external-to-vpc',
    vpc: bound.vpc,
    reverseContext: bound.vpc,
    bound,
    source: null,
  };
}

function fromPeer(topology: Topology, state: State, gateway: number, packet: Packet): Classified {
  const from = topology.peeringOwner(packet.source);
  // A source that is no peering address of a VPC behind that gateway has no peering.
  if (from < 0 || topology.vpc(from).remoteGateway !== gateway)
    return refused('no-peering', 'source-not-in-vpc', 'no-binding');
  const bound = bindingOf(topology, state, 'peering', from, packet);
  const to = bound?.vpc ?? topology.peeringOwner(packet.destination);
  const reasons = [
    ...(bound === null ? unbound(state, 'peering', from, packet) : []),
    ...(to < 0 || !topology.arePeered(from, to) ? ['no-peering'] : []),
  ];
  if (bound === null || reasons.length > 0) return refused(...reasons);
  return {
    kind: 'session',
    sessionClass: 'site-to-site',
    vpc: bound.vpc,
    reverseContext: bound.vpc,
    bound,
    source: null,
  };
}

function fromVpc(topology: Topology, state: State, vpc: number, packet: Packet): Classified {
  const { destination } = packet;
  const hairpin = (side: Side, scope: number): Classified => {
    const bound = bindingOf(topology, state, side, scope, packet);
    if (bound === null) return refused(...unbound(state, side, scope, packet));
    return { kind: 'session', sessionClass: 'hairpin', vpc, reverseContext: bound.vpc, bound, source: { side, scope } };
  };
  if (topology.isExternal(destination)) return hairpin('external', -1);
  const owner = topology.peeringOwner(destination);
  if (owner === vpc) return hairpin('peering', vpc);
  if (topology.inSubnets(vpc, destination)) return refused('private-destination');
  if (owner >= 0) return towardsVpc(topology, state, vpc, owner, packet);
  if (topology.config.vpcs.some((other) => topology.inSubnets(other.index, destination)))
    return refused('private-destination');
  const source = topology.isBypassed(vpc, destination) ? null : ({ side: 'external', scope: -1 } as const);
  return { kind: 'session', sessionClass: 'vpc-to-external', vpc, reverseContext: OUTSIDE, bound: null, source };
}

function towardsVpc(topology: Topology, state: State, vpc: number, owner: number, packet: Packet): Classified {
  if (!topology.arePeered(vpc, owner)) return refused('no-peering');
  const source = { side: 'peering', scope: owner } as const;
  const { remoteGateway } = topology.vpc(owner);
  if (remoteGateway >= 0) {
    return {
      kind: 'session',
      sessionClass: 'site-to-site',
      vpc,
      reverseContext: peerContext(remoteGateway),
      bound: null,
      source,
    };
  }
  const bound = bindingOf(topology, state, 'peering', vpc, packet);
  if (bound === null) return refused(...unbound(state, 'peering', vpc, packet));
  return { kind: 'session', sessionClass: 'vpc-to-vpc', vpc, reverseContext: owner, bound, source };
}
