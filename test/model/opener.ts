import { formatIpv4 } from '../../src/config/address.js';
import { faultOfChoice, mappingRemote, pairedAddress, publicSource, type Request, type Source } from './allocation.js';
import { type Classified, classify } from './destination.js';
import { type Fate, type GatewayModel, protocolName, tupleOf } from './gateway-model.js';
import { ICMP, Icmp, Packet, TCP } from './ipv4.js';
import { KNOWN } from './known.js';
import { hasPorts, type Mapping, reversed, type Session, type Tuple, tupleKey } from './state.js';
import { Disagreement, describePacket } from './step.js';
import { SynWaiters } from './syn-waiters.js';
import { isBareSyn, openedAt } from './tcp.js';
import { type Context, type Endpoint, OUTSIDE } from './topology.js';

type Admitted = Extract<Classified, { kind: 'session' }>;

/** RFC 5508 REQ-8 and the contract: exhaustion and limits are told to the inside host. */
const TOLD = ['pool-exhausted', 'vpc-limit', 'address-limit', 'rate-limit', 'table-full'];

/** Packets of no session: refused, or a new session. */
export class Opener {
  readonly waiters: SynWaiters;

  constructor(private readonly model: GatewayModel) {
    this.waiters = new SynWaiters(model);
  }

  open(context: Context, packet: Packet, text: string): Fate {
    const { model } = this;
    const classified = classify(model.topology, model.state, context, packet);
    // An echo reply that nobody asked for: the contract does not say whether it may open a session where a request may.
    // Other ICMP, which has no identifier, never does.
    const unasked = packet.protocol === ICMP && packet.transport[0] !== Icmp.echo;
    if (unasked && (!packet.isEcho || classified.kind === 'refused')) return this.openNoQuery(context, packet, text);
    if (classified.kind === 'refused') {
      const reasons =
        packet.protocol === TCP && !isBareSyn(packet.tcpFlags)
          ? [...classified.reasons, 'not-syn']
          : classified.reasons;
      return model.refuse(reasons, text);
    }
    const wanted = this.source(classified, packet);
    const inside = classified.bound !== null && classified.source === null ? classified.bound.address : packet.source;
    const reasons = this.reasons(classified, packet, wanted);
    const limits = model.limits.judge(classified.vpc, inside, model.micros);
    reasons.push(...limits.reasons);
    if (unasked && (reasons.length > 0 || this.staysAway(classified, packet)))
      reasons.push('icmp-unsupported', 'filtered');
    if (reasons.length > 0 && limits.rateIsOpen) reasons.push('rate-limit');
    if (reasons.length > 0 || (limits.rateIsOpen && this.staysAway(classified, packet))) {
      return this.refuse(context, classified, packet, reasons.length > 0 ? reasons : ['rate-limit'], text);
    }
    return this.admit(context, classified, packet, wanted, inside, text);
  }

  /** ICMP that is neither an error nor an echo request: nothing is opened. */
  private openNoQuery(context: Context, packet: Packet, text: string): Fate {
    return this.model.refuse([...this.reasonsUnbound(context, packet), 'icmp-unsupported', 'filtered'], text);
  }

  /** Why a packet from outside the VPCs may be refused before its TTL is looked at. */
  reasonsUnbound(context: Context, packet: Packet): readonly string[] {
    const classified = classify(this.model.topology, this.model.state, context, packet);
    return classified.kind === 'refused' ? classified.reasons : [];
  }

  private source(classified: Admitted, packet: Packet): Source | null {
    if (classified.source === null) return null;
    return publicSource(this.model.topology, this.model.state, this.request(classified, packet));
  }

  private request({ source, vpc }: Admitted, packet: Packet): Request {
    if (source === null) throw new Error('this source stays');
    return {
      ...source,
      vpc,
      protocol: packet.protocol,
      inside: { address: packet.source, port: packet.sourcePort },
      remote: { address: packet.destination, port: packet.destinationPort },
    };
  }

  /** All reasons that hold against a new session; the contract does not say which comes first. */
  private reasons(classified: Admitted, packet: Packet, source: Source | null): string[] {
    const { model } = this;
    const reasons: string[] = [];
    const { bound, reverseContext } = classified;
    if (packet.protocol === TCP && !isBareSyn(packet.tcpFlags)) reasons.push('not-syn');
    if (bound?.mapping && !this.passesFilter(classified, bound.mapping, packet, source)) reasons.push('filtered');
    if (source?.kind === 'no-pool' || source?.kind === 'pool-exhausted') reasons.push(source.kind);
    const mappingsAreFull = model.state.mappings.size >= model.config.nat.maxSessions;
    // One session may keep two mappings: its own, and that of the host it calls by its public endpoint.
    if (source?.kind === 'new' && mappingsAreFull)
      reasons.push(KNOWN['F-M4'] === 'open' ? 'pool-exhausted' : 'table-full');
    if (source?.kind === 'new' && this.maySeemFull(classified, packet) && this.staysAway(classified, packet)) {
      reasons.push('pool-exhausted');
    }
    if (this.conflicts(classified, packet, source)) reasons.push('pool-exhausted');
    if (model.state.live.size >= model.config.nat.maxSessions) reasons.push('table-full');
    if (reverseContext >= 0 && bound !== null && model.topology.route(reverseContext, bound.address) === null)
      reasons.push('no-route');
    return reasons;
  }

  /** Whether a refusal must be taken for what it is though the pool has room. */
  private maySeemFull(classified: Admitted, packet: Packet): boolean {
    const { state, config } = this.model;
    // A host that is not paired any more but has sessions yet: whether it still keeps to its old address is not said.
    if (state.wasPaired(this.request(classified, packet)) !== null) return true;
    const isAlone = !hasPorts(packet.protocol) || config.nat.mapping === 'address-and-port-dependent';
    return KNOWN['F-M6'] === 'open' && isAlone;
  }

  /**
   * Whether replies would be those of another session: two public endpoints of one host, called from one remote. The
   * contract has no word for it; it is refused like an endpoint that cannot be had (RFC 4787 REQ-11).
   */
  private conflicts(classified: Admitted, packet: Packet, source: Source | null): boolean {
    const end = this.presented(packet, source);
    if (end === null) return false;
    const translated = translatedTuple(packet, end, classified.bound);
    return this.model.state.find(classified.reverseContext, reversed(translated)) !== null;
  }

  /** RFC 4787 section 5, of a dynamic mapping. Echo requests never pass. */
  private passesFilter(classified: Admitted, mapping: Mapping, packet: Packet, source: Source | null): boolean {
    if (packet.protocol === ICMP && packet.transport[0] === Icmp.echo) return false;
    const { filtering } = this.model.config.nat;
    if (filtering === 'endpoint-independent' || !hasPorts(packet.protocol)) return true;
    if (KNOWN['F-C2'] === 'open' && source !== null && this.staysAway(classified, packet)) return false;
    // A hairpinned packet comes from its public source.
    const paired = source?.kind === 'new' ? this.pairedAddress(classified, packet) : null;
    const remote = paired === null ? this.presented(packet, source) : { address: paired, port: 0 };
    if (remote === null || (paired !== null && filtering !== 'address-dependent')) return false;
    // Whom the inside has sent to. A session that a remote opened and nobody answered: the contract does not say.
    let open = false;
    for (const session of mapping.sessions) {
      const called = session.sourceMapping === mapping;
      const address = called ? session.forward.destination : session.translated.source;
      const port = called ? session.forward.destinationPort : session.translated.sourcePort;
      if (address !== remote.address || (filtering !== 'address-dependent' && port !== remote.port)) continue;
      if (called || session.packets.reverse > 0) return true;
      open = true;
    }
    return open && !this.staysAway(classified, packet);
  }

  /** The public address that a host presents in a new mapping because it has others there (RFC 4787 REQ-2); null: none yet. */
  private pairedAddress(classified: Admitted, packet: Packet): number | null {
    const { side, scope, vpc, inside } = this.request(classified, packet);
    for (const mapping of this.model.state.mappings.values()) {
      const same = mapping.side === side && mapping.scope === scope && mapping.vpc === vpc;
      if (same && mapping.inside.address === inside.address) return this.model.state.wasPaired(mapping);
    }
    return null;
  }

  private presented(packet: Packet, source: Source | null): Endpoint | null {
    if (source === null) return { address: packet.source, port: packet.sourcePort };
    if (source.kind === 'static') return source.end;
    return source.kind === 'mapping' ? source.mapping.public : null;
  }

  /** Whether nothing left that could be this packet: where the contract leaves a refusal open, that tells. */
  private staysAway(classified: Admitted, packet: Packet): boolean {
    const { model } = this;
    const destination = classified.bound?.address ?? packet.destination;
    const egress = { context: classified.reverseContext, destination };
    return !model.step.at(model.micros).some((seen) => {
      if (model.transmitter.fault(seen, egress, null) !== null) return false;
      const got = new Packet(seen.payload);
      return got.protocol === packet.protocol && got.destination === destination && !got.isIcmpError;
    });
  }

  private refuse(context: Context, classified: Admitted, packet: Packet, reasons: string[], text: string): Fate {
    const { model } = this;
    if (this.waiters.isWaiting(context, packet.bytes)) {
      // It may be kept behind the SYN of its flow and be counted with it: one that is sent again gets no answer of its own.
      model.step.dropLater([...reasons, 'filtered', 'no-binding']);
      return { refused: reasons };
    }
    const mapping = classified.bound?.mapping ?? null;
    const waits =
      reasons.includes('filtered') && packet.protocol === TCP && isBareSyn(packet.tcpFlags) && mapping !== null;
    if (waits) {
      const reason = model.step.dropIfThere(reasons);
      // An answer that is not for sure: hairpins and peers are like the outside, or not; a SYN with other faults.
      const open = context !== OUTSIDE || reasons.length > 1;
      this.waiters.add(packet, context, mapping, open);
      if (reason === null) model.owed.push(['filtered']);
      model.outcomes.add('refused:filtered:syn');
      return { refused: ['filtered'] };
    }
    const reason = model.step.drop(reasons, text);
    model.outcomes.add(`refused:${reason}`);
    if (reason !== 'rate-limit') model.limits.refusedOtherwise(classified.vpc, model.micros);
    if (TOLD.includes(reason) && context >= 0) this.tell(context, packet);
    return { refused: [reason] };
  }

  private readonly told = new Map<string, number>();

  /** Code 13, at most one a second and host. */
  private tell(context: Context, packet: Packet): void {
    const { model, told } = this;
    const host = `${model.topology.vpc(context).name} ${packet.source}`;
    const last = told.get(host);
    if (last !== undefined && model.micros - last < 1e6) {
      model.outcomes.add('made:prohibited:suppressed');
      return;
    }
    if (!model.transmitter.error(context, packet, { type: Icmp.unreachable, code: 13 })) return;
    told.set(host, model.micros);
    model.outcomes.add('made:prohibited');
  }

  private admit(
    context: Context,
    classified: Admitted,
    packet: Packet,
    source: Source | null,
    inside: number,
    text: string,
  ): Fate {
    const { model } = this;
    const { bound, reverseContext, sessionClass, vpc } = classified;
    const destination: Endpoint = bound ?? { address: packet.destination, port: packet.destinationPort };
    let sourceMapping: Mapping | null = null;
    let end: Endpoint = { address: packet.source, port: packet.sourcePort };
    if (source?.kind === 'static') end = source.end;
    else if (source !== null) {
      sourceMapping = source.kind === 'mapping' ? source.mapping : this.adopt(classified, packet, destination, text);
      end = sourceMapping.public;
    }
    const translated = translatedTuple(packet, end, bound);
    const { second } = model.state;
    const session: Session = {
      sessionClass,
      vpc,
      insideAddress: inside,
      forwardContext: context,
      forward: tupleOf(packet),
      reverseContext,
      translated,
      sourceMapping,
      destinationMapping: bound?.mapping ?? null,
      // Outbound is the inside's; where both ends are ours or our peers', the initiator's.
      refreshedBy: sessionClass === 'external-to-vpc' ? 'reverse' : 'forward',
      tcp: packet.protocol === TCP ? openedAt(second) : null,
      last: second,
      packets: { forward: 0, reverse: 0 },
      bytes: { forward: 0, reverse: 0 },
      entropy: { forward: null, reverse: null },
      unheeded: false,
      reset: false,
    };
    const name = protocolName(packet.protocol);
    model.outcomes.add(`opened:${sessionClass}:${name}`);
    if (
      bound?.mapping === null &&
      model.takenOver.has(`${packet.protocol} ${packet.destination}:${packet.destinationPort}`)
    ) {
      model.outcomes.add('reconfigured:static-owns-after-close');
    }
    model.outcomes.add(`source:${source === null ? 'kept' : source.kind}`);
    if (
      model.state.dead.some(
        (dead) => tupleKey(dead.forwardContext, dead.forward) === tupleKey(context, session.forward),
      )
    ) {
      model.outcomes.add('opened:again');
    }
    model.state.add(session);
    model.limits.opened(vpc, model.micros);
    if (session.tcp !== null) this.waiters.cancel(session);
    const fate = model.serve(session, 'forward', packet, text);
    // The first packet opens the session, whoever sent it.
    session.last = second;
    session.unheeded = false;
    return fate;
  }

  /** Follows the choice of a public endpoint, if it is a legal one. */
  private adopt(classified: Admitted, packet: Packet, destination: Endpoint, text: string): Mapping {
    const { model } = this;
    const request = this.request(classified, packet);
    const seen = model.step.at(model.micros).find((frame) => {
      if (
        model.transmitter.fault(frame, { context: classified.reverseContext, destination: destination.address }, null)
      )
        return false;
      const got = new Packet(frame.payload);
      return got.protocol === packet.protocol && got.destination === destination.address && !got.isIcmpError;
    });
    if (seen === undefined) {
      throw new Disagreement(`expected ${text} with a new public source\n${model.step.summary()}`);
    }
    const got = new Packet(seen.payload);
    const end: Endpoint = { address: got.source, port: got.sourcePort };
    const fault = faultOfChoice(model.topology, model.state, request, end);
    if (fault !== null) {
      throw new Disagreement(
        `${text} left as ${formatIpv4(end.address)}:${end.port}, which ${fault}\n${describePacket(seen.payload)}`,
      );
    }
    if (pairedAddress(model.state, request) !== null) model.outcomes.add('source:paired');
    if (
      model.state.hasRested(request.side, request.scope, request.protocol, end, mappingRemote(model.topology, request))
    )
      model.outcomes.add('source:reused-after-rest');
    const { side, scope, vpc, protocol, inside } = request;
    const mapping: Mapping = {
      side,
      scope,
      vpc,
      protocol,
      inside,
      public: end,
      remote: mappingRemote(model.topology, request),
      sessions: new Set(),
    };
    model.state.addMapping(mapping);
    return mapping;
  }

  /** Whether an echo reply comes to a dynamic identifier without having been asked for. */
  isUnaskedReply(context: Context, bytes: Buffer): boolean {
    const packet = new Packet(bytes);
    if (packet.protocol !== ICMP || packet.fragmentOffset > 0 || packet.transport[0] !== Icmp.echoReply) return false;
    const { state, topology } = this.model;
    if (state.find(context, tupleOf(packet)) !== null) return false;
    const classified = classify(topology, state, context, packet);
    return classified.kind === 'session' && classified.bound?.mapping != null;
  }
}

/** A new session's packets as they are sent on. */
function translatedTuple(packet: Packet, end: Endpoint, bound: Endpoint | null): Tuple {
  const destination: Endpoint = bound ?? { address: packet.destination, port: packet.destinationPort };
  // An echo has one identifier: a query's is the source's, an answer's its receiver's.
  const echo = packet.protocol === ICMP;
  const answers = echo && packet.transport[0] === Icmp.echoReply;
  return {
    protocol: packet.protocol,
    source: end.address,
    sourcePort: answers ? destination.port : end.port,
    destination: destination.address,
    destinationPort: echo && !answers ? end.port : destination.port,
  };
}
