import type { ValidatedConfig } from '../../../src/config/types.js';
import { steeringOf } from '../../../src/nat/shards/steering.js';
import { Topology } from '../../../src/nat/topology.js';
import type { Steering } from '../../../src/native/binding.js';
import { document, valid } from '../../config/fixture.js';
import { Random } from '../../model/random.js';
import { randomDocument, validated } from '../../model/scenario.js';

function random(seed: number): ValidatedConfig {
  return validated(randomDocument(new Random(seed)));
}

/** Peering bindings of both forms inside pools, at their ends and over their borders. */
function dense(): ValidatedConfig {
  const raw = document('gateway');
  const [one, other] = raw.vpcs.map(({ name }: { name: string }) => name);
  raw.peeringPools = [
    { vpc: one, ranges: ['100.64.1.0/28', '100.64.1.32-100.64.1.40'] },
    { vpc: other, ranges: ['100.64.1.16/28'] },
  ];
  raw.staticBindings = [
    { vpc: one, private: '10.0.1.16/30', peering: '100.64.1.0/30' },
    { vpc: one, private: '10.0.1.32/30', peering: '100.64.1.12/30' },
    { vpc: other, private: '10.0.2.16', peering: '100.64.1.20' },
    { vpc: one, protocol: 'tcp', private: '10.0.1.7:80', peering: '100.64.1.36:80' },
    { vpc: one, protocol: 'tcp', private: '10.0.1.17:80', peering: '100.64.1.1:80' },
    { vpc: one, protocol: 'udp', private: '10.0.1.8:80', peering: '100.64.1.36:80' },
    { vpc: one, private: '10.0.1.64/30', external: '203.0.113.40/30' },
    { vpc: one, protocol: 'tcp', private: '10.0.1.7:80', external: '203.0.113.48:80' },
    { vpc: one, protocol: 'udp', private: '10.0.1.9:80', external: '203.0.113.48:80' },
  ];
  raw.mirror = undefined;
  raw.ha = undefined;
  raw.services = undefined;
  return valid(JSON.parse(JSON.stringify(raw)));
}

/** Every address at which an answer may change, and those beside it. */
function borders(config: ValidatedConfig): number[] {
  const ranges = [
    ...[...config.peeringPools, ...config.externalPools].flatMap((pool) => pool.ranges),
    ...config.staticBindings.map((binding) => binding.public),
  ];
  return [...new Set(ranges.flatMap(({ first, last }) => [first - 1, first, first + 1, last - 1, last, last + 1]))];
}

function holds<T extends { first: number; last: number }>(ranges: readonly T[], address: number): T[] {
  return ranges.filter(({ first, last }) => address >= first && address <= last);
}

/** As an lcore has it: of one endpoint before of an address. */
function host({ bindings }: Steering, protocol: number, address: number, port: number): number {
  const found = holds(bindings, address);
  const exact = found.find((one) => one.protocol === protocol && one.port === port);
  const one = exact ?? found.find((each) => each.protocol === 0);
  return one === undefined ? -1 : one.private + (address - one.first);
}

test.each([
  ['the example', valid(document('gateway'))],
  ['everything', valid(document('everything'))],
  ['dense', dense()],
  ...[1, 2, 3].map((seed): [string, ValidatedConfig] => [`random ${seed}`, random(seed)]),
])('lcores find the VPCs, peers, external and peering addresses and bindings that the engines do: %s', (_, config) => {
  const topology = new Topology(config);
  const steering = steeringOf(config);
  const addresses = borders(config);
  expect(addresses.length).toBeGreaterThan(4);
  const counted = { owned: 0, bound: 0, free: 0 };
  for (const address of addresses) {
    const found = holds(steering.peering, address);
    expect(found.length).toBeLessThan(2);
    expect([address, found[0]?.vpc ?? -1]).toEqual([address, topology.peeringOwner(address)]);
    if (found.length > 0) counted.owned++;
    expect([address, holds(steering.external, address).length]).toEqual([
      address,
      topology.isExternal(address) ? 1 : 0,
    ]);
    for (const protocol of [1, 6, 17, 47]) {
      for (const port of [80, 443, 1000, 2001, 8080]) {
        const binding = topology.external.byPublic(protocol, address, port);
        const wanted = binding === null ? -1 : binding.private.first + address - binding.public.first;
        expect([address, protocol, port, host(steering, protocol, address, port)]).toEqual([
          address,
          protocol,
          port,
          wanted,
        ]);
        counted[wanted < 0 ? 'free' : 'bound']++;
      }
    }
  }
  expect(Object.values(counted).every((count) => count > 0)).toBe(true);
  for (const { vni } of [...config.vpcs, ...config.peerGateways, { vni: 77 }]) {
    expect(steering.vpcs.find((vpc) => vpc.vni === vni)?.index ?? -1).toBe(topology.localVpcByVni(vni));
    expect(steering.peerVnis.includes(vni)).toBe(topology.isPeerVni(vni));
  }
});

test('what has left the configuration is not looked up', () => {
  const config = valid(document('everything'));
  const gone = { ...config, vpcs: config.vpcs.map((vpc) => ({ ...vpc, vni: -1 })) };
  const peers = config.peerGateways.map((peer) => ({ ...peer, vni: -1 }));
  const steering = steeringOf({ ...gone, peerGateways: peers });
  expect([steeringOf(config).vpcs.length > 0, steering.vpcs, steering.peerVnis]).toEqual([true, [], []]);
});
