import type { ValidatedConfig } from '../config/types.js';
import { SessionRow } from '../native/records.js';
import { AdoptedMappings, type AdoptedSession } from './adoption.js';
import { EngineParts } from './engine-parts.js';
import { type ExplainedPacket, explainPacket } from './explain.js';
import type { HostTable } from './host-table.js';
import type { MappingTable } from './mapping-table.js';
import { type NatLog, NO_LOG } from './nat-log.js';
import { type MissedPacket, millisecondsOf } from './packet.js';
import type { PoolCount } from './pool-use.js';
import type { PortGrants } from './port-grants.js';
import { NO_REST } from './port-set.js';
import { SessionAdoption } from './session-adoption.js';
import { SessionEnds } from './session-ends.js';
import { Fate } from './session-judge.js';
import { judgeQuery, SessionOpening } from './session-opening.js';
import { type ReviewReport, SessionReview } from './session-review.js';
import { SessionLife, type SessionTable } from './session-table.js';
import type { SessionTally } from './session-tally.js';
import { idleSeconds, type NativeRows } from './session-timers.js';
import type { EngineMessage } from './shards/messages.js';
import type { ShardSeat } from './shards/shard.js';
import { ShardFollowing } from './shards/shard-following.js';
import { ShardOpening } from './shards/shard-opening.js';
import { ShardTalk } from './shards/shard-talk.js';
import { type DecidedSession, type DecisionSink, emptyDecision, type SessionTimes } from './sink.js';
import { ordinaryMemory } from './table-memory.js';
import type { Topology } from './topology.js';

/**
 * The NAT engine: decides what becomes of a packet that no rule serves, and when a session ends. It owns policy,
 * pools, mappings and the sessions' tuples; packets, counters and TCP states are the lcore's. How sessions open is in
 * session-opening.ts, how they end in session-ends.ts, what both work on in engine-parts.ts.
 */
export class NatEngine {
  private readonly parts: EngineParts;
  private readonly opening: SessionOpening;
  private readonly ends: SessionEnds;
  private readonly review: SessionReview;
  private readonly adoption: SessionAdoption;
  /** Of one of several engines. */
  private readonly talk: ShardTalk | null = null;
  /** How one of several engines follows another configuration; null: it is alone. */
  readonly together: ShardFollowing | null = null;
  private readonly described: DecidedSession = emptyDecision();

  /**
   * @param rows `nat.maxSessions` of them; of one of several engines rowsOfShard().
   * @param seat What makes it one of several; null: it is alone.
   */
  constructor(
    config: ValidatedConfig,
    rows: NativeRows,
    sink: DecisionSink,
    log: NatLog = NO_LOG,
    memory = ordinaryMemory,
    seat: ShardSeat | null = null,
  ) {
    this.parts = new EngineParts(config, rows, sink, log, memory, seat);
    const { shard } = this.parts;
    this.ends = new SessionEnds(this.parts);
    if (shard === null) {
      this.opening = new SessionOpening(this.parts);
    } else {
      const opening = new ShardOpening(this.parts, shard);
      this.opening = opening;
      this.talk = new ShardTalk(this.parts, shard, opening, this.ends);
      this.together = new ShardFollowing(this.parts, shard, opening, this.talk.hairpins, (previous) =>
        this.review.begin({ previous, neighbour: null }),
      );
    }
    this.review = new SessionReview(this.sessions);
    this.adoption = this.newAdoption();
  }

  /** The configuration as it is now; VPCs and peer gateways that left it stand in it as retired ones. */
  get config(): ValidatedConfig {
    return this.parts.config;
  }

  get topology(): Topology {
    return this.parts.topology;
  }

  get sessions(): SessionTable {
    return this.parts.sessions;
  }

  get mappings(): MappingTable {
    return this.parts.mappings;
  }

  get hosts(): HostTable {
    return this.parts.hosts;
  }

  get tally(): SessionTally {
    return this.parts.tally;
  }

  /** How much of each pool mappings own. */
  get poolUse(): Iterable<PoolCount> {
    return this.parts.pools.use.counts();
  }

  /** Told of each row whose session opens, changes its state or ends. */
  set changed(listener: { mark(row: number): void } | null) {
    this.parts.changed = listener;
  }

  /** As SessionOpening has it. */
  touch(words: Int32Array, at: number, index: number): void {
    this.opening.touch(words, at, index);
  }

  /** As SessionOpening has it. */
  fetch(): void {
    this.opening.fetch();
  }

  /** As SessionOpening has it. */
  onMiss(words: Int32Array, at: number, index: number): void {
    this.opening.onMiss(words, at, index);
  }

  /** One of several engines is told something by another, or by the dealer of ports. */
  receive(message: EngineMessage): void {
    if (message.kind === 'neighbour') this.onNeighbour(message.port, message.address, message.mac);
    else this.talk?.receive(message);
  }

  /** A TCP state began, or its timer began again. */
  onSessionState(row: number, generation: number, nowSeconds: number): void {
    this.ends.onSessionState(row, generation, nowSeconds);
  }

  /** The row's last hits are up to date: the session ends, or its timer runs on. */
  onQueried(row: number, generation: number, nowSeconds: number): void {
    this.ends.onQueried(row, generation, nowSeconds);
  }

  /** The rules of a session are gone: its endpoints are given back and rest. */
  onRemoved(row: number, generation: number, nowSeconds: number): void {
    this.ends.onRemoved(row, generation, nowSeconds);
  }

  /** The lcore could not take the session (its table is full) and knows nothing of it; the packet is already dropped. */
  onRefused(row: number, generation: number, nowSeconds: number): void {
    this.ends.onRefused(row, generation, nowSeconds);
  }

  /** @returns Second of the next session timer, Infinity when there is none. */
  nextSessionTimer(): number {
    return this.ends.nextSessionTimer();
  }

  /** @returns About how many session timers are due in a second. */
  sessionTimersOf(second: number): number {
    return this.ends.sessionTimersOf(second);
  }

  /** Whether the lcore has been asked after a live session, and has yet to answer: it may have ended. */
  isAsked(row: number): boolean {
    return this.ends.isAsked(row);
  }

  /** Has sessions that are due removed or queried, at most `most` of them. @returns How many. */
  runSessionTimers(nowSeconds: number, most: number): number {
    return this.ends.runSessionTimers(nowSeconds, most);
  }

  /** @returns When the next waiting SYN is answered, or null. */
  nextWaiter(): { readonly dueSeconds: number; readonly dueNanoseconds: number } | null {
    return this.opening.nextWaiter();
  }

  /** Answers the first waiting SYN with port unreachable, from the address it was sent to. */
  runWaiter(): void {
    this.opening.runWaiter();
  }

  /** The end of a replay: what still waits is dropped unanswered. */
  drain(): void {
    this.opening.drain();
  }

  /** Seconds at which a live session ends unless it is refreshed. */
  deadlineOf(row: number): number {
    return this.ends.deadlineOf(row);
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
    if (this.sessions.life(row) === SessionLife.live) this.ends.end(row);
  }

  /** Sessions are another gateway's, adopted: none ends by its timer, and no port rests here. */
  get isReplica(): boolean {
    return this.ends.isReplica;
  }

  /** For a gateway of a pair: its ports are given out by blocks. See PublicPools.ownByBlocks(). */
  ownPortsByBlocks(seed: number): PortGrants {
    return this.parts.pools.ownByBlocks(seed);
  }

  /** From now on another gateway decides. */
  standBy(): void {
    this.ends.standBy();
    this.parts.pools.withdraw(this.mappings);
  }

  /** From now on this gateway decides. O(1): what is due by the old times is looked at when its timer comes. */
  takeOver(nowSeconds: number): void {
    this.ends.takeOver(nowSeconds);
  }

  /**
   * Follows another configuration. New packets meet it at once; sessions that it forbids end, and the others keep their
   * tuples, as reviewSessions() gets to them.
   *
   * @param config With the same ports, underlay and sizes (see config/changes.ts).
   */
  reconfigure(config: ValidatedConfig): void {
    if (this.together !== null) throw new Error('several engines follow a configuration together');
    this.review.begin({ previous: this.parts.follow(config), neighbour: null });
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
    return this.review.run(this.parts.judge, most, (row, fate) => {
      // Of an adopted session the gateway that decides says when it ends; it follows the same configuration.
      if (fate === Fate.end) return this.isReplica ? undefined : this.ends.end(row);
      const session = fate === Fate.update ? this.describe(row) : null;
      if (session !== null) this.parts.sink.update(session);
      // Its idle times may be shorter now.
      this.onSessionState(row, this.sessions.generation(row), nowSeconds);
    });
  }

  /** @returns A live session as it is to be installed now, or null when there is no way. Valid until the next call. */
  describe(row: number): DecidedSession | null {
    const session = this.described;
    const { facts } = session;
    this.sessions.read(row, facts);
    const { ways } = this.topology;
    const forward = ways.find(facts.reverseContext, facts.translatedDestination);
    const reverse = ways.find(facts.forwardContext, facts.forwardSource);
    if (forward === null || reverse === null) return null;
    session.forwardEgress = forward;
    session.reverseEgress = reverse;
    const shapes = this.sessions.shapes(row);
    session.row = row;
    session.generation = this.sessions.generation(row);
    session.forwardShape = shapes & 0xffff;
    session.reverseShape = shapes >>> 16;
    session.tcpState = this.parts.rows.byte(row, SessionRow.tcpState);
    session.ageSeconds = idleSeconds(this.config.nat.timeouts, facts.protocol, session.tcpState);
    return session;
  }

  /** Whether live mappings of one of several engines have an external address that the configuration no longer names. */
  usesStill(address: number): boolean {
    return this.parts.shard?.pools.isStillUsedHere(address, this.mappings) ?? false;
  }

  /** Says what would become of an IPv4 packet, and changes nothing. */
  explain(packet: MissedPacket): ExplainedPacket {
    const { poolUse } = this;
    const { topology, bindings, sessions, mappings, hosts, filter, sources } = this.parts;
    const perSession = this.config.nat.mapping === 'address-and-port-dependent';
    const nowMs = millisecondsOf(packet);
    const judgeLimits = (vpc: number, address: number) => this.opening.judgeLimits(vpc, address, nowMs);
    const parts = { topology, bindings, sessions, mappings, hosts, filter, sources, poolUse, perSession };
    return explainPacket({ ...parts, judgeQuery, judgeLimits }, packet);
  }

  /** Ends a live session because somebody asks for it. @returns Whether it lived. */
  clear(row: number, generation: number): boolean {
    if (!this.ends.isLive(row, generation)) return false;
    this.ends.end(row);
    return true;
  }

  private newAdoption(): SessionAdoption {
    const { parts } = this;
    const { sessions, mappings, hosts, filter, tally, wheel, strangers, sink, sessionsOfVpc } = parts;
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
      adopted: new AdoptedMappings(mappings, hosts, parts.pools),
      topology: () => parts.topology,
      idleSeconds: (protocol, tcpState) => idleSeconds(parts.config.nat.timeouts, protocol, tcpState),
      changed: (row) => parts.changed?.mark(row),
      giveUp: (facts) => parts.sources.release(facts, NO_REST),
    });
  }
}
