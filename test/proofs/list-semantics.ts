import type { Action, ArgumentName, FlowList, MatchItem, MatchValue, Value } from '../../src/compiler/ir';
import { type Frame, outermost, type Packet } from './packet';
import { type Bits, is, type Truth, type Z } from './solver';

/** Values of a flow's arguments, by name and width. */
export type Arguments = (name: ArgumentName, width: number) => Bits;

/** What a list says of a packet, by the documentation of the IR. */
export interface ListOutcome {
  readonly matches: Truth;
  readonly packet: Packet;
}

export function runList(
  z: Z,
  list: Pick<FlowList, 'match' | 'actions'>,
  packet: Packet,
  given: Arguments,
): ListOutcome {
  let after = packet;
  for (const action of list.actions) after = act(z, action, after, given);
  return { matches: listMatches(z, list.match, packet, given), packet: after };
}

export function listMatches(z: Z, items: readonly MatchItem[], packet: Packet, given: Arguments): Truth {
  const conditions: Truth[] = [];
  let layer = -1;
  for (const item of items) {
    if (item.type === 'eth') layer++;
    if (item.type === 'integrity') {
      const { sound } = packet[item.layer - 1].ipv4;
      conditions.push(item.ipv4ChecksumOk ? sound : z.Not(sound));
      continue;
    }
    conditions.push(...itemConditions(z, item, packet[layer], given));
  }
  return z.And(...conditions);
}

function itemConditions(
  z: Z,
  item: Exclude<MatchItem, { type: 'integrity' }>,
  frame: Frame,
  given: Arguments,
): Truth[] {
  const found: Truth[] = [];
  const holds = (field: Bits, wanted: MatchValue | undefined) => {
    if (wanted !== undefined) found.push(fits(z, field, wanted, given));
  };
  const { ipv4, l4 } = frame;
  const unfragmented = () => is(z, ipv4.fragment.and(0x3fff), 0);
  switch (item.type) {
    case 'eth':
      holds(frame.ethDestination, item.destination);
      holds(frame.ethSource, item.source);
      holds(z.BitVec.val(frame.tag ? 0x8100 : 0x0800, 16), item.etherType);
      break;
    case 'vlan':
      if (frame.tag) holds(frame.tag.and(0x0fff), item.vid);
      break;
    case 'ipv4':
      holds(ipv4.source, item.source);
      holds(ipv4.destination, item.destination);
      holds(ipv4.protocol, item.protocol);
      holds(ipv4.ttl, item.ttl);
      holds(ipv4.fragment, item.fragmentOffset);
      holds(ipv4.versionIhl, item.versionIhl);
      break;
    case 'udp':
    case 'tcp':
      if (l4?.kind !== item.type) return [z.Bool.val(false)];
      found.push(unfragmented());
      holds(l4.source, item.source);
      holds(l4.destination, item.destination);
      if (item.type === 'tcp') holds(l4.flags, item.flags);
      break;
    case 'vxlan':
      if (!frame.vxlan || !l4) return [z.Bool.val(false)];
      found.push(is(z, l4.destination, 4789));
      holds(frame.vxlan.vni, item.vni);
      break;
    default:
      throw new Error(`${item.type} is in no list that is proved`);
  }
  return found;
}

const constant = (value: Value, width: number, z: Z, given: Arguments): Bits =>
  typeof value === 'number' ? z.BitVec.val(value, width) : given(value.argument, width);

function fits(z: Z, field: Bits, wanted: MatchValue, given: Arguments): Truth {
  const width = field.size();
  if (typeof wanted === 'number' || 'argument' in wanted) return field.eq(constant(wanted, width, z, given));
  if ('value' in wanted) return field.and(wanted.mask).eq(z.BitVec.val(wanted.value, width).and(wanted.mask));
  const seen = wanted.mask === undefined ? field : field.and(wanted.mask);
  return z.And(seen.uge(wanted.first), seen.ule(wanted.last));
}

export function act(z: Z, action: Action, packet: Packet, given: Arguments): Packet {
  const value = (v: Value, width: number) => constant(v, width, z, given);
  switch (action.type) {
    case 'pop-vxlan':
      return packet.slice(1);
    case 'push-vxlan':
      return [pushed(z, action, value), ...packet];
    case 'set-vni':
      return outermost(packet, (frame) => ({
        ...frame,
        vxlan: frame.vxlan && { ...frame.vxlan, vni: value(action.vni, 24) },
      }));
    case 'pop-vlan':
      return outermost(packet, (frame) => ({ ...frame, tag: null }));
    case 'push-vlan':
      return outermost(packet, (frame) => ({ ...frame, tag: value(action.vid, 16) }));
    case 'set-ethernet':
      return outermost(packet, (frame) => ({
        ...frame,
        ethSource: action.source === undefined ? frame.ethSource : value(action.source, 48),
        ethDestination: action.destination === undefined ? frame.ethDestination : value(action.destination, 48),
      }));
    case 'set-ipv4':
      return outermost(packet, (frame) => ({
        ...frame,
        ipv4: {
          ...frame.ipv4,
          source: action.source === undefined ? frame.ipv4.source : value(action.source, 32),
          destination: action.destination === undefined ? frame.ipv4.destination : value(action.destination, 32),
        },
      }));
    case 'set-l4':
      return outermost(packet, (frame) => ({
        ...frame,
        l4: frame.l4 && {
          ...frame.l4,
          source: action.source === undefined ? frame.l4.source : value(action.source, 16),
          destination: action.destination === undefined ? frame.l4.destination : value(action.destination, 16),
        },
      }));
    case 'decrement-ttl':
      return outermost(packet, (frame) => ({ ...frame, ipv4: { ...frame.ipv4, ttl: frame.ipv4.ttl.sub(1) } }));
    default:
      return packet; // nothing of the headers
  }
}

/** RFC 7348: outer UDP to the VXLAN port, I flag; the IR: TTL 64, TOS 0, DF. */
function pushed(z: Z, push: Extract<Action, { type: 'push-vxlan' }>, value: (v: Value, width: number) => Bits): Frame {
  return {
    ethDestination: value(push.destinationMac, 48),
    ethSource: value(push.sourceMac, 48),
    tag: null,
    ipv4: {
      versionIhl: z.BitVec.val(0x45, 8),
      tos: z.BitVec.val(0, 8),
      identification: z.BitVec.val(0, 16),
      fragment: z.BitVec.val(0x4000, 16),
      ttl: z.BitVec.val(64, 8),
      protocol: z.BitVec.val(17, 8),
      source: value(push.source, 32),
      destination: value(push.destination, 32),
      sound: z.Bool.val(true),
    },
    l4: {
      kind: 'udp',
      source: value(push.udpSourcePort, 16),
      destination: value(push.udpDestinationPort, 16),
      flags: z.BitVec.val(0, 8),
    },
    vxlan: { flags: z.BitVec.val(8, 8), vni: value(push.vni, 24) },
  };
}
