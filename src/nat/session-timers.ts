import type { NatTimeouts } from '../config/types.js';
import { SessionRow, TCP_TIMER } from '../native/records.js';
import { Protocol } from './packet.js';

// By names of their own where every session's end passes: a member of an imported table is looked up anew each time.
const ROW_BYTES = SessionRow.size;
const LAST_FORWARD = SessionRow.lastForwardSeconds;
const LAST_REVERSE = SessionRow.lastReverseSeconds;
const CREATED = SessionRow.createdSeconds;
const STATE_SINCE = SessionRow.stateSinceSeconds;
const TCP_STATE = SessionRow.tcpState;
const { tcp: TCP, udp: UDP, icmp: ICMP } = Protocol;
const { max } = Math;

/** The lcore's session rows, read only. */
export class NativeRows {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;

  constructor(memory: ArrayBuffer) {
    this.words = new Uint32Array(memory);
    this.bytes = new Uint8Array(memory);
  }

  word(row: number, offset: number): number {
    return this.words[(row * ROW_BYTES + offset) >>> 2];
  }

  byte(row: number, offset: number): number {
    return this.bytes[row * ROW_BYTES + offset];
  }
}

/** Value of TCP_TIMER of a state that packets refresh. */
const ESTABLISHED = 2;

/** Idle time that governs a session, seconds. */
export function idleSeconds(timeouts: NatTimeouts, protocol: number, tcpState: number): number {
  switch (protocol) {
    case TCP:
      return TCP_TIMER[tcpState] === ESTABLISHED ? timeouts.tcpEstablishedSeconds : timeouts.tcpTransitorySeconds;
    case UDP:
      return timeouts.udpSeconds;
    case ICMP:
      return timeouts.icmpSeconds;
    default:
      return timeouts.otherSeconds;
  }
}

/** Of a last hit: whenever it was. As it stands in an i32. */
export const ANY_SECOND = -1;

/** Which directions' packets refresh a session, in bits; NOTHING: it ends some time after its state began. */
export const NOTHING = 0;
export const FORWARD_PACKETS = 1;
export const REVERSE_PACKETS = 2;

/**
 * UDP, ICMP and other protocols: only outbound packets refresh (RFC 4787 REQ-6). TCP: any packet of an established
 * session does; a transitory state runs from its beginning (RFC 7857 section 2).
 *
 * @param outboundIsForward Whether the initiator's direction is the outbound one.
 */
export function refreshedBy(protocol: number, tcpState: number, outboundIsForward: boolean): number {
  if (protocol !== TCP) return outboundIsForward ? FORWARD_PACKETS : REVERSE_PACKETS;
  return TCP_TIMER[tcpState] === ESTABLISHED ? FORWARD_PACKETS | REVERSE_PACKETS : NOTHING;
}

/**
 * @param by        refreshedBy().
 * @param notBefore Second: what is refreshed by packets counts as refreshed then.
 * @returns Second of the gateway clock from which on a session's idle time runs.
 */
export function idleSince(rows: NativeRows, row: number, by: number, notBefore: number): number {
  if (by === NOTHING) return rows.word(row, STATE_SINCE);
  let since = max(rows.word(row, CREATED), notBefore);
  if ((by & FORWARD_PACKETS) !== 0) since = max(since, rows.word(row, LAST_FORWARD));
  if ((by & REVERSE_PACKETS) !== 0) since = max(since, rows.word(row, LAST_REVERSE));
  return since;
}

/**
 * When a session ends if nothing refreshes it any more, in whole seconds of the gateway clock.
 *
 * @param outboundIsForward Whether the initiator's direction is the outbound one.
 * @param notBefore         Second: what is refreshed by packets counts as refreshed then.
 */
export function sessionDeadline(
  rows: NativeRows,
  row: number,
  protocol: number,
  outboundIsForward: boolean,
  timeouts: NatTimeouts,
  notBefore = 0,
): number {
  const state = rows.byte(row, TCP_STATE);
  const by = refreshedBy(protocol, state, outboundIsForward);
  return idleSince(rows, row, by, notBefore) + idleSeconds(timeouts, protocol, state);
}
