import { DropReason, NO_VNI } from '../native/records.js';
import { OUTSIDE_CONTEXT, peerContext } from './session-table.js';
import type { Topology } from './topology.js';

// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const OUTSIDE = OUTSIDE_CONTEXT;
/** Contexts below are VPCs'. */
const FIRST_PEER = peerContext(0);

/** Where a frame leaves and what stands on its outside. */
export interface Egress {
  /** Gateway port index. */
  readonly port: number;
  /** NO_VNI: plain Ethernet. */
  readonly vni: number;
  /** VTEP to encapsulate to, u32 host order; 0 for plain. */
  readonly vtep: number;
  /** Ethernet destination of the frame, 48 bits. */
  readonly mac: number;
  /** Ethernet destination inside VXLAN; 0 for plain. */
  readonly innerMac: number;
  // As words of FlowArguments, signed: made once, and copied for each flow.
  readonly vniWord: number;
  readonly vtepWord: number;
  /** Outer source of frames that come from there, where it tells them from others (a peer gateway's); 0: any. */
  readonly outerSourceWord: number;
  /** The outer MAC's six bytes, then the inner one's, as on the wire. */
  readonly macsWord0: number;
  readonly macsWord1: number;
  readonly macsWord2: number;
}

/** @param outerSource VTEP that alone sends frames from there; 0: any does. */
export function egressOf(
  port: number,
  vni: number,
  vtep: number,
  mac: number,
  innerMac: number,
  outerSource = 0,
): Egress {
  const macHigh = (mac / 0x1_0000_0000) | 0;
  const macLow = mac | 0;
  const innerHigh = (innerMac / 0x1_0000_0000) | 0;
  return {
    port,
    vni,
    vtep,
    mac,
    innerMac,
    vniWord: vni | 0,
    vtepWord: vtep | 0,
    outerSourceWord: outerSource | 0,
    macsWord0: swapped((macHigh << 16) | (macLow >>> 16)),
    macsWord1: swapped((macLow << 16) | innerHigh),
    macsWord2: swapped(innerMac | 0),
  };
}

/** @returns The word's bytes in the other order: MACs stand as on the wire. */
function swapped(word: number): number {
  const halves = ((word & 0xff00ff) << 8) | ((word >>> 8) & 0xff00ff);
  return (halves << 16) | (halves >>> 16);
}

/** One that leads nowhere. */
export function emptyEgress(): Egress {
  return egressOf(0, NO_VNI, 0, 0, 0);
}

/**
 * The ways to hosts: one for the outside, one a peer gateway, one a route of a VPC. Each is made when a packet first
 * takes it, and again after a MAC was learned; flows share it.
 */
export class Ways {
  /** Where it is known by now: find() of OUTSIDE_CONTEXT without a call. */
  outside: Egress | null = null;
  private byPeer: (Egress | null)[] = [];
  /** By VPC, then by route. */
  private byRoute: (Egress | null)[][] = [];

  constructor(private readonly topology: Topology) {
    this.forget();
  }

  /** A MAC was learned. */
  forget(): void {
    const { vpcs, peerGateways } = this.topology.config;
    this.outside = null;
    this.byPeer = peerGateways.map(() => null);
    this.byRoute = vpcs.map(({ routes }) => routes.map(() => null));
  }

  /**
   * @param context Of the side on which the host is: a VPC's index, a peer gateway's context, OUTSIDE_CONTEXT.
   * @param address The host's address as that side knows it, u32 or i32.
   * @returns The way to the host; null: there is none, see whyNone().
   */
  find(context: number, address: number): Egress | null {
    if (context === OUTSIDE) return this.outside ?? this.makeOutside();
    if (context >= FIRST_PEER) return this.byPeer[context - FIRST_PEER] ?? this.makePeer(context - FIRST_PEER);
    const route = this.topology.routeIndex(context, address);
    return route < 0 ? null : (this.byRoute[context][route] ?? this.makeRoute(context, route));
  }

  /** @returns Why find() found nothing. */
  whyNone(context: number, address: number): DropReason {
    const { topology } = this;
    const isKnown =
      context === OUTSIDE
        ? topology.config.externalPort >= 0
        : context >= FIRST_PEER || topology.routeIndex(context, address) >= 0;
    return isKnown ? DropReason.unknownVtep : DropReason.noRoute;
  }

  private makeOutside(): Egress | null {
    const { config } = this.topology;
    const mac = config.externalPort < 0 ? null : this.topology.nextHopMac();
    if (mac !== null) this.outside = egressOf(config.externalPort, NO_VNI, 0, mac, 0);
    return this.outside;
  }

  private makePeer(peer: number): Egress | null {
    const { config } = this.topology;
    const { vni, vtep, mac: innerMac } = config.peerGateways[peer];
    const mac = this.topology.neighbourMac(vtep);
    if (mac !== null) this.byPeer[peer] = egressOf(config.fabricPort, vni, vtep, mac, innerMac, vtep);
    return this.byPeer[peer];
  }

  private makeRoute(vpc: number, index: number): Egress | null {
    const { config } = this.topology;
    const { vni, routes } = config.vpcs[vpc];
    const { vtep, mac: innerMac } = routes[index];
    const mac = this.topology.routeMac(vpc, index);
    if (mac !== null) this.byRoute[vpc][index] = egressOf(config.fabricPort, vni, vtep, mac, innerMac);
    return this.byRoute[vpc][index];
  }
}
