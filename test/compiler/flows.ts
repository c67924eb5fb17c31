import fc from 'fast-check';
import { type CompileContext, compile } from '../../src/compiler/index';
import { writeArgument } from '../../src/compiler/instantiate';
import type { Action, ArgumentName, FlowList, MatchItem } from '../../src/compiler/ir';
import type { RuleTemplate } from '../../src/compiler/template';
import { buildFrame, bytesOf, type Frame, type Ipv4 } from '../../src/compiler/trial/frame';
import type { Arguments } from '../../src/compiler/trial/list-interpreter';
import { FlowArguments } from '../../src/native/records';

/** The gateway of the examples. */
export const CONTEXT: CompileContext = {
  ports: [
    { name: 'fabric', role: 'fabric', mac: 0x0200_0000_f001, mtu: 1550, vlan: -1 },
    { name: 'external', role: 'external', mac: 0x0200_0000_e001, mtu: 1500, vlan: -1 },
  ],
  underlay: { vtep: 0xac1e_0001, mac: 0x0200_0000_f001, udpPort: 4789 },
  tcpWithoutFlags: false,
};

export const argument = (name: ArgumentName) => ({ argument: name });

export type L4 = 'udp' | 'tcp' | 'icmp' | 'other';
export type Side = 'vxlan' | 'plain';

export interface Shape {
  readonly from: Side;
  readonly to: Side;
  readonly l4: L4;
  readonly source: boolean;
  readonly destination: boolean;
  readonly ports: boolean;
  readonly outerSource: boolean;
}

export const shapes: fc.Arbitrary<Shape> = fc.record({
  from: fc.constantFrom<Side>('vxlan', 'plain'),
  to: fc.constantFrom<Side>('vxlan', 'plain'),
  l4: fc.constantFrom<L4>('udp', 'tcp', 'icmp', 'other'),
  source: fc.boolean(),
  destination: fc.boolean(),
  ports: fc.boolean(),
  outerSource: fc.boolean(),
});

export const PUSH = {
  type: 'push-vxlan',
  sourceMac: CONTEXT.underlay.mac,
  destinationMac: argument('outerDestinationMac'),
  source: CONTEXT.underlay.vtep,
  destination: argument('outerDestinationAddress'),
  udpSourcePort: argument('outerUdpSourcePort'),
  udpDestinationPort: CONTEXT.underlay.udpPort,
  vni: argument('newVni'),
} satisfies Action;

/** A list as a NAT gateway wants it. Written here, so that the compiler is not judged by what the engine happens to make. */
export function natList(shape: Shape, vlan = -1): FlowList {
  const tag: MatchItem[] = vlan < 0 || shape.from === 'vxlan' ? [] : [{ type: 'vlan', vid: vlan }];
  const outside: MatchItem[] =
    shape.from === 'plain'
      ? [{ type: 'eth' }, ...tag]
      : [
          { type: 'eth' },
          { type: 'ipv4', ...(shape.outerSource ? { source: argument('matchOuterSourceAddress') } : {}) },
          { type: 'udp', destination: CONTEXT.underlay.udpPort },
          { type: 'vxlan', vni: argument('matchVni') },
          { type: 'eth', destination: CONTEXT.underlay.mac },
        ];
  const addresses = { source: argument('matchSourceAddress'), destination: argument('matchDestinationAddress') };
  const ports = { source: argument('matchSourcePort'), destination: argument('matchDestinationPort') };
  const inside: MatchItem[] = [{ type: 'ipv4', ...addresses }];
  if (shape.l4 === 'udp' || shape.l4 === 'tcp') inside.push({ type: shape.l4, ...ports });
  else if (shape.l4 === 'icmp') inside.push({ type: 'icmp', identifier: argument('matchSourcePort') });
  else inside[0] = { type: 'ipv4', ...addresses, protocol: argument('protocol') };

  const actions: Action[] = [];
  if (shape.from === 'vxlan') actions.push({ type: 'pop-vxlan' });
  if (tag.length > 0) actions.push({ type: 'pop-vlan' });
  if (shape.source || shape.destination) {
    actions.push({
      type: 'set-ipv4',
      ...(shape.source ? { source: argument('newSourceAddress') } : {}),
      ...(shape.destination ? { destination: argument('newDestinationAddress') } : {}),
    });
  }
  if (shape.ports && (shape.l4 === 'udp' || shape.l4 === 'tcp')) {
    const sides = { source: argument('newSourcePort'), destination: argument('newDestinationPort') };
    actions.push({ type: 'set-l4', protocol: shape.l4, ...sides });
  }
  if (shape.ports && shape.l4 === 'icmp') {
    actions.push({ type: 'set-icmp-identifier', identifier: argument('newSourcePort') });
  }
  actions.push({ type: 'decrement-ttl' }, { type: 'checksum' });
  if (shape.to === 'vxlan') {
    actions.push(
      { type: 'set-ethernet', source: CONTEXT.underlay.mac, destination: argument('innerDestinationMac') },
      PUSH,
    );
  } else {
    actions.push({
      type: 'set-ethernet',
      source: CONTEXT.ports[1].mac,
      destination: argument('outerDestinationMac'),
    });
    if (vlan >= 0) actions.push({ type: 'push-vlan', vid: vlan });
  }
  actions.push({ type: 'count' }, { type: 'age', seconds: argument('ageSeconds') });
  actions.push({ type: 'output', port: shape.to === 'vxlan' ? 0 : 1 });
  const rewrites = [shape.source && 'source', shape.destination && 'destination', shape.ports && 'ports'];
  const name = [shape.from, shape.l4, ...rewrites.filter((word) => word), 'to', shape.to].join('-');
  return { name, ingress: shape.from === 'vxlan' ? 0 : 1, match: [...outside, ...inside], actions };
}

const u16 = fc.integer({ min: 0, max: 65535 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const vni = fc.integer({ min: 0, max: 2 ** 24 - 1 });

export const argumentValues: fc.Arbitrary<Required<Arguments>> = fc.record({
  matchSourceAddress: u32,
  matchDestinationAddress: u32,
  matchSourcePort: u16,
  matchDestinationPort: u16.filter((port) => port !== 4789),
  matchVni: vni,
  matchOuterSourceAddress: u32,
  newSourceAddress: u32,
  newDestinationAddress: u32,
  newSourcePort: u16,
  newDestinationPort: u16.filter((port) => port !== 4789),
  newVni: vni,
  outerDestinationAddress: u32,
  outerDestinationMac: u48,
  innerDestinationMac: u48,
  outerUdpSourcePort: fc.integer({ min: 49152, max: 65535 }),
  protocol: fc.constantFrom(2, 47, 50, 132),
  ruleTag: u32,
  ageSeconds: fc.integer({ min: 1, max: 2 ** 24 - 1 }),
});

export function rowOf(values: Arguments): DataView {
  const row = new DataView(new ArrayBuffer(FlowArguments.size));
  for (const [name, value] of Object.entries(values)) writeArgument(row, name as ArgumentName, value);
  return row;
}

/** What varies between packets of one flow, faults included. */
export interface PacketNoise {
  readonly ttl: number;
  readonly tos: number;
  readonly identification: number;
  readonly options: boolean;
  readonly payload: Uint8Array;
  readonly padding: number;
  readonly ipError: number;
  readonly l4Error: number;
  readonly noUdpChecksum: boolean;
  readonly tcpFlags: number;
  readonly macs: readonly [number, number];
}

/** Mostly right checksums, sometimes wrong by any amount. */
const checksumError = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 65534 }) },
);

export const packetNoise: fc.Arbitrary<PacketNoise> = fc.record({
  ttl: fc.integer({ min: 2, max: 255 }),
  tos: fc.integer({ min: 0, max: 255 }),
  identification: u16,
  options: fc.boolean(),
  payload: fc.uint8Array({ minLength: 0, maxLength: 64 }),
  padding: fc.integer({ min: 0, max: 6 }),
  ipError: checksumError,
  l4Error: checksumError,
  noUdpChecksum: fc.boolean(),
  tcpFlags: fc.integer({ min: 0, max: 255 }),
  macs: fc.tuple(u48, u48),
});

/** A packet of the flow. */
export function packetOf(shape: Shape, values: Required<Arguments>, noise: PacketNoise, vlan = -1): Uint8Array {
  const protocol = { udp: 17, tcp: 6, icmp: 1, other: values.protocol }[shape.l4];
  const ports = [...bytesOf(values.matchSourcePort, 2), ...bytesOf(values.matchDestinationPort, 2)];
  const payload = [...noise.payload];
  const l4 = {
    udp: [...ports, ...bytesOf(8 + payload.length, 2), 0, 0, ...payload],
    tcp: [...ports, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, noise.tcpFlags, 16, 0, 0, 0, 0, 0, ...payload],
    icmp: [8, 0, 0, 0, ...bytesOf(values.matchSourcePort, 2), 0, 7, ...payload],
    other: payload,
  }[shape.l4];
  const ip: Ipv4 = {
    versionIhl: noise.options ? 0x46 : 0x45,
    tos: noise.tos,
    identification: noise.identification,
    fragment: 0,
    ttl: noise.ttl,
    protocol,
    source: values.matchSourceAddress,
    destination: values.matchDestinationAddress,
    options: Uint8Array.from(noise.options ? [1, 1, 1, 0] : []),
    checksumError: noise.ipError,
    payload: Uint8Array.from(l4),
    l4Error: shape.l4 === 'udp' && noise.noUdpChecksum ? null : shape.l4 === 'other' ? 0 : noise.l4Error,
  };
  const plain: Frame = {
    destination: shape.from === 'vxlan' ? CONTEXT.underlay.mac : noise.macs[0],
    source: noise.macs[1],
    tags: vlan >= 0 && shape.from === 'plain' ? [{ tpid: 0x8100, tci: 0x6000 + vlan }] : [],
    etherType: 0x0800,
    ipv4: ip,
    rest: new Uint8Array(noise.padding),
  };
  return shape.from === 'plain' ? buildFrame(plain) : buildFrame(wrapped(plain, values, noise));
}

function wrapped(inner: Frame, values: Required<Arguments>, noise: PacketNoise): Frame {
  const payload = buildFrame(inner);
  return {
    destination: CONTEXT.underlay.mac,
    source: noise.macs[1],
    tags: [],
    etherType: 0x0800,
    rest: new Uint8Array(noise.padding),
    ipv4: {
      versionIhl: 0x45,
      tos: noise.tos,
      identification: 0,
      fragment: 0x4000,
      ttl: 64,
      protocol: 17,
      source: values.matchOuterSourceAddress,
      destination: CONTEXT.underlay.vtep,
      options: new Uint8Array(0),
      checksumError: 0,
      payload: Uint8Array.from([
        ...[0xc0, 0x01, ...bytesOf(4789, 2), ...bytesOf(16 + payload.length, 2), 0, 0],
        ...[0x08, 0, 0, 0, ...bytesOf(values.matchVni, 3), 0],
        ...payload,
      ]),
      l4Error: null,
    },
  };
}

export function compiled(list: FlowList, target: string, context: CompileContext = CONTEXT): RuleTemplate {
  const result = compile(list, target, context);
  if (!result.ok)
    throw new Error(`${list.name}: ${result.diagnostics.map((d) => `${d.code} ${d.message}`).join('; ')}`);
  return result.template;
}
