import { SessionClass, SessionRow, TCP_TIMER } from '../native/records.js';
import type { EngineParts } from './engine-parts.js';
import { Protocol } from './packet.js';
import { NO_REST } from './port-set.js';
import { emptyFacts, type SessionFacts, SessionLife } from './session-table.js';
import { idleSeconds, sessionDeadline } from './session-timers.js';
import { isFromStranger } from './strangers.js';

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
    const { sessions } = this.parts;
    return sessions.life(row) === SessionLife.live && sessions.generation(row) === generation;
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
    if (this.replica || !this.isLive(row, generation)) return;
    this.judgeStranger(row);
    if (!this.isLive(row, generation) || this.parts.wheel.isArmed(row)) return;
    const deadline = this.deadlineOf(row);
    if (deadline <= nowSeconds) return this.end(row);
    this.parts.wheel.arm(row, deadline, nowSeconds);
    this.parts.changed?.mark(row);
  }

  /** The rules of a session are gone: its endpoints are given back and rest. */
  onRemoved(row: number, generation: number, nowSeconds: number): void {
    if (this.parts.sessions.life(row) !== SessionLife.removing || this.parts.sessions.generation(row) !== generation)
      return;
    const until = this.replica ? NO_REST : nowSeconds + this.parts.config.nat.portReuseDelaySeconds;
    this.parts.sessions.read(row, this.ended);
    this.parts.filter.forget(this.ended);
    const { sourceMapping, destinationMapping } = this.ended;
    if (isFromStranger(this.ended)) this.parts.strangers.remove(destinationMapping, row);
    this.parts.sources.release(this.ended, until);
    this.askStrangers(sourceMapping);
    this.askStrangers(destinationMapping);
    if (this.parts.config.nat.log === 'sessions') this.parts.log.session(false, this.ended, nowSeconds);
    this.parts.hosts.addSessions(this.ended.host, -1);
    this.parts.hosts.release(this.ended.host);
    this.parts.sessionsOfVpc[this.ended.vpc]--;
    this.parts.tally.ended(this.ended.vpc, this.ended.sessionClass);
    this.parts.sessions.release(row);
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
    let count = 0;
    if (this.replica) return 0;
    while (count < most) {
      const row = this.parts.wheel.takeDue(nowSeconds);
      if (row < 0) break;
      this.parts.sink.query(row, this.parts.sessions.generation(row));
      count++;
    }
    return count;
  }

  /** Seconds at which a live session ends unless it is refreshed. */
  deadlineOf(row: number): number {
    const sessionClass = this.parts.sessions.sessionClass(row);
    const insideInitiated = this.parts.sessions.insideInitiated(row);
    // Outbound is the initiator's direction everywhere but for what came from the outside.
    const outboundIsForward = sessionClass !== SessionClass.externalToVpc || insideInitiated;
    const { timeouts } = this.parts.config.nat;
    const deadline = sessionDeadline(
      this.parts.rows,
      row,
      this.parts.sessions.protocol(row),
      outboundIsForward,
      timeouts,
    );
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
    this.parts.wheel.disarm(row);
    this.parts.sessions.unlink(row);
    this.parts.changed?.mark(row);
    this.parts.sink.remove(row, this.parts.sessions.generation(row));
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
