import { MissEvent } from '../native/records.js';

/** The facts of a miss, read once from its record. One object is used again for every miss. */
export interface MissedPacket {
  port: number;
  kind: number;
  protocol: number;
  hold: number;
  seconds: number;
  nanoseconds: number;
  vni: number;
  outerSource: number;
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
  tcpFlags: number;
  ttl: number;
  icmpType: number;
  flags: number;
  mtu: number;
}

export function emptyPacket(): MissedPacket {
  return {
    port: 0,
    kind: 0,
    protocol: 0,
    hold: 0,
    seconds: 0,
    nanoseconds: 0,
    vni: 0,
    outerSource: 0,
    source: 0,
    destination: 0,
    sourcePort: 0,
    destinationPort: 0,
    tcpFlags: 0,
    ttl: 0,
    icmpType: 0,
    flags: 0,
    mtu: 0,
  };
}

/**
 * @param words Of the event ring, little-endian.
 * @param at    Byte offset of the MissEvent, a multiple of 4.
 */
export function readMiss(words: Int32Array, at: number, into: MissedPacket): void {
  const word = at >>> 2;
  const head = words[word];
  into.kind = (head >>> (MissEvent.kind * 8)) & 0xff;
  into.port = (head >>> (MissEvent.port * 8)) & 0xff;
  into.protocol = head >>> (MissEvent.protocol * 8);
  into.hold = words[word + MissEvent.hold / 4] >>> 0;
  into.seconds = words[word + MissEvent.seconds / 4] >>> 0;
  into.nanoseconds = words[word + MissEvent.nanoseconds / 4];
  into.vni = words[word + MissEvent.vni / 4] >>> 0;
  into.outerSource = words[word + MissEvent.outerSourceAddress / 4] >>> 0;
  into.source = words[word + MissEvent.sourceAddress / 4] >>> 0;
  into.destination = words[word + MissEvent.destinationAddress / 4] >>> 0;
  const ports = words[word + MissEvent.sourcePort / 4];
  into.sourcePort = ports & 0xffff;
  into.destinationPort = ports >>> 16;
  const header = words[word + MissEvent.tcpFlags / 4];
  into.tcpFlags = header & 0xff;
  into.ttl = (header >>> 8) & 0xff;
  into.icmpType = (header >>> 16) & 0xff;
  into.flags = words[word + MissEvent.totalLength / 4] >>> 16;
  into.mtu = words[word + MissEvent.mtu / 4] & 0xffff;
}

/** IANA protocol numbers. */
export const Protocol = { icmp: 1, tcp: 6, udp: 17 } as const;

const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;

/** A connection's first segment: SYN without ACK, FIN and RST; ECE and CWR are allowed (RFC 3168 section 6.1.1). */
export function isBareSyn(tcpFlags: number): boolean {
  return (tcpFlags & (SYN | ACK | FIN | RST)) === SYN;
}

/** ICMP types (RFC 792). */
export const IcmpType = { echoReply: 0, unreachable: 3, echoRequest: 8, timeExceeded: 11 } as const;
