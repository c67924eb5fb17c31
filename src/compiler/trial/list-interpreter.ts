import type { Action, ArgumentName, FlowList, MatchItem, MatchValue, Value } from '../ir.js';
import { buildFrame, bytesOf, type Frame, type Ipv4, parseFrame } from './frame.js';

/**
 * What a list does to one packet, by the IR's documentation and nothing else: the judge of everything the compiler emits
 * and of everybody who executes it.
 */
export interface Outcome {
  readonly fate: 'miss' | 'output' | 'punt' | 'drop' | 'jump';
  /** Port or group of the fate. */
  readonly to: number | null;
  /** As it leaves; of a miss, as it came. */
  readonly frame: Uint8Array;
  /** Innermost IPv4 total length, when the list counts. */
  readonly countedBytes: number | null;
  readonly ageSeconds: number | null;
  readonly mark: number | null;
}

export type Arguments = Readonly<Partial<Record<ArgumentName, number>>>;

/** Frames from the outermost inwards; each but the last is the VXLAN header's. */
interface Stack {
  frames: Frame[];
  /** VXLAN header of frames[0] when there are two. */
  vxlan: Uint8Array;
}

const VXLAN_PORT = 4789;

export function interpretList(list: FlowList, port: number, bytes: Uint8Array, given: Arguments = {}): Outcome {
  const value = (v: Value): number => (typeof v === 'number' ? v : (given[v.argument] ?? 0));
  const stack = takeApart(bytes);
  const miss: Outcome = { fate: 'miss', to: null, frame: bytes, countedBytes: null, ageSeconds: null, mark: null };
  if (!stack || port !== list.ingress || !matches(list.match, stack, value)) return miss;

  const innermost = stack.frames[stack.frames.length - 1].ipv4;
  let countedBytes: number | null = null;
  let ageSeconds: number | null = null;
  let mark: number | null = null;
  for (const action of list.actions) {
    if (action.type === 'count') countedBytes = innermost ? lengthOf(innermost) : bytes.length;
    else if (action.type === 'age') ageSeconds = value(action.seconds);
    else if (action.type === 'mark') mark = value(action.id);
    else if (action.type === 'output' || action.type === 'punt') {
      return { fate: action.type, to: action.port, frame: putTogether(stack), countedBytes, ageSeconds, mark };
    } else if (action.type === 'drop') {
      return { fate: 'drop', to: null, frame: putTogether(stack), countedBytes, ageSeconds, mark };
    } else if (action.type === 'jump') {
      return { fate: 'jump', to: action.group, frame: putTogether(stack), countedBytes, ageSeconds, mark };
    } else rewrite(action, stack, value);
  }
  throw new Error('a list without fate');
}

const lengthOf = (ip: Ipv4): number => 20 + ip.options.length + ip.payload.length;

export function takeApart(bytes: Uint8Array): Stack | null {
  const frame = parseFrame(bytes);
  if (!frame) return null;
  const inner = insideVxlan(frame);
  return inner ? { frames: [frame, inner.frame], vxlan: inner.header } : { frames: [frame], vxlan: new Uint8Array(0) };
}

function insideVxlan(frame: Frame): { frame: Frame; header: Uint8Array } | null {
  const ip = frame.ipv4;
  if (ip?.protocol !== 17 || (ip.fragment & 0x3fff) !== 0 || ip.payload.length < 16) return null;
  if (ip.payload[2] * 256 + ip.payload[3] !== VXLAN_PORT || (ip.payload[8] & 0x08) === 0) return null;
  const inner = parseFrame(ip.payload.slice(16));
  return inner && { frame: inner, header: ip.payload.slice(8, 16) };
}

/** The inner frame goes back into the outer one's payload. */
function putTogether(stack: Stack): Uint8Array {
  const [outer, inner] = stack.frames;
  if (inner && outer.ipv4) {
    outer.ipv4.payload = Uint8Array.from([...outer.ipv4.payload.slice(0, 8), ...stack.vxlan, ...buildFrame(inner)]);
  }
  return buildFrame(outer);
}

function matches(items: readonly MatchItem[], stack: Stack, value: (v: Value) => number): boolean {
  let layer = -1;
  let tags = 0;
  return items.every((item) => {
    if (item.type === 'eth') {
      layer++;
      tags = 0;
    }
    const frame = stack.frames[layer];
    if (!frame) return false;
    if (item.type === 'vlan') tags++;
    const ip = frame.ipv4;
    const holds = (actual: number, wanted: MatchValue | undefined) =>
      wanted === undefined || fits(actual, wanted, value);
    const l4 = (protocol: number, bytes: number): Uint8Array | null =>
      ip && ip.protocol === protocol && (ip.fragment & 0x3fff) === 0 && ip.payload.length >= bytes ? ip.payload : null;
    switch (item.type) {
      case 'eth':
        return (
          holds(frame.source, item.source) &&
          holds(frame.destination, item.destination) &&
          holds(frame.tags[0]?.tpid ?? frame.etherType, item.etherType)
        );
      case 'vlan':
        return frame.tags.length >= tags && holds(frame.tags[tags - 1].tci % 4096, item.vid);
      case 'ipv4':
        return (
          ip !== null &&
          frame.tags.length === tags &&
          holds(ip.source, item.source) &&
          holds(ip.destination, item.destination) &&
          holds(ip.protocol, item.protocol) &&
          holds(ip.ttl, item.ttl) &&
          holds(ip.fragment, item.fragmentOffset) &&
          holds(ip.versionIhl, item.versionIhl)
        );
      case 'ipv6':
        return frame.etherType === 0x86dd && frame.tags.length === tags && frame.rest.length >= 40;
      case 'udp': {
        const b = l4(17, 8);
        return b !== null && holds(b[0] * 256 + b[1], item.source) && holds(b[2] * 256 + b[3], item.destination);
      }
      case 'tcp': {
        const b = l4(6, 20);
        return (
          b !== null &&
          holds(b[0] * 256 + b[1], item.source) &&
          holds(b[2] * 256 + b[3], item.destination) &&
          holds(b[13], item.flags)
        );
      }
      case 'icmp': {
        const b = l4(1, 8);
        return (
          b !== null &&
          holds(b[0], item.icmpType) &&
          holds(b[1], item.icmpCode) &&
          holds(b[4] * 256 + b[5], item.identifier)
        );
      }
      case 'vxlan': {
        const b = stack.vxlan;
        return stack.frames.length > layer + 1 && holds(b[4] * 65536 + b[5] * 256 + b[6], item.vni);
      }
      case 'integrity': {
        const at = stack.frames[item.layer - 1]?.ipv4;
        return !!at && (at.checksumError === 0) === item.ipv4ChecksumOk;
      }
    }
    return false;
  });
}

function fits(actual: number, wanted: MatchValue, value: (v: Value) => number): boolean {
  if (typeof wanted === 'number' || 'argument' in wanted) return actual === value(wanted);
  const masked = (n: number, mask: number) => Number(BigInt(n) & BigInt(mask));
  if ('value' in wanted) return masked(actual, wanted.mask) === masked(wanted.value, wanted.mask);
  const mask = wanted.mask ?? 2 ** 48 - 1;
  const seen = masked(actual, mask);
  return seen >= masked(wanted.first, mask) && seen <= masked(wanted.last, mask);
}

function rewrite(action: Action, stack: Stack, value: (v: Value) => number): void {
  const frame = stack.frames[0];
  const ip = frame.ipv4;
  const setPort = (at: number, port: Value | undefined) => {
    if (ip && port !== undefined) ip.payload.set(bytesOf(value(port), 2), at);
  };
  switch (action.type) {
    case 'pop-vxlan':
      stack.frames.shift();
      break;
    case 'push-vxlan':
      stack.frames.unshift(tunnelFrame(action, frame, value));
      stack.vxlan = Uint8Array.from([0x08, 0, 0, 0, ...bytesOf(value(action.vni), 3), 0]);
      break;
    case 'set-vni':
      stack.vxlan.set(bytesOf(value(action.vni), 3), 4);
      break;
    case 'pop-vlan':
      frame.tags.shift();
      break;
    case 'push-vlan':
      frame.tags.unshift({ tpid: 0x8100, tci: value(action.vid) });
      break;
    case 'set-ethernet':
      if (action.source !== undefined) frame.source = value(action.source);
      if (action.destination !== undefined) frame.destination = value(action.destination);
      break;
    case 'set-ipv4':
      if (ip && action.source !== undefined) ip.source = value(action.source);
      if (ip && action.destination !== undefined) ip.destination = value(action.destination);
      break;
    case 'set-l4':
      setPort(0, action.source);
      setPort(2, action.destination);
      break;
    case 'set-icmp-identifier':
      setPort(4, action.identifier);
      break;
    case 'decrement-ttl':
      if (ip) ip.ttl--;
      break;
    default:
      break; // checksum: putting together repairs them all
  }
}

function tunnelFrame(push: Extract<Action, { type: 'push-vxlan' }>, inner: Frame, value: (v: Value) => number): Frame {
  const length = 8 + 8 + buildFrame(inner).length;
  return {
    destination: value(push.destinationMac),
    source: value(push.sourceMac),
    tags: [],
    etherType: 0x0800,
    rest: new Uint8Array(0),
    ipv4: {
      versionIhl: 0x45,
      tos: 0,
      identification: 0,
      fragment: 0x4000,
      ttl: 64,
      protocol: 17,
      source: value(push.source),
      destination: value(push.destination),
      options: new Uint8Array(0),
      checksumError: 0,
      payload: Uint8Array.from([
        ...bytesOf(value(push.udpSourcePort), 2),
        ...bytesOf(value(push.udpDestinationPort), 2),
        ...bytesOf(length, 2),
        0,
        0,
      ]),
      l4Error: null,
    },
  };
}
