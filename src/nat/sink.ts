import type { DropReason } from '../native/records.js';
import { type Egress, emptyEgress } from './egress.js';
import { emptyFacts, type SessionFacts } from './session-table.js';

/** A decided session, ready to be installed. Valid during the call. */
export interface DecidedSession {
  row: number;
  generation: number;
  facts: SessionFacts;
  /** Where the initiator's packets leave; replies come from there. */
  forwardEgress: Egress;
  /** Where replies leave; the initiator's packets come from there. */
  reverseEgress: Egress;
  forwardShape: number;
  reverseShape: number;
  /** Idle time of the session in its present state, seconds. */
  ageSeconds: number;
  /** TcpState before the held packet. */
  tcpState: number;
  /** How the session stands, when it has lived elsewhere; null: it begins now. */
  adopted: SessionTimes | null;
}

/** Times of a session, whole seconds of the gateway clock; see SessionRow. */
export interface SessionTimes {
  createdSeconds: number;
  lastForwardSeconds: number;
  /** 0: no answer yet. */
  lastReverseSeconds: number;
  stateSinceSeconds: number;
}

/** When a session counts as idle: nothing has become of its connection since, and no packet came later. */
export interface IdleTerms {
  /** TcpState that it is in. */
  tcpState: number;
  /** Since when, and until when a direction may have been hit (ANY_SECOND: whenever); whole seconds of the gateway clock. */
  stateSinceSeconds: number;
  lastForwardSeconds: number;
  lastReverseSeconds: number;
}

/** One that can be filled again and again. */
export function emptyDecision(facts = emptyFacts(), forward = emptyEgress(), reverse = emptyEgress()): DecidedSession {
  return {
    row: 0,
    generation: 0,
    facts,
    forwardEgress: forward,
    reverseEgress: reverse,
    forwardShape: 0,
    reverseShape: 0,
    ageSeconds: 0,
    tcpState: 0,
    adopted: null,
  };
}

/** What the NAT engine says; the controller carries it out. Nothing is answered: effects come back as events. */
export interface DecisionSink {
  /** What follows, until show(), is to be carried out together. */
  hold?(): void;
  show?(): void;
  drop(hold: number, reason: DropReason): void;
  /** Drops a packet that waited long, with all of its flow that wait behind it. */
  dropAll(hold: number, reason: DropReason): void;
  /** The packet is looked up once more: what it needs is on its way. */
  retry(hold: number): void;
  /** The same of one that a new configuration may have made another shard's: it may be missed again, as if it had just come. */
  retryAnew(hold: number): void;
  /** Installs a session and sends the held packet through it. */
  session(hold: number, session: DecidedSession): void;
  /** The session's way has changed: its rules are made anew, its counters and state go on. */
  update(session: DecidedSession): void;
  /** State and times of a session are those of the gateway that this one mirrors. */
  restate(row: number, generation: number, tcpState: number, times: SessionTimes): void;
  remove(row: number, generation: number): void;
  /**
   * Brings the row's last hits and counters up to date, and removes the session if it is idle; answered by a `removed`
   * event, or by a `queried` one. `idle` is valid during the call.
   */
  expire(row: number, generation: number, idle: IdleTerms): void;
  /** Brings the row's last hits and counters up to date; answered by a `queried` event. */
  query(row: number, generation: number): void;
  /** Drops the held packet under `reason` and tells its sender. `atSeconds` 0: now. */
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
  ): void;
  echoReply(hold: number, egress: Egress): void;
  arpReply(hold: number, mac: number, egress: Egress): void;
  arpRequest(port: number, address: number): void;
}
