import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatIpv4, formatRange, parseIpv4, parseMac, parseRange } from '../../src/config/address.js';
import { liveFaults, loadConfig, replayFaults } from '../../src/config/index.js';
import { document, smallest, valid } from './fixture.js';

const ip = (text: string) => parseIpv4(text) as number;
const mac = (text: string) => parseMac(text) as number;
const range = (text: string) => parseRange(text);

test('the example configuration is valid and fully resolved', () => {
  const path = join(__dirname, 'fixtures/gateway.json');
  const result = loadConfig(path);
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  const { config } = result;
  expect(config.path).toBe(path);
  expect(config.raw).toEqual(document());
  expect(config.underlay).toEqual({ vtep: ip('172.30.0.1'), mac: mac('02:00:00:00:f0:01'), udpPort: 4789 });
  expect(config.ports).toEqual([
    {
      index: 0,
      name: 'fabric',
      role: 'fabric',
      device: 'net_softflow0,wire=net_af_packet0:iface=fab0',
      mac: mac('02:00:00:00:f0:01'),
      address: { address: ip('172.30.0.1'), length: 32, mask: 0xffffffff },
      nextHop: null,
      mtu: 1550,
      vlan: null,
    },
    {
      index: 1,
      name: 'external',
      role: 'external',
      device: 'net_softflow1,wire=net_af_packet1:iface=ext0',
      mac: mac('02:00:00:00:e0:01'),
      address: { address: ip('203.0.113.1'), length: 24, mask: 0xffffff00 },
      nextHop: { address: ip('203.0.113.254'), mac: mac('02:00:00:00:e0:fe') },
      mtu: 1500,
      vlan: null,
    },
  ]);
  expect([config.fabricPort, config.externalPort]).toEqual([0, 1]);
  expect(config.vteps[1]).toEqual({ address: ip('172.30.0.12'), mac: mac('02:00:00:00:00:12') });
  expect(config.vpcs[0]).toEqual({
    index: 0,
    name: 'red',
    vni: 100,
    remoteGateway: -1,
    subnets: [{ address: ip('10.0.1.0'), length: 24, mask: 0xffffff00 }],
    routes: [
      {
        prefix: { address: ip('10.0.1.0'), length: 24, mask: 0xffffff00 },
        vtep: ip('172.30.0.11'),
        mac: mac('02:00:00:01:00:11'),
      },
    ],
    limits: { sessions: 500000, sessionsPerAddress: 4096, newSessionsPerSecond: 100000 },
    gatewayAddress: null,
  });
  expect(config.vpcs[1].limits).toEqual({
    sessions: Infinity,
    sessionsPerAddress: Infinity,
    newSessionsPerSecond: Infinity,
  });
  expect(config.peerings).toEqual([{ a: 0, b: 1 }]);
  expect(config.peeringPools).toEqual([
    { vpc: 0, ranges: [range('100.64.1.0/28')], portRange: { first: 1024, last: 65535 } },
    { vpc: 1, ranges: [range('100.64.2.0/28')], portRange: { first: 1024, last: 65535 } },
  ]);
  expect(config.externalPools).toEqual([
    {
      index: 0,
      name: 'internet',
      vpcs: [0, 1],
      ranges: [range('203.0.113.16/28')],
      portRange: { first: 1024, last: 65535 },
    },
  ]);
  expect(config.staticBindings).toEqual([
    {
      index: 0,
      vpc: 0,
      side: 'external',
      protocol: null,
      private: range('10.0.1.5'),
      privatePort: null,
      public: range('203.0.113.10'),
      publicPort: null,
    },
    {
      index: 1,
      vpc: 0,
      side: 'external',
      protocol: 6,
      private: range('10.0.1.6'),
      privatePort: 8080,
      public: range('203.0.113.11'),
      publicPort: 80,
    },
    {
      index: 2,
      vpc: 1,
      side: 'peering',
      protocol: null,
      private: range('10.0.2.9'),
      privatePort: null,
      public: range('100.64.2.9'),
      publicPort: null,
    },
  ]);
  expect(config.peerGateways).toEqual([
    { index: 0, name: 'gw2', vtep: ip('172.30.0.2'), mac: mac('02:00:00:00:f0:02'), vni: 9000 },
  ]);
  expect(config.nat.seed).toBe(1);
  expect(config.offload).toEqual({
    mode: 'immediate',
    afterPackets: 0,
    target: 'auto',
    maxRules: 2000000,
    evictionsPerSecond: 1000,
    tcpWithoutFlags: false,
  });
  expect(config.mirror).toEqual({ redis: 'redis://127.0.0.1:6379', mode: 'async' });
  expect(config.ha).toEqual({
    group: 'g1',
    vip: { address: { address: ip('203.0.113.1'), length: 24, mask: 0xffffff00 }, interface: 'ext0' },
    leaseMs: 1000,
    configFile: join(__dirname, 'fixtures/ha_config.json'),
    resultFile: join(__dirname, 'fixtures/ha_monitor_result.json'),
    virtualMac: null,
  });
  expect(config.control).toEqual({ socket: '/run/sluice/gw1.sock' });
  expect(config.metrics).toEqual({ host: '127.0.0.1', port: 9464 });
  expect(config.log).toEqual({ level: 'info' });
  expect(liveFaults(config)).toEqual([]);
  expect(replayFaults(config)).toEqual([]);
});

test('what is left out gets its default', () => {
  const config = valid(smallest());
  expect(config.underlay.udpPort).toBe(4789);
  expect([config.fabricPort, config.externalPort]).toEqual([0, -1]);
  expect(config.nat).toEqual({
    seed: null,
    mapping: 'endpoint-independent',
    filtering: 'endpoint-independent',
    timeouts: {
      udpSeconds: 300,
      tcpEstablishedSeconds: 7440,
      tcpTransitorySeconds: 240,
      icmpSeconds: 60,
      otherSeconds: 300,
    },
    portReuseDelaySeconds: 120,
    maxSessions: 1000000,
    portBlockSize: 256,
    log: 'none',
    mssClampBytes: null,
  });
  expect(config.offload).toEqual({
    mode: 'immediate',
    afterPackets: 0,
    target: 'auto',
    maxRules: 2000000,
    evictionsPerSecond: 1000,
    tcpWithoutFlags: false,
  });
  expect([config.mirror, config.ha, config.control, config.metrics, config.dslite]).toEqual([
    null,
    null,
    null,
    null,
    null,
  ]);
  expect(config.log.level).toBe('info');
  for (const part of [
    'vteps',
    'vpcs',
    'peerings',
    'peeringPools',
    'externalPools',
    'staticBindings',
    'services',
  ] as const) {
    expect(config[part]).toEqual([]);
  }
});

test('every optional part resolves', () => {
  const config = valid(document('everything'));
  expect(config.ports.map(({ mtu, vlan }) => [mtu, vlan])).toEqual([
    [9000, null],
    [8900, 42],
  ]);
  expect(config.ports[0].address).toEqual({ address: ip('172.30.0.1'), length: 16, mask: 0xffff0000 });
  expect(config.ports[1].nextHop).toEqual({ address: ip('203.0.113.254'), mac: null });
  expect(config.vteps).toEqual([{ address: ip('172.30.0.11'), mac: null }]);
  expect(config.vpcs.map((vpc) => vpc.remoteGateway)).toEqual([-1, -1, 0]);
  expect(config.vpcs[0].routes.map((route) => route.prefix.length)).toEqual([24, 0]);
  expect(formatIpv4(config.vpcs[0].gatewayAddress as number)).toBe('10.0.0.1');
  expect(config.peerings).toEqual([
    { a: 0, b: 1 },
    { a: 0, b: 2 },
    { a: 1, b: 2 },
  ]);
  expect(config.peeringPools.map((pool) => pool.portRange)).toEqual([
    { first: 5000, last: 5000 },
    { first: 2000, last: 2000 },
  ]);
  expect(config.externalPools.map((pool) => pool.ranges.map(formatRange))).toEqual([
    ['203.0.113.16/28', '198.51.100.255'],
    ['203.0.113.40-203.0.113.42'],
  ]);
  expect(config.externalPools[1].vpcs).toEqual([]);
  expect(config.services[0]).toEqual({
    index: 0,
    vpc: 0,
    protocol: 6,
    externalAddress: ip('203.0.113.14'),
    externalPort: 80,
    backends: [
      { address: ip('10.0.8.1'), port: 80, weight: 1 },
      { address: ip('10.0.8.2'), port: 80, weight: 3 },
    ],
    affinitySeconds: 60,
    twiceNat: 'self',
    outToInOnly: true,
  });
  expect(config.services[1]).toMatchObject({ protocol: 17, affinitySeconds: 0, twiceNat: 'never', outToInOnly: false });
  expect(config.twiceNatPools).toEqual([{ vpc: 0, ranges: [range('192.168.77.0/24')] }]);
  expect(config.bypass).toEqual([
    { vpc: 0, destinations: [{ address: ip('198.18.0.0'), length: 15, mask: 0xfffe0000 }] },
  ]);
  expect(config.nat).toMatchObject({
    portBlockSize: 64,
    log: 'blocks',
    mssClampBytes: 1400,
    filtering: 'address-dependent',
  });
  expect(config.offload).toMatchObject({ mode: 'after', afterPackets: 4, tcpWithoutFlags: true });
  expect(config.ha).toMatchObject({
    group: 'pair',
    configFile: '/etc/sluice/ha_config.json',
    resultFile: null,
    virtualMac: mac('02:00:5e:00:01:01'),
  });
  expect(config.control).toEqual({ socket: '/etc/sluice/run/gw1.sock' });
  expect(config.metrics).toEqual({ host: '::1', port: 9464 });
  expect(config.dslite).toEqual({
    role: 'aftr',
    aftr: [0x20010db8, 0, 0, 1],
    pool: 1,
    b4Prefixes: [{ address: [0x20010db8, 0x01000000, 0, 0], length: 40 }],
    subscriberPrefixLength: 56,
    limits: { sessions: Infinity, sessionsPerAddress: 100, newSessionsPerSecond: Infinity },
  });
});

test('a B4 element resolves', () => {
  const raw = { ...smallest(), dslite: { b4: { address: '2001:db8:100::1', aftr: '2001:db8::1' } } };
  expect(valid(raw).dslite).toEqual({
    role: 'b4',
    address: [0x20010db8, 0x01000000, 0, 1],
    aftr: [0x20010db8, 0, 0, 1],
  });
});

test.each([
  'vteps',
  'vpcs',
  'peerings',
  'peeringPools',
  'externalPools',
  'staticBindings',
  'peerGateways',
  'nat',
  'offload',
  'mirror',
  'ha',
  'control',
  'metrics',
  'log',
])('the part %s may be left out, with what refers to it', (part) => {
  const raw = document();
  delete raw[part];
  if (part === 'vpcs') {
    for (const user of ['peerings', 'peeringPools', 'externalPools', 'staticBindings']) delete raw[user];
  }
  valid(raw);
});

test('a gateway of peerings alone needs no external port', () => {
  const raw = document();
  delete raw.ports.external;
  delete raw.externalPools;
  raw.staticBindings = raw.staticBindings.filter((binding: object) => 'peering' in binding);
  expect(valid(raw).externalPort).toBe(-1);
});

test('a live gateway needs devices and replay needs the MAC of the next hop', () => {
  const raw = document();
  delete raw.ports.fabric.device;
  delete raw.ports.external.nextHop.mac;
  delete raw.mirror;
  const config = valid(raw);
  expect(liveFaults(config).map((fault) => fault.path)).toEqual(['/ports/fabric/device', '/mirror']);
  expect(replayFaults(config).map((fault) => fault.path)).toEqual(['/ports/external/nextHop/mac']);
});

interface SchemaNode {
  type?: string;
  additionalProperties?: unknown;
  properties?: Record<string, unknown>;
}

test('the schema admits no unknown field anywhere', () => {
  const schema: unknown = JSON.parse(readFileSync(join(__dirname, '../../schemas/gateway.schema.json'), 'utf8'));
  let objects = 0;
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const { properties, additionalProperties } = node as SchemaNode;
    if (properties && !('$ref' in properties)) {
      objects++;
      expect(additionalProperties).toBe(false);
    }
    for (const child of Object.values(node)) visit(child);
  };
  visit(schema);
  expect(objects).toBeGreaterThan(25);
});
