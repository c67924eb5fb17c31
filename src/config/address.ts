import type { Ipv4Prefix, Ipv4Range, Ipv6Address, Ipv6Prefix, PortRange } from './types.js';

/** @returns The address as u32 in host order, or null when `text` is not four decimal octets (leading zeros refused, as inet_pton(3) does). */
export function parseIpv4(text: string): number | null {
  let address = 0;
  let octet = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (octet < 0 || ++dots > 3) return null;
      address = address * 256 + octet;
      octet = -1;
    } else {
      if (code < 0x30 || code > 0x39 || octet === 0) return null;
      octet = octet < 0 ? code - 0x30 : octet * 10 + code - 0x30;
      if (octet > 255) return null;
    }
  }
  return dots === 3 && octet >= 0 ? address * 256 + octet : null;
}

/** @param address u32, host order. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** @param length 0..32. @returns u32, host order. */
export function prefixMask(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}

/** @returns The prefix with its host bits kept, or null when `text` is not `a.b.c.d/length`. */
export function parseInterfaceAddress(text: string): Ipv4Prefix | null {
  const slash = text.indexOf('/');
  if (slash < 0) return null;
  const address = parseIpv4(text.slice(0, slash));
  const length = parseDecimal(text.slice(slash + 1), 32);
  return address === null || length === null ? null : { address, length, mask: prefixMask(length) };
}

/** @returns The prefix, or null when `text` is not `a.b.c.d/length` or has bits outside the mask. */
export function parsePrefix(text: string): Ipv4Prefix | null {
  const prefix = parseInterfaceAddress(text);
  return prefix === null || (prefix.address & prefix.mask) >>> 0 !== prefix.address ? null : prefix;
}

export function formatPrefix(prefix: Ipv4Prefix): string {
  return `${formatIpv4(prefix.address)}/${prefix.length}`;
}

/** @returns The addresses of the prefix, its first and last included. */
export function prefixRange(prefix: Ipv4Prefix): Ipv4Range {
  const first = (prefix.address & prefix.mask) >>> 0;
  return { first, last: (first | ~prefix.mask) >>> 0 };
}

/** @param address u32, host order. */
export function prefixContains(prefix: Ipv4Prefix, address: number): boolean {
  return ((address ^ prefix.address) & prefix.mask) === 0;
}

/** @returns The range, or null when `text` is not `a.b.c.d`, `a.b.c.d/length` without host bits, or `a.b.c.d-a.b.c.e` in ascending order. */
export function parseRange(text: string): Ipv4Range | null {
  const dash = text.indexOf('-');
  if (dash >= 0) {
    const first = parseIpv4(text.slice(0, dash));
    const last = parseIpv4(text.slice(dash + 1));
    return first === null || last === null || first > last ? null : { first, last };
  }
  const single = parseIpv4(text);
  if (single !== null) return { first: single, last: single };
  const prefix = parsePrefix(text);
  return prefix === null ? null : prefixRange(prefix);
}

/** @returns A single address, a prefix where the range is one, else `first-last`: parseRange reads it back. */
export function formatRange(range: Ipv4Range): string {
  if (range.first === range.last) return formatIpv4(range.first);
  const size = range.last - range.first + 1;
  const length = 32 - Math.log2(size);
  if (Number.isInteger(length) && range.first % size === 0) return `${formatIpv4(range.first)}/${length}`;
  return `${formatIpv4(range.first)}-${formatIpv4(range.last)}`;
}

export function rangesOverlap(a: Ipv4Range, b: Ipv4Range): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** @returns `lo-hi` or a single port as a range within 1..65535, or null. */
export function parsePortRange(text: string): PortRange | null {
  const dash = text.indexOf('-');
  const first = parsePort(dash < 0 ? text : text.slice(0, dash));
  const last = dash < 0 ? first : parsePort(text.slice(dash + 1));
  return first === null || last === null || first > last ? null : { first, last };
}

/** @returns 1..65535, or null. */
export function parsePort(text: string): number | null {
  const port = parseDecimal(text, 65535);
  return port === 0 ? null : port;
}

/** @returns Address (u32, host order) and port 1..65535 of `a.b.c.d:port`, or null. */
export function parseEndpoint(text: string): { readonly address: number; readonly port: number } | null {
  const colon = text.indexOf(':');
  if (colon < 0) return null;
  const address = parseIpv4(text.slice(0, colon));
  const port = parsePort(text.slice(colon + 1));
  return address === null || port === null ? null : { address, port };
}

/** @param address u32, host order. @param port 0..65535. */
export function formatEndpoint(address: number, port: number): string {
  return `${formatIpv4(address)}:${port}`;
}

const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;

/** @returns The MAC as a 48-bit integer, the first byte on the wire most significant, or null when `text` is not six hexadecimal octets with colons. */
export function parseMac(text: string): number | null {
  return MAC.test(text) ? Number.parseInt(text.replaceAll(':', ''), 16) : null;
}

/** @param mac 48-bit integer. */
export function formatMac(mac: number): string {
  const digits = mac.toString(16).padStart(12, '0');
  return `${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4, 6)}:${digits.slice(6, 8)}:${digits.slice(8, 10)}:${digits.slice(10)}`;
}

/** Writes a MAC in wire order. @param view Needs 6 bytes from `offset`. @param mac 48-bit integer. */
export function writeMac(view: DataView, offset: number, mac: number): void {
  view.setUint16(offset, Math.floor(mac / 0x1_0000_0000));
  view.setUint32(offset + 2, mac >>> 0);
}

/** @returns The six bytes at `offset`, wire order, as a 48-bit integer. */
export function readMac(view: DataView, offset: number): number {
  return view.getUint16(offset) * 0x1_0000_0000 + view.getUint32(offset + 2);
}

/** Multicast and broadcast MACs have the lowest bit of the first octet set (IEEE 802, section 8.2.2). */
export function isMulticastMac(mac: number): boolean {
  return (Math.floor(mac / 0x100_0000_0000) & 1) === 1;
}

/** Unicast as far as an interface may own it: not 0/8, 127/8, 224/4 or above (RFC 6890, RFC 1112). @param address u32, host order. */
export function isUnicastIpv4(address: number): boolean {
  const top = address >>> 24;
  return top !== 0 && top !== 127 && top < 224;
}

/** @returns Four u32 words, or null. RFC 4291 section 2.2 text, with `::` and a trailing dotted quad; no zone. */
export function parseIpv6(text: string): Ipv6Address | null {
  let head = text;
  let quad: number | null = null;
  const lastColon = text.lastIndexOf(':');
  if (text.includes('.')) {
    quad = parseIpv4(text.slice(lastColon + 1));
    if (quad === null || lastColon < 0) return null;
    head = `${text.slice(0, lastColon + 1)}${(quad >>> 16).toString(16)}:${(quad & 0xffff).toString(16)}`;
  }
  const halves = head.split('::');
  if (halves.length > 2) return null;
  const groups: number[] = [];
  const parts = halves.map((half) => (half === '' ? [] : half.split(':')));
  for (const group of parts.flat()) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return null;
    groups.push(Number.parseInt(group, 16));
  }
  if (halves.length === 2) {
    const missing = 8 - groups.length;
    if (missing < 1) return null;
    groups.splice(parts[0].length, 0, ...new Array<number>(missing).fill(0));
  }
  if (groups.length !== 8) return null;
  const word = (i: number) => groups[i] * 0x1_0000 + groups[i + 1];
  return [word(0), word(2), word(4), word(6)];
}

/** @returns RFC 5952 text: lower case, the longest run of two or more zero groups as `::`. */
export function formatIpv6(address: Ipv6Address): string {
  const groups = address.flatMap((word) => [word >>> 16, word & 0xffff]);
  let start = -1;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > longest) {
      longest = end - i;
      start = i;
    }
    if (end > i) i = end;
  }
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return start < 0 ? text(0, 8) : `${text(0, start)}::${text(start + longest, 8)}`;
}

/** @returns The prefix, or null when `text` is not `ipv6/length` or has bits outside the prefix. */
export function parseIpv6Prefix(text: string): Ipv6Prefix | null {
  const slash = text.indexOf('/');
  if (slash < 0) return null;
  const address = parseIpv6(text.slice(0, slash));
  const length = parseDecimal(text.slice(slash + 1), 128);
  if (address === null || length === null) return null;
  const masked = maskIpv6(address, length);
  return masked.every((word, i) => word === address[i]) ? { address, length } : null;
}

/** @returns `address` with all bits after the first `length` cleared. */
export function maskIpv6(address: Ipv6Address, length: number): Ipv6Address {
  const word = (i: number) => (address[i] & prefixMask(Math.min(32, Math.max(0, length - 32 * i)))) >>> 0;
  return [word(0), word(1), word(2), word(3)];
}

function parseDecimal(text: string, maximum: number): number | null {
  if (!/^(?:0|[1-9][0-9]{0,4})$/.test(text)) return null;
  const value = Number(text);
  return value <= maximum ? value : null;
}
