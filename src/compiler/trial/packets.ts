import { fullMask, isArgument, isMasked, isRange, matchedFields } from '../fields.js';
import { framesAfter, matchedFrames } from '../headers.js';
import type { CompileContext } from '../index.js';
import type { FlowList, MatchItem, MatchValue } from '../ir.js';
import { buildFrame, bytesOf, type Frame, type Ipv4 } from './frame.js';
import type { Arguments } from './list-interpreter.js';

/** A packet that a rule is tried with. */
export interface TrialPacket {
  /** What is odd about it: `ipv4.source + 1`; empty: nothing, it is of the flow. */
  readonly odd: string;
  readonly bytes: Uint8Array;
  /** Only software may serve it, whatever the list says. */
  readonly forSoftware: boolean;
}

/** Values of header fields by `layer/item/field`, as a list matches them. */
type Fields = Map<string, number>;

const PAYLOAD = Uint8Array.from({ length: 24 }, (_, i) => i + 1);
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;
const ACK = 0x10; // RFC 9293 section 3.1

/**
 * A packet that the list matches and a NIC may serve; the same with each matched field one bit off; and, of one that would be
 * forwarded, those that only software may serve.
 */
export function trialPackets(list: FlowList, context: CompileContext, given: Arguments): readonly TrialPacket[] {
  const hit = fieldsOf(list, context, given);
  const packets: TrialPacket[] = [{ odd: '', bytes: build(list, hit), forSoftware: false }];
  let layer = -1;
  for (const item of list.match) {
    if (item.type === 'eth') layer++;
    for (const { name, layout, value } of matchedFields(item)) {
      const mask = isMasked(value) || isRange(value) ? (value.mask ?? fullMask(layout)) : fullMask(layout);
      const bit = lowestBit(mask);
      const key = `${layer}/${item.type}/${name}`;
      if (IMPLIED.has(`${item.type}.${name}`) || bit === 0) continue;
      const near = new Map(hit).set(key, toggled(hit.get(key) ?? 0, bit));
      packets.push({
        odd: `${item.type}.${name} of layer ${layer + 1} off by ${bit}`,
        bytes: build(list, near),
        forSoftware: false,
      });
    }
  }
  if (list.actions.at(-1)?.type !== 'output') return packets;
  return [...packets, ...forSoftware(list, hit)];
}

/** Fields without which the packet is of other headers: it would be no near miss. */
const IMPLIED: ReadonlySet<string> = new Set(['eth.etherType', 'ipv4.versionIhl']);

function forSoftware(list: FlowList, hit: Fields): TrialPacket[] {
  const layer = list.match.filter(({ type }) => type === 'eth').length - 1;
  const changed: (readonly [string, string, number])[] = [
    ['TTL 1', 'ipv4/ttl', 1],
    ['TTL 0', 'ipv4/ttl', 0],
    ['first fragment', 'ipv4/fragmentOffset', 0x2000],
    ['last fragment', 'ipv4/fragmentOffset', 0x0003],
    ['IPv4 options', 'ipv4/versionIhl', 0x46],
    ['wrong IPv4 checksum', 'ipv4/checksumError', 1],
  ];
  if (list.match.some(({ type }) => type === 'tcp')) {
    changed.push(['SYN', 'tcp/flags', 0x02], ['FIN', 'tcp/flags', 0x11], ['RST', 'tcp/flags', 0x04]);
  }
  return changed.map(([odd, field, value]) => {
    const bytes = build(list, new Map(hit).set(`${layer}/${field}`, value));
    return { odd, bytes, forSoftware: true };
  });
}

const lowestBit = (mask: number): number => {
  for (let bit = 1; bit <= mask; bit *= 2) if (Math.floor(mask / bit) % 2 === 1) return bit;
  return 0;
};
const toggled = (value: number, bit: number): number => (Math.floor(value / bit) % 2 === 1 ? value - bit : value + bit);

const numberOf = (value: MatchValue, given: Arguments): number => {
  if (typeof value === 'number') return value;
  if (isArgument(value)) return given[value.argument] ?? 0;
  return isRange(value) ? value.first : value.value;
};

/** The list's own conditions, over a packet that is sent to the gateway. */
function fieldsOf(list: FlowList, context: CompileContext, given: Arguments): Fields {
  const fields: Fields = new Map();
  const layers = list.match.filter(({ type }) => type === 'eth').length;
  const port = context.ports[list.ingress];
  for (let layer = 0; layer < layers; layer++) {
    const outer = layer === 0 && layers === 2;
    const own = port.role === 'fabric' ? context.underlay.mac : port.mac;
    fields.set(`${layer}/eth/destination`, own).set(`${layer}/eth/source`, 0x0200_0000_00aa);
    fields.set(`${layer}/ipv4/source`, 0xac1e_000b + layer).set(`${layer}/ipv4/destination`, context.underlay.vtep);
    fields.set(`${layer}/ipv4/ttl`, 64).set(`${layer}/ipv4/versionIhl`, 0x45);
    if (outer) fields.set('0/udp/source', 50_000).set('0/udp/destination', context.underlay.udpPort);
  }
  let layer = -1;
  for (const item of list.match) {
    if (item.type === 'eth') layer++;
    for (const { name, value } of matchedFields(item))
      fields.set(`${layer}/${item.type}/${name}`, numberOf(value, given));
  }
  return fields;
}

function build(list: FlowList, fields: Fields): Uint8Array {
  const layers: MatchItem[][] = [];
  for (const item of list.match) {
    if (item.type === 'eth') layers.push([]);
    layers.at(-1)?.push(item);
  }
  return layers.reduceRight<Uint8Array>((inner, items, layer) => {
    return buildFrame(frameOf(items, layer, fields, inner));
  }, new Uint8Array(0));
}

function frameOf(items: readonly MatchItem[], layer: number, fields: Fields, inner: Uint8Array): Frame {
  const field = (name: string, otherwise = 0) => fields.get(`${layer}/${name}`) ?? otherwise;
  const has = (type: MatchItem['type']) => items.some((item) => item.type === type);
  const l4 = (['udp', 'tcp', 'icmp'] as const).find(has);
  return {
    destination: field('eth/destination'),
    source: field('eth/source'),
    tags: has('vlan') ? [{ tpid: 0x8100, tci: field('vlan/vid') }] : [],
    etherType: 0x0800,
    rest: new Uint8Array(0),
    ipv4: has('ipv4') ? ipv4Of(l4, field, has('vxlan') ? inner : null) : null,
  };
}

function ipv4Of(
  l4: 'udp' | 'tcp' | 'icmp' | undefined,
  field: (name: string, otherwise?: number) => number,
  tunnelled: Uint8Array | null,
): Ipv4 {
  const options = field('ipv4/versionIhl', 0x45) > 0x45 ? new Uint8Array(4).fill(1) : new Uint8Array(0);
  return {
    versionIhl: field('ipv4/versionIhl', 0x45),
    tos: field('ipv4/tos'),
    identification: 7,
    fragment: field('ipv4/fragmentOffset'),
    ttl: field('ipv4/ttl', 64),
    protocol: l4 ? PROTOCOLS[l4] : field('ipv4/protocol', 47),
    source: field('ipv4/source'),
    destination: field('ipv4/destination'),
    options,
    checksumError: field('ipv4/checksumError'),
    payload: Uint8Array.from(payloadOf(l4, field, tunnelled)),
    l4Error: tunnelled ? null : 0,
  };
}

function payloadOf(
  l4: 'udp' | 'tcp' | 'icmp' | undefined,
  field: (name: string, otherwise?: number) => number,
  tunnelled: Uint8Array | null,
): number[] {
  const ports = () => [...bytesOf(field(`${l4}/source`), 2), ...bytesOf(field(`${l4}/destination`), 2)];
  if (l4 === 'udp') {
    const body = tunnelled ? [8, 0, 0, 0, ...bytesOf(field('vxlan/vni'), 3), 0, ...tunnelled] : [...PAYLOAD];
    return [...ports(), ...bytesOf(8 + body.length, 2), 0, 0, ...body];
  }
  if (l4 === 'tcp') {
    const flags = field('tcp/flags', ACK);
    return [...ports(), 0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x10, 0, 0, 0, 0, 0, ...PAYLOAD];
  }
  if (l4 === 'icmp') {
    const head = [field('icmp/icmpType', 8), field('icmp/icmpCode'), 0, 0];
    return [...head, ...bytesOf(field('icmp/identifier'), 2), 0, 1, ...PAYLOAD];
  }
  return [...PAYLOAD];
}

/** Whether the list can be tried: packets of IPv6, or of a list that is wrong, are not made here. */
export function canBeTried(list: FlowList): boolean {
  const frames = matchedFrames(list.match);
  list.actions.reduce((stack, action) => framesAfter(stack, action), frames);
  return frames.every(({ l3 }) => l3 !== 'ipv6');
}
