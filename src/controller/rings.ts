import { writeMac } from '../config/address.js';
import type { ValidatedConfig } from '../config/types.js';
import { writeArguments } from '../nat/arguments.js';
import type { Egress } from '../nat/egress.js';
import type { DecidedSession, DecisionSink, SessionTimes } from '../nat/sink.js';
import {
  Decision as D,
  DECISION_FLAG_ADOPTED,
  DECISION_FLAG_FLOW,
  DecisionType,
  type DropReason,
  EVENT_SLOT_BYTES,
  NO_HOLD,
  NO_TEMPLATE,
  RING_HEADER_BYTES,
  RING_SLOT_BYTES,
  SESSION_FLAG_TCP,
} from '../native/records.js';

const PRODUCER = 0;
const CONSUMER = 64 / 4;

/** Consumer side of the event ring: the lcore writes, JavaScript reads. Single producer, single consumer. */
export class EventRing {
  readonly view: DataView;
  private readonly indexes: Int32Array;
  private readonly mask: number;

  constructor(memory: ArrayBuffer) {
    this.view = new DataView(memory);
    this.indexes = new Int32Array(memory, 0, RING_HEADER_BYTES / 4);
    this.mask = (memory.byteLength - RING_HEADER_BYTES) / EVENT_SLOT_BYTES - 1;
  }

  /** @returns Events that wait. */
  available(): number {
    return (Atomics.load(this.indexes, PRODUCER) - this.indexes[CONSUMER]) >>> 0;
  }

  /** Offset of the next event in `view`; valid until release(). Only while available() > 0. */
  peek(): number {
    return RING_HEADER_BYTES + (this.indexes[CONSUMER] & this.mask) * EVENT_SLOT_BYTES;
  }

  release(): void {
    Atomics.store(this.indexes, CONSUMER, (this.indexes[CONSUMER] + 1) | 0);
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
  private readonly bytes: Uint8Array;
  private readonly indexes: Int32Array;
  private readonly mask: number;

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
    this.bytes = new Uint8Array(memory);
    this.indexes = new Int32Array(memory, 0, RING_HEADER_BYTES / 4);
    this.mask = (memory.byteLength - RING_HEADER_BYTES) / RING_SLOT_BYTES - 1;
  }

  /** @returns Decisions that fit before the lcore must drain. */
  free(): number {
    return this.mask + 1 - this.pending();
  }

  /** @returns Decisions that the lcore has not taken yet. */
  pending(): number {
    return (this.indexes[PRODUCER] - Atomics.load(this.indexes, CONSUMER)) >>> 0;
  }

  drop(hold: number, reason: DropReason): void {
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

  session(hold: number, session: DecidedSession): void {
    const { facts } = session;
    const templates = this.templatesOf(session, true);
    const at = this.begin(DecisionType.session, hold);
    this.writeSession(at, session, templates);
    let flags = facts.protocol === 6 ? SESSION_FLAG_TCP : 0;
    if (session.adopted !== null) {
      flags |= DECISION_FLAG_ADOPTED;
      this.writeTimes(at, session.adopted);
    }
    this.view.setUint8(at + D.flags, flags);
    this.view.setUint8(at + D.tcpState, session.tcpState);
    this.view.setUint32(at + D.offloadAfterPackets, templates.offloadAfterPackets, true);
    this.commit();
  }

  /** Installs the NIC's rules of a session that runs in software. */
  offload(session: DecidedSession, templates: SessionTemplates): void {
    const at = this.begin(DecisionType.offload, NO_HOLD);
    this.writeSession(at, session, templates);
    this.commit();
  }

  update(session: DecidedSession): void {
    const templates = this.templatesOf(session, false);
    const at = this.begin(DecisionType.update, NO_HOLD);
    this.writeSession(at, session, templates);
    this.commit();
  }

  restate(row: number, generation: number, tcpState: number, times: SessionTimes): void {
    const at = this.begin(DecisionType.restate, NO_HOLD);
    this.view.setUint32(at + D.row, row, true);
    this.view.setUint32(at + D.generation, generation, true);
    this.view.setUint8(at + D.tcpState, tcpState);
    this.writeTimes(at, times);
    this.commit();
  }

  remove(row: number, generation: number): void {
    this.sessionOnly(DecisionType.remove, row, generation, 0);
  }

  query(row: number, generation: number): void {
    this.sessionOnly(DecisionType.query, row, generation, 0);
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

  private sessionOnly(type: DecisionType, row: number, generation: number, token: number): void {
    const at = this.begin(type, NO_HOLD);
    this.view.setUint32(at + D.row, row, true);
    this.view.setUint32(at + D.generation, generation, true);
    this.view.setUint32(at + D.token, token, true);
    this.commit();
  }

  private writeSession(at: number, session: DecidedSession, templates: SessionTemplates): void {
    const { view, config } = this;
    const { facts } = session;
    view.setUint8(at + D.protocol, facts.protocol);
    view.setUint8(at + D.sessionClass, facts.sessionClass);
    view.setUint32(at + D.row, session.row, true);
    view.setUint32(at + D.generation, session.generation, true);
    view.setUint16(at + D.softwareForwardTemplate, templates.softwareForward, true);
    view.setUint16(at + D.softwareReverseTemplate, templates.softwareReverse, true);
    view.setUint16(at + D.nicForwardTemplate, templates.nicForward, true);
    view.setUint16(at + D.nicReverseTemplate, templates.nicReverse, true);
    // Each direction arrives where the other one leaves.
    view.setUint8(at + D.forwardPort, session.reverseEgress.port);
    view.setUint8(at + D.reversePort, session.forwardEgress.port);
    writeArguments(view, at + D.forwardArguments, facts, false, session.forwardEgress, session.ageSeconds, config);
    writeArguments(view, at + D.reverseArguments, facts, true, session.reverseEgress, session.ageSeconds, config);
  }

  private writeEgress(at: number, egress: Egress): void {
    this.view.setUint8(at + D.egressPort, egress.port);
    this.view.setUint32(at + D.egressAddress, egress.vtep, true);
    this.view.setUint32(at + D.egressVni, egress.vni, true);
    writeMac(this.view, at + D.egressMac, egress.mac);
    writeMac(this.view, at + D.egressInnerMac, egress.innerMac);
  }

  /** The caller has made sure of free(). */
  private begin(type: DecisionType, hold: number): number {
    const at = RING_HEADER_BYTES + (this.indexes[PRODUCER] & this.mask) * RING_SLOT_BYTES;
    this.bytes.fill(0, at, at + D.forwardArguments);
    this.view.setUint8(at + D.type, type);
    this.view.setUint32(at + D.hold, hold, true);
    this.view.setUint16(at + D.nicForwardTemplate, NO_TEMPLATE, true);
    this.view.setUint16(at + D.nicReverseTemplate, NO_TEMPLATE, true);
    return at;
  }

  private commit(): void {
    Atomics.store(this.indexes, PRODUCER, (this.indexes[PRODUCER] + 1) | 0);
  }
}
