import type { Bits, Truth, Z } from './solver';

/**
 * A packet of known headers whose every field may hold anything. Checksums are not among the fields: that they follow rewrites is
 * the checksum lemma's business.
 */
export interface Frame {
  readonly ethDestination: Bits;
  readonly ethSource: Bits;
  /** TCI of the tag; null: untagged. */
  readonly tag: Bits | null;
  readonly ipv4: Ipv4;
  readonly l4: L4 | null;
  /** The VXLAN header behind UDP, when there is one. */
  readonly vxlan: { readonly flags: Bits; readonly vni: Bits } | null;
}

export interface Ipv4 {
  readonly versionIhl: Bits;
  readonly tos: Bits;
  readonly identification: Bits;
  readonly fragment: Bits;
  readonly ttl: Bits;
  readonly protocol: Bits;
  readonly source: Bits;
  readonly destination: Bits;
  /** Whether its header checksum is right. */
  readonly sound: Truth;
}

export interface L4 {
  readonly kind: 'udp' | 'tcp' | 'icmp';
  readonly source: Bits;
  readonly destination: Bits;
  /** TCP's; of others nothing. */
  readonly flags: Bits;
}

/** Frames from the outermost inwards; each but the last is VXLAN's. */
export type Packet = readonly Frame[];

/** Protocol numbers: IANA. */
export const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;

export function anyFrame(z: Z, name: string, l4: L4['kind'] | null, tagged: boolean, vxlan: boolean): Frame {
  const bits = (field: string, width: number): Bits => z.BitVec.const(`${name}.${field}`, width);
  const protocol = l4 === null ? bits('protocol', 8) : z.BitVec.val(PROTOCOLS[l4], 8);
  return {
    ethDestination: bits('ethDestination', 48),
    ethSource: bits('ethSource', 48),
    tag: tagged ? bits('tci', 16) : null,
    ipv4: {
      versionIhl: bits('versionIhl', 8),
      tos: bits('tos', 8),
      identification: bits('identification', 16),
      fragment: bits('fragment', 16),
      ttl: bits('ttl', 8),
      protocol,
      source: bits('source', 32),
      destination: bits('destination', 32),
      sound: z.Bool.const(`${name}.sound`),
    },
    l4:
      l4 === null
        ? null
        : { kind: l4, source: bits('sport', 16), destination: bits('dport', 16), flags: bits('flags', 8) },
    vxlan: vxlan ? { flags: z.BitVec.val(8, 8), vni: bits('vni', 24) } : null,
  };
}

/** Every field of the same name holds the same; false where the headers differ. */
export function samePacket(z: Z, a: Packet, b: Packet): Truth {
  if (a.length !== b.length) return z.Bool.val(false);
  return z.And(...a.map((frame, i) => sameFrame(z, frame, b[i])));
}

function sameFrame(z: Z, a: Frame, b: Frame): Truth {
  const structure =
    (a.tag === null) === (b.tag === null) && a.l4?.kind === b.l4?.kind && (a.vxlan === null) === (b.vxlan === null);
  if (!structure) return z.Bool.val(false);
  const pairs: [Bits, Bits][] = [
    [a.ethDestination, b.ethDestination],
    [a.ethSource, b.ethSource],
    [a.ipv4.versionIhl, b.ipv4.versionIhl],
    [a.ipv4.tos, b.ipv4.tos],
    [a.ipv4.identification, b.ipv4.identification],
    [a.ipv4.fragment, b.ipv4.fragment],
    [a.ipv4.ttl, b.ipv4.ttl],
    [a.ipv4.protocol, b.ipv4.protocol],
    [a.ipv4.source, b.ipv4.source],
    [a.ipv4.destination, b.ipv4.destination],
  ];
  if (a.tag && b.tag) pairs.push([a.tag, b.tag]);
  if (a.l4 && b.l4)
    pairs.push([a.l4.source, b.l4.source], [a.l4.destination, b.l4.destination], [a.l4.flags, b.l4.flags]);
  if (a.vxlan && b.vxlan) pairs.push([a.vxlan.vni, b.vxlan.vni], [a.vxlan.flags, b.vxlan.flags]);
  return z.And(...pairs.map(([one, other]) => one.eq(other)));
}

/** The outermost frame changed. */
export const outermost = (packet: Packet, change: (frame: Frame) => Frame): Packet => [
  change(packet[0]),
  ...packet.slice(1),
];
