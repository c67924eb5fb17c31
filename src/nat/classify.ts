import { DropReason, MissKind, SessionClass } from '../native/records.js';
import type { Bindings } from './bindings.js';
import { IcmpType, type MissedPacket, Protocol } from './packet.js';
import { OUTSIDE_CONTEXT, peerContext } from './session-table.js';
import type { Topology } from './topology.js';

export const Verdict = { drop: 0, answer: 1, expired: 2, session: 3 } as const;

// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const NO_REASON = DropReason.none;
const IS_DROPPED = Verdict.drop;
const IS_SESSION = Verdict.session;
const ICMP_ERROR = MissKind.icmpError;
const NOT_KNOWN = -1;

/** How a packet without a session is to be served. One object is used again for every miss. */
export interface Classification {
  verdict: number;
  reason: DropReason;
  sessionClass: SessionClass;
  /** VPC of the sender, or -1: the outside or a peer gateway. */
  sourceVpc: number;
  /** VPC of the receiver (site-to-site, first half: the remote one), or -1: the outside. */
  destinationVpc: number;
  /** Peer gateway that sent it (second half) or gets it (first half), or -1. */
  peer: number;
  /** Side on which the sender gets a public source, or null: it keeps its own. */
  sourceSide: 'external' | 'peering' | null;
  /** Scope of the source's mapping. */
  sourceScope: number;
  /** Whether `bindings.found` is the translated destination; otherwise the destination stays. */
  destinationBound: boolean;
}

export function emptyClassification(): Classification {
  return {
    verdict: Verdict.drop,
    reason: DropReason.none,
    sessionClass: SessionClass.vpcToVpc,
    sourceVpc: -1,
    destinationVpc: -1,
    peer: -1,
    sourceSide: null,
    sourceScope: 0,
    destinationBound: false,
  };
}

/**
 * Says what a packet from the fabric is, after VXLAN decapsulation, by the contract's lines: the first that fits
 * decides. Allocates nothing and changes nothing but `out` and `bindings.found`.
 *
 * @param knownVpc localVpcByVni() of the packet, where somebody has asked already.
 */
export function classifyFabric(
  topology: Topology,
  bindings: Bindings,
  packet: MissedPacket,
  out: Classification,
  knownVpc = NOT_KNOWN,
): void {
  reset(out);
  // Line 1: the second half of site-to-site.
  if (topology.isPeerVni(packet.vni)) {
    classifySecondHalf(topology, bindings, packet, out);
    return;
  }
  // Line 2.
  const vpc = knownVpc >= 0 ? knownVpc : topology.localVpcByVni(packet.vni);
  if (vpc < 0) return drop(out, DropReason.unknownVni);
  out.sourceVpc = vpc;
  if (!topology.inSubnets(vpc, packet.source | 0)) return drop(out, DropReason.sourceNotInVpc);
  // Line 3.
  const destination = packet.destination | 0;
  if (topology.isGatewayAddress(vpc, destination)) return answer(packet, out);
  if (packet.ttl <= 1) return expired(out);
  const { places } = topology;
  const place = places.placeOf(destination);
  if (packet.kind === ICMP_ERROR) {
    return drop(out, places.inAnySubnet(place) ? DropReason.privateDestination : DropReason.icmpErrorUnknown);
  }
  // Line 4: hairpin. A public address of another VPC that is bound is served the same way: it is ours and never leaves.
  if (
    places.isExternal(place) &&
    bindings.resolve('external', 0, packet.protocol, destination, packet.destinationPort)
  ) {
    return session(out, SessionClass.hairpin, bindings.found.vpc, 'external', 0, true);
  }
  const owner = places.peeringOwner(place);
  if (owner === vpc) {
    if (!bindings.resolve('peering', vpc + 1, packet.protocol, destination, packet.destinationPort)) {
      return drop(out, DropReason.noBinding);
    }
    return session(out, SessionClass.hairpin, vpc, 'peering', vpc + 1, true);
  }
  // Line 5.
  const isPrivate = places.inAnySubnet(place);
  if (isPrivate && topology.inSubnets(vpc, destination)) return drop(out, DropReason.privateDestination);
  // Line 6.
  if (owner >= 0) {
    if (!topology.arePeered(vpc, owner)) return drop(out, DropReason.noPeering);
    const peer = topology.config.vpcs[owner].remoteGateway;
    if (peer >= 0) {
      out.peer = peer;
      return session(out, SessionClass.siteToSite, owner, 'peering', owner + 1, false);
    }
    // A dynamic peering address of the owner answers only in front of the VPC it was allocated towards: ours.
    if (!bindings.resolve('peering', vpc + 1, packet.protocol, destination, packet.destinationPort)) {
      return drop(out, DropReason.noBinding);
    }
    return session(out, SessionClass.vpcToVpc, owner, 'peering', owner + 1, true);
  }
  // Line 7.
  if (isPrivate) return drop(out, DropReason.privateDestination);
  if (topology.isBypassed(vpc, destination)) {
    return session(out, SessionClass.vpcToExternal, -1, null, 0, false);
  }
  if (places.isExternal(place)) return drop(out, DropReason.noBinding);
  // Line 8.
  if (topology.config.externalPort < 0) return drop(out, DropReason.noRoute);
  session(out, SessionClass.vpcToExternal, -1, 'external', 0, false);
}

/** Says what a packet from the external port is. */
export function classifyExternal(
  topology: Topology,
  bindings: Bindings,
  packet: MissedPacket,
  out: Classification,
): void {
  reset(out);
  const destination = packet.destination | 0;
  if (topology.isOwnOutside(destination)) return answer(packet, out);
  if (!topology.isExternal(destination)) return drop(out, DropReason.notForUs);
  if (packet.ttl <= 1) return expired(out);
  if (packet.kind === ICMP_ERROR) return drop(out, DropReason.icmpErrorUnknown);
  if (!bindings.resolve('external', 0, packet.protocol, destination, packet.destinationPort)) {
    return drop(out, DropReason.noBinding);
  }
  session(out, SessionClass.externalToVpc, bindings.found.vpc, null, 0, true);
}

function classifySecondHalf(topology: Topology, bindings: Bindings, packet: MissedPacket, out: Classification): void {
  const peer = topology.peerBySender(packet.vni, packet.outerSource);
  if (peer < 0) return drop(out, DropReason.unknownVtep);
  out.peer = peer;
  if (packet.ttl <= 1) return expired(out);
  if (packet.kind === ICMP_ERROR) return drop(out, DropReason.icmpErrorUnknown);
  const owner = topology.peeringOwner(packet.destination);
  if (owner < 0 || topology.config.vpcs[owner].remoteGateway >= 0) return drop(out, DropReason.noBinding);
  // The source VPC is told by its peering address; it must be one that this peer serves.
  const sender = topology.peeringOwner(packet.source);
  if (sender < 0 || topology.config.vpcs[sender].remoteGateway !== peer || !topology.arePeered(sender, owner)) {
    return drop(out, DropReason.noPeering);
  }
  if (!bindings.resolve('peering', sender + 1, packet.protocol, packet.destination, packet.destinationPort)) {
    return drop(out, DropReason.noBinding);
  }
  session(out, SessionClass.siteToSite, owner, null, 0, true);
}

function reset(out: Classification): void {
  out.verdict = IS_DROPPED;
  out.reason = NO_REASON;
  out.sourceVpc = -1;
  out.destinationVpc = -1;
  out.peer = -1;
  out.sourceSide = null;
  out.sourceScope = 0;
  out.destinationBound = false;
}

function drop(out: Classification, reason: DropReason): void {
  out.verdict = Verdict.drop;
  out.reason = reason;
}

/** An address of the gateway itself: ping is answered, at any TTL; anything else is not for us. */
function answer(packet: MissedPacket, out: Classification): void {
  if (packet.protocol === Protocol.icmp && packet.icmpType === IcmpType.echoRequest) out.verdict = Verdict.answer;
  else drop(out, DropReason.notForUs);
}

function expired(out: Classification): void {
  out.verdict = Verdict.expired;
  out.reason = DropReason.ttlExpired;
}

function session(
  out: Classification,
  sessionClass: SessionClass,
  destinationVpc: number,
  sourceSide: 'external' | 'peering' | null,
  sourceScope: number,
  destinationBound: boolean,
): void {
  out.verdict = IS_SESSION;
  out.sessionClass = sessionClass;
  out.destinationVpc = destinationVpc;
  out.sourceSide = sourceSide;
  out.sourceScope = sourceScope;
  out.destinationBound = destinationBound;
}

/** Context of the side that a packet came from. */
export function contextOf(c: Classification): number {
  if (c.sourceVpc >= 0) return c.sourceVpc;
  return c.peer >= 0 ? peerContext(c.peer) : OUTSIDE_CONTEXT;
}
