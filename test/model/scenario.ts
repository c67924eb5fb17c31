import { parseConfig } from '../../src/config/load.js';
import type { ValidatedConfig } from '../../src/config/types.js';
import type { Random } from './random.js';

/** The part of a configuration document that the model writes and varies. */
export interface Document {
  [key: string]: unknown;
  vpcs: { name: string; vni: number; limits?: Record<string, number>; [key: string]: unknown }[];
  peerings: { vpcs: string[] }[];
  peeringPools: { vpc: string; ranges: string[]; ports?: string }[];
  externalPools: { name: string; vpcs: string[]; ranges: string[]; ports?: string }[];
  staticBindings: { vpc: string; protocol?: string; private: string; external?: string; peering?: string }[];
  nat: Record<string, unknown>;
}

/** Hosts that send; what they are bound to stands in {@link randomDocument}. */
export const HOSTS: Readonly<Record<string, readonly string[]>> = {
  red: ['10.0.1.5', '10.0.1.6', '10.0.1.7', '10.0.1.8'],
  blue: ['10.0.1.7', '10.0.2.9', '10.0.2.17', '10.0.2.30'],
  green: ['10.0.3.3', '10.0.3.4'],
};

export function randomDocument(random: Random): Document {
  const some = (probability: number) => random.chance(probability);
  const ports = (first: number, most: number) => `${first}-${first + random.int(0, most)}`;
  const limits = () => ({
    ...(some(0.3) ? { sessions: random.int(2, 8) } : {}),
    ...(some(0.3) ? { sessionsPerAddress: random.int(1, 4) } : {}),
    ...(some(0.3) ? { newSessionsPerSecond: random.int(1, 4) } : {}),
  });
  const wide = some(0.25);
  return {
    name: 'gw1',
    underlay: { vtep: '172.30.0.1', mac: '02:00:00:00:f0:01', ...(some(0.15) ? { udpPort: 8472 } : {}) },
    ports: {
      fabric: { role: 'fabric', ...(some(0.25) ? { mtu: 1450 } : {}) },
      external: {
        role: 'external',
        mac: '02:00:00:00:e0:01',
        address: '203.0.113.1/24',
        nextHop: { address: '203.0.113.254', mac: '02:00:00:00:e0:fe' },
        ...(some(0.25) ? { mtu: 1380 } : {}),
        ...(some(0.15) ? { vlan: 7 } : {}),
      },
    },
    vteps: [
      { address: '172.30.0.11', mac: '02:00:00:00:00:11' },
      { address: '172.30.0.12', mac: '02:00:00:00:00:12' },
      ...(some(0.3) ? [{ address: '172.30.0.2', mac: '02:00:00:00:f0:22' }] : []),
    ],
    vpcs: [
      {
        name: 'red',
        vni: 100,
        subnets: ['10.0.1.0/24'],
        routes: [
          { prefix: '10.0.1.0/24', vtep: '172.30.0.11', mac: '02:00:00:01:00:11' },
          { prefix: '10.0.1.8/32', vtep: '172.30.0.12', mac: '02:00:00:01:00:12' },
        ],
        limits: limits(),
        ...(some(0.5) ? { gatewayAddress: '10.0.1.1' } : {}),
      },
      {
        name: 'blue',
        vni: 200,
        subnets: ['10.0.1.0/24', '10.0.2.0/24'],
        // One static host, 10.0.2.18, has no route.
        routes: [
          '10.0.1.0/24',
          '10.0.2.0/28',
          '10.0.2.16/31',
          '10.0.2.19/32',
          '10.0.2.20/30',
          '10.0.2.24/29',
          '10.0.2.64/26',
        ].map((prefix) => ({ prefix, vtep: '172.30.0.12', mac: '02:00:00:02:00:12' })),
        limits: limits(),
      },
      {
        name: 'green',
        vni: 300,
        subnets: ['10.0.3.0/24'],
        routes: [{ prefix: '10.0.3.0/24', vtep: '172.30.0.11', mac: '02:00:00:03:00:11' }],
      },
      { name: 'far', vni: 400, gateway: 'gw2', subnets: ['10.9.0.0/24'] },
      { name: 'distant', vni: 500, gateway: 'gw3', subnets: ['10.9.0.0/24'] },
    ],
    peerings: [
      { vpcs: ['red', 'blue'] },
      { vpcs: ['red', 'far'] },
      ...(some(0.5) ? [{ vpcs: ['blue', 'distant'] }] : []),
      ...(some(0.3) ? [{ vpcs: ['green', 'blue'] }] : []),
    ],
    peeringPools: [
      { vpc: 'red', ranges: ['100.64.1.0/31'], ports: wide ? '1024-65535' : ports(4000, 4) },
      { vpc: 'blue', ranges: ['100.64.2.0', '100.64.2.5'], ports: ports(4000, 5) },
      { vpc: 'far', ranges: ['100.64.9.0/30'] },
      { vpc: 'distant', ranges: ['100.64.8.0/30'] },
    ],
    externalPools: [
      {
        name: 'internet',
        vpcs: ['red', 'blue'],
        ranges: ['203.0.113.16-203.0.113.17'],
        ports: wide ? '1024-65535' : ports(2000, 5),
      },
      ...(some(0.5) ? [{ name: 'spare', vpcs: ['red'], ranges: ['203.0.113.40'], ports: ports(3000, 3) }] : []),
    ],
    staticBindings: [
      { vpc: 'red', private: '10.0.1.5', external: '203.0.113.10' },
      { vpc: 'red', protocol: 'tcp', private: '10.0.1.6:8080', external: '203.0.113.11:80' },
      { vpc: 'red', protocol: 'udp', private: '10.0.1.6:1000', external: '203.0.113.16:2001' },
      { vpc: 'blue', private: '10.0.2.16/30', external: '203.0.113.20/30' },
      { vpc: 'blue', private: '10.0.2.9', peering: '100.64.2.9' },
      { vpc: 'red', protocol: 'tcp', private: '10.0.1.7:1001', peering: '100.64.1.0:4001' },
      ...(some(0.5) ? [{ vpc: 'red', private: '10.0.1.5', peering: '100.64.1.5' }] : []),
      { vpc: 'far', private: '10.9.0.9', peering: '100.64.9.9' },
    ],
    bypass: [{ vpc: 'green', destinations: ['192.0.2.0/25'] }],
    peerGateways: [
      { name: 'gw2', vtep: '172.30.0.2', mac: '02:00:00:00:f0:02', vni: 9000 },
      { name: 'gw3', vtep: '172.30.0.3', mac: '02:00:00:00:f0:03', vni: 9000 },
    ],
    nat: {
      seed: random.int(0, 1e9),
      mapping: some(0.3) ? 'address-and-port-dependent' : 'endpoint-independent',
      filtering: random.pick(['endpoint-independent', 'address-dependent', 'address-and-port-dependent']),
      timeouts: {
        udp: random.int(2, 20),
        tcpEstablished: random.int(20, 60),
        tcpTransitory: random.int(4, 15),
        icmp: random.int(2, 10),
        other: random.int(2, 15),
      },
      portReuseDelay: random.pick([0, 2, 10, 40]),
      maxSessions: some(0.3) ? random.int(3, 8) : 64,
      ...(some(0.3) ? { portBlockSize: random.pick([1, 2, 16]) } : {}),
    },
    offload: { mode: 'never' },
  };
}

/** @throws Error with all faults; the model's own documents have none. */
export function validated(document: Document): ValidatedConfig {
  const result = parseConfig(JSON.stringify(document), null);
  if (result.ok) return result.config;
  throw new Error(result.faults.map(({ path, message }) => `${path} ${message}`).join('\n'));
}
