import { formatEndpoint, formatIpv4, formatMac } from '../config/address.js';
import { DropReason, DropReasonNames, NO_VNI, SessionClassNames } from '../native/records.js';
import type { Bindings } from './bindings.js';
import { type Classification, classifyExternal, classifyFabric, emptyClassification, Verdict } from './classify.js';
import type { Egress } from './egress.js';
import type { HostTable } from './host-table.js';
import { hasPorts, type MappingTable } from './mapping-table.js';
import { isBareSyn, type MissedPacket, Protocol } from './packet.js';
import type { PoolCount } from './pool-use.js';
import type { RemoteFilter } from './remote-filter.js';
import { emptyFacts, OUTSIDE_CONTEXT, peerContext, type SessionFacts, type SessionTable } from './session-table.js';
import type { SourceTranslation } from './source-translation.js';
import type { Topology } from './topology.js';

/** One stage of a packet's way, in the order in which the gateway looks. */
export interface ExplainedStage {
  readonly stage: string;
  readonly result: 'pass' | 'drop' | 'answer';
  /** For people. */
  readonly detail: string;
}

export interface ExplainedPacket {
  /** `session`: it belongs to one, or would open one. */
  readonly verdict: 'session' | 'drop' | 'answer';
  /** DropReason; `none` unless it is dropped. */
  readonly reason: DropReason;
  readonly stages: readonly ExplainedStage[];
  /** Row of the session that it belongs to, or -1. */
  readonly row: number;
  /** What the session is or would be; a source port that would be drawn is 0. Null when there would be none. */
  readonly facts: SessionFacts | null;
}

/** What of the NAT engine a packet meets. */
export interface ExplainedParts {
  readonly topology: Topology;
  readonly bindings: Bindings;
  readonly sessions: SessionTable;
  readonly mappings: MappingTable;
  readonly hosts: HostTable;
  readonly filter: RemoteFilter;
  readonly sources: SourceTranslation;
  readonly poolUse: Iterable<PoolCount>;
  /** Whether each session has a mapping of its own. */
  readonly perSession: boolean;
  judgeQuery(packet: MissedPacket, c: Classification, destinationMapping: number): DropReason;
  judgeLimits(vpc: number, insideAddress: number): DropReason;
}

/**
 * Says what would become of an IPv4 packet, stage by stage, and changes nothing: no mapping is made, no token spent, no
 * hold touched.
 */
export function explainPacket(parts: ExplainedParts, packet: MissedPacket): ExplainedPacket {
  return new Explanation(parts, packet).run();
}

class Explanation {
  private readonly stages: ExplainedStage[] = [];
  private readonly c = emptyClassification();
  private readonly facts = emptyFacts();

  constructor(
    private readonly parts: ExplainedParts,
    private readonly packet: MissedPacket,
  ) {}

  run(): ExplainedPacket {
    const context = this.arrive();
    const known = context === null ? -1 : this.findSession(context);
    if (known >= 0) {
      if (this.packet.ttl <= 1) {
        return this.end('drop', this.drop('session', DropReason.ttlExpired, 'its TTL ends here; the sender is told'));
      }
      this.parts.sessions.read(known >>> 1, this.facts);
      return { verdict: 'session', reason: DropReason.none, stages: this.stages, row: known >>> 1, facts: this.facts };
    }
    const verdict = this.classify();
    if (verdict !== null) return verdict;
    this.fillFacts(context as number);
    const reason =
      this.bindDestination() || this.filterRemote() || this.findWays() || this.judgeLimits() || this.translateSource();
    if (reason !== DropReason.none) return this.end('drop', reason);
    return { verdict: 'session', reason: DropReason.none, stages: this.stages, row: -1, facts: this.facts };
  }

  private pass(stage: string, detail: string): DropReason {
    this.stages.push({ stage, result: 'pass', detail });
    return DropReason.none;
  }

  private drop(stage: string, reason: DropReason, detail: string): DropReason {
    this.stages.push({ stage, result: 'drop', detail: `${DropReasonNames[reason]}: ${detail}` });
    return reason;
  }

  private end(verdict: 'drop' | 'answer', reason: DropReason): ExplainedPacket {
    return { verdict, reason, stages: this.stages, row: -1, facts: null };
  }

  /** @returns The context under which tuples that arrive this way are kept, or null: nobody's. */
  private arrive(): number | null {
    const { packet } = this;
    const { topology } = this.parts;
    const { config } = topology;
    const name = config.ports[packet.port].name;
    if (packet.port !== config.fabricPort) {
      this.pass('arrival', `port ${name}, plain IPv4`);
      return OUTSIDE_CONTEXT;
    }
    const vpc = topology.localVpcByVni(packet.vni);
    if (vpc >= 0) {
      this.pass('arrival', `port ${name}, VXLAN ${packet.vni}: VPC ${config.vpcs[vpc].name}`);
      return vpc;
    }
    const peer = topology.peerBySender(packet.vni, packet.outerSource);
    if (peer >= 0) {
      this.pass('arrival', `port ${name}, VXLAN ${packet.vni}: peer gateway ${config.peerGateways[peer].name}`);
      return peerContext(peer);
    }
    this.pass('arrival', `port ${name}, VXLAN ${packet.vni}: no VPC of this gateway has that VNI`);
    return null;
  }

  /** @returns row * 2 + direction, or -1. */
  private findSession(context: number): number {
    const { protocol, source, destination, sourcePort, destinationPort } = this.packet;
    const { sessions } = this.parts;
    const found = sessions.find(context, protocol, source, destination, sourcePort, destinationPort);
    if (found < 0) this.pass('session', 'none has this tuple: a first packet, the NAT engine decides');
    else {
      const id = sessions.idOf(found >>> 1);
      this.pass('session', `${id}, ${(found & 1) === 0 ? 'forward' : 'reverse'} direction`);
    }
    return found;
  }

  private classify(): ExplainedPacket | null {
    const { packet, c } = this;
    const { topology, bindings } = this.parts;
    if (packet.port === topology.config.fabricPort) classifyFabric(topology, bindings, packet, c);
    else classifyExternal(topology, bindings, packet, c);
    switch (c.verdict) {
      case Verdict.drop:
        this.drop('classification', c.reason, CLASSIFIED[DropReasonNames[c.reason]] ?? 'refused');
        return this.end('drop', c.reason);
      case Verdict.expired:
        this.drop('classification', c.reason, 'its TTL ends here; the sender is told by ICMP time exceeded');
        return this.end('drop', c.reason);
      case Verdict.answer:
        this.stages.push({ stage: 'classification', result: 'answer', detail: 'a ping of the gateway itself' });
        return this.end('answer', DropReason.none);
    }
    if (packet.protocol === Protocol.tcp && !isBareSyn(packet.tcpFlags)) {
      this.drop('classification', DropReason.notSyn, 'the first TCP packet of a session must be a bare SYN');
      return this.end('drop', DropReason.notSyn);
    }
    if (packet.protocol === Protocol.icmp) {
      const { found } = bindings;
      const reason = this.parts.judgeQuery(packet, c, c.destinationBound ? found.mapping : -1);
      if (reason !== DropReason.none) {
        this.drop('classification', reason, 'only echo requests from inside, or to a static address, open a session');
        return this.end('drop', reason);
      }
    }
    this.pass('classification', SessionClassNames[c.sessionClass]);
    return null;
  }

  private fillFacts(context: number): void {
    const { packet, c, facts } = this;
    facts.protocol = packet.protocol;
    facts.sessionClass = c.sessionClass;
    facts.forwardContext = context;
    facts.forwardSource = packet.source;
    facts.forwardDestination = packet.destination;
    facts.forwardSourcePort = packet.sourcePort;
    facts.forwardDestinationPort = packet.destinationPort;
    facts.translatedDestination = packet.destination;
    facts.translatedDestinationPort = packet.destinationPort;
    facts.vpc = c.sourceVpc >= 0 ? c.sourceVpc : c.destinationVpc;
    facts.destinationVpc = c.destinationVpc;
    facts.insideInitiated = c.sourceVpc >= 0;
    if (c.sourceVpc >= 0 && c.peer >= 0) facts.reverseContext = peerContext(c.peer);
    else facts.reverseContext = c.destinationVpc >= 0 ? c.destinationVpc : OUTSIDE_CONTEXT;
  }

  private bindDestination(): DropReason {
    const { facts, c } = this;
    if (!c.destinationBound) return this.pass('destination', 'stays as it is');
    const { found } = this.parts.bindings;
    facts.destinationMapping = found.mapping;
    facts.translatedDestination = found.address;
    facts.translatedDestinationPort = found.port;
    const kind = found.mapping < 0 ? 'static binding' : 'dynamic mapping';
    const { name } = this.parts.topology.config.vpcs[found.vpc];
    return this.pass(
      'destination',
      `${kind} to ${endpointText(facts.protocol, found.address, found.port)} of VPC ${name}`,
    );
  }

  private filterRemote(): DropReason {
    const { facts, c, parts } = this;
    if (facts.destinationMapping < 0) return DropReason.none;
    const { filtering } = parts.topology.config.nat;
    if (parts.filter.admits(facts, c, parts.sources)) return this.pass('filter', `${filtering} admits the remote`);
    const waits = facts.protocol === Protocol.tcp && c.sourceVpc < 0 ? '; a SYN is told so after some seconds' : '';
    return this.drop('filter', DropReason.filtered, `${filtering}: the inside host has not talked to it${waits}`);
  }

  private findWays(): DropReason {
    const { facts } = this;
    return (
      this.findWay('forward', facts.reverseContext, facts.translatedDestination) ||
      this.findWay('reverse', facts.forwardContext, facts.forwardSource)
    );
  }

  private findWay(direction: string, context: number, address: number): DropReason {
    const { topology } = this.parts;
    const egress = topology.ways.find(context, address);
    if (egress !== null) return this.pass(`${direction} way`, wayText(egress, topology));
    const reason = topology.ways.whyNone(context, address);
    const why = reason === DropReason.noRoute ? 'no route leads to' : 'no MAC is known yet on the way to';
    return this.drop(`${direction} way`, reason, `${why} ${formatIpv4(address)}`);
  }

  private judgeLimits(): DropReason {
    const { facts, parts } = this;
    const inside = facts.insideInitiated ? facts.forwardSource : facts.translatedDestination;
    const reason = parts.judgeLimits(facts.vpc, inside);
    const { name } = parts.topology.config.vpcs[facts.vpc];
    if (reason === DropReason.none) return this.pass('limits', `VPC ${name} and ${formatIpv4(inside)} have room`);
    return this.drop('limits', reason, `VPC ${name}, host ${formatIpv4(inside)}`);
  }

  private translateSource(): DropReason {
    const { facts, c, parts } = this;
    facts.translatedSource = facts.forwardSource;
    facts.translatedSourcePort = facts.forwardSourcePort;
    if (c.sourceSide === null) return this.pass('source', 'stays as it is');
    const binding = parts.topology[c.sourceSide].byPrivate(facts.vpc, facts.forwardSource);
    if (binding !== null) {
      facts.translatedSource = binding.public.first + (facts.forwardSource - binding.private.first);
      return this.pass('source', `static binding: ${formatIpv4(facts.translatedSource)}`);
    }
    const { protocol } = facts;
    const port = hasPorts(protocol) ? facts.forwardSourcePort : 0;
    const mapping = parts.perSession
      ? -1
      : parts.mappings.byInside(facts.vpc, c.sourceScope, protocol, facts.forwardSource, port);
    if (mapping >= 0) {
      facts.sourceMapping = mapping;
      facts.translatedSource = parts.mappings.publicAddress(mapping);
      if (hasPorts(protocol)) facts.translatedSourcePort = parts.mappings.publicPort(mapping);
      const text = endpointText(protocol, facts.translatedSource, facts.translatedSourcePort);
      return this.pass('source', `live mapping: ${text}, ${parts.mappings.sessions(mapping)} sessions use it`);
    }
    return this.drawSource();
  }

  /** A new mapping: which pool it would come from, and whether there is room. */
  private drawSource(): DropReason {
    const { facts, c, parts } = this;
    const { config } = parts.topology;
    const external = c.sourceSide === 'external';
    const names = external
      ? config.externalPools.filter(({ vpcs }) => vpcs.includes(facts.vpc as never)).map(({ name }) => name)
      : config.peeringPools.some(({ vpc }) => vpc === facts.vpc)
        ? [config.vpcs[facts.vpc].name]
        : [];
    if (names.length === 0) return this.drop('source', DropReason.noPool, `the VPC has no ${c.sourceSide} pool`);
    facts.translatedSource = 0;
    facts.translatedSourcePort = 0;
    const host = parts.hosts.find(facts.vpc, c.sourceScope, facts.forwardSource);
    const paired = host >= 0 && parts.hosts.isPaired(host) ? parts.hosts.pairedAddress(host) : -1;
    const uses = [...parts.poolUse].filter(
      ({ kind, pool, scope, protocol }) =>
        kind === c.sourceSide && names.includes(pool) && scope === c.sourceScope && protocol === facts.protocol,
    );
    const free = uses.map(({ pool, owned, ports }) => `${pool} (${ports - owned} of ${ports} ports free)`);
    const where = paired < 0 ? '' : ` at ${formatIpv4(paired)}, which the host has already`;
    const from = free.length === 0 ? names.join(', ') : free.join(', ');
    if (uses.length > 0 && uses.every(({ owned, ports }) => owned >= ports)) {
      return this.drop('source', DropReason.poolExhausted, `${from}`);
    }
    return this.pass('source', `a new mapping from pool ${from}${where}`);
  }
}

function endpointText(protocol: number, address: number, port: number): string {
  return hasPorts(protocol) ? formatEndpoint(address, port) : formatIpv4(address);
}

function wayText({ port, vni, vtep, mac }: Egress, topology: Topology): string {
  const { name } = topology.config.ports[port];
  const behind = vni === NO_VNI ? 'plain IPv4' : `VXLAN ${vni} to VTEP ${formatIpv4(vtep)}`;
  return `port ${name}, ${behind}, MAC ${formatMac(mac)}`;
}

/** What classification means by its reasons. */
const CLASSIFIED: Readonly<Record<string, string>> = {
  'unknown-vni': 'no VPC whose gateway this is has that VNI',
  'unknown-vtep': 'a peer gateway has that VNI, but not that VTEP',
  'source-not-in-vpc': 'the source is in none of the VPC’s subnets',
  'not-for-us': 'an address of the gateway itself, or one that is nobody’s here',
  'no-peering': 'the two VPCs are not peered',
  'private-destination': 'a private address of a VPC; other VPCs are reached by their peering addresses',
  'no-binding': 'a public address of ours that neither a static binding nor a live mapping leads on',
  'no-route': 'there is no external port',
  'icmp-error-unknown': 'an ICMP error about a packet of no session',
};
