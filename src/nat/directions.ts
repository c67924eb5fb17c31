import { shapeName } from './shapes.js';

export const DIRECTION_PROTOCOLS = ['udp', 'tcp', 'icmp', 'other'] as const;
export type DirectionProtocol = (typeof DIRECTION_PROTOCOLS)[number];

/** One direction of a class of sessions, by the shape that its rules have. */
export interface NatDirection {
  readonly direction: string;
  readonly protocol: DirectionProtocol;
  readonly shape: number;
}

/** What each direction rewrites; PROTOCOL stands for the protocol. Names of shapes.ts. */
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

/** Every direction for every protocol. There are more shapes (of static bindings at both ends); these are what sessions mostly have. */
export function natDirections(): readonly NatDirection[] {
  const byName = new Map<string, number>();
  for (let shape = 0; shape < 512; shape++) byName.set(shapeName(shape), shape);
  return DIRECTIONS.flatMap(([direction, pattern]) =>
    DIRECTION_PROTOCOLS.map((protocol) => {
      const named = pattern.replace('PROTOCOL', protocol);
      const name = protocol === 'other' ? named.replace(/-[sd]port/g, '') : named;
      const shape = byName.get(name);
      if (shape === undefined) throw new Error(`no shape ${name}`);
      return { direction, protocol, shape };
    }),
  );
}
