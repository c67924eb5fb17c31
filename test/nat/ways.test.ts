import { join } from 'node:path';
import { parseIpv4 } from '../../src/config/address.js';
import { loadConfig } from '../../src/config/load.js';
import type { ValidatedConfig } from '../../src/config/types.js';
import { OUTSIDE_CONTEXT, peerContext } from '../../src/nat/session-table.js';
import { Topology } from '../../src/nat/topology.js';
import { DropReason, NO_VNI } from '../../src/native/records.js';

const address = (text: string): number => parseIpv4(text) ?? 0;
const MAC = 0x0200_0000_00aa;

function load(): ValidatedConfig {
  const result = loadConfig(join(__dirname, 'fixtures/two-gateways.json'));
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.config;
}

/** The configuration without MACs of VTEPs and of the next hop: all have to be learned. */
function withoutMacs(): ValidatedConfig {
  const config = load();
  const ports = config.ports.map((port) => ({ ...port, nextHop: port.nextHop && { ...port.nextHop, mac: null } }));
  return { ...config, ports, vteps: config.vteps.map((vtep) => ({ ...vtep, mac: null })) } as ValidatedConfig;
}

test('hosts behind one route share a way, with its MACs as they stand on the wire', () => {
  const config = load();
  const { ways } = new Topology(config);
  const [route] = config.vpcs[0].routes;
  const way = ways.find(0, route.prefix.address + 7);
  expect(way).not.toBeNull();
  expect(ways.find(0, route.prefix.address + 8)).toBe(way);
  expect(way).toMatchObject({
    port: config.fabricPort,
    vni: config.vpcs[0].vni,
    vtep: route.vtep,
    innerMac: route.mac,
  });
  const onWire = Buffer.alloc(12);
  onWire.writeUIntBE(way?.mac ?? 0, 0, 6);
  onWire.writeUIntBE(route.mac, 6, 6);
  const words = Buffer.alloc(12);
  for (const [i, word] of [way?.macsWord0, way?.macsWord1, way?.macsWord2].entries())
    words.writeInt32LE(word ?? 0, i * 4);
  expect(words).toEqual(onWire);
  expect(way?.outerSourceWord).toBe(0);
});

test('a peer gateway is told by its VTEP, the outside by nothing', () => {
  const config = load();
  const { ways } = new Topology(config);
  const [peer] = config.peerGateways;
  expect(ways.find(peerContext(0), 0)).toMatchObject({
    vni: peer.vni,
    vtep: peer.vtep,
    outerSourceWord: peer.vtep | 0,
  });
  expect(ways.outside).toBeNull();
  const outside = ways.find(OUTSIDE_CONTEXT, address('192.0.2.1'));
  expect(outside).toMatchObject({ port: config.externalPort, vni: NO_VNI, vtep: 0, vniWord: -1, outerSourceWord: 0 });
  expect(ways.outside).toBe(outside);
});

test('there is none without a route, nor before its MAC is known', () => {
  const topology = new Topology(withoutMacs());
  const { ways, config } = topology;
  const [route] = config.vpcs[0].routes;
  const host = route.prefix.address + 7;
  expect(ways.find(0, address('8.8.8.8'))).toBeNull();
  expect(ways.whyNone(0, address('8.8.8.8'))).toBe(DropReason.noRoute);
  for (const [context, to] of [
    [0, host],
    [OUTSIDE_CONTEXT, address('192.0.2.1')],
  ]) {
    expect(ways.find(context, to)).toBeNull();
    expect(ways.whyNone(context, to)).toBe(DropReason.unknownVtep);
  }
  expect(topology.learn(config.fabricPort, route.vtep, MAC)).toBe(true);
  expect(ways.find(0, host)?.mac).toBe(MAC);
});

test('a MAC that changes makes its ways anew', () => {
  const topology = new Topology(withoutMacs());
  const { ways, config } = topology;
  const [route] = config.vpcs[0].routes;
  const host = route.prefix.address + 7;
  const nextHop = config.ports[config.externalPort].nextHop?.address ?? 0;
  for (const [context, to, port, neighbour] of [
    [0, host, config.fabricPort, route.vtep],
    [OUTSIDE_CONTEXT, address('192.0.2.1'), config.externalPort, nextHop],
  ]) {
    topology.learn(port, neighbour, MAC);
    expect(ways.find(context, to)?.mac).toBe(MAC);
    topology.learn(port, neighbour, MAC + 1);
    expect(ways.find(context, to)?.mac).toBe(MAC + 1);
  }
});
