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

/** @param at Offset of the MissEvent in the event ring. */
export function readMiss(view: DataView, at: number, into: MissedPacket): void {
  into.kind = view.getUint8(at + MissEvent.kind);
  into.port = view.getUint8(at + MissEvent.port);
  into.protocol = view.getUint8(at + MissEvent.protocol);
  into.hold = view.getUint32(at + MissEvent.hold, true);
  into.seconds = view.getUint32(at + MissEvent.seconds, true);
  into.nanoseconds = view.getUint32(at + MissEvent.nanoseconds, true);
  into.vni = view.getUint32(at + MissEvent.vni, true);
  into.outerSource = view.getUint32(at + MissEvent.outerSourceAddress, true);
  into.source = view.getUint32(at + MissEvent.sourceAddress, true);
  into.destination = view.getUint32(at + MissEvent.destinationAddress, true);
  into.sourcePort = view.getUint16(at + MissEvent.sourcePort, true);
  into.destinationPort = view.getUint16(at + MissEvent.destinationPort, true);
  into.tcpFlags = view.getUint8(at + MissEvent.tcpFlags);
  into.ttl = view.getUint8(at + MissEvent.ttl);
  into.icmpType = view.getUint8(at + MissEvent.icmpType);
  into.flags = view.getUint16(at + MissEvent.flags, true);
  into.mtu = view.getUint16(at + MissEvent.mtu, true);
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
