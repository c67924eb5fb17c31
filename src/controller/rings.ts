import { writeMac } from '../config/address.js';
import type { ValidatedConfig } from '../config/types.js';
import { writeArguments } from '../nat/arguments.js';
import type { Egress } from '../nat/egress.js';
import type { DecidedSession, DecisionSink, IdleTerms, SessionTimes } from '../nat/sink.js';
import { LAST_PLACE } from '../nat/table-memory.js';
import {
  Decision as D,
  DECISION_FLAG_ADOPTED,
  DECISION_FLAG_ANEW,
  DECISION_FLAG_FLOW,
  DecisionType,
  DropReason,
  EVENT_SLOT_BYTES,
  NO_HOLD,
  RING_HEADER_BYTES,
  RING_SLOT_BYTES,
  SESSION_FLAG_TCP,
} from '../native/records.js';
import type { SessionGate } from './session-gate.js';

const PRODUCER = 0;
const CONSUMER = 64 / 4;
/** Words of a decision that hold several fields: forward's template and reverse's; flags, TCP state, both ports. */
const SOFTWARE_TEMPLATES = D.softwareForwardTemplate / 4;
const NIC_TEMPLATES = D.nicForwardTemplate / 4;
const FLAGS = D.flags / 4;
// By names of their own where every first packet passes: a member of an imported table is looked up anew each time.
const HOLD = D.hold / 4;
const ROW = D.row / 4;
const GENERATION = D.generation / 4;
const OFFLOAD_AFTER_PACKETS = D.offloadAfterPackets / 4;
const PROTOCOL = D.protocol * 8;
const SESSION_CLASS = D.sessionClass * 8;
const FORWARD_ARGUMENTS = D.forwardArguments;
const STATE_SINCE_SECONDS = D.stateSinceSeconds / 4;
const LAST_FORWARD_SECONDS = D.lastForwardSeconds / 4;
const LAST_REVERSE_SECONDS = D.lastReverseSeconds / 4;
const IS_SESSION = DecisionType.session;
const IS_EXPIRE = DecisionType.expire;
const IS_TCP = SESSION_FLAG_TCP;
const HEADER_BYTES = RING_HEADER_BYTES;
const DECISION_BYTES = RING_SLOT_BYTES;
const EVENT_BYTES = EVENT_SLOT_BYTES;
const HEADER_WORDS = RING_HEADER_BYTES / 4;
const EVENT_WORDS = EVENT_SLOT_BYTES / 4;
const PLACE = LAST_PLACE;

/** Consumer side of the event ring: the lcore writes, JavaScript reads. Single producer, single consumer. */
export class EventRing {
  readonly view: DataView;
  readonly words: Int32Array;
  private readonly indexes: Int32Array;
  private readonly mask: number;

  constructor(memory: ArrayBuffer) {
    this.view = new DataView(memory);
    this.words = new Int32Array(memory);
    this.indexes = new Int32Array(memory, 0, RING_HEADER_BYTES / 4);
    this.mask = (memory.byteLength - RING_HEADER_BYTES) / EVENT_SLOT_BYTES - 1;
  }

  get slots(): number {
    return this.mask + 1;
  }

  /** @returns Events that wait. */
  available(): number {
    return (Atomics.load(this.indexes, PRODUCER) - this.indexes[CONSUMER]) >>> 0;
  }

  /** Byte offset of one of the events that wait, 0: the next; valid until release(). */
  at(index: number): number {
    return HEADER_BYTES + ((this.indexes[CONSUMER] + index) & this.mask) * EVENT_BYTES;
  }

  /** Asks for the first `count` events that wait, a cache line each that another core wrote. @returns Something of them, which the caller must use. */
  touch(count: number): number {
    const { words, mask } = this;
    const first = this.indexes[CONSUMER];
    let touched = 0;
    for (let i = 0; i < count; i++) touched ^= words[(HEADER_WORDS + ((first + i) & mask) * EVENT_WORDS) & PLACE];
    return touched;
  }

  /** The first `count` events that wait have been handled. */
  release(count: number): void {
    Atomics.store(this.indexes, CONSUMER, (this.indexes[CONSUMER] + count) | 0);
  }
}

/** How a session's shapes are installed. */
export interface SessionTemplates {
  softwareForward: number;
  softwareReverse: number;
  nicForward: number;
  nicReverse: number;
  offloadAfterPackets: number;
}

/** Producer side of the decision ring: JavaScript writes, the lcore reads. Single producer, single consumer. */
export class DecisionRing implements DecisionSink {
  private readonly view: DataView;
  private readonly words: Int32Array;
  private readonly indexes: Int32Array;
  private readonly mask: number;
  /** Decisions written so far, those included that the lcore has not been shown. */
  private produced: number;
  private isHeld = false;
  /** DropReason of the last packet that was refused; whoever reads it sets it back to `none`. */
  refused: DropReason = DropReason.none;
  /** Where new sessions wait; null: they do not. */
  gate: SessionGate | null = null;

  /**
   * @param config       Changes only in what reconfigure() may change.
   * @param templatesOf  Says how a session is installed, or made anew.
   * @param sendsArpRequests False in a replay: nobody would answer.
   */
  constructor(
    memory: ArrayBuffer,
    public config: ValidatedConfig,
    private readonly templatesOf: (session: DecidedSession, isNew: boolean) => SessionTemplates,
    private readonly sendsArpRequests: boolean,
  ) {
    this.view = new DataView(memory);
    this.words = new Int32Array(memory);
    this.indexes = new Int32Array(memory, 0, RING_HEADER_BYTES / 4);
    this.mask = (memory.byteLength - RING_HEADER_BYTES) / RING_SLOT_BYTES - 1;
    this.produced = this.indexes[PRODUCER];
  }

  get slots(): number {
    return this.mask + 1;
  }

  /** @returns Decisions that fit before the lcore must drain. */
  free(): number {
    return this.mask + 1 - this.pending();
  }

  /** @returns Decisions that the lcore has not taken yet. */
  pending(): number {
    return (this.produced - Atomics.load(this.indexes, CONSUMER)) >>> 0;
  }

  /** @returns What tells whether the lcore has taken the decisions that there are now. */
  taken(): () => boolean {
    const mark = this.produced;
    return () => this.pending() <= (this.produced - mark) >>> 0;
  }

  /** From now on the lcore is not shown what is decided, until show(): it then carries decisions out side by side. */
  hold(): void {
    this.isHeld = true;
  }

  show(): void {
    this.isHeld = false;
    Atomics.store(this.indexes, PRODUCER, this.produced);
  }

  drop(hold: number, reason: DropReason): void {
    this.refused = reason;
    const at = this.begin(DecisionType.drop, hold);
    this.view.setUint8(at + D.reason, reason);
    this.commit();
  }

  dropAll(hold: number, reason: DropReason): void {
    const at = this.begin(DecisionType.drop, hold);
    this.view.setUint8(at + D.reason, reason);
    this.view.setUint8(at + D.flags, DECISION_FLAG_FLOW);
    this.commit();
  }

  retry(hold: number): void {
    this.begin(DecisionType.retry, hold);
    this.commit();
  }

  retryAnew(hold: number): void {
    const at = this.begin(DecisionType.retry, hold);
    this.view.setUint8(at + D.flags, DECISION_FLAG_ANEW);
    this.commit();
  }

  session(hold: number, session: DecidedSession): void {
    const templates = this.templatesOf(session, true);
    const at = this.writeSession(IS_SESSION, hold, session, templates, session.tcpState);
    const { words, gate } = this;
    words[(at >>> 2) + OFFLOAD_AFTER_PACKETS] = templates.offloadAfterPackets;
    if (session.adopted !== null) {
      words[(at >>> 2) + FLAGS] |= DECISION_FLAG_ADOPTED;
      this.writeTimes(at, session.adopted);
    }
    if (gate?.take(words, at >>> 2)) return;
    // As commit(): of a batch nothing is shown yet.
    if (this.isHeld === true) this.produced = (this.produced + 1) | 0;
    else this.commit();
  }

  /** A decision that was kept back. */
  append(decision: Int32Array): void {
    const at = RING_HEADER_BYTES + (this.produced & this.mask) * RING_SLOT_BYTES;
    this.words.set(decision, at >>> 2);
    this.commit();
  }

  /** Installs the NIC's rules of a session that runs in software. */
  offload(session: DecidedSession, templates: SessionTemplates): void {
    this.writeSession(DecisionType.offload, NO_HOLD, session, templates, 0);
    this.commit();
  }

  update(session: DecidedSession): void {
    this.gate?.settle(session.row);
    const templates = this.templatesOf(session, false);
    this.writeSession(DecisionType.update, NO_HOLD, session, templates, 0);
    this.commit();
  }

  restate(row: number, generation: number, tcpState: number, times: SessionTimes): void {
    this.gate?.settle(row);
    const at = this.begin(DecisionType.restate, NO_HOLD);
    this.view.setUint32(at + D.row, row, true);
    this.view.setUint32(at + D.generation, generation, true);
    this.view.setUint8(at + D.tcpState, tcpState);
    this.writeTimes(at, times);
    this.commit();
  }

  remove(row: number, generation: number): void {
    this.sessionOnly(DecisionType.remove, row, generation);
  }

  expire(row: number, generation: number, idle: IdleTerms): void {
    this.gate?.settle(row);
    const word = this.begin(IS_EXPIRE, NO_HOLD) >>> 2;
    const { words } = this;
    words[word + ROW] = row;
    words[word + GENERATION] = generation;
    words[word + FLAGS] = idle.tcpState << 8;
    words[word + STATE_SINCE_SECONDS] = idle.stateSinceSeconds;
    words[word + LAST_FORWARD_SECONDS] = idle.lastForwardSeconds;
    words[word + LAST_REVERSE_SECONDS] = idle.lastReverseSeconds;
    this.commit();
  }

  query(row: number, generation: number): void {
    this.sessionOnly(DecisionType.query, row, generation);
  }

  /** Counters and last hits of the sessions in so many rows, MOST_REFRESHED at most; nothing answers. */
  refresh(first: number, rows: number): void {
    const word = this.begin(DecisionType.refresh, NO_HOLD) >>> 2;
    this.words[word + D.row / 4] = first;
    this.words[word + D.rows / 4] = rows;
    this.commit();
  }

  icmpError(
    hold: number,
    reason: DropReason,
    icmpType: number,
    icmpCode: number,
    mtu: number,
    sourceAddress: number,
    egress: Egress,
    atSeconds: number,
    atNanoseconds: number,
  ): void {
    this.refused = reason;
    const at = this.begin(DecisionType.icmpError, hold);
    const { view } = this;
    view.setUint8(at + D.reason, reason);
    view.setUint8(at + D.icmpType, icmpType);
    view.setUint8(at + D.icmpCode, icmpCode);
    view.setUint16(at + D.icmpMtu, mtu, true);
    view.setUint32(at + D.sourceAddress, sourceAddress, true);
    // What a timer answers has waited long, and what waits behind it is its repetition.
    if (atSeconds > 0) view.setUint8(at + D.flags, DECISION_FLAG_FLOW);
    view.setUint32(at + D.atSeconds, atSeconds, true);
    view.setUint32(at + D.atNanoseconds, atNanoseconds, true);
    this.writeEgress(at, egress);
    this.commit();
  }

  echoReply(hold: number, egress: Egress): void {
    const at = this.begin(DecisionType.echoReply, hold);
    this.writeEgress(at, egress);
    this.commit();
  }

  arpReply(hold: number, mac: number, egress: Egress): void {
    const at = this.begin(DecisionType.arpReply, hold);
    this.writeEgress(at, egress);
    writeMac(this.view, at + D.answerMac, mac);
    this.commit();
  }

  arpRequest(port: number, address: number): void {
    if (!this.sendsArpRequests) return;
    const at = this.begin(DecisionType.arpRequest, NO_HOLD);
    this.view.setUint8(at + D.egressPort, port);
    this.view.setUint32(at + D.egressAddress, address, true);
    this.view.setUint32(at + D.sourceAddress, this.config.ports[port].address?.address ?? 0, true);
    writeMac(this.view, at + D.answerMac, this.config.ports[port].mac);
    this.commit();
  }

  private writeTimes(at: number, times: SessionTimes): void {
    this.view.setUint32(at + D.createdSeconds, times.createdSeconds, true);
    this.view.setUint32(at + D.lastForwardSeconds, times.lastForwardSeconds, true);
    this.view.setUint32(at + D.lastReverseSeconds, times.lastReverseSeconds, true);
    this.view.setUint32(at + D.stateSinceSeconds, times.stateSinceSeconds, true);
  }

  private sessionOnly(type: DecisionType, row: number, generation: number): void {
    this.gate?.settle(row);
    const word = this.begin(type, NO_HOLD) >>> 2;
    const { words } = this;
    words[word + ROW] = row;
    words[word + GENERATION] = generation;
    this.commit();
  }

  /** @returns Byte offset of the decision, which is not committed. */
  private writeSession(
    type: DecisionType,
    hold: number,
    session: DecidedSession,
    templates: SessionTemplates,
    tcpState: number,
  ): number {
    const { words } = this;
    const { facts, forwardEgress, reverseEgress } = session;
    const { protocol } = facts;
    const at = HEADER_BYTES + (this.produced & this.mask) * DECISION_BYTES;
    const word = at >>> 2;
    words[word] = type | (protocol << PROTOCOL) | (facts.sessionClass << SESSION_CLASS);
    words[word + HOLD] = hold;
    words[word + ROW] = session.row;
    words[word + GENERATION] = session.generation;
    words[word + SOFTWARE_TEMPLATES] = templates.softwareForward | (templates.softwareReverse << 16);
    words[word + NIC_TEMPLATES] = templates.nicForward | (templates.nicReverse << 16);
    // Each direction arrives where the other one leaves.
    words[word + FLAGS] =
      (protocol === 6 ? IS_TCP : 0) | (tcpState << 8) | (reverseEgress.port << 16) | (forwardEgress.port << 24);
    writeArguments(words, at + FORWARD_ARGUMENTS, facts, forwardEgress, reverseEgress, session.ageSeconds);
    return at;
  }

  private writeEgress(at: number, egress: Egress): void {
    this.view.setUint8(at + D.egressPort, egress.port);
    this.view.setUint32(at + D.egressAddress, egress.vtep, true);
    this.view.setUint32(at + D.egressVni, egress.vni, true);
    writeMac(this.view, at + D.egressMac, egress.mac);
    writeMac(this.view, at + D.egressInnerMac, egress.innerMac);
  }

  /** Fields that a type has no use for hold what was there before. The caller has made sure of free(). */
  private begin(type: DecisionType, hold: number): number {
    const at = HEADER_BYTES + (this.produced & this.mask) * DECISION_BYTES;
    const { words } = this;
    const word = at >>> 2;
    words[word] = type;
    words[word + HOLD] = hold;
    words[word + FLAGS] = 0;
    return at;
  }

  private commit(): void {
    this.produced = (this.produced + 1) | 0;
    if (!this.isHeld) Atomics.store(this.indexes, PRODUCER, this.produced);
  }
}
