import fc from 'fast-check';
import {
  formatEndpoint,
  formatIpv4,
  formatIpv6,
  formatMac,
  formatPrefix,
  formatRange,
  isMulticastMac,
  parseEndpoint,
  parseIpv4,
  parseIpv6,
  parseIpv6Prefix,
  parseMac,
  parsePortRange,
  parsePrefix,
  parseRange,
  prefixContains,
  prefixMask,
  prefixRange,
  readMac,
  writeMac,
} from '../../src/config/address.js';

const address = fc.integer({ min: 0, max: 0xffffffff });
const mac = fc.integer({ min: 0, max: 0xffff_ffff_ffff });
const length = fc.integer({ min: 0, max: 32 });

test('an IPv4 address reads back as written', () => {
  fc.assert(fc.property(address, (value) => parseIpv4(formatIpv4(value)) === value));
  expect(formatIpv4(0xcb007110)).toBe('203.0.113.16');
  expect(parseIpv4('255.255.255.255')).toBe(0xffffffff);
});

test('text that is not exactly four octets is no IPv4 address', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1..3.4',
    '.1.2.3',
    '1.2.3.',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '0x1.2.3.4',
    '1.2.3.-4',
    '999999999999.1.1.1',
  ]) {
    expect([text, parseIpv4(text)]).toEqual([text, null]);
  }
});

test('parsing arbitrary text never throws, and what it accepts it writes back the same', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f.:/-]{0,24}$/));
  fc.assert(
    fc.property(text, (value) => {
      const parsed = parseIpv4(value);
      expect(parsed === null || formatIpv4(parsed) === value).toBe(true);
      const [range, prefix, parsedMac] = [parseRange(value), parsePrefix(value), parseMac(value)];
      expect(range === null || range.first <= range.last).toBe(true);
      expect(prefix === null || formatPrefix(prefix) === value).toBe(true);
      expect(parsedMac === null || formatMac(parsedMac) === value.toLowerCase()).toBe(true);
      parsePortRange(value);
      parseEndpoint(value);
      parseIpv6(value);
      parseIpv6Prefix(value);
    }),
    { numRuns: 2000 },
  );
});

test('a prefix contains exactly the addresses of its range', () => {
  fc.assert(
    fc.property(address, address, length, (base, other, bits) => {
      const mask = prefixMask(bits);
      const prefix = { address: (base & mask) >>> 0, length: bits, mask };
      const range = prefixRange(prefix);
      expect(parsePrefix(formatPrefix(prefix))).toEqual(prefix);
      expect(range.last - range.first + 1).toBe(2 ** (32 - bits));
      expect(prefixContains(prefix, other)).toBe(range.first <= other && other <= range.last);
      expect(prefixContains(prefix, base)).toBe(true);
    }),
  );
});

test('a prefix with host bits is refused', () => {
  expect(parsePrefix('10.0.1.5/24')).toBeNull();
  expect(parsePrefix('10.0.1.0/33')).toBeNull();
  expect(parsePrefix('10.0.1.0/024')).toBeNull();
  expect(parsePrefix('0.0.0.0/0')).toEqual({ address: 0, length: 0, mask: 0 });
});

test('a range reads back as written, in whichever form', () => {
  fc.assert(
    fc.property(address, address, (a, b) => {
      const range = { first: Math.min(a, b), last: Math.max(a, b) };
      expect(parseRange(formatRange(range))).toEqual(range);
    }),
  );
  expect(formatRange({ first: 0xcb007110, last: 0xcb00711f })).toBe('203.0.113.16/28');
  expect(formatRange({ first: 0xcb007110, last: 0xcb007110 })).toBe('203.0.113.16');
  expect(formatRange({ first: 0xcb007110, last: 0xcb00711e })).toBe('203.0.113.16-203.0.113.30');
  expect(parseRange('203.0.113.31-203.0.113.16')).toBeNull();
});

test('ports run from 1 to 65535, in ascending order', () => {
  expect(parsePortRange('1024-65535')).toEqual({ first: 1024, last: 65535 });
  expect(parsePortRange('80')).toEqual({ first: 80, last: 80 });
  for (const text of ['0-1', '0', '2-1', '1-65536', '', '-', '1-', '-1', '1-2-3', '080'])
    expect(parsePortRange(text)).toBeNull();
});

test('an endpoint reads back as written', () => {
  fc.assert(
    fc.property(address, fc.integer({ min: 1, max: 65535 }), (value, port) => {
      expect(parseEndpoint(formatEndpoint(value, port))).toEqual({ address: value, port });
    }),
  );
});

test('a MAC reads back as written, as text and on the wire', () => {
  const view = new DataView(new ArrayBuffer(8));
  fc.assert(
    fc.property(mac, (value) => {
      expect(parseMac(formatMac(value))).toBe(value);
      writeMac(view, 1, value);
      expect(readMac(view, 1)).toBe(value);
      expect(isMulticastMac(value)).toBe((view.getUint8(1) & 1) === 1);
    }),
  );
  expect(formatMac(0x020000_00f001)).toBe('02:00:00:00:f0:01');
  expect(parseMac('02-00-00-00-f0-01')).toBeNull();
});

test('an IPv6 address reads back as written', () => {
  const words = fc.tuple(...([0, 1, 2, 3] as const).map(() => fc.oneof(address, fc.constantFrom(0, 1, 0x10000))));
  fc.assert(
    fc.property(words, (value) => {
      expect(parseIpv6(formatIpv6(value as [number, number, number, number]))).toEqual(value);
    }),
  );
});

test('IPv6 text follows RFC 5952 when written and RFC 4291 when read', () => {
  const cases: [string, string][] = [
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ];
  for (const [text, written] of cases) {
    const parsed = parseIpv6(text);
    expect(parsed && formatIpv6(parsed)).toBe(written);
  }
  for (const text of [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '12345::',
    'fe80::1%eth0',
    '1.2.3.4',
    '::1.2.3',
  ]) {
    expect([text, parseIpv6(text)]).toEqual([text, null]);
  }
  expect(parseIpv6Prefix('2001:db8::/32')).toEqual({ address: [0x20010db8, 0, 0, 0], length: 32 });
  expect(parseIpv6Prefix('2001:db8::1/32')).toBeNull();
});
