import type { ValidatedConfig } from '../../src/config/types';
import { KnownVnis } from '../../src/controller/known-vnis';
import { exampleConfig } from '../mirror/engine-node';

const known = (memory: ArrayBuffer) => {
  const bits = new Uint8Array(memory);
  return Array.from({ length: bits.length * 8 }, (_, vni) => vni).filter((vni) => (bits[vni >> 3] >> (vni & 7)) & 1);
};

test('VNIs of VPCs here and of peer gateways are known, and no longer than the configuration has them', () => {
  const memory = new ArrayBuffer(2 ** 24 / 8);
  const vnis = new KnownVnis(memory);
  const config = exampleConfig();
  const local = config.vpcs.filter(({ remoteGateway }) => remoteGateway < 0).map(({ vni }) => vni);
  const remote = config.vpcs.filter(({ remoteGateway }) => remoteGateway >= 0);
  const expected = [...new Set([...local, ...config.peerGateways.map(({ vni }) => vni)])].sort((a, b) => a - b);
  vnis.follow(config);
  expect(remote.length).toBeGreaterThan(0);
  expect(known(memory)).toEqual(expected);
  const [first, ...others] = config.vpcs;
  vnis.follow({ ...config, vpcs: [...others, { ...first, vni: 2 ** 24 - 1 }] } as ValidatedConfig);
  expect(known(memory)).toEqual([...expected.filter((vni) => vni !== first.vni), 2 ** 24 - 1]);
});
