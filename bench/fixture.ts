import { formatIpv4 } from '../src/config/address.js';
import { validateConfig } from '../src/config/load.js';
import type { OffloadSettings, ValidatedConfig } from '../src/config/types.js';
import type { Scenario } from './native.js';

/** Hosts a flow's source is drawn from: their private addresses are 10.0.0.0 onwards. */
const HOSTS = 65536;
/** Sessions that one external address is given, of the 64,512 it has: room for hosts that are paired unevenly. */
const SESSIONS_PER_ADDRESS = 16384;
const PRIVATE_BASE = 0x0a00_0000;
/** 198.18.0.0/15 is set aside for benchmarks (RFC 2544). */
const REMOTE_BASE = 0xc612_0000;
const POOL_BASE = 0x6440_0000;

export const FIRST_SOURCE_PORT = 1024;
export const REMOTE_PORT = 53;

export interface FixtureOptions {
  /** Flows of the traffic. */
  readonly flows: number;
  /** Sessions that the gateway has room for; absent: as many as there are flows. */
  readonly capacity?: number;
  readonly offload: OffloadSettings['mode'];
  readonly seed: number;
  /** Device arguments of both ports; null: never opened from the configuration. */
  readonly behindSoftwareNic: boolean;
  readonly checkEvery: number;
  readonly untranslated?: boolean;
  /** Seconds after which an idle session ends; absent: longer than any run. */
  readonly idleSeconds?: number;
  /** Seconds that a freed port rests. */
  readonly portReuseDelaySeconds?: number;
  /** Of each wire; absent: one. */
  readonly queues?: number;
}

export interface Fixture {
  readonly config: ValidatedConfig;
  readonly scenario: Scenario;
  readonly devices: readonly [string, string];
}

/** One VPC with 65,536 hosts behind one VTEP, and enough external addresses. */
export function fixture(options: FixtureOptions): Fixture {
  const hosts = Math.min(HOSTS, options.flows);
  const capacity = options.capacity ?? options.flows;
  const addresses = Math.max(4, Math.ceil(options.flows / SESSIONS_PER_ADDRESS));
  const wires = ['net_traffic0', 'net_traffic1'] as const;
  const sides = ['fabric', 'external'] as const;
  const queues = options.queues === undefined ? '' : `:queues=${options.queues}`;
  const devices = sides.map((side, i) =>
    options.behindSoftwareNic
      ? `net_softflow${i},wire=${wires[i]}:side=${side}${queues},max_rules=${capacity * 2 + 64}`
      : `${wires[i]},side=${side}`,
  );
  const poolLast = POOL_BASE + addresses - 1;
  const document = {
    name: 'bench',
    underlay: { vtep: '172.30.0.1', mac: '02:00:00:00:f0:01', udpPort: 4789 },
    ports: {
      fabric: { role: 'fabric', device: devices[0] },
      external: {
        role: 'external',
        device: devices[1],
        mac: '02:00:00:00:e0:01',
        address: '203.0.113.1/24',
        nextHop: { address: '203.0.113.254', mac: '02:00:00:00:e0:fe' },
      },
    },
    vteps: [{ address: '172.30.0.11', mac: '02:00:00:00:00:11' }],
    vpcs: [
      {
        name: 'vpc',
        vni: 100,
        subnets: ['10.0.0.0/8'],
        routes: [{ prefix: '10.0.0.0/8', vtep: '172.30.0.11', mac: '02:00:00:01:00:11' }],
      },
    ],
    externalPools: [{ name: 'pool', vpcs: ['vpc'], ranges: [`${formatIpv4(POOL_BASE)}-${formatIpv4(poolLast)}`] }],
    nat: {
      seed: options.seed,
      mapping: 'endpoint-independent',
      filtering: 'endpoint-independent',
      // Longer than any run, where what ends a session is not part of the figures.
      timeouts: { udp: options.idleSeconds ?? 3600, tcpEstablished: 7440, tcpTransitory: 240, icmp: 60, other: 300 },
      portReuseDelay: options.portReuseDelaySeconds ?? 120,
      maxSessions: capacity,
    },
    offload: { mode: options.offload, target: 'auto', maxRules: capacity * 2 + 64 },
  };
  const result = validateConfig(document, null);
  if (!result.ok) {
    throw new Error(`the bench's configuration is refused: ${result.faults.map((f) => `${f.path} ${f.message}`)}`);
  }
  const { config } = result;
  const external = config.ports[config.externalPort];
  return {
    config,
    devices: [devices[0].split(',')[0], devices[1].split(',')[0]],
    scenario: {
      flows: options.flows,
      hosts,
      privateBase: PRIVATE_BASE,
      firstSourcePort: FIRST_SOURCE_PORT,
      remoteBase: REMOTE_BASE,
      remotes: 65536,
      remotePort: REMOTE_PORT,
      poolFirst: POOL_BASE,
      poolLast,
      vni: 100,
      vxlanPort: config.underlay.udpPort,
      gatewayVtep: config.underlay.vtep,
      hostVtep: config.vteps[0].address,
      gatewayMac: config.underlay.mac,
      hostVtepMac: config.vteps[0].mac ?? 0,
      hostMac: config.vpcs[0].routes[0].mac,
      externalMac: external.mac,
      nextHopMac: external.nextHop?.mac ?? 0,
      checkEvery: options.checkEvery,
      untranslated: options.untranslated ?? false,
    },
  };
}
