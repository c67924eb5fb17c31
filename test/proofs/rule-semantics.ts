import type { RuleTemplate, TemplateAction, TemplateItem } from '../../src/compiler/template';
import { ActionType, ItemType } from '../../src/native/records';
import type { Arguments } from './list-semantics';
import { type Frame, outermost, type Packet } from './packet';
import { type Bits, is, type Truth, type Z } from './solver';

/** What a rule does to a packet, by rte_flow's documentation: read from the template's bytes alone. */
export interface RuleOutcome {
  readonly hits: Truth;
  readonly packet: Packet;
  /** Group that the packet jumps to; null: another fate. */
  readonly jump: number | null;
}

/** Bytes of each argument as the flow's record stores them: little-endian, MACs as on the wire. */
const STORED: Readonly<Record<string, number>> = {
  matchSourceAddress: 4,
  matchDestinationAddress: 4,
  matchSourcePort: 2,
  matchDestinationPort: 2,
  matchVni: 4,
  matchOuterSourceAddress: 4,
  newSourceAddress: 4,
  newDestinationAddress: 4,
  newSourcePort: 2,
  newDestinationPort: 2,
  newVni: 4,
  outerDestinationAddress: 4,
  outerDestinationMac: 6,
  innerDestinationMac: 6,
  outerUdpSourcePort: 2,
  protocol: 1,
  ageSeconds: 4,
  ruleTag: 4,
};
/** Bits of an argument that its field has: a VNI is 24 of 32. */
const MEANT: Readonly<Record<string, number>> = { matchVni: 24, newVni: 24 };

/** A template's spec or conf with the flow's values in place of its patches, byte by byte. */
function filled(
  z: Z,
  rule: RuleTemplate,
  target: 'item' | 'action',
  index: number,
  bytes: Uint8Array,
  given: Arguments,
): Bits[] {
  const out = Array.from(bytes, (byte) => z.BitVec.val(byte, 8) as Bits);
  for (const patch of rule.patches) {
    if (patch.target !== target || patch.index !== index) continue;
    const stored = STORED[patch.argument];
    const meant = MEANT[patch.argument] ?? stored * 8;
    const number = given(patch.argument, meant);
    const whole = meant === stored * 8 ? number : z.Concat(z.BitVec.val(0, stored * 8 - meant), number);
    // Memory order of the record: the low byte first, of a MAC the first on the wire.
    const memory = Array.from({ length: stored }, (_, i) => {
      const low = (stored === 6 ? stored - 1 - i : i) * 8;
      return z.Extract(low + 7, low, whole) as Bits;
    });
    for (let i = 0; i < patch.width; i++) {
      out[patch.offset + i] = memory[patch.bigEndian ? patch.width - 1 - i : i];
    }
  }
  return out;
}

const concat = (z: Z, bytes: readonly Bits[]): Bits =>
  bytes.length === 1 ? bytes[0] : (z.Concat(bytes[0], ...bytes.slice(1)) as Bits);

/** Fields in wire order; null bytes are those that no rule of ours looks at (lengths, checksums). */
type Layout = readonly (Bits | number)[];

function headerBytes(z: Z, layout: Layout): (Bits | null)[] {
  return layout.flatMap((field) => {
    if (typeof field === 'number') return new Array<Bits | null>(field).fill(null);
    const bytes = field.size() / 8;
    return Array.from({ length: bytes }, (_, i) => z.Extract((bytes - i) * 8 - 1, (bytes - i - 1) * 8, field) as Bits);
  });
}

function layoutOf(z: Z, type: ItemType, frame: Frame): Layout {
  const { ipv4: ip, l4 } = frame;
  switch (type) {
    case ItemType.eth:
      return [frame.ethDestination, frame.ethSource, z.BitVec.val(frame.tag ? 0x8100 : 0x0800, 16)];
    case ItemType.vlan:
      return [frame.tag ?? 2, z.BitVec.val(0x0800, 16)];
    case ItemType.ipv4:
      return [
        ip.versionIhl,
        ip.tos,
        2,
        ip.identification,
        ip.fragment,
        ip.ttl,
        ip.protocol,
        2,
        ip.source,
        ip.destination,
      ];
    case ItemType.udp:
      return l4 ? [l4.source, l4.destination, 4] : [8];
    case ItemType.tcp:
      return l4 ? [l4.source, l4.destination, 9, l4.flags, 6] : [20];
    case ItemType.vxlan:
      return frame.vxlan ? [frame.vxlan.flags, 3, frame.vxlan.vni, 1] : [8];
    default:
      throw new Error(`item ${type} is in no rule that is proved`);
  }
}

/** Multi-byte fields of ranges: rte_flow compares whole fields. */
const RANGE_FIELDS: Partial<Record<ItemType, readonly (readonly [number, number])[]>> = {
  [ItemType.ipv4]: [
    [0, 1],
    [6, 2],
    [8, 1],
  ],
};

function itemHits(z: Z, item: TemplateItem, spec: readonly Bits[], frame: Frame): Truth[] {
  const header = headerBytes(z, layoutOf(z, item.type, frame));
  const found: Truth[] = [];
  const ranged = new Set<number>();
  const { mask = new Uint8Array(), last } = item;
  if (last) {
    for (const [at, bytes] of RANGE_FIELDS[item.type] ?? []) {
      if (!last.slice(at, at + bytes).some((byte) => byte !== 0)) continue;
      const seen: Bits[] = [];
      for (let i = at; i < at + bytes; i++) {
        ranged.add(i);
        seen.push((header[i] as Bits).and(mask[i]));
      }
      const end = [...last.slice(at, at + bytes)].reduce((value, byte, i) => value * 256 + (byte & mask[at + i]), 0);
      found.push(concat(z, seen).uge(concat(z, spec.slice(at, at + bytes))), concat(z, seen).ule(end));
    }
  }
  mask.forEach((bits, i) => {
    if (bits === 0 || ranged.has(i)) return;
    const byte = header[i];
    if (byte === null) throw new Error(`item ${item.type} looks at byte ${i}`);
    found.push(byte.and(bits).eq(spec[i].and(bits)));
  });
  return found;
}

/** @param tag What the rule that jumped here has set. */
export function runRule(
  z: Z,
  rule: RuleTemplate,
  packet: Packet,
  port: number,
  given: Arguments,
  tag: Bits = z.BitVec.val(0, 32),
): RuleOutcome {
  const hits: Truth[] = [z.Bool.val(port === rule.ingress)];
  let layer = -1;
  rule.items.forEach((item, index) => {
    const spec = filled(z, rule, 'item', index, item.spec ?? new Uint8Array(), given);
    if (item.type === ItemType.representedPort) {
      hits.push(z.Bool.val((item.spec?.[0] ?? -1) === port));
      return;
    }
    if (item.type === ItemType.tag) {
      if (item.mask?.some((byte) => byte !== 0xff) || item.spec?.[4] !== 0) throw new Error('not the whole tag 0');
      hits.push(concat(z, spec.slice(0, 4)).eq(tag));
      return;
    }
    if (item.type === ItemType.integrity) {
      const { sound } = packet[(item.spec?.[0] ?? 1) - 1].ipv4;
      if (((item.mask?.[1] ?? 0) & 2) !== 0) hits.push((item.spec?.[1] ?? 0) & 2 ? sound : z.Not(sound));
      return;
    }
    if (item.type === ItemType.eth) layer++;
    const frame = packet[layer];
    if (item.type === ItemType.udp || item.type === ItemType.tcp) {
      const kind = item.type === ItemType.udp ? 'udp' : 'tcp';
      if (frame.l4?.kind !== kind) {
        hits.push(z.Bool.val(false));
        return;
      }
      hits.push(is(z, frame.ipv4.fragment.and(0x3fff), 0)); // an L4 item fits no fragment
    }
    if (item.type === ItemType.vxlan) hits.push(frame.l4 ? is(z, frame.l4.destination, 4789) : z.Bool.val(false));
    if (item.mask) hits.push(...itemHits(z, item, spec, frame));
  });
  let after = packet;
  let jump: number | null = null;
  let set = tag;
  rule.actions.forEach((action, index) => {
    const conf = filled(z, rule, 'action', index, action.conf, given);
    if (action.type === ActionType.jump) jump = action.conf.reduceRight((value, byte) => value * 256 + byte, 0);
    if (action.type === ActionType.setTag) {
      if (action.conf[8] !== 0 || action.conf.slice(4, 8).some((byte) => byte !== 0xff))
        throw new Error('not the whole tag 0');
      set = concat(z, conf.slice(0, 4));
    }
    after = execute(z, action, conf, after);
  });
  if (rule.second !== undefined && jump === rule.second.group) {
    const joined = runRule(z, rule.second, after, port, given, set);
    return { hits: z.And(...hits, joined.hits), packet: joined.packet, jump: joined.jump };
  }
  return { hits: z.And(...hits), packet: after, jump };
}

export function execute(z: Z, action: TemplateAction, conf: readonly Bits[], packet: Packet): Packet {
  const value = () => concat(z, conf);
  const eth = (field: 'ethSource' | 'ethDestination') => outermost(packet, (f) => ({ ...f, [field]: value() }));
  const ip = (field: 'source' | 'destination', to: Bits) =>
    outermost(packet, (f) => ({ ...f, ipv4: { ...f.ipv4, [field]: to } }));
  const port = (field: 'source' | 'destination', to: Bits) =>
    outermost(packet, (f) => ({ ...f, l4: f.l4 && { ...f.l4, [field]: to } }));
  const ttl = (to: (before: Bits) => Bits) =>
    outermost(packet, (f) => ({ ...f, ipv4: { ...f.ipv4, ttl: to(f.ipv4.ttl) } }));
  switch (action.type) {
    case ActionType.vxlanDecap:
      return packet.slice(1);
    case ActionType.rawDecap:
      return rawDecap(action.conf.length, packet);
    case ActionType.vxlanEncap:
    case ActionType.rawEncap:
      return [headerFrame(z, conf), ...packet];
    case ActionType.setMacSource:
      return eth('ethSource');
    case ActionType.setMacDestination:
      return eth('ethDestination');
    case ActionType.setIpv4Source:
      return ip('source', value());
    case ActionType.setIpv4Destination:
      return ip('destination', value());
    case ActionType.setTpSource:
      return port('source', value());
    case ActionType.setTpDestination:
      return port('destination', value());
    case ActionType.decTtl:
      return ttl((before) => before.sub(1));
    case ActionType.setTtl:
      return ttl(() => value());
    case ActionType.ofPopVlan:
      return outermost(packet, (f) => ({ ...f, tag: null }));
    case ActionType.ofPushVlan:
      return outermost(packet, (f) => ({ ...f, tag: z.BitVec.val(0, 16) }));
    case ActionType.ofSetVlanVid:
      return outermost(packet, (f) => ({ ...f, tag: f.tag && (f.tag.and(0xf000).or(value().and(0x0fff)) as Bits) }));
    case ActionType.modifyField:
      return modifyField(z, action.conf, conf, packet);
    default:
      return packet; // counters, marks, fates
  }
}

/** Takes off as many bytes as it is given: the outer frame's own, when that has neither tag nor options. */
function rawDecap(bytes: number, packet: Packet): Packet {
  const own = 14 + (packet[0].tag ? 4 : 0) + 20 + 8 + 8;
  if (bytes !== own) throw new Error(`RAW_DECAP of ${bytes} bytes of a header of ${own}`);
  return packet.slice(1);
}

/** rte_flow.h's enum rte_flow_field_id, and where each field is in the outermost frame. */
function modifyField(z: Z, head: Uint8Array, conf: readonly Bits[], packet: Packet): Packet {
  const [operation, width, level] = head;
  if (level > 1) throw new Error('levels above 1 are in no rule that is proved');
  const operand = concat(z, conf.slice(8, 8 + width / 8));
  const result = (before: Bits): Bits => {
    if (before.size() !== width) throw new Error(`field ${head[4]} has ${before.size()} bits, not ${width}`);
    if (operation === 1) return before.add(operand) as Bits;
    return operation === 2 ? (before.sub(operand) as Bits) : operand;
  };
  return outermost(packet, (f): Frame => {
    const l4 = (kind: 'tcp' | 'udp', field: 'source' | 'destination'): Frame =>
      f.l4?.kind === kind ? { ...f, l4: { ...f.l4, [field]: result(f.l4[field]) } } : f;
    switch (head[4]) {
      case 1:
        return { ...f, ethDestination: result(f.ethDestination) };
      case 2:
        return { ...f, ethSource: result(f.ethSource) };
      case 7:
        return { ...f, ipv4: { ...f.ipv4, ttl: result(f.ipv4.ttl) } };
      case 8:
        return { ...f, ipv4: { ...f.ipv4, source: result(f.ipv4.source) } };
      case 9:
        return { ...f, ipv4: { ...f.ipv4, destination: result(f.ipv4.destination) } };
      case 14:
        return l4('tcp', 'source');
      case 15:
        return l4('tcp', 'destination');
      case 19:
        return l4('udp', 'source');
      case 20:
        return l4('udp', 'destination');
      case 21:
        return { ...f, vxlan: f.vxlan && { ...f.vxlan, vni: result(f.vxlan.vni) } };
      default:
        throw new Error(`field ${head[4]} is in no rule that is proved`);
    }
  });
}

/** Ethernet, IPv4, UDP and VXLAN as on the wire; lengths and checksums are the NIC's to fill in. */
function headerFrame(z: Z, b: readonly Bits[]): Frame {
  const field = (at: number, bytes: number) => concat(z, b.slice(at, at + bytes));
  return {
    ethDestination: field(0, 6),
    ethSource: field(6, 6),
    tag: null,
    ipv4: {
      versionIhl: b[14],
      tos: b[15],
      identification: field(18, 2),
      fragment: field(20, 2),
      ttl: b[22],
      protocol: b[23],
      source: field(26, 4),
      destination: field(30, 4),
      sound: z.Bool.val(true),
    },
    l4: { kind: 'udp', source: field(34, 2), destination: field(36, 2), flags: z.BitVec.val(0, 8) },
    vxlan: { flags: b[42], vni: field(46, 3) },
  };
}
