import { MissEvent } from '../native/records.js';

/** The facts of a miss, read once from its record. One object is used again for every miss. */
export interface MissedPacket {
  port: number;
  kind: number;
  protocol: number;
  /** Where the packet waits: 32 bits, signed, which V8 keeps without an object. */
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

// Of a MissEvent: bits to the right of a field in its word, and words. Here rather than where they are used: a field of an
// imported table is loaded, and divided, for each packet.
const KIND = MissEvent.kind * 8;
const PORT = MissEvent.port * 8;
const PROTOCOL = MissEvent.protocol * 8;
const HOLD = MissEvent.hold / 4;
const SECONDS = MissEvent.seconds / 4;
const NANOSECONDS = MissEvent.nanoseconds / 4;
const VNI = MissEvent.vni / 4;
const OUTER_SOURCE = MissEvent.outerSourceAddress / 4;
const SOURCE = MissEvent.sourceAddress / 4;
const DESTINATION = MissEvent.destinationAddress / 4;
const PORTS = MissEvent.sourcePort / 4;
const HEADER = MissEvent.tcpFlags / 4;
const FLAGS = MissEvent.totalLength / 4;
const MTU = MissEvent.mtu / 4;

/**
 * @param words Of the event ring, little-endian.
 * @param at    Byte offset of the MissEvent, a multiple of 4.
 */
export function readMiss(words: Int32Array, at: number, into: MissedPacket): void {
  const word = at >>> 2;
  const head = words[word];
  into.kind = (head >>> KIND) & 0xff;
  into.port = (head >>> PORT) & 0xff;
  into.protocol = head >>> PROTOCOL;
  into.hold = words[word + HOLD];
  into.seconds = words[word + SECONDS] >>> 0;
  into.nanoseconds = words[word + NANOSECONDS];
  into.vni = words[word + VNI] >>> 0;
  into.outerSource = words[word + OUTER_SOURCE] >>> 0;
  into.source = words[word + SOURCE] >>> 0;
  into.destination = words[word + DESTINATION] >>> 0;
  const ports = words[word + PORTS];
  into.sourcePort = ports & 0xffff;
  into.destinationPort = ports >>> 16;
  const header = words[word + HEADER];
  into.tcpFlags = header & 0xff;
  into.ttl = (header >>> 8) & 0xff;
  into.icmpType = (header >>> 16) & 0xff;
  into.flags = words[word + FLAGS] >>> 16;
  into.mtu = words[word + MTU] & 0xffff;
}

/** Milliseconds of the gateway clock at which the packet was received. */
export function millisecondsOf(packet: MissedPacket): number {
  return packet.seconds * 1000 + packet.nanoseconds / 1e6;
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
