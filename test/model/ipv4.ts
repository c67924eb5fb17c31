import { checksum, fold, pseudoHeaderSum, sum16, updated } from './checksum.js';

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const GRE = 47;

export const Tcp = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, ece: 64, cwr: 128 } as const;
export const Icmp = { echoReply: 0, unreachable: 3, echo: 8, timeExceeded: 11, parameterProblem: 12 } as const;

/** What an IPv4 packet is made of. Addresses are u32 in host order. */
export interface Ipv4 {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly payload: Buffer;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** Bytes, a multiple of 8. */
  readonly fragmentOffset?: number;
  /** A multiple of 4 bytes. */
  readonly options?: Buffer;
}

export function encodeIpv4(ip: Ipv4): Buffer {
  const options = ip.options ?? Buffer.alloc(0);
  const headerLength = 20 + options.length;
  const bytes = Buffer.alloc(headerLength + ip.payload.length);
  bytes[0] = 0x40 | (headerLength / 4);
  bytes[1] = ip.tos ?? 0;
  bytes.writeUInt16BE(bytes.length, 2);
  bytes.writeUInt16BE(ip.id ?? 0, 4);
  const flags = (ip.dontFragment ? 0x4000 : 0) | (ip.moreFragments ? 0x2000 : 0);
  bytes.writeUInt16BE(flags | ((ip.fragmentOffset ?? 0) / 8), 6);
  bytes[8] = ip.ttl ?? 64;
  bytes[9] = ip.protocol;
  bytes.writeUInt32BE(ip.source, 12);
  bytes.writeUInt32BE(ip.destination, 16);
  options.copy(bytes, 20);
  bytes.writeUInt16BE(checksum(bytes, 0, headerLength), 10);
  ip.payload.copy(bytes, headerLength);
  return bytes;
}

/** Read from bytes that the model trusts to be IPv4 (it made them, or checked the length first). */
export class Packet {
  constructor(readonly bytes: Buffer) {}
  get headerLength(): number {
    return (this.bytes[0] & 15) * 4;
  }
  get totalLength(): number {
    return this.bytes.readUInt16BE(2);
  }
  get ttl(): number {
    return this.bytes[8];
  }
  get protocol(): number {
    return this.bytes[9];
  }
  get source(): number {
    return this.bytes.readUInt32BE(12);
  }
  get destination(): number {
    return this.bytes.readUInt32BE(16);
  }
  get id(): number {
    return this.bytes.readUInt16BE(4);
  }
  get dontFragment(): boolean {
    return (this.bytes[6] & 0x40) !== 0;
  }
  get moreFragments(): boolean {
    return (this.bytes[6] & 0x20) !== 0;
  }
  /** Bytes. */
  get fragmentOffset(): number {
    return (this.bytes.readUInt16BE(6) & 0x1fff) * 8;
  }
  get isFragment(): boolean {
    return this.moreFragments || this.fragmentOffset > 0;
  }
  get isEcho(): boolean {
    return this.protocol === ICMP && (this.transport[0] === Icmp.echo || this.transport[0] === Icmp.echoReply);
  }
  get isIcmpError(): boolean {
    return this.protocol === ICMP && [3, 4, 5, 11, 12].includes(this.transport[0]);
  }
  get transport(): Buffer {
    return this.bytes.subarray(this.headerLength);
  }
  /** ICMP echo: the identifier; 0 where there is none. */
  get sourcePort(): number {
    if (this.protocol === TCP || this.protocol === UDP) return this.transport.readUInt16BE(0);
    return this.isEcho ? this.transport.readUInt16BE(4) : 0;
  }
  get destinationPort(): number {
    if (this.protocol === TCP || this.protocol === UDP) return this.transport.readUInt16BE(2);
    return this.isEcho ? this.transport.readUInt16BE(4) : 0;
  }
  get tcpFlags(): number {
    return this.transport[13];
  }
  /** The packet that an ICMP error quotes. */
  get quoted(): Packet {
    return new Packet(this.transport.subarray(8));
  }
}

/** New values of a packet's tuple; what is absent stays. */
export interface Rewrite {
  readonly source?: number;
  readonly destination?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** Offset of the checksum in the transport header; -1: none. */
function transportChecksumOffset(protocol: number): number {
  return protocol === UDP ? 6 : protocol === TCP ? 16 : protocol === ICMP ? 2 : -1;
}

/**
 * The packet as a NAT sends it on: addresses, ports or identifier rewritten, TTL one less, checksums carried along
 * (RFC 1624), so that a checksum that came wrong leaves wrong by as much. Later fragments have addresses alone.
 *
 * @param quoted The packet stands in an ICMP error: cut off anywhere after 8 bytes of transport, TTL kept.
 */
export function rewritten(original: Buffer, change: Rewrite, { ttlLess = 1 } = {}): Buffer {
  const bytes = Buffer.from(original);
  const packet = new Packet(bytes);
  const before = new Packet(original);
  bytes.writeUInt32BE(change.source ?? before.source, 12);
  bytes.writeUInt32BE(change.destination ?? before.destination, 16);
  bytes[8] -= ttlLess;
  bytes.writeUInt16BE(0, 10);
  bytes.writeUInt16BE(checksum(bytes, 0, packet.headerLength), 10);
  if (packet.fragmentOffset > 0) return bytes;
  const { protocol, transport } = packet;
  let covered = 0;
  let coveredBefore = 0;
  if (protocol === TCP || protocol === UDP) {
    if (change.sourcePort !== undefined) transport.writeUInt16BE(change.sourcePort, 0);
    if (change.destinationPort !== undefined) transport.writeUInt16BE(change.destinationPort, 2);
    coveredBefore = fold(sum16(original, 12, 20) + sum16(before.transport, 0, 4));
    covered = fold(sum16(bytes, 12, 20) + sum16(transport, 0, 4));
  } else if (packet.isEcho) {
    const identifier = change.sourcePort ?? change.destinationPort;
    if (identifier !== undefined) transport.writeUInt16BE(identifier, 4);
    coveredBefore = sum16(before.transport, 4, 6);
    covered = sum16(transport, 4, 6);
  }
  const at = transportChecksumOffset(protocol);
  if (at < 0 || transport.length < at + 2) return bytes;
  const old = transport.readUInt16BE(at);
  if (protocol === UDP && old === 0) return bytes;
  const now = covered === coveredBefore ? old : updated(old, coveredBefore, covered);
  transport.writeUInt16BE(protocol === UDP && now === 0 ? 0xffff : now, at);
  return bytes;
}

/** An ICMP error as a NAT sends it on (RFC 5508 section 4.2): outer addresses, and the quoted packet's tuple. */
export function rewrittenError(original: Buffer, outer: Rewrite, embedded: Rewrite): Buffer {
  const bytes = rewritten(original, outer);
  const packet = new Packet(bytes);
  rewritten(packet.quoted.bytes, embedded, { ttlLess: 0 }).copy(bytes, packet.headerLength + 8);
  packet.transport.writeUInt16BE(0, 2);
  packet.transport.writeUInt16BE(checksum(packet.transport), 2);
  return bytes;
}

/** Writes the right transport checksum into a whole packet. */
export function withTransportChecksum(bytes: Buffer): Buffer {
  const packet = new Packet(bytes);
  const { protocol, transport } = packet;
  const at = transportChecksumOffset(protocol);
  if (at < 0) return bytes;
  transport.writeUInt16BE(0, at);
  const value = ~transportSum(packet) & 0xffff;
  transport.writeUInt16BE(protocol === UDP && value === 0 ? 0xffff : value, at);
  return bytes;
}

function transportSum(packet: Packet): number {
  const { protocol, transport, source, destination } = packet;
  const pseudo = protocol === ICMP ? 0 : pseudoHeaderSum(source, destination, protocol, transport.length);
  return fold(pseudo + sum16(transport));
}

/** Whether all checksums of a whole packet are right, a quoted IPv4 header's too. */
export function checksumsAreRight(bytes: Buffer): boolean {
  const packet = new Packet(bytes);
  if (checksum(bytes, 0, packet.headerLength) !== 0) return false;
  if (packet.isFragment) return true;
  const at = transportChecksumOffset(packet.protocol);
  if (at < 0 || (packet.protocol === UDP && packet.transport.readUInt16BE(at) === 0)) return true;
  if (transportSum(packet) !== 0xffff) return false;
  return !packet.isIcmpError || checksum(packet.quoted.bytes, 0, packet.quoted.headerLength) === 0;
}

/** Equal but for the two ways to write zero in a checksum of one's complement (RFC 1624 section 3). */
export function equalPackets(wanted: Buffer, got: Buffer): boolean {
  if (wanted.length !== got.length) return false;
  if (wanted.equals(got)) return true;
  const same = Buffer.from(got);
  const forgive = (at: number) => {
    if (at + 2 > same.length) return;
    const values = [wanted.readUInt16BE(at), got.readUInt16BE(at)];
    if (values.every((value) => value === 0 || value === 0xffff)) wanted.copy(same, at, at, at + 2);
  };
  const packet = new Packet(wanted);
  forgive(10);
  const at = transportChecksumOffset(packet.protocol);
  // A UDP checksum of zero means none: there the two ways differ.
  if (at >= 0 && packet.protocol !== UDP && packet.fragmentOffset === 0) forgive(packet.headerLength + at);
  if (packet.isIcmpError && packet.transport.length >= 28) {
    const from = packet.headerLength + 8;
    forgive(from + 10);
    if (packet.quoted.protocol !== UDP) {
      forgive(from + packet.quoted.headerLength + transportChecksumOffset(packet.quoted.protocol));
    }
  }
  return wanted.equals(same);
}
