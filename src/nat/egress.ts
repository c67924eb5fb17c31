import { DropReason, NO_VNI } from '../native/records.js';
import { OUTSIDE_CONTEXT, peerOfContext } from './session-table.js';
import type { Topology } from './topology.js';

// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const OUTSIDE = OUTSIDE_CONTEXT;
const PLAIN = NO_VNI;
const FOUND = DropReason.none;

/** Where a frame leaves and what stands on its outside. */
export interface Egress {
  /** Gateway port index. */
  port: number;
  /** NO_VNI: plain Ethernet. */
  vni: number;
  /** VTEP to encapsulate to, u32 host order; 0 for plain. */
  vtep: number;
  /** Ethernet destination of the frame, 48 bits. */
  mac: number;
  /** Ethernet destination inside VXLAN; 0 for plain. */
  innerMac: number;
}

export function emptyEgress(): Egress {
  return { port: 0, vni: NO_VNI, vtep: 0, mac: 0, innerMac: 0 };
}

/**
 * Finds the way to a host.
 *
 * @param context Of the side on which the host is: a VPC's index, a peer gateway's context, OUTSIDE_CONTEXT.
 * @param address The host's address as that side knows it.
 * @returns DropReason.none with `into` filled, or why there is no way.
 */
export function resolveEgress(topology: Topology, context: number, address: number, into: Egress): DropReason {
  const { config } = topology;
  if (context === OUTSIDE) {
    if (config.externalPort < 0) return DropReason.noRoute;
    const mac = topology.nextHopMac();
    if (mac === null) return DropReason.unknownVtep;
    into.port = config.externalPort;
    into.vni = PLAIN;
    into.vtep = 0;
    into.mac = mac;
    into.innerMac = 0;
    return FOUND;
  }
  into.port = config.fabricPort;
  const peerIndex = peerOfContext(context);
  if (peerIndex >= 0) {
    const peer = config.peerGateways[peerIndex];
    into.vni = peer.vni;
    into.vtep = peer.vtep;
    into.innerMac = peer.mac;
  } else {
    const index = topology.routeIndex(context, address);
    if (index < 0) return DropReason.noRoute;
    const vpc = config.vpcs[context];
    const route = vpc.routes[index];
    into.vni = vpc.vni;
    into.vtep = route.vtep;
    into.innerMac = route.mac;
    return reach(topology.routeMac(context, index), into);
  }
  return reach(topology.neighbourMac(into.vtep), into);
}

function reach(mac: number | null, into: Egress): DropReason {
  if (mac === null) return DropReason.unknownVtep;
  into.mac = mac;
  return FOUND;
}
