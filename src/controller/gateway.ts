import { readMac } from '../config/address.js';
import type { ValidatedConfig } from '../config/types.js';
import { NatEngine } from '../nat/engine.js';
import { type NatLog, NO_LOG } from '../nat/nat-log.js';
import { MOST_TOGETHER } from '../nat/session-opening.js';
import type { ReviewReport } from '../nat/session-review.js';
import { answersItself, emptyFacts, type SessionFacts, SessionLife } from '../nat/session-table.js';
import { NativeRows } from '../nat/session-timers.js';
import type { LeftOver, ShardChange } from '../nat/shards/following.js';
import type { EngineMessage } from '../nat/shards/messages.js';
import type { ShardSeat } from '../nat/shards/shard.js';
import type { DecidedSession } from '../nat/sink.js';
import { ordinaryMemory } from '../nat/table-memory.js';
import type { Dataplane } from '../native/binding.js';
import {
  DropReason,
  EventType,
  MissEvent,
  MissKind,
  MOST_REFRESHED,
  NeighbourEvent,
  NO_TEMPLATE,
  RulePath,
  SessionCounters,
  SessionEvent,
  SessionRow,
} from '../native/records.js';
import { KnownVnis } from './known-vnis.js';
import { RecentDrops } from './recent-drops.js';
import { DecisionRing, EventRing, type SessionTemplates } from './rings.js';
import { RoomLimit } from './room-limit.js';
import type { RuleCount } from './rule-count.js';
import { RuleRetries } from './rule-retries.js';
import { isFull, MOST_RETRIES, remedyOf, retryDelayMs } from './rule-states.js';
import { SessionGate } from './session-gate.js';
import { type KnownNic, TemplateRegistry } from './templates.js';
import { togetherOf } from './together.js';

/** Decisions that one event, or one timer, may lead to at most. */
const DECISIONS_PER_EVENT = 8;
// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const IS_MISS = EventType.miss;
const IS_NEIGHBOUR = EventType.neighbour;
const IS_QUERIED = EventType.queried;
const IS_REMOVED = EventType.removed;
const ROW = SessionEvent.row / 4;
const GENERATION = SessionEvent.generation / 4;
const SECONDS = SessionEvent.seconds / 4;
const NOT_REFUSED = DropReason.none;
const CONSUMED = DropReason.local;
const WITHOUT = NO_TEMPLATE;
const COUNTERS = SessionCounters.size / 8;
const REVERSE_PACKETS = SessionCounters.reversePackets / 8;
/** `direction` of an install-failed event about the software table itself. */
const SOFTWARE_TABLE = 2;

export interface InstallFailure {
  readonly row: number;
  readonly direction: number;
  readonly error: number;
}

/** What makes a controller one of several: its engine's seat, and how many NIC rules all of them have. */
export interface ControllerSeat {
  readonly shard: ShardSeat;
  readonly nicRules: RuleCount;
}

/**
 * The flow controller: takes events from the lcore to the NAT engine and decisions back, says which rules a session
 * gets, and runs the timers. It never waits; what the rings cannot take now is left for the next turn.
 */
export class GatewayController {
  readonly engine: NatEngine;
  readonly rows: NativeRows;
  private readonly counted: Float64Array;
  readonly templates: TemplateRegistry;
  /** Called for each NIC rule that could not be installed; the flow goes on in software. */
  onInstallFailure: ((failure: InstallFailure) => void) | null = null;
  /** Called for each ARP sender. Address: u32 host order. */
  onNeighbour: ((port: number, address: number, mac: number) => void) | null = null;

  private readonly events: EventRing;
  private readonly decisions: DecisionRing;
  private readonly vnis: KnownVnis;
  private readonly sessionTemplates: SessionTemplates = {
    softwareForward: 0,
    softwareReverse: 0,
    nicForward: NO_TEMPLATE,
    nicReverse: NO_TEMPLATE,
    offloadAfterPackets: 0,
  };
  /** NIC rules asked for and not yet removed: bounded by offload.maxRules. */
  private nicRules = 0;
  /** Most of them that there ever were at once. */
  private nicRulesPeak = 0;
  /** Those of all controllers, where there are several. */
  private readonly allNicRules: RuleCount | null;
  /** By error (a negative errno): NIC rules that could not be installed. */
  readonly installFailures = new Map<number, number>();
  /** Bits of the rules that a session has in the NIC, or has asked for. */
  private readonly rulesOfRow: Uint8Array;
  /** Sessions that left the NIC for faster ones. */
  evictions = 0;
  /** Sessions whose rules were asked for again after a refusal. */
  ruleRetries = 0;
  private shortOfRoom = false;
  readonly roomLimit: RoomLimit;
  private readonly retries = new RuleRetries();
  private constantRulesDueMs = 0;
  private constantRuleTries = 0;
  private readonly facts: SessionFacts = emptyFacts();
  readonly recentDrops = new RecentDrops();
  /** First packets decided on since the start. */
  missesHandled = 0;
  /** What handleTogether() saw of the memory that it asked for. */
  touched = 0;

  /**
   * @param target NIC target to compile for; null: all stays in software.
   * @param live   False in a replay.
   * @param log    Told who had which public endpoint.
   * @param nowMs  Of a monotonic clock: when rules are tried again.
   * @param seat   What makes it one of several; null: it is alone.
   */
  constructor(
    config: ValidatedConfig,
    readonly dataplane: Dataplane,
    target: string | null,
    live: boolean,
    log: NatLog = NO_LOG,
    private readonly nowMs: () => number = () => performance.now(),
    seat: ControllerSeat | null = null,
  ) {
    this.rows = new NativeRows(dataplane.rows);
    this.counted = new Float64Array(dataplane.counters);
    this.vnis = new KnownVnis(dataplane.vnis);
    this.vnis.follow(config);
    this.events = new EventRing(dataplane.events);
    this.templates = new TemplateRegistry(config, dataplane, config.offload.mode === 'never' ? null : target);
    this.decisions = new DecisionRing(
      dataplane.decisions,
      config,
      (session, isNew) => this.templatesOf(session, isNew),
      live,
    );
    // Memory that is cleared ahead pays where packets would wait for it; a replay's do not.
    const memory = live ? (words: number) => new Int32Array(dataplane.tableMemory(words * 4)) : ordinaryMemory;
    const shard = seat && { ...seat.shard, onDecided: (words: Int32Array) => this.noteDecided(words, 0) };
    this.engine = new NatEngine(config, this.rows, this.decisions, log, memory, shard);
    this.rulesOfRow = new Uint8Array(this.engine.sessions.capacity);
    this.allNicRules = seat?.nicRules ?? null;
    this.roomLimit = new RoomLimit(config.offload.maxRules);
  }

  /** The configuration as it is now. */
  get config(): ValidatedConfig {
    return this.engine.config;
  }

  /** NIC rules asked for and not yet removed. */
  get nicRulesWanted(): number {
    return this.allNicRules?.wanted ?? this.nicRules;
  }

  /** Most NIC rules that there ever were at once. */
  get nicRulesMost(): number {
    return this.allNicRules?.most ?? this.nicRulesPeak;
  }

  /**
   * Follows another configuration; sessions follow as reviewSessions() gets to them.
   *
   * @param config One that immutableChanges() finds nothing in.
   */
  reconfigure(config: ValidatedConfig): void {
    this.engine.reconfigure(config);
    this.vnis.follow(config);
    this.decisions.config = this.engine.config;
  }

  /** One of several follows another configuration while all stand still; sessions as with reconfigure(). */
  followTogether(change: ShardChange): LeftOver {
    const left = togetherOf(this.engine).follow(change);
    this.vnis.follow(change.config);
    this.decisions.config = this.engine.config;
    return left;
  }

  /**
   * Applies a change of configuration to sessions, to as many as the decision ring has room for.
   *
   * @returns What became of the sessions once all are done, null before.
   */
  reviewSessions(most: number, nowSeconds: number): ReviewReport | null {
    return this.engine.reviewSessions(Math.min(most, this.roomForTimers()), nowSeconds);
  }

  /** Whether the decision ring has room for what one message may lead to: a block of ports serves all that waited for it. */
  get hasRoomForMail(): boolean {
    return this.decisions.free() >= this.decisions.slots / 2;
  }

  /** One of several is told something by another, or by the dealer of ports. The caller has looked for room. */
  receive(message: EngineMessage): void {
    this.decisions.refused = NOT_REFUSED;
    this.engine.receive(message);
  }

  /** Handles waiting events, as many as the decision ring has room for. @returns How many. */
  handleEvents(): number {
    const waiting = this.events.available();
    let handled = 0;
    while (handled < waiting) {
      const room = Math.floor(this.decisions.free() / DECISIONS_PER_EVENT);
      const count = Math.min(MOST_TOGETHER, waiting - handled, room);
      if (count === 0) break;
      this.handleTogether(count);
      handled += count;
    }
    return handled;
  }

  /** The memory that a batch's events touch is asked for, for all of them, before the first one waits for it. */
  private handleTogether(count: number): void {
    const { events, decisions, engine } = this;
    const { words } = events;
    // Of other events than misses the loop below reads nothing but what it asks for.
    this.touched = (words[events.at(0) >>> 2] & 0xff) === IS_MISS ? events.touch(count) : 0;
    for (let i = 0; i < count; i++) {
      const at = events.at(i);
      if ((words[at >>> 2] & 0xff) === IS_MISS) engine.touch(words, at, i);
    }
    engine.fetch();
    decisions.hold();
    try {
      for (let i = 0; i < count; i++) this.handle(events.at(i), i);
    } finally {
      events.release(count);
      decisions.show();
    }
  }

  /**
   * Handles events that came by another configuration: packets that nobody knew go back to be looked up where this one
   * says.
   *
   * @returns How many of `most`, as the decision ring has room.
   */
  handleStale(most: number): number {
    const { events, decisions } = this;
    const count = Math.min(most, events.available(), Math.floor(decisions.free() / DECISIONS_PER_EVENT));
    for (let i = 0; i < count; i++) {
      const at = events.at(i);
      const head = events.words[at >>> 2];
      const isPacket = (head & 0xff) === IS_MISS && ((head >>> (MissEvent.kind * 8)) & 0xff) === MissKind.ipv4;
      if (isPacket) decisions.retryAnew(events.words[(at + MissEvent.hold) >>> 2]);
      else {
        if ((head & 0xff) === IS_MISS) this.engine.touch(events.words, at, 0);
        this.handle(at, 0);
      }
    }
    events.release(count);
    return count;
  }

  /** Events of the lcore that nobody has handled yet. */
  get eventsWaiting(): number {
    return this.events.available();
  }

  /** Room for decisions that hardly any event answers, as when mirrored sessions are adopted. */
  roomForDecisions(): number {
    return Math.max(0, this.decisions.free() - DECISIONS_PER_EVENT);
  }

  /**
   * Room for the decisions of timers, in timers. Each is answered by an event or two; those that are under way take no
   * more than a quarter of the event ring, so that first packets find room in it however many sessions end at once.
   */
  roomForTimers(): number {
    const { decisions, events } = this;
    const unanswered = decisions.pending() + events.available();
    return Math.max(0, Math.min(decisions.free() - DECISIONS_PER_EVENT, Math.ceil(events.slots / 4) - unanswered));
  }

  /** Brings the counters of every live session up to date; answered by events. @param from First row. @returns The row to go on with, or -1 when all are asked for. */
  queryLive(from: number): number {
    const { sessions } = this.engine;
    let room = this.roomForTimers();
    for (let row = from; row < sessions.highWater; row++) {
      if (sessions.life(row) !== 1) continue;
      if (room-- <= 0) return row;
      this.decisions.query(row, sessions.generation(row));
    }
    return -1;
  }

  /** Rows whose counters can be asked for now: half of the decision ring is left to everything else. */
  roomForRefresh(): number {
    const { decisions } = this;
    return Math.max(0, decisions.free() - decisions.slots / 2) * MOST_REFRESHED;
  }

  /** Brings the counters of the sessions in so many rows up to date; see decisionsTaken(). The caller has looked for room. */
  refreshCounters(first: number, rows: number): void {
    for (let row = first; row < first + rows; row += MOST_REFRESHED)
      this.decisions.refresh(row, Math.min(MOST_REFRESHED, first + rows - row));
  }

  /** @returns What tells whether the lcore has taken the decisions that there are now. */
  decisionsTaken(): () => boolean {
    return this.decisions.taken();
  }

  /** Whether the lcore has yet to take decisions, those that wait at the gate included. */
  decisionsArePending(): boolean {
    return this.decisions.pending() > 0 || (this.decisions.gate?.count ?? 0) > 0;
  }

  /** Nothing waits for its time any more. */
  closeGate(): void {
    this.decisions.gate?.close();
  }

  /** From now on new sessions can be made to wait. @param nowSeconds Gateway clock. @returns Where they wait. */
  gateSessions(nowSeconds: () => number): SessionGate {
    const refuse = (row: number, generation: number) => {
      this.forgetNicRules(row);
      this.engine.onRefused(row, generation, nowSeconds());
    };
    this.decisions.gate = new SessionGate(this.decisions, refuse, this.nowMs);
    return this.decisions.gate;
  }

  /** Sends an ARP request to every neighbour whose MAC is unknown. @returns How many. */
  askForNeighbours(): number {
    const { topology } = this.engine;
    let asked = 0;
    for (const { port, address } of topology.unknownNeighbours()) {
      if (this.decisions.free() < DECISIONS_PER_EVENT) break;
      this.decisions.arpRequest(port, address);
      asked++;
    }
    return asked;
  }

  /** A miss of one of several has been decided on, after it was put by. */
  private noteDecided(words: Int32Array, at: number): void {
    const { decisions } = this;
    if (decisions.refused > CONSUMED) this.recentDrops.note(words, at, decisions.refused);
    decisions.refused = NOT_REFUSED;
  }

  private handle(at: number, index: number): void {
    const { words } = this.events;
    const word = at >>> 2;
    const type = words[word] & 0xff;
    if (type === IS_MISS) {
      const { decisions } = this;
      this.missesHandled++;
      decisions.refused = NOT_REFUSED;
      this.engine.onMiss(words, at, index);
      // Not by way of noteDecided(): V8 would inline others instead, for 300 instructions of a session's end.
      if (decisions.refused > CONSUMED) this.recentDrops.note(words, at, decisions.refused);
      return;
    }
    if (type === IS_NEIGHBOUR) {
      const { view } = this.events;
      const port = view.getUint8(at + NeighbourEvent.port);
      const address = view.getUint32(at + NeighbourEvent.address, true);
      const mac = readMac(view, at + NeighbourEvent.mac);
      this.engine.onNeighbour(port, address, mac);
      this.onNeighbour?.(port, address, mac);
      return;
    }
    const row = words[word + ROW];
    const generation = words[word + GENERATION] >>> 0;
    const seconds = words[word + SECONDS] >>> 0;
    switch (type) {
      case IS_QUERIED:
        return this.engine.onQueried(row, generation, seconds);
      case IS_REMOVED:
        this.forgetNicRules(row);
        return this.engine.onRemoved(row, generation, seconds);
      case EventType.sessionState:
        return this.engine.onSessionState(row, generation, seconds);
      case EventType.sessionThreshold:
        this.offload(row, generation);
        return;
      case EventType.installFailed: {
        const { view } = this.events;
        const direction = view.getUint8(at + SessionEvent.direction);
        if (direction === SOFTWARE_TABLE) {
          this.forgetNicRules(row);
          return this.engine.onRefused(row, generation, seconds);
        }
        return this.onRefusedByNic(row, generation, direction, view.getInt32(at + SessionEvent.error, true));
      }
    }
  }

  /** A NIC has refused a rule: its place is free again, and by the reason it is tried another time. */
  private onRefusedByNic(row: number, generation: number, direction: number, error: number): void {
    this.installFailures.set(error, (this.installFailures.get(error) ?? 0) + 1);
    this.onInstallFailure?.({ row, direction, error });
    if (this.engine.sessions.generation(row) !== generation) return;
    this.forgetRules(row, 1 << direction);
    if (this.engine.sessions.life(row) !== SessionLife.live) return;
    const remedy = remedyOf(-error, this.retries.tries(row, generation));
    if (remedy === 'room') {
      this.roomLimit.refused(this.nicRulesWanted);
      this.shortOfRoom = true;
    } else if (remedy === 'retry') this.retries.add(row, generation, this.nowMs());
  }

  /** Which templates a session gets; one object, used again. One that is made anew keeps what it had in the NIC. */
  private templatesOf(session: DecidedSession, isNew: boolean): SessionTemplates {
    const forward = this.templates.of(session.forwardShape);
    const reverse = this.templates.of(session.reverseShape);
    const templates = this.sessionTemplates;
    const alone = answersItself(session.facts);
    templates.softwareForward = forward.software;
    templates.softwareReverse = alone ? WITHOUT : reverse.software;
    templates.nicForward = WITHOUT;
    templates.nicReverse = WITHOUT;
    const { mode, afterPackets } = this.config.offload;
    templates.offloadAfterPackets = mode === 'after' ? afterPackets : 0;
    const nicReverse = alone ? WITHOUT : reverse.nic;
    if (!isNew) {
      const has = this.rulesOfRow[session.row];
      if ((has & FORWARD) !== 0) templates.nicForward = forward.nic;
      if ((has & REVERSE) !== 0) templates.nicReverse = nicReverse;
    } else if (mode === 'immediate') {
      this.addNicTemplates(session.row, forward.nic, nicReverse, templates);
    }
    return templates;
  }

  /** Asks for the rules that a session lacks, if all of them have room. @returns Whether there is anything to ask for. */
  private addNicTemplates(row: number, forward: number, reverse: number, templates: SessionTemplates): boolean {
    const more = rulesIn(forward, reverse) & ~this.rulesOfRow[row];
    if (more === 0) return false;
    const count = this.nicRules + RULES[more];
    const { most } = this.roomLimit;
    // Not by way of a RuleCount of its own: V8 would inline others instead, for 900 instructions a flow.
    if (count > most || (this.allNicRules !== null && !this.allNicRules.take(RULES[more], most))) {
      this.shortOfRoom = true;
      return false;
    }
    templates.nicForward = forward;
    templates.nicReverse = reverse;
    this.rulesOfRow[row] |= more;
    this.nicRules = count;
    if (count > this.nicRulesPeak) this.nicRulesPeak = count;
    return true;
  }

  private forgetNicRules(row: number): void {
    this.forgetRules(row, FORWARD | REVERSE);
    this.retries.forget(row);
  }

  private forgetRules(row: number, rules: number): void {
    const gone = this.rulesOfRow[row] & rules;
    this.rulesOfRow[row] &= ~gone;
    this.nicRules -= RULES[gone];
    if (this.allNicRules !== null) this.allNicRules.giveBack(RULES[gone]);
  }

  /**
   * A session's rules go to the NIC, those that it lacks: it has had its packets in software, there is room now, or
   * they are tried again.
   *
   * @returns Whether any were asked for.
   */
  offload(row: number, generation: number): boolean {
    const { sessions } = this.engine;
    if (sessions.life(row) !== SessionLife.live || sessions.generation(row) !== generation) return false;
    const session = this.engine.describe(row);
    if (session === null) return false;
    const templates = this.templatesOf(session, false);
    const nicForward = this.templates.of(session.forwardShape).nic;
    const nicReverse = answersItself(session.facts) ? NO_TEMPLATE : this.templates.of(session.reverseShape).nic;
    if (!this.addNicTemplates(row, nicForward, nicReverse, templates)) return false;
    // Rules that are there already are left alone by the lcore.
    this.decisions.offload(session, templates);
    return true;
  }

  /** Takes a session's rules out of the NIC; it goes on in software, with its counters. @returns Whether it had any. */
  evict(row: number, generation: number): boolean {
    const { sessions } = this.engine;
    if (sessions.life(row) !== SessionLife.live || sessions.generation(row) !== generation) return false;
    if (this.rulesOfRow[row] === 0 || this.roomForDecisions() === 0) return false;
    const session = this.engine.describe(row);
    if (session === null) return false;
    this.forgetRules(row, FORWARD | REVERSE);
    this.decisions.update(session);
    this.evictions++;
    this.shortOfRoom = true;
    return true;
  }

  /** A NIC has lost a rule: its session is in software, and gets it again as there is room. */
  onRuleLost(row: number, generation: number, direction: number): void {
    if (this.engine.sessions.generation(row) !== generation) return;
    this.forgetRules(row, 1 << direction);
    this.shortOfRoom = true;
  }

  /** Whether sessions are in software only because the NIC had no room for them. */
  get isShortOfRoom(): boolean {
    return this.shortOfRoom && this.templates.target !== null;
  }

  /** None is any more. */
  roomIsFound(): void {
    this.shortOfRoom = false;
  }

  /** Whether a direction's rule is in the NIC, or on its way there. */
  hasAsked(row: number, reverse: boolean): boolean {
    return (this.rulesOfRow[row] & (reverse ? REVERSE : FORWARD)) !== 0;
  }

  /** Rules that a live session has in the NIC, or will have. */
  rulesThere(row: number): number {
    return RULES[this.rulesOfRow[row]];
  }

  /** Packets of a live session, both directions: in software up to now, in the NIC as of the last query. */
  packets(row: number): number {
    const at = row * COUNTERS;
    return this.counted[at] + this.counted[at + REVERSE_PACKETS];
  }

  /** Rules that a live session would have in the NIC, were there room. */
  rulesLacking(row: number): number {
    const { mode, afterPackets } = this.config.offload;
    if (mode === 'after' && this.packets(row) < afterPackets) return 0;
    const { sessions } = this.engine;
    sessions.read(row, this.facts);
    const shapes = sessions.shapes(row);
    const reverse = answersItself(this.facts) ? NO_TEMPLATE : this.templates.of(shapes >>> 16).nic;
    const lacking = rulesIn(this.templates.of(shapes & 0xffff).nic, reverse) & ~this.rulesOfRow[row];
    // What a NIC refused for another reason than its room does not wait for room.
    const waits = isFull(this.rows.word(row, SessionRow.nicError) & 0xffff);
    const failed =
      (this.rows.byte(row, SessionRow.forwardPath) === RulePath.failed ? FORWARD : 0) |
      (this.rows.byte(row, SessionRow.reversePath) === RulePath.failed ? REVERSE : 0);
    return RULES[waits ? lacking : lacking & ~failed];
  }

  /** Tries rules again that a NIC refused for a reason that may have passed. @param nowMs As of this.nowMs(). */
  retryRules(nowMs: number): void {
    if (this.templates.constantRulesLacking > 0) return this.retryConstantRules(nowMs);
    this.retries.run(nowMs, this.roomForTimers(), (row, generation) => {
      if (this.offload(row, generation)) this.ruleRetries++;
    });
  }

  /** One of several is told what the NIC has of its constant rules by now. */
  adoptNic(known: KnownNic): void {
    this.templates.adopt(known);
    // Sessions that opened meanwhile are in software for want of room, as it were.
    this.shortOfRoom = true;
  }

  /** Without them nothing is offloaded: they are tried for as long as it takes. */
  private retryConstantRules(nowMs: number): void {
    if (nowMs < this.constantRulesDueMs) return;
    this.constantRulesDueMs = nowMs + retryDelayMs(Math.min(this.constantRuleTries++, MOST_RETRIES));
    const { templates } = this;
    const before = templates.constantRulesLacking;
    // Sessions that opened meanwhile are in software for want of room, as it were.
    if (templates.installMissingRules()) this.shortOfRoom = true;
    if (templates.constantRulesLacking < before) this.constantRuleTries = 0;
  }
}

/** Bits of a session's rules: as an event's `direction` tells them. */
const FORWARD = 1;
const REVERSE = 2;
/** How many rules bits are. */
const RULES = [0, 1, 1, 2];

function rulesIn(forward: number, reverse: number): number {
  return (forward === NO_TEMPLATE ? 0 : FORWARD) | (reverse === NO_TEMPLATE ? 0 : REVERSE);
}
