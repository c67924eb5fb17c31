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
    ['vpc "red" && !proto udp', true],
    ['nat endpoint 203.0.113.16:50000', true],
    ['inside endpoint 203.0.113.16:50000', false],
    ['endpoint 198.51.100.9:443 and proto 6', true],
    ['remote port 440-450', true],
    ['remote port 444-450', false],
    ['forward path offloaded and reverse path software', true],
    ['forward path software', false],
    ['reason few-packets', true],
    ['forward reason few-packets', false],
    ['packets > 1 and bytes >= 200', true],
    ['packets > 2', false],
    ['bytes < 1k and packets = 2', true],
    ['expires <= 1s and not expires < 1000ms', true],
    ['idle < 1s', true],
    ['age > 1h', false],
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
    ['vcp red', 1, 'did you mean "vpc"?'],
    ['path offload', 6, '"offload" is not a path'],
    ['state establish', 7, 'did you mean "established"?'],
    ['class inside', 7, 'is not a class'],
    ['proto tpc', 7, 'tcp, udp, icmp, or a number up to 255'],
    ['proto 256', 7, 'is not a protocol'],
    ['port 90-80', 6, '0..65535'],
    ['vni 1-2', 5, 'is not a VNI'],
    ['packets many', 9, 'expected <, <=, =, >= or >'],
    ['packets constructor 5', 9, 'expected <, <=, =, >= or >'],
    ['age > 5x', 7, 'is not a time'],
    ['bytes > 5s', 9, 'is not a number'],
    ['nat endpoint 10.0.0.1', 14, 'is not ADDRESS:PORT'],
    ['constructor', 1, 'unknown field'],
    ['forward vpc', 9, 'expected path or reason'],
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
