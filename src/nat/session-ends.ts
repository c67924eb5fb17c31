import { SessionClass, SessionRow, TCP_TIMER } from '../native/records.js';
import type { EngineParts } from './engine-parts.js';
import { Protocol } from './packet.js';
import { NO_REST } from './port-set.js';
import { emptyFacts, type SessionFacts, SessionLife } from './session-table.js';
import { idleSeconds, sessionDeadline } from './session-timers.js';
import { isFromStranger } from './strangers.js';

/** By its own name: a member of an imported table is looked up anew each time. */
const FROM_OUTSIDE = SessionClass.externalToVpc;
/** Value of TCP_TIMER of a state that packets refresh. */
const ESTABLISHED_TIMER = 2;

/**
 * When sessions end, and what is given back then. A session lives until its timer finds it idle, or somebody asks for its
 * end; then its rules are removed (`removing`), and only once they are gone its row and endpoints are free.
 */
export class SessionEnds {
  private replica = false;
  /** Since when this gateway decides: what refreshed adopted sessions shortly before is not known. */
  private decidesSinceSeconds = 0;
  private readonly ended: SessionFacts = emptyFacts();

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
    if (this.replica || !sessions.isLive(row, generation)) return;
    if (parts.strangers.areThere === true) {
      this.judgeStranger(row);
      if (!sessions.isLive(row, generation)) return;
    }
    if (wheel.isArmed(row)) return;
    const deadline = this.deadlineOf(row);
    if (deadline <= nowSeconds) return this.end(row);
    wheel.arm(row, deadline, nowSeconds);
    parts.changed?.mark(row);
  }

  /** The rules of a session are gone: its endpoints are given back and rest. */
  onRemoved(row: number, generation: number, nowSeconds: number): void {
    const { parts, ended } = this;
    const { sessions, strangers, hosts } = parts;
    if (!sessions.isRemoving(row, generation)) return;
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
    if (!this.isLive(row, generation)) return;
    this.parts.wheel.disarm(row);
    this.parts.sessions.unlink(row);
    this.parts.changed?.mark(row);
    this.onRemoved(row, generation, nowSeconds);
  }

  /** @returns Second of the next session timer, Infinity when there is none. */
  nextSessionTimer(): number {
    return this.replica ? Number.POSITIVE_INFINITY : this.parts.wheel.nextDue();
  }

  /** Queries sessions that are due, at most `most` of them. @returns How many. */
  runSessionTimers(nowSeconds: number, most: number): number {
    const { wheel, sink, sessions } = this.parts;
    let count = 0;
    if (this.replica) return 0;
    while (count < most) {
      const row = wheel.takeDue(nowSeconds);
      if (row < 0) break;
      if (count === 0) sink.hold?.();
      sink.query(row, sessions.generation(row));
      count++;
    }
    if (count > 0) sink.show?.();
    return count;
  }

  /** Seconds at which a live session ends unless it is refreshed. */
  deadlineOf(row: number): number {
    const { sessions, rows, config } = this.parts;
    // Outbound is the initiator's direction everywhere but for what came from the outside.
    const outboundIsForward = sessions.sessionClass(row) !== FROM_OUTSIDE || sessions.insideInitiated(row);
    const deadline = sessionDeadline(rows, row, sessions.protocol(row), outboundIsForward, config.nat.timeouts);
    return this.decidesSinceSeconds === 0 ? deadline : this.deadlineSinceTakeOver(row, deadline);
  }

  /** An idle time may have begun anew just before the other gateway died; a transitory one is known exactly. */
  private deadlineSinceTakeOver(row: number, deadline: number): number {
    const protocol = this.parts.sessions.protocol(row);
    const tcpState = this.parts.rows.byte(row, SessionRow.tcpState);
    if (protocol === Protocol.tcp && TCP_TIMER[tcpState] !== ESTABLISHED_TIMER) return deadline;
    return Math.max(
      deadline,
      this.decidesSinceSeconds + idleSeconds(this.parts.config.nat.timeouts, protocol, tcpState),
    );
  }

  /** Its rules are removed from now on; see onRemoved(). */
  end(row: number): void {
    const { wheel, sessions, sink, changed } = this.parts;
    wheel.disarm(row);
    sessions.unlink(row);
    changed?.mark(row);
    sink.remove(row, sessions.generation(row));
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
