import type { NatTimeouts } from '../config/types.js';
import { SessionRow, TCP_TIMER, TcpState } from '../native/records.js';
import { Protocol } from './packet.js';

// By names of their own where every session's end passes: a member of an imported table is looked up anew each time.
const ROW_BYTES = SessionRow.size;
const LAST_FORWARD = SessionRow.lastForwardSeconds;
const LAST_REVERSE = SessionRow.lastReverseSeconds;
const CREATED = SessionRow.createdSeconds;
const { tcp: TCP, udp: UDP, icmp: ICMP } = Protocol;

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

const TRANSITORY = 1;
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

/**
 * When a session ends if nothing refreshes it any more, in whole seconds of the gateway clock.
 *
 * UDP, ICMP and other protocols: only outbound packets refresh (RFC 4787 REQ-6). TCP: any packet of an established
 * session does; a transitory state runs from its beginning (RFC 7857 section 2).
 *
 * @param outboundIsForward Whether the initiator's direction is the outbound one.
 */
export function sessionDeadline(
  rows: NativeRows,
  row: number,
  protocol: number,
  outboundIsForward: boolean,
  timeouts: NatTimeouts,
): number {
  const forward = rows.word(row, LAST_FORWARD);
  const reverse = rows.word(row, LAST_REVERSE);
  const created = rows.word(row, CREATED);
  if (protocol === TCP) {
    const state = rows.byte(row, SessionRow.tcpState);
    if (TCP_TIMER[state] === TRANSITORY || state === TcpState.none) {
      return rows.word(row, SessionRow.stateSinceSeconds) + timeouts.tcpTransitorySeconds;
    }
    return Math.max(forward, reverse, created) + timeouts.tcpEstablishedSeconds;
  }
  return Math.max(outboundIsForward ? forward : reverse, created) + idleSeconds(timeouts, protocol, 0);
}
