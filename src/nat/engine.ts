import type { ValidatedConfig } from '../config/types.js';
import { DropReason, MissEvent, MissKind, SessionClass, SessionRow, TCP_TIMER, TcpState } from '../native/records.js';
import { AdoptedMappings, type AdoptedSession } from './adoption.js';
import { alignConfig } from './alignment.js';
import { Bindings } from './bindings.js';
import {
  type Classification,
  classifyExternal,
  classifyFabric,
  contextOf,
  emptyClassification,
  Verdict,
} from './classify.js';
import { type Egress, emptyEgress, resolveEgress } from './egress.js';
import { type ExplainedPacket, explainPacket } from './explain.js';
import { HostTable } from './host-table.js';
import { RateLimit, RefusalLimit } from './limits.js';
import { hasPorts, MappingTable } from './mapping-table.js';
import { type NatLog, NO_LOG } from './nat-log.js';
import { OwnAnswers } from './own-answers.js';
import { emptyPacket, IcmpType, isBareSyn, type MissedPacket, Protocol, readMiss } from './packet.js';
import type { PoolCount } from './pool-use.js';
import type { PortGrants } from './port-grants.js';
import { NO_REST } from './port-set.js';
import { PublicPools } from './public-pools.js';
import { Random } from './random.js';
import { referredParts } from './referred-parts.js';
import { RemoteFilter } from './remote-filter.js';
import { RestingTuples } from './resting-tuples.js';
import { SessionAdoption } from './session-adoption.js';
import { Fate, SessionJudge } from './session-judge.js';
import { type ReviewReport, SessionReview } from './session-review.js';
import {
  emptyFacts,
  OUTSIDE_CONTEXT,
  peerContext,
  type SessionFacts,
  SessionLife,
  SessionTable,
} from './session-table.js';
import { SessionTally } from './session-tally.js';
import { idleSeconds, type NativeRows, sessionDeadline } from './session-timers.js';
import { forwardShape, reverseShape } from './shapes.js';
import { type DecidedSession, type DecisionSink, emptyDecision, type SessionTimes } from './sink.js';
import { SourceTranslation } from './source-translation.js';
import { isFromStranger, Strangers } from './strangers.js';
import { SynWaiters } from './syn-waiters.js';
import { ordinaryMemory } from './table-memory.js';
import { TimerWheel } from './timer-wheel.js';
import { Topology } from './topology.js';

/** Misses that touch() can be told of before onMiss() decides on them. */
export const MOST_TOGETHER = 32;
const HASHES = 3;
const NO_CONTEXT = -1;

const COMMUNICATION_PROHIBITED = 13;
const FRAGMENTATION_NEEDED = 4;
const PORT_UNREACHABLE = 3;
/** Value of TCP_TIMER of a state that packets refresh. */
const ESTABLISHED_TIMER = 2;

/**
 * The NAT engine: decides what becomes of a packet that no rule serves, and when a session ends. It owns policy,
 * pools, mappings and the sessions' tuples; packets, counters and TCP states are the lcore's.
 */
export class NatEngine {
  readonly sessions: SessionTable;
  readonly mappings: MappingTable;
  readonly hosts: HostTable;
  readonly tally: SessionTally;
  /** Told of each row whose session opens, changes its state or ends. */
  changed: { mark(row: number): void } | null = null;
  private replica = false;
  private readonly pools: PublicPools;
  private readonly wheel: TimerWheel;
  private readonly waiters = new SynWaiters();
  private readonly strangers = new Strangers();
  private readonly refusals = new RefusalLimit();
  private readonly resting: RestingTuples;
  // What a change of configuration replaces.
  private currentConfig: ValidatedConfig;
  private currentTopology: Topology;
  private bindings: Bindings;
  private sources: SourceTranslation;
  private judge: SessionJudge;
  private answers: OwnAnswers;
  private rates: RateLimit[];
  private readonly sessionsOfVpc: number[];
  private readonly review: SessionReview;
  private readonly filter: RemoteFilter;
  private readonly adoption: SessionAdoption;
  /** Since when this gateway decides: what refreshed adopted sessions shortly before is not known. */
  private decidesSinceSeconds = 0;

  // One object each, used again for every packet: nothing is allocated on a first packet's way.
  /** By event of a batch: the forward tuple's context, its hash, and the hash of the internal endpoint. */
  private readonly hashes = new Int32Array(MOST_TOGETHER * HASHES);
  private touchedAt = 0;
  private readonly packet: MissedPacket = emptyPacket();
  private readonly classified: Classification = emptyClassification();
  private readonly facts: SessionFacts = emptyFacts();
  private readonly other: SessionFacts = emptyFacts();
  private readonly back: Egress = emptyEgress();
  private readonly onward: Egress = emptyEgress();
  private readonly decided: DecidedSession;
  private readonly described: DecidedSession = emptyDecision();

  constructor(
    config: ValidatedConfig,
    private readonly rows: NativeRows,
    private readonly sink: DecisionSink,
    private readonly log: NatLog = NO_LOG,
    memory = ordinaryMemory,
  ) {
    const capacity = config.nat.maxSessions;
    this.currentConfig = config;
    this.currentTopology = new Topology(config);
    this.sessions = new SessionTable(capacity, memory);
    this.mappings = new MappingTable(capacity, memory);
    // A session holds at most two hosts: the inside one for its limits, the same in a peering scope for its pairing.
    this.hosts = new HostTable(capacity * 2);
    this.pools = new PublicPools(config, this.topology, this.hosts, new Random(config.nat.seed), log);
    this.resting = new RestingTuples(capacity);
    this.filter = new RemoteFilter(config.nat.filtering);
    this.review = new SessionReview(this.sessions);
    this.bindings = this.newBindings();
    this.sources = this.newSources();
    this.judge = this.newJudge();
    this.answers = this.newAnswers();
    this.wheel = new TimerWheel(capacity, memory);
    this.rates = config.vpcs.map(({ limits }) => new RateLimit(limits.newSessionsPerSecond));
    this.sessionsOfVpc = config.vpcs.map(() => 0);
    this.tally = new SessionTally(config.vpcs);
    this.decided = emptyDecision(this.facts, this.onward, this.back);
    this.adoption = this.newAdoption();
  }

  /** The configuration as it is now; VPCs and peer gateways that left it stand in it as retired ones. */
  get config(): ValidatedConfig {
    return this.currentConfig;
  }

  get topology(): Topology {
    return this.currentTopology;
  }

  /** How much of each pool mappings own. */
  get poolUse(): Iterable<PoolCount> {
    return this.pools.use.counts();
  }

  /**
   * Asks for the memory that onMiss() will look at, so that the misses of a batch wait for it together.
   *
   * @param words Of the event ring. @param at Byte offset of the event. @param index Of the event in its batch.
   * @returns Something of that memory: a caller that used none of it would have asked for nothing.
   */
  touch(words: Int32Array, at: number, index: number): number {
    const word = at >>> 2;
    const head = words[word];
    const { hashes } = this;
    const own = index * HASHES;
    hashes[own] = NO_CONTEXT;
    if (((head >>> (MissEvent.kind * 8)) & 0xff) !== MissKind.ipv4) return 0;
    const { sessions, mappings } = this;
    const protocol = head >>> (MissEvent.protocol * 8);
    const source = words[word + MissEvent.sourceAddress / 4];
    const destination = words[word + MissEvent.destinationAddress / 4];
    const ports = words[word + MissEvent.sourcePort / 4];
    const sourcePort = ports & 0xffff;
    const destinationPort = ports >>> 16;
    if (((head >>> (MissEvent.port * 8)) & 0xff) !== this.currentConfig.fabricPort) {
      hashes[own] = OUTSIDE_CONTEXT;
      hashes[own + 1] = sessions.hashOf(OUTSIDE_CONTEXT, protocol, source, destination, sourcePort, destinationPort);
      return sessions.touch(hashes[own + 1]) ^ mappings.touchPublic(0, protocol, destination, destinationPort);
    }
    const vpc = this.currentTopology.localVpcByVni(words[word + MissEvent.vni / 4]);
    if (vpc < 0) return 0;
    hashes[own] = vpc;
    hashes[own + 1] = sessions.hashOf(vpc, protocol, source, destination, sourcePort, destinationPort);
    hashes[own + 2] = mappings.insideHash(vpc, 0, protocol, source, hasPorts(protocol) ? sourcePort : 0);
    return sessions.touch(hashes[own + 1]) ^ mappings.touchInside(hashes[own + 2]) ^ this.hosts.touch(vpc, 0, source);
  }

  /**
   * Decides on one missed packet.
   *
   * @param words Of the event ring. @param at Byte offset of its MissEvent.
   * @param index With which touch() was told of it.
   */
  onMiss(words: Int32Array, at: number, index: number): void {
    this.touchedAt = index * HASHES;
    const packet = this.packet;
    readMiss(words, at, packet);
    if (packet.kind === MissKind.arp) return this.answers.answerArp(packet);
    const c = this.classified;
    const fromFabric = packet.port === this.config.fabricPort;
    if (packet.kind === MissKind.tooBig) return this.refuseTooBig(packet);
    if (fromFabric) classifyFabric(this.topology, this.bindings, packet, c);
    else classifyExternal(this.topology, this.bindings, packet, c);
    switch (c.verdict) {
      case Verdict.drop:
        return this.refuse(packet, c);
      case Verdict.answer:
        return this.answers.answerPing(packet, c);
      case Verdict.expired:
        return this.answers.tellSender(packet, c, c.reason, IcmpType.timeExceeded, 0, 0);
      default:
        return this.open(packet, c);
    }
  }

  /** Drops what classification refuses, unless a session that needs no binding says more of it. */
  private refuse(packet: MissedPacket, c: Classification): void {
    const known = this.belongsToSession(packet, c);
    if (known && packet.ttl <= 1)
      return this.answers.tellSender(packet, c, DropReason.ttlExpired, IcmpType.timeExceeded, 0, 0);
    const asksDynamic = known && packet.protocol === Protocol.icmp && packet.icmpType === IcmpType.echoRequest;
    this.sink.drop(packet.hold, asksDynamic ? DropReason.filtered : c.reason);
  }

  private belongsToSession(packet: MissedPacket, c: Classification): boolean {
    if (packet.kind === MissKind.icmpError) return false;
    if (packet.port === this.config.fabricPort && c.sourceVpc < 0 && c.peer < 0) return false;
    const { protocol, source, destination, sourcePort, destinationPort } = packet;
    const context = contextOf(c);
    return this.sessions.find(context, protocol, source, destination, sourcePort, destinationPort) >= 0;
  }

  /** A TCP state began, or its timer began again. */
  onSessionState(row: number, generation: number, nowSeconds: number): void {
    if (!this.isLive(row, generation)) return;
    this.changed?.mark(row);
    const deadline = this.deadlineOf(row);
    if (deadline < this.wheel.deadlineOf(row)) this.wheel.arm(row, deadline, nowSeconds);
  }

  /** The row's last hits are up to date: the session ends, or its timer runs on. */
  onQueried(row: number, generation: number, nowSeconds: number): void {
    if (this.replica || !this.isLive(row, generation)) return;
    this.judgeStranger(row);
    if (!this.isLive(row, generation) || this.wheel.isArmed(row)) return;
    const deadline = this.deadlineOf(row);
    if (deadline <= nowSeconds) return this.end(row);
    this.wheel.arm(row, deadline, nowSeconds);
    this.changed?.mark(row);
  }

  /** The rules of a session are gone: its endpoints are given back and rest. */
  onRemoved(row: number, generation: number, nowSeconds: number): void {
    if (this.sessions.life(row) !== SessionLife.removing || this.sessions.generation(row) !== generation) return;
    const until = this.replica ? NO_REST : nowSeconds + this.config.nat.portReuseDelaySeconds;
    this.sessions.read(row, this.other);
    this.filter.forget(this.other);
    const { sourceMapping, destinationMapping } = this.other;
    if (isFromStranger(this.other)) this.strangers.remove(destinationMapping, row);
    this.sources.release(this.other, until);
    this.askStrangers(sourceMapping);
    this.askStrangers(destinationMapping);
    if (this.config.nat.log === 'sessions') this.log.session(false, this.other, nowSeconds);
    this.hosts.addSessions(this.other.host, -1);
    this.hosts.release(this.other.host);
    this.sessionsOfVpc[this.other.vpc]--;
    this.tally.ended(this.other.vpc, this.other.sessionClass);
    this.sessions.release(row);
  }

  /** The lcore could not take the session (its table is full) and knows nothing of it; the packet is already dropped. */
  onRefused(row: number, generation: number, nowSeconds: number): void {
    if (!this.isLive(row, generation)) return;
    this.wheel.disarm(row);
    this.sessions.unlink(row);
    this.changed?.mark(row);
    this.onRemoved(row, generation, nowSeconds);
  }

  /** @returns Second of the next session timer, Infinity when there is none. */
  nextSessionTimer(): number {
    return this.replica ? Number.POSITIVE_INFINITY : this.wheel.nextDue();
  }

  /** @returns When the next waiting SYN is answered, or null. */
  nextWaiter(): { readonly dueSeconds: number; readonly dueNanoseconds: number } | null {
    return this.waiters.first();
  }

  /** Queries sessions that are due, at most `most` of them. @returns How many. */
  runSessionTimers(nowSeconds: number, most: number): number {
    let count = 0;
    if (this.replica) return 0;
    while (count < most) {
      const row = this.wheel.takeDue(nowSeconds);
      if (row < 0) break;
      this.sink.query(row, this.sessions.generation(row));
      count++;
    }
    return count;
  }

  /** Answers the first waiting SYN with port unreachable, from the address it was sent to. */
  runWaiter(): void {
    const waiter = this.waiters.takeFirst();
    if (waiter === null) return;
    if (resolveEgress(this.topology, OUTSIDE_CONTEXT, waiter.source, this.back) !== DropReason.none) {
      return this.sink.dropAll(waiter.hold, DropReason.filtered);
    }
    this.sink.icmpError(
      waiter.hold,
      DropReason.filtered,
      IcmpType.unreachable,
      PORT_UNREACHABLE,
      0,
      waiter.destination,
      this.back,
      waiter.dueSeconds,
      waiter.dueNanoseconds,
    );
  }

  /** The end of a replay: what still waits is dropped unanswered. */
  drain(): void {
    for (let waiter = this.waiters.takeFirst(); waiter !== null; waiter = this.waiters.takeFirst()) {
      this.sink.dropAll(waiter.hold, DropReason.filtered);
    }
  }

  /** Seconds at which a live session ends unless it is refreshed. */
  deadlineOf(row: number): number {
    const sessionClass = this.sessions.sessionClass(row);
    const insideInitiated = this.sessions.insideInitiated(row);
    // Outbound is the initiator's direction everywhere but for what came from the outside.
    const outboundIsForward = sessionClass !== SessionClass.externalToVpc || insideInitiated;
    const { timeouts } = this.config.nat;
    const deadline = sessionDeadline(this.rows, row, this.sessions.protocol(row), outboundIsForward, timeouts);
    return this.decidesSinceSeconds === 0 ? deadline : this.deadlineSinceTakeOver(row, deadline);
  }

  /** An idle time may have begun anew just before the other gateway died; a transitory one is known exactly. */
  private deadlineSinceTakeOver(row: number, deadline: number): number {
    const protocol = this.sessions.protocol(row);
    const tcpState = this.rows.byte(row, SessionRow.tcpState);
    if (protocol === Protocol.tcp && TCP_TIMER[tcpState] !== ESTABLISHED_TIMER) return deadline;
    return Math.max(deadline, this.decidesSinceSeconds + idleSeconds(this.config.nat.timeouts, protocol, tcpState));
  }

  /** As SessionAdoption has it. */
  expectAdoption(session: AdoptedSession, index: number): number {
    return this.adoption.expect(session, index);
  }

  /**
   * Opens a session that another gateway decided, with the same mappings and endpoints.
   *
   * @param index With which expectAdoption() was told of it; -1: it was not.
   * @returns Its row, or an Adoption code.
   */
  adopt(session: AdoptedSession, nowSeconds: number, index = -1): number {
    return this.adoption.adopt(session, nowSeconds, index);
  }

  /** The gateway that decides tells how an adopted session stands. */
  restate(row: number, tcpState: number, times: SessionTimes): void {
    this.adoption.restate(row, tcpState, times);
  }

  /** The gateway that decides has ended an adopted session. */
  endAdopted(row: number): void {
    if (this.sessions.life(row) === SessionLife.live) this.end(row);
  }

  /** Sessions are another gateway's, adopted: none ends by its timer, and no port rests here. */
  get isReplica(): boolean {
    return this.replica;
  }

  /** For a gateway of a pair: its ports are given out by blocks. See PublicPools.ownByBlocks(). */
  ownPortsByBlocks(seed: number): PortGrants {
    return this.pools.ownByBlocks(seed);
  }

  /** From now on another gateway decides. */
  standBy(): void {
    this.replica = true;
    this.pools.withdraw(this.mappings);
  }

  /** From now on this gateway decides. O(1): what is due by the old times is looked at when its timer comes. */
  takeOver(nowSeconds: number): void {
    this.replica = false;
    this.decidesSinceSeconds = nowSeconds;
  }

  /**
   * Follows another configuration. New packets meet it at once; sessions that it forbids end, and the others keep their
   * tuples, as reviewSessions() gets to them.
   *
   * @param config With the same ports, underlay and sizes (see config/changes.ts).
   */
  reconfigure(config: ValidatedConfig): void {
    const previous = this.topology;
    const used = referredParts(this.config, this.sessions, this.mappings);
    const aligned = alignConfig(
      this.config,
      config,
      (vpc) => !used.vpcs.has(vpc),
      (peer) => !used.peers.has(peer),
    );
    this.rates = aligned.vpcs.map(({ index, limits }) => {
      const rate = this.rates[index];
      const same = rate !== undefined && rate.perSecond === limits.newSessionsPerSecond;
      return same ? rate : new RateLimit(limits.newSessionsPerSecond);
    });
    while (this.sessionsOfVpc.length < aligned.vpcs.length) this.sessionsOfVpc.push(0);
    this.tally.follow(aligned.vpcs);
    this.currentConfig = aligned;
    this.currentTopology = new Topology(aligned);
    this.topology.adoptLearned(previous);
    this.pools.reconfigure(aligned, this.topology, this.mappings);
    this.bindings = this.newBindings();
    this.sources = this.newSources();
    this.judge = this.newJudge();
    this.answers = this.newAnswers();
    this.filter.follow(aligned.nat.filtering, this.sessions);
    this.review.begin({ previous, neighbour: null });
  }

  /** An ARP sender was seen: sessions that go its way follow its MAC. */
  onNeighbour(port: number, address: number, mac: number): void {
    if (this.topology.learn(port, address, mac)) this.review.begin({ previous: null, neighbour: { port, address } });
  }

  /** Whether sessions have yet to follow a change. */
  get reviewIsPending(): boolean {
    return this.review.isPending;
  }

  /**
   * Applies the last change of configuration to sessions, at most to `most` of them.
   *
   * @returns What became of all sessions so far when none is left, null while some are.
   */
  reviewSessions(most: number, nowSeconds: number): ReviewReport | null {
    return this.review.run(this.judge, most, (row, fate) => {
      // Of an adopted session the gateway that decides says when it ends; it follows the same configuration.
      if (fate === Fate.end) return this.replica ? undefined : this.end(row);
      const session = fate === Fate.update ? this.describe(row) : null;
      if (session !== null) this.sink.update(session);
      // Its idle times may be shorter now.
      this.onSessionState(row, this.sessions.generation(row), nowSeconds);
    });
  }

  /** @returns A live session as it is to be installed now, or null when there is no way. Valid until the next call. */
  describe(row: number): DecidedSession | null {
    const session = this.described;
    const { facts } = session;
    this.sessions.read(row, facts);
    const noWay =
      resolveEgress(this.topology, facts.reverseContext, facts.translatedDestination, session.forwardEgress) ||
      resolveEgress(this.topology, facts.forwardContext, facts.forwardSource, session.reverseEgress);
    if (noWay !== DropReason.none) return null;
    const shapes = this.sessions.shapes(row);
    session.row = row;
    session.generation = this.sessions.generation(row);
    session.forwardShape = shapes & 0xffff;
    session.reverseShape = shapes >>> 16;
    session.tcpState = this.rows.byte(row, SessionRow.tcpState);
    session.ageSeconds = idleSeconds(this.config.nat.timeouts, facts.protocol, session.tcpState);
    return session;
  }

  /** Says what would become of an IPv4 packet, and changes nothing. */
  explain(packet: MissedPacket): ExplainedPacket {
    const { topology, bindings, sessions, mappings, hosts, filter, sources, poolUse } = this;
    const perSession = this.config.nat.mapping === 'address-and-port-dependent';
    const nowMs = packet.seconds * 1000 + packet.nanoseconds / 1e6;
    const judgeLimits = (vpc: number, address: number) => this.judgeLimits(vpc, address, nowMs);
    const parts = { topology, bindings, sessions, mappings, hosts, filter, sources, poolUse, perSession };
    return explainPacket({ ...parts, judgeQuery, judgeLimits }, packet);
  }

  /** Ends a live session because somebody asks for it. @returns Whether it lived. */
  clear(row: number, generation: number): boolean {
    if (!this.isLive(row, generation)) return false;
    this.end(row);
    return true;
  }

  private newAdoption(): SessionAdoption {
    const { sessions, mappings, hosts, filter, tally, wheel, strangers, sink, sessionsOfVpc } = this;
    return new SessionAdoption({
      sessions,
      mappings,
      hosts,
      filter,
      tally,
      wheel,
      strangers,
      sink,
      sessionsOfVpc,
      adopted: new AdoptedMappings(mappings, hosts, this.pools),
      topology: () => this.currentTopology,
      idleSeconds: (protocol, tcpState) => idleSeconds(this.currentConfig.nat.timeouts, protocol, tcpState),
      changed: (row) => this.changed?.mark(row),
      giveUp: (facts) => this.sources.release(facts, NO_REST),
    });
  }

  private newBindings(): Bindings {
    return new Bindings(this.topology, this.mappings);
  }

  private newSources(): SourceTranslation {
    const alone = this.config.nat.mapping === 'address-and-port-dependent';
    return new SourceTranslation(
      this.topology,
      this.mappings,
      this.hosts,
      this.pools,
      this.sessions,
      alone,
      this.resting,
    );
  }

  private newJudge(): SessionJudge {
    return new SessionJudge(this.topology, this.bindings, this.mappings, this.pools, this.sessions);
  }

  private newAnswers(): OwnAnswers {
    return new OwnAnswers(this.topology, this.sink, (address) => this.pools.isStillUsed(address, this.mappings));
  }

  private isLive(row: number, generation: number): boolean {
    return this.sessions.life(row) === SessionLife.live && this.sessions.generation(row) === generation;
  }

  /** A session less uses a mapping: are all that are left strangers? */
  private askStrangers(mapping: number): void {
    if (mapping < 0) return;
    for (const row of this.strangers.askIfAlone(mapping, this.mappings.sessions(mapping))) {
      if (this.sessions.life(row) === SessionLife.live) this.sink.query(row, this.sessions.generation(row));
    }
  }

  private judgeStranger(row: number): void {
    if (this.sessions.sessionClass(row) !== SessionClass.externalToVpc) return;
    const mapping = this.sessions.destinationMapping(row);
    if (mapping < 0) return;
    const isAnswered = this.rows.word(row, SessionRow.lastReverseSeconds) > 0;
    const sessions = this.mappings.sessions(mapping);
    for (const alone of this.strangers.told(mapping, row, isAnswered, sessions)) {
      if (this.sessions.life(alone) === SessionLife.live) this.end(alone);
    }
  }

  private end(row: number): void {
    this.wheel.disarm(row);
    this.sessions.unlink(row);
    this.changed?.mark(row);
    this.sink.remove(row, this.sessions.generation(row));
  }

  private open(packet: MissedPacket, c: Classification): void {
    const { sink, facts } = this;
    const bound = this.bindings.found;
    const { protocol } = packet;
    facts.protocol = protocol;
    facts.sessionClass = c.sessionClass;
    facts.forwardContext = contextOf(c);
    facts.forwardSource = packet.source;
    facts.forwardDestination = packet.destination;
    facts.forwardSourcePort = packet.sourcePort;
    facts.forwardDestinationPort = packet.destinationPort;
    const { source, destination, sourcePort, destinationPort } = packet;
    const context = facts.forwardContext;
    const reason =
      protocol === Protocol.icmp ? judgeQuery(packet, c, c.destinationBound ? bound.mapping : -1) : DropReason.none;
    if (reason !== DropReason.none) return sink.drop(packet.hold, reason);
    const { sessions, hashes, touchedAt } = this;
    const isTouched = hashes[touchedAt] === context;
    const forwardHash = isTouched
      ? hashes[touchedAt + 1]
      : sessions.hashOf(context, protocol, source, destination, sourcePort, destinationPort);
    if (sessions.findHashed(forwardHash, context, protocol, source, destination, sourcePort, destinationPort) >= 0) {
      return sink.retry(packet.hold);
    }
    if (protocol === Protocol.tcp && !isBareSyn(packet.tcpFlags)) return sink.drop(packet.hold, DropReason.notSyn);
    facts.destinationMapping = c.destinationBound ? bound.mapping : -1;
    facts.vpc = c.sourceVpc >= 0 ? c.sourceVpc : c.destinationVpc;
    if (facts.destinationMapping >= 0 && !this.filter.admits(facts, c, this.sources))
      return this.refuseFiltered(packet);
    facts.reverseContext =
      c.sourceVpc >= 0 && c.peer >= 0
        ? peerContext(c.peer)
        : c.destinationVpc >= 0
          ? c.destinationVpc
          : OUTSIDE_CONTEXT;
    facts.translatedDestination = c.destinationBound ? bound.address : packet.destination;
    facts.translatedDestinationPort = c.destinationBound ? bound.port : packet.destinationPort;
    facts.destinationVpc = c.destinationVpc;
    facts.insideInitiated = c.sourceVpc >= 0;
    const insideAddress = c.sourceVpc >= 0 ? packet.source : facts.translatedDestination;
    const noWay =
      resolveEgress(this.topology, facts.reverseContext, facts.translatedDestination, this.onward) ||
      resolveEgress(this.topology, facts.forwardContext, packet.source, this.back);
    if (noWay !== DropReason.none) return this.refuseNoWay(packet, c, noWay);

    const nowMs = packet.seconds * 1000 + packet.nanoseconds / 1e6;
    const limit = this.judgeLimits(facts.vpc, insideAddress, nowMs);
    if (limit !== DropReason.none) return this.refuseExhausted(packet, c, limit, nowMs);
    const insideHash = isTouched && c.sourceVpc >= 0 && c.sourceScope === 0 ? hashes[touchedAt + 2] : null;
    const refused = this.sources.translate(facts, c, packet.seconds, insideHash);
    if (refused !== DropReason.none) return this.refuseExhausted(packet, c, refused, nowMs);

    facts.host = this.holdHost(facts, c.sourceScope, insideAddress);
    this.hosts.addSessions(facts.host, 1);
    this.sessionsOfVpc[facts.vpc]++;
    this.tally.opened(facts.vpc, facts.sessionClass);
    this.rates[facts.vpc].spend();
    if (facts.sourceMapping >= 0) this.mappings.addSessions(facts.sourceMapping, 1);
    if (facts.destinationMapping >= 0) this.mappings.addSessions(facts.destinationMapping, 1);
    this.filter.remember(facts);
    const decided = this.decided;
    decided.forwardShape = forwardShape(facts);
    decided.reverseShape = reverseShape(facts);
    decided.row = this.sessions.insert(facts, decided.forwardShape | (decided.reverseShape << 16), forwardHash);
    decided.generation = this.sessions.generation(decided.row);
    decided.tcpState = protocol === Protocol.tcp ? TcpState.synForward : TcpState.none;
    decided.ageSeconds = idleSeconds(this.config.nat.timeouts, protocol, decided.tcpState);
    sink.session(packet.hold, decided);
    this.changed?.mark(decided.row);
    if (this.config.nat.log === 'sessions') this.log.session(true, facts, packet.seconds);
    this.wheel.arm(decided.row, packet.seconds + decided.ageSeconds, packet.seconds);
    if (isFromStranger(facts)) this.strangers.add(facts.destinationMapping, decided.row);
    if (protocol === Protocol.tcp) this.answerWaiter(facts);
  }

  /** The inside host, for its limits. Its mapping in the outside's scope holds the same row. */
  private holdHost({ vpc, sourceMapping }: SessionFacts, scope: number, address: number): number {
    if (sourceMapping < 0 || scope !== 0) return this.hosts.hold(vpc, 0, address);
    const host = this.mappings.host(sourceMapping);
    this.hosts.holdAgain(host);
    return host;
  }

  private judgeLimits(vpc: number, insideAddress: number, nowMs: number): DropReason {
    const { limits } = this.config.vpcs[vpc];
    if (this.sessionsOfVpc[vpc] >= limits.sessions) return DropReason.vpcLimit;
    if (limits.sessionsPerAddress !== Number.POSITIVE_INFINITY) {
      const host = this.hosts.find(vpc, 0, insideAddress);
      if (host >= 0 && this.hosts.sessions(host) >= limits.sessionsPerAddress) return DropReason.addressLimit;
    }
    if (!this.rates[vpc].allows(nowMs)) return DropReason.rateLimit;
    return this.sessions.isFull ? DropReason.tableFull : DropReason.none;
  }

  private refuseFiltered(packet: MissedPacket): void {
    const { hold, source, destination, sourcePort, destinationPort } = packet;
    const waits =
      packet.protocol === Protocol.tcp &&
      packet.port === this.config.externalPort &&
      this.waiters.add({ hold, source, destination, sourcePort, destinationPort }, packet.seconds, packet.nanoseconds);
    if (!waits) this.sink.drop(hold, DropReason.filtered);
  }

  /** An outbound SYN towards the sender of a waiting one: simultaneous open, the waiting SYN is dropped in silence. */
  private answerWaiter(facts: SessionFacts): void {
    const waiter = this.waiters.answered({
      source: facts.translatedDestination,
      destination: facts.translatedSource,
      sourcePort: facts.translatedDestinationPort,
      destinationPort: facts.translatedSourcePort,
    });
    if (waiter !== null) this.sink.dropAll(waiter.hold, DropReason.filtered);
  }

  /** A next hop or VTEP without a known MAC is asked for; the packet is lost, its repetition will not be. */
  private refuseNoWay(packet: MissedPacket, c: Classification, reason: DropReason): void {
    if (reason === DropReason.unknownVtep) {
      this.answers.askForWay(packet, c, this.facts.translatedDestination);
    }
    this.sink.drop(packet.hold, reason);
  }

  /** Exhaustion and limits: code 13 to an inside host, at most once a second (RFC 5508 REQ-8, RFC 1812 section 5.2.7.1). */
  private refuseExhausted(packet: MissedPacket, c: Classification, reason: DropReason, nowMs: number): void {
    const told =
      reason !== DropReason.noPool &&
      c.sourceVpc >= 0 &&
      this.refusals.allows(c.sourceVpc * 0x1_0000_0000 + packet.source, nowMs);
    if (told) this.answers.tellSender(packet, c, reason, IcmpType.unreachable, COMMUNICATION_PROHIBITED, 0);
    else this.sink.drop(packet.hold, reason);
  }

  private refuseTooBig(packet: MissedPacket): void {
    const c = this.classified;
    c.sourceVpc = packet.port === this.config.fabricPort ? this.topology.localVpcByVni(packet.vni) : -1;
    c.peer = c.sourceVpc < 0 ? this.topology.peerBySender(packet.vni, packet.outerSource) : -1;
    this.answers.tellSender(packet, c, DropReason.tooBig, IcmpType.unreachable, FRAGMENTATION_NEEDED, packet.mtu);
  }
}

/** ICMP queries: only echo; a reply opens nothing from inside, and nothing opens through a dynamic identifier. */
function judgeQuery(packet: MissedPacket, c: Classification, destinationMapping: number): DropReason {
  const { icmpType } = packet;
  if (icmpType !== IcmpType.echoRequest && icmpType !== IcmpType.echoReply) return DropReason.icmpUnsupported;
  if (icmpType === IcmpType.echoReply && c.sourceVpc >= 0) return DropReason.icmpUnsupported;
  return destinationMapping >= 0 ? DropReason.filtered : DropReason.none;
}
