import {
  formatIpv4,
  formatIpv6,
  formatPrefix,
  formatRange,
  isMulticastMac,
  isUnicastIpv4,
  maskIpv6,
  parseEndpoint,
  parseInterfaceAddress,
  parseIpv4,
  parseIpv6,
  parseIpv6Prefix,
  parseMac,
  parsePortRange,
  parsePrefix,
  parseRange,
  prefixRange,
} from './address.js';
import { type FaultList, pointer, suggestion } from './faults.js';
import type { Ipv4Prefix, Ipv4Range, Ipv6Address, Ipv6Prefix, PortRange } from './types.js';

/** 127.0.0.0, RFC 1122 section 3.2.1.3. */
const LOOPBACK = 0x7f000000;
const NOT_UNICAST = 'not 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3';

/**
 * A place in the document, present or not, that is read without assuming anything about it.
 *
 * A value of the wrong JSON type reads as absent: the schema has told that fault already. A value of the right type
 * that does not parse is a fault of its own, told here, and reads as null.
 */
export class Field {
  constructor(
    readonly faults: FaultList,
    private readonly steps: readonly (string | number)[],
    readonly value: unknown,
  ) {}

  get path(): string {
    return pointer(this.steps);
  }

  get isPresent(): boolean {
    return this.value !== undefined;
  }

  fault(message: string, hint: string): void {
    this.faults.add(this.path, message, hint);
  }

  at(name: string): Field {
    const value = isObject(this.value) && Object.hasOwn(this.value, name) ? this.value[name] : undefined;
    return new Field(this.faults, [...this.steps, name], value);
  }

  /** Items of an array, else none. */
  items(): Field[] {
    if (!Array.isArray(this.value)) return [];
    // Array.from visits holes too, which only a caller's own array can have.
    return Array.from(this.value, (item, i) => new Field(this.faults, [...this.steps, i], item));
  }

  /** Fields of an object by name, in file order, else none. */
  entries(): [string, Field][] {
    return isObject(this.value) ? Object.keys(this.value).map((name) => [name, this.at(name)]) : [];
  }

  text(): string | null {
    return typeof this.value === 'string' ? this.value : null;
  }

  integer(): number | null {
    return Number.isInteger(this.value) ? (this.value as number) : null;
  }

  flag(): boolean | null {
    return typeof this.value === 'boolean' ? this.value : null;
  }

  /** One of `values`, else null. */
  choice<T extends string>(values: readonly T[]): T | null {
    return values.includes(this.value as T) ? (this.value as T) : null;
  }

  /** An IPv4 address that an interface may own. */
  address(): number | null {
    const text = this.text();
    if (text === null) return null;
    const address = parseIpv4(text);
    if (address === null) this.fault(`${quote(text)} is not an IPv4 address`, 'a.b.c.d, each 0 to 255');
    else if (!isUnicastIpv4(address)) this.fault(`${text} is not a unicast address`, NOT_UNICAST);
    return address;
  }

  /** An address with the length of its subnet. */
  interfaceAddress(): Ipv4Prefix | null {
    const text = this.text();
    if (text === null) return null;
    const prefix = parseInterfaceAddress(text);
    if (prefix === null) {
      const bare = parseIpv4(text) !== null;
      this.fault(
        `${quote(text)} is not an IPv4 address with a prefix length`,
        bare ? `the length is missing, as in ${text}/24` : 'a.b.c.d/length',
      );
      return null;
    }
    const range = prefixRange(prefix);
    if (!isUnicastIpv4(prefix.address))
      this.fault(`${formatIpv4(prefix.address)} is not a unicast address`, NOT_UNICAST);
    else if (prefix.length < 31 && (prefix.address === range.first || prefix.address === range.last)) {
      const what = prefix.address === range.first ? 'network' : 'broadcast';
      this.fault(`${text} is the ${what} address of its subnet`, 'give the address of the interface in it');
    }
    return prefix;
  }

  prefix(): Ipv4Prefix | null {
    const text = this.text();
    if (text === null) return null;
    const prefix = parsePrefix(text);
    if (prefix === null) this.notPrefix(text);
    return prefix;
  }

  /** Addresses for translation: unicast ones. */
  range(): Ipv4Range | null {
    const text = this.text();
    if (text === null) return null;
    const range = parseRange(text);
    if (range === null) {
      const [first, last] = text.split('-').map(parseIpv4);
      if (text.includes('/')) this.notPrefix(text);
      else if (first != null && last != null && first > last) {
        this.fault(`the range ${text} ends before it begins`, `${formatIpv4(last)}-${formatIpv4(first)}`);
      } else {
        this.fault(`${quote(text)} is not a range of IPv4 addresses`, 'a.b.c.d, a.b.c.d/length or a.b.c.d-a.b.c.e');
      }
      return null;
    }
    return this.isUnicast(range) ? range : null;
  }

  /** Whether all addresses of this field's range are unicast; a fault when not. */
  isUnicast(range: Ipv4Range): boolean {
    const spansLoopback = range.first < LOOPBACK && range.last > LOOPBACK;
    const isUnicast = isUnicastIpv4(range.first) && isUnicastIpv4(range.last) && !spansLoopback;
    if (!isUnicast) {
      this.fault(`${formatRange(range)} has addresses that are not unicast`, NOT_UNICAST);
    }
    return isUnicast;
  }

  private notPrefix(text: string): void {
    const loose = parseInterfaceAddress(text);
    if (loose === null) {
      const bare = parseIpv4(text) !== null;
      this.fault(`${quote(text)} is not an IPv4 prefix`, bare ? `one address is ${text}/32` : 'a.b.c.d/length');
      return;
    }
    const network = formatPrefix({ ...loose, address: prefixRange(loose).first });
    this.fault(`${text} has bits set behind its prefix length`, `the prefix is ${network}`);
  }

  endpoint(): { readonly address: number; readonly port: number } | null {
    const text = this.text();
    if (text === null) return null;
    const endpoint = parseEndpoint(text);
    if (endpoint === null) this.fault(`${quote(text)} is not an address with a port`, 'a.b.c.d:port, port 1 to 65535');
    return endpoint;
  }

  /** `fallback` when absent. */
  portRange(fallback: PortRange): PortRange | null {
    if (!this.isPresent) return fallback;
    const text = this.text() ?? this.integer()?.toString() ?? null;
    if (text === null) return null;
    const range = parsePortRange(text);
    if (range === null) {
      const [first, last] = text.split('-').map(Number);
      if (first <= 65535 && last < first) this.fault(`the ports ${text} end before they begin`, `${last}-${first}`);
      else this.fault(`${quote(text)} is not a range of ports`, 'first-last or one port, 1 to 65535');
    }
    return range;
  }

  /** A MAC that an interface may own. */
  mac(): number | null {
    const text = this.text();
    if (text === null) return null;
    const mac = parseMac(text);
    if (mac === null) this.fault(`${quote(text)} is not a MAC address`, 'six hexadecimal octets with colons');
    else if (isMulticastMac(mac))
      this.fault(`${text} is a multicast MAC`, 'the lowest bit of the first octet must be 0');
    else if (mac === 0) this.fault(`${text} is not the MAC of an interface`, 'ip -br link shows those that are');
    return mac;
  }

  ipv6(): Ipv6Address | null {
    const text = this.text();
    if (text === null) return null;
    const address = parseIpv6(text);
    if (address === null) this.fault(`${quote(text)} is not an IPv6 address`, 'such as 2001:db8::1');
    else if (address.every((word) => word === 0) || address[0] >>> 24 === 0xff) {
      this.fault(`${text} is not a unicast address`, 'neither :: nor one of ff00::/8');
    }
    return address;
  }

  ipv6Prefix(): Ipv6Prefix | null {
    const text = this.text();
    if (text === null) return null;
    const prefix = parseIpv6Prefix(text);
    if (prefix === null) {
      const [address, length] = text.split('/');
      const loose = parseIpv6(address);
      if (loose !== null && /^[0-9]+$/.test(length ?? '') && Number(length) <= 128) {
        const network = formatIpv6(maskIpv6(loose, Number(length)));
        this.fault(`${text} has bits set behind its prefix length`, `the prefix is ${network}/${Number(length)}`);
      } else {
        this.fault(`${quote(text)} is not an IPv6 prefix`, 'address/length');
      }
    }
    return prefix;
  }
}

/** Names of one kind and the indexes they stand for. */
export class NameTable {
  private readonly indexes = new Map<string, number>();
  /** Of unknown names: one misspelt name may stand in thousands of places. */
  private readonly hints = new Map<string, string>();

  /** @param kind As in "unknown VPC". */
  constructor(private readonly kind: string) {}

  /** A name that is taken already is a fault and keeps its first index. */
  define(field: Field, index: number): void {
    const name = field.text();
    if (name === null) return;
    if (this.indexes.has(name))
      field.fault(`the name ${quote(name)} is taken by another ${this.kind}`, 'give one of the two another name');
    else this.indexes.set(name, index);
  }

  /** @returns The index, or null with a fault. */
  resolve(field: Field): number | null {
    const name = field.text();
    if (name === null) return null;
    const index = this.indexes.get(name);
    if (index !== undefined) return index;
    let hint = this.hints.get(name);
    if (hint === undefined) {
      hint = suggestion(name, this.names(), `the configuration has no ${this.kind}`);
      this.hints.set(name, hint);
    }
    field.fault(`unknown ${this.kind} ${quote(name)}`, hint);
    return null;
  }

  names(): string[] {
    return [...this.indexes.keys()];
  }
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** "203.0.113.16/28 of /externalPools/0/ranges/0", for messages. */
export function rangeAt(range: Ipv4Range, path: string): string {
  return `${formatRange(range)} of ${path}`;
}
