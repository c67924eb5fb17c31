import type { FlowList } from '../compiler/ir.js';
import { validateConfig } from '../config/load.js';
import type { ValidatedConfig } from '../config/types.js';
import { shapeList, shapeName } from '../nat/shapes.js';

/** One direction of a class of sessions, as the NAT engine makes it. */
export interface SampleShape {
  readonly protocol: 'udp' | 'tcp' | 'icmp' | 'other';
  readonly direction: string;
  readonly list: FlowList;
}

const PROTOCOLS = ['udp', 'tcp', 'icmp', 'other'] as const;

/** What each direction rewrites; PROTOCOL stands for the protocol. Names of src/nat/shapes.ts. */
const DIRECTIONS: readonly (readonly [direction: string, shape: string])[] = [
  ['vpc-to-external, forward', 'vpc-PROTOCOL-source-sport-to-outside'],
  ['vpc-to-external, reverse', 'outside-PROTOCOL-destination-dport-to-fabric'],
  ['external-to-vpc, forward', 'outside-PROTOCOL-destination-to-fabric'],
  ['external-to-vpc, reverse', 'vpc-PROTOCOL-source-to-outside'],
  ['vpc-to-vpc, forward', 'vpc-PROTOCOL-source-sport-destination-to-fabric'],
  ['vpc-to-vpc, reverse', 'vpc-PROTOCOL-source-destination-dport-to-fabric'],
  ['site-to-site first half, forward', 'vpc-PROTOCOL-source-sport-to-fabric'],
  ['site-to-site first half, reverse', 'peer-PROTOCOL-destination-dport-to-fabric'],
  ['site-to-site second half, forward', 'peer-PROTOCOL-destination-to-fabric'],
  ['site-to-site second half, reverse', 'vpc-PROTOCOL-source-to-fabric'],
];

/** A gateway with one port of each role and MTUs that leave room for VXLAN. */
const DOCUMENT = {
  name: 'sample',
  underlay: { vtep: '172.30.0.1', mac: '02:00:00:00:f0:01' },
  ports: {
    fabric: { role: 'fabric' },
    external: {
      role: 'external',
      mac: '02:00:00:00:e0:01',
      address: '203.0.113.1/24',
      nextHop: { address: '203.0.113.254', mac: '02:00:00:00:e0:fe' },
    },
  },
};

export function sampleConfig(): ValidatedConfig {
  const result = validateConfig(DOCUMENT, null);
  if (!result.ok)
    throw new Error(`sample configuration: ${result.faults.map((f) => `${f.path} ${f.message}`).join('; ')}`);
  return result.config;
}

/** Every direction for every protocol, by the NAT engine's own lists. */
export function sampleShapes(): readonly SampleShape[] {
  const config = sampleConfig();
  const byName = new Map<string, number>();
  for (let shape = 0; shape < 512; shape++) byName.set(shapeName(shape), shape);
  return DIRECTIONS.flatMap(([direction, pattern]) =>
    PROTOCOLS.map((protocol) => {
      const named = pattern.replace('PROTOCOL', protocol);
      const name = protocol === 'other' ? named.replace(/-[sd]port/g, '') : named;
      const shape = byName.get(name);
      if (shape === undefined) throw new Error(`no shape ${name}`);
      return { protocol, direction, list: shapeList(shape, config) };
    }),
  );
}
