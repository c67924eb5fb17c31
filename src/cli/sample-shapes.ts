import type { FlowList } from '../compiler/ir.js';
import { validateConfig } from '../config/load.js';
import type { ValidatedConfig } from '../config/types.js';
import { type DirectionProtocol, natDirections } from '../nat/directions.js';
import { shapeList } from '../nat/shapes.js';

/** One direction of a class of sessions, as the NAT engine makes it. */
export interface SampleShape {
  readonly protocol: DirectionProtocol;
  readonly direction: string;
  readonly list: FlowList;
}

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
  return natDirections().map(({ direction, protocol, shape }) => ({
    protocol,
    direction,
    list: shapeList(shape, config),
  }));
}
