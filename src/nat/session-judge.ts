import { DropReason, MissKind, SessionClass } from '../native/records.js';
import { isRetired } from './alignment.js';
import type { Bindings } from './bindings.js';
import { classifyExternal, classifyFabric, emptyClassification, Verdict } from './classify.js';
import type { MappingTable } from './mapping-table.js';
import { emptyPacket } from './packet.js';
import type { PublicPools } from './public-pools.js';
import { emptyFacts, OUTSIDE_CONTEXT, peerOfContext, type SessionFacts, type SessionTable } from './session-table.js';
import type { Topology } from './topology.js';

/** What a change of configuration means for a session. */
export const Fate = { keep: 0, update: 1, end: 2 } as const;

/** Which sessions are to be looked at again, and why. */
export interface ReviewCause {
  /** The configuration before the change, for telling whether a session's way has changed; null: it has. */
  readonly previous: Topology | null;
  /** Only sessions that leave towards this neighbour changed their way; null: all may have. */
  readonly neighbour: { readonly port: number; readonly address: number } | null;
}

/**
 * Judges sessions by a configuration that came after them. A session stays as long as everything it relies on is still
 * there (its VPCs, prefixes, peering, static binding, some pool of its VPC, routes) and nothing new forbids its packets;
 * then it keeps its tuple, even one that a new session could not get any more.
 */
export class SessionJudge {
  private readonly facts: SessionFacts = emptyFacts();
  private readonly packet = emptyPacket();
  private readonly classified = emptyClassification();

  constructor(
    private readonly topology: Topology,
    private readonly bindings: Bindings,
    private readonly mappings: MappingTable,
    private readonly pools: PublicPools,
    private readonly sessions: SessionTable,
  ) {}

  judge(row: number, cause: ReviewCause): number {
    const f = this.facts;
    this.sessions.read(row, f);
    if (!this.destinationStands(f) || !this.sourceStands(f)) return Fate.end;
    this.followOffer(f.sourceMapping);
    this.followOffer(f.destinationMapping);
    const forward = this.wayOf(f.reverseContext, f.translatedDestination, cause);
    const reverse = this.wayOf(f.forwardContext, f.forwardSource, cause);
    return Math.max(forward, reverse);
  }

  /** Whether the session's packets would still go where they go, and be allowed there. */
  private destinationStands(f: SessionFacts): boolean {
    if (f.destinationMapping >= 0) return this.mappingStands(f);
    const c = this.classified;
    if (!this.asPacket(f)) return false;
    if (f.forwardContext === OUTSIDE_CONTEXT) classifyExternal(this.topology, this.bindings, this.packet, c);
    else classifyFabric(this.topology, this.bindings, this.packet, c);
    if (c.verdict !== Verdict.session || c.sessionClass !== f.sessionClass) return false;
    if (c.destinationVpc !== f.destinationVpc) return false;
    if (!c.destinationBound) return f.translatedDestination === f.forwardDestination;
    const { found } = this.bindings;
    return found.address === f.translatedDestination && found.port === this.portBehind(f) && found.mapping < 0;
  }

  /** A public echo identifier is the private one where the source's is not translated too. */
  private portBehind(f: SessionFacts): number {
    return f.protocol === 1 ? f.forwardDestinationPort : f.translatedDestinationPort;
  }

  /** A destination behind a dynamic mapping, whose address may have left the pools, or belong to a static binding now. */
  private mappingStands(f: SessionFacts): boolean {
    const { topology, mappings } = this;
    const owner = mappings.vpc(f.destinationMapping);
    const scope = mappings.scope(f.destinationMapping);
    if (!topology.inSubnets(owner, f.translatedDestination) || !this.pools.serves(owner, scope)) return false;
    const viewer = scope - 1;
    if (scope > 0 && viewer !== owner && !topology.arePeered(viewer, owner)) return false;
    if (f.forwardContext === OUTSIDE_CONTEXT) return true;
    const peer = peerOfContext(f.forwardContext);
    if (peer >= 0) return topology.config.vpcs[viewer].remoteGateway === peer;
    return topology.inSubnets(f.forwardContext, f.forwardSource);
  }

  /** Whether the session may keep the source that it presents. */
  private sourceStands(f: SessionFacts): boolean {
    const { sourceMapping } = f;
    if (sourceMapping >= 0) return this.pools.serves(f.vpc, this.mappings.scope(sourceMapping));
    if (f.sessionClass === SessionClass.externalToVpc || peerOfContext(f.forwardContext) >= 0) return true;
    // A destination behind a dynamic mapping was not classified: its side is the mapping's.
    const side =
      f.destinationMapping < 0
        ? this.classified.sourceSide
        : this.mappings.scope(f.destinationMapping) === 0
          ? 'external'
          : 'peering';
    if (side === null) return f.translatedSource === f.forwardSource;
    const binding = this.topology[side].byPrivate(f.vpc, f.forwardSource);
    if (binding === null) return false;
    return f.translatedSource === binding.public.first + (f.forwardSource - binding.private.first);
  }

  /** A mapping that a new session could not get any more is found by none, until it could again. */
  followOffer(mapping: number): void {
    if (mapping < 0) return;
    const { mappings } = this;
    const offered = this.pools.offers(
      mappings.vpc(mapping),
      mappings.scope(mapping),
      mappings.protocol(mapping),
      mappings.publicAddress(mapping),
      mappings.publicPort(mapping),
    );
    if (offered) mappings.revive(mapping);
    else mappings.retire(mapping);
  }

  private wayOf(context: number, address: number, { previous, neighbour }: ReviewCause): number {
    const { ways } = this.topology;
    const egress = ways.find(context, address);
    // A new neighbour's MAC comes by ARP; until then the old way is better than none.
    if (egress === null) return ways.whyNone(context, address) === DropReason.unknownVtep ? Fate.keep : Fate.end;
    if (neighbour !== null) {
      const leaves = egress.port === neighbour.port && (egress.vtep === 0 || egress.vtep === neighbour.address);
      return leaves ? Fate.update : Fate.keep;
    }
    const before = previous === null ? null : previous.ways.find(context, address);
    if (before === null) return Fate.update;
    const same =
      egress.port === before.port &&
      egress.vni === before.vni &&
      egress.vtep === before.vtep &&
      egress.mac === before.mac &&
      egress.innerMac === before.innerMac;
    return same ? Fate.keep : Fate.update;
  }

  /** The session's first packet as it came in. @returns False when where it came from is no more. */
  private asPacket(f: SessionFacts): boolean {
    const { packet, topology } = this;
    const { config } = topology;
    packet.kind = MissKind.ipv4;
    packet.protocol = f.protocol;
    packet.ttl = 64;
    packet.source = f.forwardSource;
    packet.destination = f.forwardDestination;
    packet.sourcePort = f.forwardSourcePort;
    packet.destinationPort = f.forwardDestinationPort;
    packet.port = f.forwardContext === OUTSIDE_CONTEXT ? config.externalPort : config.fabricPort;
    if (f.forwardContext === OUTSIDE_CONTEXT) return true;
    const peer = peerOfContext(f.forwardContext);
    const part = peer >= 0 ? config.peerGateways[peer] : config.vpcs[f.forwardContext];
    packet.vni = part.vni;
    packet.outerSource = peer >= 0 ? config.peerGateways[peer].vtep : 0;
    return !isRetired(part);
  }
}
