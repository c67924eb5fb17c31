/**
 * Frames taken apart and put together in the slowest obvious way: the judge's own reading of IEEE 802.3 and 802.1Q, RFC 791,
 * 768, 9293, 792 and 7348. Shares no code with the compiler.
 */

export interface Tag {
  tpid: number;
  tci: number;
}

/** One's complement distance of a checksum from the right one; 0 = right. null = UDP's "none". */
export type ChecksumError = number | null;

export interface Ipv4 {
  versionIhl: number;
  tos: number;
  identification: number;
  /** Flags and offset, 16 bits. */
  fragment: number;
  ttl: number;
  protocol: number;
  source: number;
  destination: number;
  options: Uint8Array;
  checksumError: ChecksumError;
  /** Up to the total length. TCP, UDP and ICMP checksums in it are zeroed; `l4Error` says what they were. */
  payload: Uint8Array;
  l4Error: ChecksumError;
}

export interface Frame {
  destination: number;
  source: number;
  tags: Tag[];
  etherType: number;
  /** null: not IPv4, or a broken header; then everything is in `rest`. */
  ipv4: Ipv4 | null;
  /** Ethernet padding and trailers, or what follows Ethernet when there is no IPv4. */
  rest: Uint8Array;
}

const u16 = (b: Uint8Array, at: number) => b[at] * 256 + b[at + 1];
const u32 = (b: Uint8Array, at: number) => u16(b, at) * 65536 + u16(b, at + 2);
const u48 = (b: Uint8Array, at: number) => u16(b, at) * 2 ** 32 + u32(b, at + 2);

export const bytesOf = (value: number, width: number): number[] => {
  const bytes: number[] = [];
  for (let i = 0; i < width; i++) bytes.unshift(Math.floor(value / 256 ** i) % 256);
  return bytes;
};

/** Sum of 16-bit words modulo 65535, as a number 0..65534. */
function sum(bytes: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes[i] * 256 + (bytes[i + 1] ?? 0);
  return total % 65535;
}

/** The right checksum over bytes whose checksum field is zero (RFC 1071), 0..65534. */
const checksum = (bytes: ArrayLike<number>): number => (65535 - sum(bytes)) % 65535;

const errorOf = (given: number, right: number): number => (given - right + 2 * 65535) % 65535;

/** Offset of the checksum in TCP, UDP and ICMP; null for what has none that a NAT knows. */
function checksumOffset(protocol: number, payload: Uint8Array, fragment: number): number | null {
  if ((fragment & 0x1fff) !== 0) return null;
  if (protocol === 6 && payload.length >= 20) return 16;
  if (protocol === 17 && payload.length >= 8) return 6;
  if (protocol === 1 && payload.length >= 8) return 2;
  return null;
}

/** RFC 768 and 9293: the pseudo header that addresses stand in. ICMP has none. */
function pseudoHeader(ip: Ipv4): number[] {
  if (ip.protocol === 1) return [];
  return [...bytesOf(ip.source, 4), ...bytesOf(ip.destination, 4), 0, ip.protocol, ...bytesOf(ip.payload.length, 2)];
}

export function parseFrame(bytes: Uint8Array): Frame | null {
  if (bytes.length < 14) return null;
  const frame: Frame = {
    destination: u48(bytes, 0),
    source: u48(bytes, 6),
    tags: [],
    etherType: u16(bytes, 12),
    ipv4: null,
    rest: bytes.slice(14),
  };
  while (frame.etherType === 0x8100 && frame.rest.length >= 4) {
    frame.tags.push({ tpid: 0x8100, tci: u16(frame.rest, 0) });
    frame.etherType = u16(frame.rest, 2);
    frame.rest = frame.rest.slice(4);
  }
  if (frame.etherType === 0x0800) frame.ipv4 = parseIpv4(frame);
  return frame;
}

function parseIpv4(frame: Frame): Ipv4 | null {
  const b = frame.rest;
  if (b.length < 20) return null;
  const header = (b[0] & 15) * 4;
  const total = u16(b, 2);
  if (b[0] >> 4 !== 4 || header < 20 || total < header || total > b.length) return null;
  const zeroed = b.slice(0, header);
  zeroed.fill(0, 10, 12);
  const ip: Ipv4 = {
    versionIhl: b[0],
    tos: b[1],
    identification: u16(b, 4),
    fragment: u16(b, 6),
    ttl: b[8],
    protocol: b[9],
    source: u32(b, 12),
    destination: u32(b, 16),
    options: b.slice(20, header),
    checksumError: errorOf(u16(b, 10), checksum(zeroed)),
    payload: b.slice(header, total),
    l4Error: 0,
  };
  const at = checksumOffset(ip.protocol, ip.payload, ip.fragment);
  if (at !== null) {
    const given = u16(ip.payload, at);
    ip.payload.fill(0, at, at + 2);
    if (ip.protocol === 17 && given === 0) ip.l4Error = null;
    else ip.l4Error = errorOf(given, checksum([...pseudoHeader(ip), ...ip.payload]));
  }
  frame.rest = b.slice(total);
  return ip;
}

export function buildFrame(frame: Frame): Uint8Array {
  const out = [...bytesOf(frame.destination, 6), ...bytesOf(frame.source, 6)];
  for (const tag of frame.tags) out.push(...bytesOf(tag.tpid, 2), ...bytesOf(tag.tci, 2));
  out.push(...bytesOf(frame.etherType, 2));
  if (frame.ipv4) out.push(...buildIpv4(frame.ipv4));
  return Uint8Array.from([...out, ...frame.rest]);
}

/** Every checksum is computed anew and then made as wrong as it came. */
function buildIpv4(ip: Ipv4): number[] {
  const header = [
    ip.versionIhl,
    ip.tos,
    ...bytesOf(20 + ip.options.length + ip.payload.length, 2),
    ...bytesOf(ip.identification, 2),
    ...bytesOf(ip.fragment, 2),
    ip.ttl,
    ip.protocol,
    0,
    0,
    ...bytesOf(ip.source, 4),
    ...bytesOf(ip.destination, 4),
    ...ip.options,
  ];
  header.splice(10, 2, ...bytesOf((checksum(header) + (ip.checksumError ?? 0)) % 65535, 2));
  const payload = [...ip.payload];
  const at = checksumOffset(ip.protocol, ip.payload, ip.fragment);
  if (at !== null && ip.l4Error !== null) {
    let value = (checksum([...pseudoHeader(ip), ...payload]) + ip.l4Error) % 65535;
    if (ip.protocol === 17 && value === 0) value = 0xffff;
    payload.splice(at, 2, ...bytesOf(value, 2));
  }
  return [...header, ...payload];
}
