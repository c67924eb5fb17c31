import type { FlowEntry } from '../../src/controller/flow-dump.js';
import { FilterError, parseFilter } from '../../src/controller/flow-filter.js';

const direction = { path: 'offloaded', reason: null, packets: 1, bytes: 100 } as const;
const flow: FlowEntry = {
  id: '7.1',
  class: 'vpc-to-external',
  vpc: 'red',
  protocol: 'tcp',
  state: 'established',
  inside: { address: '10.0.1.5', port: 40000 },
  nat: { address: '203.0.113.16', port: 50000 },
  remote: { address: '198.51.100.9', port: 443 },
  underlay: { vni: 100, vtep: '172.30.0.11' },
  forward: direction,
  reverse: { ...direction, path: 'software', reason: 'few-packets' },
  ageMs: 0,
  idleMs: 0,
  expiresInMs: 1000,
};

describe('flow filters', () => {
  test.each([
    ['', true],
    ['vpc red', true],
    ['vpc blue', false],
    ['not vpc blue', true],
    ['proto tcp and path software', true],
    ['proto udp or inside net 10.0.1.0/24', true],
    ['proto udp or inside net 10.0.2.0/24', false],
    ['not ( proto tcp and vni 100 )', false],
    ['host 198.51.100.9 and port 443', true],
    ['remote port 50000', false],
    ['nat port 50000', true],
    ['id 7.1 and state established and class vpc-to-external', true],
    ['vpc blue and vpc blue or proto tcp', true],
  ])('"%s" gives %s', (text, expected) => {
    expect(parseFilter(text)(flow)).toBe(expected);
  });

  test.each([
    ['colour red', 1, 'unknown field'],
    ['vpc', 4, 'expected a vpc'],
    ['vpc red proto', 9, 'expected "and" or "or"'],
    ['inside 10.0.0.1', 8, 'expected host, net or port'],
    ['net 10.0.1.5/24', 5, 'not an IPv4 prefix'],
    ['port 70000', 6, '0..65535'],
    ['( vpc red', 10, 'expected ")"'],
  ])('"%s" is refused at column %i', (text, column, message) => {
    expect(() => parseFilter(text)).toThrow(FilterError);
    try {
      parseFilter(text);
    } catch (error) {
      expect((error as FilterError).column).toBe(column);
      expect((error as FilterError).message).toContain(message);
    }
  });
});
