import { join } from 'node:path';
import { parseIpv4 } from '../../src/config/address.js';
import { loadConfig } from '../../src/config/load.js';
import type { ValidatedConfig } from '../../src/config/types.js';
import { Bindings } from '../../src/nat/bindings.js';
import { classifyExternal, classifyFabric, emptyClassification, Verdict } from '../../src/nat/classify.js';
import { MappingTable } from '../../src/nat/mapping-table.js';
import { emptyPacket, type MissedPacket } from '../../src/nat/packet.js';
import { Topology } from '../../src/nat/topology.js';
import { DropReasonNames, MissKind, NO_VNI, SessionClassNames } from '../../src/native/records.js';

const RED = 100;
const BLUE = 200;
const GREEN = 300;
const PEER = 9000;

function load(): ValidatedConfig {
  const result = loadConfig(join(__dirname, 'fixtures/two-gateways.json'));
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.config;
}

const config = load();
const topology = new Topology(config);
const mappings = new MappingTable(16);
const bindings = new Bindings(topology, mappings);
const address = (text: string): number => parseIpv4(text) ?? 0;

// Live dynamic mappings: red's host towards the outside and towards blue, blue's host towards itself.
mappings.insert(0, 0, 17, address('10.0.1.7'), 1000, address('203.0.113.16'), 40000, 0, 0);
mappings.insert(0, 2, 17, address('10.0.1.7'), 1000, address('100.64.1.1'), 40001, 0, 0);

interface Case {
  readonly name: string;
  readonly vni?: number;
  readonly outerSource?: string;
  readonly source: string;
  readonly destination: string;
  readonly port?: number;
  readonly protocol?: number;
  readonly ttl?: number;
  readonly icmpType?: number;
  readonly kind?: MissedPacket['kind'];
  readonly becomes: string;
}

function classify(c: Case): string {
  const packet = emptyPacket();
  const fromFabric = c.vni !== undefined;
  packet.port = fromFabric ? config.fabricPort : config.externalPort;
  packet.kind = c.kind ?? MissKind.ipv4;
  packet.vni = c.vni ?? NO_VNI;
  packet.outerSource = address(c.outerSource ?? '172.30.0.11');
  packet.source = address(c.source);
  packet.destination = address(c.destination);
  packet.sourcePort = 5000;
  packet.destinationPort = c.port ?? 80;
  packet.protocol = c.protocol ?? 17;
  packet.ttl = c.ttl ?? 64;
  packet.icmpType = c.icmpType ?? 0;
  const out = emptyClassification();
  if (fromFabric) classifyFabric(topology, bindings, packet, out);
  else classifyExternal(topology, bindings, packet, out);
  if (out.verdict === Verdict.answer) return 'answer';
  if (out.verdict === Verdict.expired) return 'expired';
  if (out.verdict === Verdict.drop) return DropReasonNames[out.reason];
  return SessionClassNames[out.sessionClass];
}

const OUT = '198.51.100.9';
const HOST = '10.0.1.7';

const CASES: readonly Case[] = [
  {
    name: 'line 1: a peer gateway sends to a static peering address',
    vni: PEER,
    outerSource: '172.30.0.2',
    source: '100.64.3.1',
    destination: '100.64.2.9',
    becomes: 'site-to-site',
  },
  {
    name: 'line 1: a stranger uses the peer gateways VNI',
    vni: PEER,
    outerSource: '172.30.0.66',
    source: '100.64.3.1',
    destination: '100.64.2.9',
    becomes: 'unknown-vtep',
  },
  {
    name: 'line 1: a peer gateway sends for a VPC that is not peered',
    vni: PEER,
    outerSource: '172.30.0.2',
    source: '100.64.3.1',
    destination: '100.64.1.9',
    becomes: 'no-peering',
  },
  {
    name: 'line 1: a peer gateway sends to an address that nobody has',
    vni: PEER,
    outerSource: '172.30.0.2',
    source: '100.64.3.1',
    destination: '100.64.2.77',
    becomes: 'no-binding',
  },
  {
    name: 'line 1: a peer gateway with TTL 1',
    vni: PEER,
    outerSource: '172.30.0.2',
    source: '100.64.3.1',
    destination: '100.64.2.9',
    ttl: 1,
    becomes: 'expired',
  },
  { name: 'line 2: a VNI of nobody', vni: 77, source: HOST, destination: OUT, becomes: 'unknown-vni' },
  {
    name: 'line 2: a VNI of a VPC that another gateway serves',
    vni: GREEN,
    source: '10.3.0.1',
    destination: OUT,
    becomes: 'unknown-vni',
  },
  {
    name: 'line 2: a source outside the subnets',
    vni: RED,
    source: '10.9.9.9',
    destination: OUT,
    becomes: 'source-not-in-vpc',
  },
  {
    name: 'line 2 comes before line 3',
    vni: RED,
    source: '10.9.9.9',
    destination: '10.0.1.1',
    becomes: 'source-not-in-vpc',
  },
  {
    name: 'line 3: ping of the gateway address',
    vni: RED,
    source: HOST,
    destination: '10.0.1.1',
    protocol: 1,
    icmpType: 8,
    becomes: 'answer',
  },
  {
    name: 'line 3: ping of the gateway address with TTL 1',
    vni: RED,
    source: HOST,
    destination: '10.0.1.1',
    protocol: 1,
    icmpType: 8,
    ttl: 1,
    becomes: 'answer',
  },
  {
    name: 'line 3: ping of the VTEP',
    vni: RED,
    source: HOST,
    destination: '172.30.0.1',
    protocol: 1,
    icmpType: 8,
    becomes: 'answer',
  },
  {
    name: 'line 3: ping of the external port',
    vni: BLUE,
    source: HOST,
    destination: '203.0.113.1',
    protocol: 1,
    icmpType: 8,
    becomes: 'answer',
  },
  {
    name: 'line 3: anything else to the gateway',
    vni: RED,
    source: HOST,
    destination: '10.0.1.1',
    becomes: 'not-for-us',
  },
  {
    name: 'TTL 1 comes before line 4',
    vni: RED,
    source: HOST,
    destination: '203.0.113.10',
    ttl: 1,
    becomes: 'expired',
  },
  {
    name: 'an ICMP error without a session',
    vni: RED,
    source: HOST,
    destination: OUT,
    protocol: 1,
    icmpType: 3,
    kind: MissKind.icmpError,
    becomes: 'icmp-error-unknown',
  },
  {
    name: 'line 4: the public address of the own VPC',
    vni: RED,
    source: HOST,
    destination: '203.0.113.10',
    becomes: 'hairpin',
  },
  {
    name: 'line 4: a port mapping of the own VPC',
    vni: RED,
    source: HOST,
    destination: '203.0.113.11',
    protocol: 6,
    port: 80,
    becomes: 'hairpin',
  },
  {
    name: 'line 4: a live dynamic mapping of the own VPC',
    vni: RED,
    source: HOST,
    destination: '203.0.113.16',
    port: 40000,
    becomes: 'hairpin',
  },
  {
    name: 'line 4: the own peering address',
    vni: BLUE,
    source: '10.0.2.1',
    destination: '100.64.2.9',
    becomes: 'hairpin',
  },
  {
    name: 'line 4: a dynamic peering mapping of another scope does not match',
    vni: RED,
    source: HOST,
    destination: '100.64.1.1',
    port: 40001,
    becomes: 'no-binding',
  },
  {
    name: 'line 5: a destination in the own subnets',
    vni: RED,
    source: HOST,
    destination: '10.0.1.8',
    becomes: 'private-destination',
  },
  {
    name: 'line 6: a static peering address of a peered VPC',
    vni: RED,
    source: HOST,
    destination: '100.64.2.9',
    becomes: 'vpc-to-vpc',
  },
  {
    name: 'line 6: a live dynamic peering address, from the VPC it was allocated towards',
    vni: BLUE,
    source: '10.0.2.1',
    destination: '100.64.1.1',
    port: 40001,
    becomes: 'vpc-to-vpc',
  },
  {
    name: 'line 6: an address of a peering pool that is not bound',
    vni: RED,
    source: HOST,
    destination: '100.64.2.3',
    becomes: 'no-binding',
  },
  { name: 'line 6: no peering', vni: RED, source: HOST, destination: '100.64.3.1', becomes: 'no-peering' },
  {
    name: 'line 6: the VPC of another gateway',
    vni: BLUE,
    source: '10.0.2.1',
    destination: '100.64.3.1',
    becomes: 'site-to-site',
  },
  {
    name: 'line 7: a subnet of another VPC',
    vni: RED,
    source: HOST,
    destination: '10.0.2.1',
    becomes: 'private-destination',
  },
  {
    name: 'line 7: a bypassed destination',
    vni: RED,
    source: HOST,
    destination: '192.0.2.5',
    becomes: 'vpc-to-external',
  },
  {
    name: 'line 7: an unbound address of an external pool',
    vni: RED,
    source: HOST,
    destination: '203.0.113.30',
    becomes: 'no-binding',
  },
  {
    name: 'line 7: an unbound port of a port mapping',
    vni: RED,
    source: HOST,
    destination: '203.0.113.11',
    protocol: 6,
    port: 81,
    becomes: 'no-binding',
  },
  { name: 'line 8: everything else', vni: RED, source: HOST, destination: OUT, becomes: 'vpc-to-external' },
  { name: 'outside: a static address', source: OUT, destination: '203.0.113.10', becomes: 'external-to-vpc' },
  {
    name: 'outside: a port mapping',
    source: OUT,
    destination: '203.0.113.11',
    protocol: 6,
    port: 80,
    becomes: 'external-to-vpc',
  },
  {
    name: 'outside: a live dynamic mapping',
    source: OUT,
    destination: '203.0.113.16',
    port: 40000,
    becomes: 'external-to-vpc',
  },
  {
    name: 'outside: ping of the port',
    source: OUT,
    destination: '203.0.113.1',
    protocol: 1,
    icmpType: 8,
    becomes: 'answer',
  },
  { name: 'outside: anything else to the port', source: OUT, destination: '203.0.113.1', becomes: 'not-for-us' },
  {
    name: 'outside: an address of ours that is not bound',
    source: OUT,
    destination: '203.0.113.17',
    becomes: 'no-binding',
  },
  { name: 'outside: an address that is not ours', source: OUT, destination: '203.0.113.99', becomes: 'not-for-us' },
  { name: 'outside: TTL 1 towards a binding', source: OUT, destination: '203.0.113.10', ttl: 1, becomes: 'expired' },
];

describe('classification', () => {
  test.each(CASES.map((c) => [c.name, c] as const))('%s', (_name, c) => {
    expect(classify(c)).toBe(c.becomes);
  });
});
