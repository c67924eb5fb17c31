import { DropReason, MissEvent, MissKind, TcpState } from '../native/records.js';
import {
  type Classification,
  classifyExternal,
  classifyFabric,
  contextOf,
  emptyClassification,
  Verdict,
} from './classify.js';
import type { EngineParts } from './engine-parts.js';
import { RefusalLimit } from './limits.js';
import { hasPorts } from './mapping-table.js';
import { emptyPacket, IcmpType, isBareSyn, type MissedPacket, millisecondsOf, Protocol, readMiss } from './packet.js';
import { emptyFacts, OUTSIDE_CONTEXT, peerContext, type SessionFacts } from './session-table.js';
import { idleSeconds } from './session-timers.js';
import { shapesOf } from './shapes.js';
import { type DecidedSession, emptyDecision } from './sink.js';
import type { SourceHashes } from './source-translation.js';
import { isFromStranger } from './strangers.js';
import { SynWaiters } from './syn-waiters.js';

/** Misses that touch() can be told of before onMiss() decides on them. */
export const MOST_TOGETHER = 32;
const HASHES = 4;
const NO_CONTEXT = -1;

// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const KIND = MissEvent.kind * 8;
const PORT = MissEvent.port * 8;
const PROTOCOL = MissEvent.protocol * 8;
const SOURCE = MissEvent.sourceAddress / 4;
const DESTINATION = MissEvent.destinationAddress / 4;
const PORTS = MissEvent.sourcePort / 4;
const VNI = MissEvent.vni / 4;
const { arp: ARP, tooBig: TOO_BIG, icmpError: ICMP_ERROR, ipv4: IPV4 } = MissKind;
const { icmp: ICMP, tcp: TCP } = Protocol;
const UNLIMITED = Number.POSITIVE_INFINITY;
const NO_REASON = DropReason.none;
const IS_SESSION = Verdict.session;
const BEGINS = TcpState.synForward;
const NO_STATE = TcpState.none;
const OUTSIDE = OUTSIDE_CONTEXT;

const COMMUNICATION_PROHIBITED = 13;
const FRAGMENTATION_NEEDED = 4;
const PORT_UNREACHABLE = 3;

/** Decides on packets that no rule serves: a session opens, or the packet is answered, held or dropped. */
export class SessionOpening {
  private readonly waiters = new SynWaiters();
  private readonly refusals = new RefusalLimit();

  // One object each, used again for every packet: nothing is allocated on a first packet's way.
  /** By event of a batch: the forward tuple's context, its hash, and the hashes of the internal endpoint and of the host. */
  private readonly hashes = new Int32Array(MOST_TOGETHER * HASHES);
  private touchedAt = 0;
  /** Where the indexes will be looked at, for the events that fetch() was not called for yet. */
  private readonly places = {
    session: new Int32Array(MOST_TOGETHER),
    inside: new Int32Array(MOST_TOGETHER),
    host: new Int32Array(MOST_TOGETHER),
    count: 0,
  };
  private touchedPublic = 0;
  /** What fetch() saw of the memory: without a use for it V8 would read nothing. */
  fetched = 0;
  private readonly packet: MissedPacket = emptyPacket();
  private readonly classified: Classification = emptyClassification();
  protected readonly facts: SessionFacts = emptyFacts();
  private readonly sourceHashes: SourceHashes = { inside: 0, host: 0 };
  private readonly decided: DecidedSession;

  constructor(protected readonly parts: EngineParts) {
    this.decided = emptyDecision(this.facts);
  }

  /**
   * Finds out where onMiss() will look, for fetch(). To be called once for each event of a batch, before any onMiss().
   *
   * @param words Of the event ring. @param at Byte offset of the event. @param index Of the event in its batch.
   */
  touch(words: Int32Array, at: number, index: number): void {
    const word = at >>> 2;
    const head = words[word];
    const { hashes, parts, places } = this;
    const own = index * HASHES;
    const place = index === 0 ? 0 : places.count;
    places.count = place;
    hashes[own] = NO_CONTEXT;
    if (((head >>> KIND) & 0xff) !== IPV4) return;
    const { sessions, mappings, hosts } = parts;
    const protocol = head >>> PROTOCOL;
    const source = words[word + SOURCE];
    const destination = words[word + DESTINATION];
    const ports = words[word + PORTS];
    const sourcePort = ports & 0xffff;
    const destinationPort = ports >>> 16;
    if (((head >>> PORT) & 0xff) !== parts.config.fabricPort) {
      const hash = sessions.hashOf(OUTSIDE, protocol, source, destination, sourcePort, destinationPort);
      hashes[own] = OUTSIDE;
      hashes[own + 1] = hash;
      places.session[place] = sessions.placeOf(hash);
      places.inside[place] = 0;
      places.host[place] = 0;
      places.count = place + 1;
      this.touchedPublic = mappings.touchPublic(0, protocol, destination, destinationPort);
      return;
    }
    const vpc = parts.topology.localVpcByVni(words[word + VNI]);
    if (vpc < 0) return;
    const hash = sessions.hashOf(vpc, protocol, source, destination, sourcePort, destinationPort);
    const inside = mappings.insideHash(vpc, 0, protocol, source, hasPorts(protocol) ? sourcePort : 0);
    const host = hosts.hashOf(vpc, 0, source);
    hashes[own] = vpc;
    hashes[own + 1] = hash;
    hashes[own + 2] = inside;
    hashes[own + 3] = host;
    places.session[place] = sessions.placeOf(hash);
    places.inside[place] = mappings.placeOfInside(inside);
    places.host[place] = hosts.placeOf(host);
    places.count = place + 1;
  }

  /** Asks for the memory at all those places, so that the misses of a batch wait for it together. */
  fetch(): void {
    const { places } = this;
    const { sessions, mappings, hosts } = this.parts;
    const { count } = places;
    places.count = 0;
    this.fetched =
      sessions.touchAll(places.session, count) ^
      mappings.touchAllInside(places.inside, count) ^
      hosts.touchAll(places.host, count) ^
      this.touchedPublic;
  }

  /**
   * Decides on one missed packet.
   *
   * @param words Of the event ring. @param at Byte offset of its MissEvent.
   * @param index With which touch() was told of it.
   */
  onMiss(words: Int32Array, at: number, index: number): void {
    this.touchedAt = index * HASHES;
    const { packet, parts } = this;
    readMiss(words, at, packet);
    if (packet.kind === ARP) return parts.answers.answerArp(packet);
    const c = this.classified;
    const fromFabric = packet.port === parts.config.fabricPort;
    if (packet.kind === TOO_BIG) return this.refuseTooBig(packet);
    const vpc = this.hashes[this.touchedAt];
    if (fromFabric) classifyFabric(parts.topology, parts.bindings, packet, c, vpc);
    else classifyExternal(parts.topology, parts.bindings, packet, c);
    if (packet.kind === ICMP_ERROR) return this.passError(words, at, packet, c);
    if (c.verdict === IS_SESSION) return this.open(packet, c);
    switch (c.verdict) {
      case Verdict.drop:
        return this.refuse(packet, c);
      case Verdict.answer:
        return parts.answers.answerPing(packet, c);
      default:
        return parts.answers.tellSender(packet, c, c.reason, IcmpType.timeExceeded, 0, 0);
    }
  }

  /**
   * An ICMP error that no rule took. A router's, whose address the lcore cannot judge, goes on if its sender is of its VPC
   * and it tells the one who sent the packet that it quotes.
   */
  private passError(words: Int32Array, at: number, packet: MissedPacket, c: Classification): void {
    const { sink, sessions } = this.parts;
    const word = at >>> 2;
    const source = words[word + MissEvent.embeddedSourceAddress / 4] >>> 0;
    const destination = words[word + MissEvent.embeddedDestinationAddress / 4] >>> 0;
    const sourcePort = words[(at + MissEvent.embeddedSourcePort) >>> 2] >>> 16;
    const tail = words[word + MissEvent.embeddedDestinationPort / 4];
    const isOfSession =
      c.reason === DropReason.icmpErrorUnknown &&
      packet.destination === source &&
      sessions.find(contextOf(c), (tail >>> 16) & 0xff, destination, source, tail & 0xffff, sourcePort) >= 0;
    if (isOfSession) sink.retry(packet.hold);
    else sink.drop(packet.hold, c.reason);
  }

  /** Drops what classification refuses, unless a session that needs no binding says more of it. */
  protected refuse(packet: MissedPacket, c: Classification): void {
    const known = this.belongsToSession(packet, c);
    if (known && packet.ttl <= 1)
      return this.parts.answers.tellSender(packet, c, DropReason.ttlExpired, IcmpType.timeExceeded, 0, 0);
    const asksDynamic = known && packet.protocol === Protocol.icmp && packet.icmpType === IcmpType.echoRequest;
    this.parts.sink.drop(packet.hold, asksDynamic ? DropReason.filtered : c.reason);
  }

  private belongsToSession(packet: MissedPacket, c: Classification): boolean {
    if (packet.port === this.parts.config.fabricPort && c.sourceVpc < 0 && c.peer < 0) return false;
    const { protocol, source, destination, sourcePort, destinationPort } = packet;
    const context = contextOf(c);
    return this.parts.sessions.find(context, protocol, source, destination, sourcePort, destinationPort) >= 0;
  }

  /** @returns When the next waiting SYN is answered, or null. */
  nextWaiter(): { readonly dueSeconds: number; readonly dueNanoseconds: number } | null {
    return this.waiters.first();
  }

  /** Answers the first waiting SYN with port unreachable, from the address it was sent to. */
  runWaiter(): void {
    const waiter = this.waiters.takeFirst();
    if (waiter === null) return;
    const back = this.parts.topology.ways.find(OUTSIDE_CONTEXT, waiter.source);
    if (back === null) return this.parts.sink.dropAll(waiter.hold, DropReason.filtered);
    this.parts.sink.icmpError(
      waiter.hold,
      DropReason.filtered,
      IcmpType.unreachable,
      PORT_UNREACHABLE,
      0,
      waiter.destination,
      back,
      waiter.dueSeconds,
      waiter.dueNanoseconds,
    );
  }

  /** The end of a replay: what still waits is dropped unanswered. */
  drain(): void {
    for (let waiter = this.waiters.takeFirst(); waiter !== null; waiter = this.waiters.takeFirst()) {
      this.parts.sink.dropAll(waiter.hold, DropReason.filtered);
    }
  }

  protected open(packet: MissedPacket, c: Classification): void {
    const { parts, facts, hashes, touchedAt } = this;
    const { sessions, mappings, hosts, sink } = parts;
    const bound = parts.bindings.found;
    const { protocol, sourcePort, destinationPort, hold, seconds } = packet;
    const { sourceVpc, destinationVpc } = c;
    const isBound = c.destinationBound === true;
    const context = sourceVpc >= 0 ? sourceVpc : contextOf(c);
    facts.protocol = protocol;
    facts.sessionClass = c.sessionClass;
    facts.forwardContext = context;
    facts.forwardSource = packet.source;
    facts.forwardDestination = packet.destination;
    facts.forwardSourcePort = sourcePort;
    facts.forwardDestinationPort = destinationPort;
    // The 32 bits as they are: what is beyond 2^31 becomes an object when it is given to a function.
    const source = packet.source | 0;
    const destination = packet.destination | 0;
    if (protocol === ICMP) {
      const reason = judgeQuery(packet, c, isBound ? bound.mapping : -1);
      if (reason !== NO_REASON) return sink.drop(hold, reason);
    }
    const isTouched = hashes[touchedAt] === context;
    const forwardHash = isTouched
      ? hashes[touchedAt + 1]
      : sessions.hashOf(context, protocol, source, destination, sourcePort, destinationPort);
    if (
      sessions.mayHave(forwardHash) &&
      sessions.findHashed(forwardHash, context, protocol, source, destination, sourcePort, destinationPort) >= 0
    ) {
      return sink.retry(hold);
    }
    if (protocol === TCP && !isBareSyn(packet.tcpFlags)) return sink.drop(hold, DropReason.notSyn);
    const vpc = sourceVpc >= 0 ? sourceVpc : destinationVpc;
    facts.destinationMapping = isBound ? bound.mapping : -1;
    facts.vpc = vpc;
    if (facts.destinationMapping >= 0 && !parts.filter.admits(facts, c, parts.sources))
      return this.refuseFiltered(packet);
    const reverseContext =
      sourceVpc >= 0 && c.peer >= 0 ? peerContext(c.peer) : destinationVpc >= 0 ? destinationVpc : OUTSIDE;
    facts.reverseContext = reverseContext;
    facts.translatedDestination = isBound ? bound.address : packet.destination;
    facts.translatedDestinationPort = isBound ? bound.port : destinationPort;
    facts.destinationVpc = destinationVpc;
    facts.insideInitiated = sourceVpc >= 0;
    const translatedDestination = facts.translatedDestination | 0;
    const insideAddress = sourceVpc >= 0 ? source : translatedDestination;
    const { ways } = parts.topology;
    const onward =
      reverseContext === OUTSIDE && ways.outside !== null
        ? ways.outside
        : ways.find(reverseContext, translatedDestination);
    if (onward === null) return this.refuseNoWay(packet, c, ways.whyNone(reverseContext, translatedDestination));
    const back = ways.find(context, source);
    if (back === null) return this.refuseNoWay(packet, c, ways.whyNone(context, source));

    const limit = this.admit(vpc, insideAddress, packet);
    if (limit !== NO_REASON) return this.refuseExhausted(packet, c, limit, millisecondsOf(packet));
    let known: SourceHashes | null = null;
    if (isTouched && sourceVpc >= 0 && c.sourceScope === 0) {
      known = this.sourceHashes;
      known.inside = hashes[touchedAt + 2];
      known.host = hashes[touchedAt + 3];
    }
    const refused = parts.sources.translate(facts, c, seconds, known);
    if (refused !== NO_REASON) return this.refuseExhausted(packet, c, refused, millisecondsOf(packet));

    const { sourceMapping, destinationMapping } = facts;
    // The inside host, for its limits. Its mapping in the outside's scope holds the same row.
    let host: number;
    if (sourceMapping >= 0 && c.sourceScope === 0) {
      host = mappings.host(sourceMapping);
      hosts.join(host);
    } else {
      host = hosts.hold(vpc, 0, insideAddress);
      hosts.addSessions(host, 1);
    }
    facts.host = host;
    parts.sessionsOfVpc[vpc]++;
    parts.tally.opened(vpc, facts.sessionClass);
    parts.rates[vpc].spend();
    if (sourceMapping >= 0) mappings.addSessions(sourceMapping, 1);
    if (destinationMapping >= 0) mappings.addSessions(destinationMapping, 1);
    parts.filter.remember(facts);
    const { decided } = this;
    const shapes = shapesOf(facts);
    const row = sessions.insert(facts, shapes, forwardHash);
    const tcpState = protocol === TCP ? BEGINS : NO_STATE;
    const ageSeconds = idleSeconds(parts.config.nat.timeouts, protocol, tcpState);
    decided.forwardEgress = onward;
    decided.reverseEgress = back;
    decided.forwardShape = shapes & 0xffff;
    decided.reverseShape = shapes >>> 16;
    decided.row = row;
    decided.generation = sessions.generation(row);
    decided.tcpState = tcpState;
    decided.ageSeconds = ageSeconds;
    sink.session(hold, decided);
    parts.changed?.mark(row);
    if (parts.logsSessions === true) parts.log.session(true, facts, seconds);
    parts.wheel.arm(row, seconds + ageSeconds, seconds);
    if (destinationMapping >= 0 && isFromStranger(facts)) parts.strangers.add(destinationMapping, row);
    if (protocol === TCP && this.waiters.count > 0) this.answerWaiter(facts);
  }

  /** @returns Why a VPC's host may have no session more, or `none`. @param nowMs Gateway clock. */
  judgeLimits(vpc: number, insideAddress: number, nowMs: number): DropReason {
    const { config, sessionsOfVpc, hosts, rates, sessions } = this.parts;
    const { limits } = config.vpcs[vpc];
    if (sessionsOfVpc[vpc] >= limits.sessions) return DropReason.vpcLimit;
    if (limits.sessionsPerAddress !== UNLIMITED) {
      const host = hosts.find(vpc, 0, insideAddress);
      if (host >= 0 && hosts.sessions(host) >= limits.sessionsPerAddress) return DropReason.addressLimit;
    }
    if (!rates[vpc].allows(nowMs)) return DropReason.rateLimit;
    return sessions.isFull ? DropReason.tableFull : NO_REASON;
  }

  /** judgeLimits() of a session that opens if nothing else forbids it. */
  protected admit(vpc: number, insideAddress: number, packet: MissedPacket): DropReason {
    const { isLimited, sessions, rates } = this.parts;
    if (isLimited[vpc] === false) return sessions.isFull ? DropReason.tableFull : NO_REASON;
    // Without a limit a second nobody asks when it is: a number that is none of 32 bits would be made for nothing.
    const nowMs = rates[vpc].isUnlimited === true ? 0 : millisecondsOf(packet);
    return this.judgeLimits(vpc, insideAddress, nowMs);
  }

  /** Whether a host may be told of a refusal now. */
  protected mayTell(vpc: number, address: number, nowMs: number): boolean {
    return this.refusals.allows(vpc * 0x1_0000_0000 + address, nowMs);
  }

  private refuseFiltered(packet: MissedPacket): void {
    const { hold, source, destination, sourcePort, destinationPort } = packet;
    const waits =
      packet.protocol === Protocol.tcp &&
      packet.port === this.parts.config.externalPort &&
      this.waiters.add({ hold, source, destination, sourcePort, destinationPort }, packet.seconds, packet.nanoseconds);
    if (!waits) this.parts.sink.drop(hold, DropReason.filtered);
  }

  /** An outbound SYN towards the sender of a waiting one: simultaneous open, the waiting SYN is dropped in silence. */
  private answerWaiter(facts: SessionFacts): void {
    const waiter = this.waiters.answered({
      source: facts.translatedDestination,
      destination: facts.translatedSource,
      sourcePort: facts.translatedDestinationPort,
      destinationPort: facts.translatedSourcePort,
    });
    if (waiter !== null) this.parts.sink.dropAll(waiter.hold, DropReason.filtered);
  }

  /** A next hop or VTEP without a known MAC is asked for; the packet is lost, its repetition will not be. */
  private refuseNoWay(packet: MissedPacket, c: Classification, reason: DropReason): void {
    if (reason === DropReason.unknownVtep) {
      this.parts.answers.askForWay(packet, c, this.facts.translatedDestination);
    }
    this.parts.sink.drop(packet.hold, reason);
  }

  /** Exhaustion and limits: code 13 to an inside host, at most once a second (RFC 5508 REQ-8, RFC 1812 section 5.2.7.1). */
  protected refuseExhausted(packet: MissedPacket, c: Classification, reason: DropReason, nowMs: number): void {
    const told = reason !== DropReason.noPool && c.sourceVpc >= 0 && this.mayTell(c.sourceVpc, packet.source, nowMs);
    if (told) this.parts.answers.tellSender(packet, c, reason, IcmpType.unreachable, COMMUNICATION_PROHIBITED, 0);
    else this.parts.sink.drop(packet.hold, reason);
  }

  private refuseTooBig(packet: MissedPacket): void {
    const c = this.classified;
    c.sourceVpc = packet.port === this.parts.config.fabricPort ? this.parts.topology.localVpcByVni(packet.vni) : -1;
    c.peer = c.sourceVpc < 0 ? this.parts.topology.peerBySender(packet.vni, packet.outerSource) : -1;
    this.parts.answers.tellSender(packet, c, DropReason.tooBig, IcmpType.unreachable, FRAGMENTATION_NEEDED, packet.mtu);
  }
}

/** ICMP queries: only echo; a reply opens nothing from inside, and nothing opens through a dynamic identifier. */
export function judgeQuery(packet: MissedPacket, c: Classification, destinationMapping: number): DropReason {
  const { icmpType } = packet;
  if (icmpType !== IcmpType.echoRequest && icmpType !== IcmpType.echoReply) return DropReason.icmpUnsupported;
  if (icmpType === IcmpType.echoReply && c.sourceVpc >= 0) return DropReason.icmpUnsupported;
  return destinationMapping >= 0 ? DropReason.filtered : DropReason.none;
}
