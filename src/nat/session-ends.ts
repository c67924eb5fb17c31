import { SessionClass, SessionRow } from '../native/records.js';
import type { EngineParts } from './engine-parts.js';
import { NO_REST } from './port-set.js';
import { emptyFacts, type SessionFacts, SessionLife } from './session-table.js';
import {
  ANY_SECOND,
  FORWARD_PACKETS,
  idleSeconds,
  idleSince,
  REVERSE_PACKETS,
  refreshedBy,
  sessionDeadline,
} from './session-timers.js';
import type { IdleTerms } from './sink.js';
import { isFromStranger } from './strangers.js';

// By names of their own: a member of an imported table is looked up anew each time.
const FROM_OUTSIDE = SessionClass.externalToVpc;
const TCP_STATE = SessionRow.tcpState;
const STATE_SINCE = SessionRow.stateSinceSeconds;

/**
 * When sessions end, and what is given back then. A session lives until the lcore, asked when its timer is due, finds it
 * idle and removes its rules, or until somebody asks for its end (`removing`); only once the rules are gone its row and
 * endpoints are free.
 */
export class SessionEnds {
  private replica = false;
  /** Since when this gateway decides: packets may have refreshed adopted sessions just before, which is not known. */
  private decidesSinceSeconds = 0;
  private readonly ended: SessionFacts = emptyFacts();
  private readonly idle: IdleTerms = {
    tcpState: 0,
    stateSinceSeconds: 0,
    lastForwardSeconds: 0,
    lastReverseSeconds: 0,
  };

  constructor(private readonly parts: EngineParts) {}

  /** Sessions are another gateway's, adopted: none ends by its timer, and no port rests here. */
  get isReplica(): boolean {
    return this.replica;
  }

  standBy(): void {
    this.replica = true;
  }

  /** From now on this gateway decides. O(1): what is due by the old times is looked at when its timer comes. */
  takeOver(nowSeconds: number): void {
    this.replica = false;
    this.decidesSinceSeconds = nowSeconds;
  }

  isLive(row: number, generation: number): boolean {
    return this.parts.sessions.isLive(row, generation);
  }

  /** A TCP state began, or its timer began again. */
  onSessionState(row: number, generation: number, nowSeconds: number): void {
    if (!this.isLive(row, generation)) return;
    this.parts.changed?.mark(row);
    const deadline = this.deadlineOf(row);
    if (deadline < this.parts.wheel.deadlineOf(row)) this.parts.wheel.arm(row, deadline, nowSeconds);
  }

  /** The row's last hits are up to date: the session ends, or its timer runs on. */
  onQueried(row: number, generation: number, nowSeconds: number): void {
    const { parts } = this;
    const { sessions, wheel } = parts;
    if (!sessions.isLive(row, generation)) return;
    if (parts.strangers.areThere === true && !this.replica) {
      this.judgeStranger(row);
      if (!sessions.isLive(row, generation)) return;
    }
    if (wheel.isArmed(row)) return;
    const deadline = this.deadlineOf(row);
    // It was asked after before this gateway stood by: the next take-over finds its timer.
    if (deadline <= nowSeconds && !this.replica) return this.end(row);
    wheel.arm(row, deadline, nowSeconds);
    parts.changed?.mark(row);
  }

  /** The rules of a session are gone, as somebody asked for or since it was idle: its endpoints are given back and rest. */
  onRemoved(row: number, generation: number, nowSeconds: number): void {
    const { parts, ended } = this;
    const { sessions, strangers, hosts } = parts;
    if (sessions.isLive(row, generation)) this.unlink(row);
    else if (!sessions.isRemoving(row, generation)) return;
    const until = this.replica ? NO_REST : nowSeconds + parts.config.nat.portReuseDelaySeconds;
    sessions.read(row, ended);
    parts.filter.forget(ended);
    const { sourceMapping, destinationMapping, vpc, sessionClass } = ended;
    if (destinationMapping >= 0 && isFromStranger(ended)) strangers.remove(destinationMapping, row);
    parts.sources.release(ended, until);
    if (strangers.areThere === true) {
      this.askStrangers(sourceMapping);
      this.askStrangers(destinationMapping);
    }
    if (parts.logsSessions === true) parts.log.session(false, ended, nowSeconds);
    hosts.leave(ended.host);
    parts.sessionsOfVpc[vpc]--;
    parts.tally.ended(vpc, sessionClass);
    sessions.release(row);
  }

  /** The lcore could not take the session (its table is full) and knows nothing of it; the packet is already dropped. */
  onRefused(row: number, generation: number, nowSeconds: number): void {
    if (this.isLive(row, generation)) this.onRemoved(row, generation, nowSeconds);
  }

  /** @returns Second of the next session timer, Infinity when there is none. */
  nextSessionTimer(): number {
    return this.replica ? Number.POSITIVE_INFINITY : this.parts.wheel.nextDue();
  }

  /** @returns About how many session timers are due in a second. */
  sessionTimersOf(second: number): number {
    return this.parts.wheel.armedFor(second);
  }

  /** Whether the lcore has been asked after a live session, and has yet to answer. */
  isAsked(row: number): boolean {
    return !this.parts.wheel.isArmed(row);
  }

  /** Has sessions that are due removed or queried, at most `most` of them. @returns How many. */
  runSessionTimers(nowSeconds: number, most: number): number {
    const { wheel, sink } = this.parts;
    let count = 0;
    if (this.replica) return 0;
    while (count < most) {
      const row = wheel.takeDue(nowSeconds);
      if (row < 0) break;
      if (count === 0) sink.hold?.();
      this.expire(row, nowSeconds);
      count++;
    }
    if (count > 0) sink.show?.();
    return count;
  }

  /**
   * Seconds at which a live session ends unless it is refreshed. After a take-over an idle time may have begun anew just
   * before the other gateway died; a transitory one is known exactly.
   */
  deadlineOf(row: number): number {
    const { sessions, rows, config } = this.parts;
    const { timeouts } = config.nat;
    const protocol = sessions.protocol(row);
    return sessionDeadline(rows, row, protocol, this.outboundIsForward(row), timeouts, this.decidesSinceSeconds);
  }

  /**
   * A timer is due. What is idle by what is known here ends, unless the lcore knows of a later packet.
   *
   * The lcore writes the row meanwhile: its state is read once, before what it is judged by, and the lcore compares it.
   */
  private expire(row: number, nowSeconds: number): void {
    const { idle } = this;
    const { sessions, rows, sink, config, strangers } = this.parts;
    const generation = sessions.generation(row);
    const protocol = sessions.protocol(row);
    const tcpState = rows.byte(row, TCP_STATE);
    const stateSince = rows.word(row, STATE_SINCE);
    const by = refreshedBy(protocol, tcpState, this.outboundIsForward(row));
    const latest = nowSeconds - idleSeconds(config.nat.timeouts, protocol, tcpState);
    // Whether a stranger's session ends is for those to say that it shares its mapping with.
    const mayBeStranger = strangers.areThere === true && sessions.sessionClass(row) === FROM_OUTSIDE;
    if (mayBeStranger || idleSince(rows, row, by, this.decidesSinceSeconds) > latest)
      return sink.query(row, generation);
    idle.tcpState = tcpState;
    idle.stateSinceSeconds = stateSince;
    idle.lastForwardSeconds = (by & FORWARD_PACKETS) !== 0 ? latest : ANY_SECOND;
    idle.lastReverseSeconds = (by & REVERSE_PACKETS) !== 0 ? latest : ANY_SECOND;
    sink.expire(row, generation, idle);
  }

  /** Outbound is the initiator's direction everywhere but for what came from the outside. */
  private outboundIsForward(row: number): boolean {
    const { sessions } = this.parts;
    return sessions.sessionClass(row) !== FROM_OUTSIDE || sessions.insideInitiated(row);
  }

  /** Its rules are removed from now on; see onRemoved(). */
  end(row: number): void {
    this.unlink(row);
    this.parts.sink.remove(row, this.parts.sessions.generation(row));
  }

  private unlink(row: number): void {
    const { wheel, sessions, changed } = this.parts;
    wheel.disarm(row);
    sessions.unlink(row);
    changed?.mark(row);
  }

  /** A session less uses a mapping: are all that are left strangers? */
  askStrangers(mapping: number): void {
    if (mapping < 0) return;
    for (const row of this.parts.strangers.askIfAlone(mapping, this.parts.mappings.sessions(mapping))) {
      if (this.parts.sessions.life(row) === SessionLife.live)
        this.parts.sink.query(row, this.parts.sessions.generation(row));
    }
  }

  private judgeStranger(row: number): void {
    if (this.parts.sessions.sessionClass(row) !== SessionClass.externalToVpc) return;
    const mapping = this.parts.sessions.destinationMapping(row);
    if (mapping < 0) return;
    const isAnswered = this.parts.rows.word(row, SessionRow.lastReverseSeconds) > 0;
    const sessions = this.parts.mappings.sessions(mapping);
    for (const alone of this.parts.strangers.told(mapping, row, isAnswered, sessions)) {
      if (this.parts.sessions.life(alone) === SessionLife.live) this.end(alone);
    }
  }
}
