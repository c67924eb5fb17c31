import { ActionType, FlowArguments, ItemType } from '../../native/records.js';
import type { RuleTemplate, TemplateItem } from '../template.js';

/**
 * What a rule does to one packet, by rte_flow's documentation: on raw bytes with offsets, checksums updated incrementally
 * (RFC 1624, equation 3), as a NIC does. Shares nothing with the interpreter of lists, so that the two can judge each
 * other.
 */
export interface RuleOutcome {
  readonly fate: 'miss' | 'output' | 'punt' | 'drop' | 'jump';
  readonly to: number | null;
  readonly frame: Uint8Array;
  /** Up to the innermost IP packet's end, as the frame stands when COUNT runs. */
  readonly countedBytes: number | null;
  readonly ageSeconds: number | null;
  readonly mark: number | null;
}

/** Offsets of one frame's headers; −1: not there. */
interface Headers {
  eth: number;
  tags: number[];
  ipv4: number;
  ipv6: number;
  l4: number;
  protocol: number;
  end: number;
}

interface Packet {
  bytes: Uint8Array;
  outer: Headers;
  vxlan: number;
  inner: Headers | null;
}

const be16 = (b: Uint8Array, at: number) => (b[at] << 8) | b[at + 1];

function headersAt(b: Uint8Array, eth: number, limit: number): Headers {
  const found: Headers = { eth, tags: [], ipv4: -1, ipv6: -1, l4: -1, protocol: -1, end: limit };
  let at = eth + 14;
  while (at + 4 <= limit && be16(b, at - 2) === 0x8100) {
    found.tags.push(at);
    at += 4;
  }
  const type = be16(b, at - 2);
  if (type === 0x86dd && at + 40 <= limit) found.ipv6 = at;
  if (type !== 0x0800 || at + 20 > limit) return found;
  const header = (b[at] & 15) * 4;
  const total = be16(b, at + 2);
  if (b[at] >> 4 !== 4 || header < 20 || total < header || at + total > limit) return found;
  found.ipv4 = at;
  found.protocol = b[at + 9];
  found.end = at + total;
  const needs: Record<number, number> = { 1: 8, 6: 20, 17: 8 };
  const fragment = (be16(b, at + 6) & 0x3fff) !== 0;
  if (!fragment && needs[found.protocol] !== undefined && at + header + needs[found.protocol] <= found.end) {
    found.l4 = at + header;
  }
  return found;
}

function parse(bytes: Uint8Array): Packet {
  const outer = headersAt(bytes, 0, bytes.length);
  const packet: Packet = { bytes, outer, vxlan: -1, inner: null };
  const udp = outer.protocol === 17 ? outer.l4 : -1;
  if (udp >= 0 && be16(bytes, udp + 2) === 4789 && udp + 16 + 14 <= outer.end && bytes[udp + 8] & 8) {
    packet.vxlan = udp + 8;
    packet.inner = headersAt(bytes, udp + 16, outer.end);
  }
  return packet;
}

/** @param tag What the rule that jumped here has set. */
export function interpretRule(
  rule: RuleTemplate,
  port: number,
  frame: Uint8Array,
  row?: DataView,
  tag: number | null = null,
): RuleOutcome {
  const miss: RuleOutcome = { fate: 'miss', to: null, frame, countedBytes: null, ageSeconds: null, mark: null };
  const items = rule.items.map((item) => ({ ...item, spec: item.spec?.slice() }));
  const confs = rule.actions.map((action) => action.conf.slice());
  if (row) patch(rule, items, confs, row);
  if (frame.length < 14) return miss;
  let packet = parse(frame.slice());
  if (!itemsMatch(items as TemplateItem[], packet, port, tag)) return miss;

  let countedBytes: number | null = null;
  let ageSeconds: number | null = null;
  let mark: number | null = null;
  let jump: number | null = null;
  let fate: RuleOutcome['fate'] | null = null;
  let to: number | null = null;
  let set = tag;
  rule.actions.forEach((action, i) => {
    const conf = confs[i];
    const little = conf.reduceRight((value, byte) => value * 256 + byte, 0);
    switch (action.type) {
      case ActionType.count:
        countedBytes = packet.inner ? packet.inner.end : packet.outer.end;
        return;
      case ActionType.age:
        ageSeconds = little;
        return;
      case ActionType.mark:
        mark = little;
        return;
      case ActionType.setTag:
        if (conf[8] !== 0 || conf.slice(4, 8).some((byte) => byte !== 0xff)) throw new Error('not the whole tag 0');
        set = conf.slice(0, 4).reduceRight((value, byte) => value * 256 + byte, 0);
        return;
      case ActionType.jump:
        [fate, jump] = ['jump', little];
        return;
      case ActionType.drop:
        fate = 'drop';
        return;
      case ActionType.representedPort:
        [fate, to] = ['output', little];
        return;
      case ActionType.portRepresentor:
        [fate, to] = ['punt', little];
        return;
      default:
        packet = execute(action.type, conf, packet);
    }
  });
  if (fate === null) throw new Error('a rule without fate');
  const outcome = { fate, to: jump ?? to, frame: packet.bytes, countedBytes, ageSeconds, mark };
  if (rule.second === undefined || jump !== rule.second.group) return outcome;
  const after = interpretRule(rule.second, port, packet.bytes, row, set);
  return {
    ...after,
    countedBytes: after.countedBytes ?? countedBytes,
    ageSeconds: after.ageSeconds ?? ageSeconds,
    mark: after.mark ?? mark,
  };
}

function patch(
  rule: RuleTemplate,
  items: { spec?: Uint8Array | undefined }[],
  confs: Uint8Array[],
  row: DataView,
): void {
  for (const p of rule.patches) {
    const into = p.target === 'item' ? items[p.index].spec : confs[p.index];
    if (!into) throw new Error('a patch of an item without spec');
    const from = FlowArguments[p.argument];
    for (let i = 0; i < p.width; i++) {
      into[p.offset + i] = row.getUint8(from + (p.bigEndian ? p.width - 1 - i : i));
    }
  }
}

function itemsMatch(items: readonly TemplateItem[], packet: Packet, port: number, tag: number | null): boolean {
  let at: Headers | null = packet.outer;
  let tags = 0;
  for (const item of items) {
    const bytes = packet.bytes;
    let base = -1;
    switch (item.type) {
      case ItemType.representedPort: {
        if (!item.spec) continue;
        if ((item.spec[0] | (item.spec[1] << 8)) !== port) return false;
        continue;
      }
      case ItemType.tag: {
        const wanted = item.spec?.slice(0, 4).reduceRight((value, byte) => value * 256 + byte, 0);
        if (item.mask?.some((byte) => byte !== 0xff) || item.spec?.[4] !== 0) throw new Error('not the whole tag 0');
        if (wanted !== (tag ?? 0)) return false;
        continue;
      }
      case ItemType.integrity: {
        const layer = item.spec?.[0] === 2 ? packet.inner : packet.outer;
        if (!layer || layer.ipv4 < 0) return false;
        const header = bytes.slice(layer.ipv4, layer.ipv4 + (bytes[layer.ipv4] & 15) * 4);
        const bits = ones(header) === 0xffff ? 3 : 0;
        if (((bits ^ (item.spec?.[1] ?? 0)) & (item.mask?.[1] ?? 0)) !== 0) return false;
        continue;
      }
      case ItemType.eth:
        base = at?.eth ?? -1;
        break;
      case ItemType.vlan:
        base = at?.tags[tags++] ?? -1;
        break;
      case ItemType.ipv4:
        base = at && at.tags.length === tags ? at.ipv4 : -1;
        break;
      case ItemType.ipv6:
        base = at && at.tags.length === tags ? at.ipv6 : -1;
        break;
      case ItemType.udp:
        base = at?.protocol === 17 ? at.l4 : -1;
        break;
      case ItemType.tcp:
        base = at?.protocol === 6 ? at.l4 : -1;
        break;
      case ItemType.icmp:
        base = at?.protocol === 1 ? at.l4 : -1;
        break;
      case ItemType.vxlan:
        base = packet.vxlan;
        at = packet.inner;
        tags = 0;
        break;
    }
    if (base < 0 || !headerMatches(item, bytes, base)) return false;
  }
  return true;
}

/** rte_flow's ranges are of whole fields; these are the multi-byte ones that lists can name. */
const FIELD_STARTS: Partial<Record<ItemType, readonly number[]>> = {
  [ItemType.eth]: [0, 6, 12, 14],
  [ItemType.vlan]: [0, 2, 4],
  [ItemType.ipv4]: [0, 1, 2, 4, 6, 8, 9, 10, 12, 16, 20],
  [ItemType.ipv6]: [0, 4, 6, 7, 8, 24, 40],
  [ItemType.udp]: [0, 2, 4, 6, 8],
  [ItemType.tcp]: [0, 2, 4, 8, 12, 13, 14, 16, 18, 20],
  [ItemType.icmp]: [0, 1, 2, 4, 6, 8],
  [ItemType.vxlan]: [0, 1, 4, 7, 8],
};

function headerMatches(item: TemplateItem, bytes: Uint8Array, base: number): boolean {
  const { spec, mask, last } = item;
  if (!spec || !mask) return true;
  const starts = FIELD_STARTS[item.type] ?? [];
  for (let f = 0; f + 1 < starts.length; f++) {
    let seen = 0n;
    let low = 0n;
    let high = 0n;
    for (let i = starts[f]; i < starts[f + 1]; i++) {
      seen = (seen << 8n) | BigInt(bytes[base + i] & mask[i]);
      low = (low << 8n) | BigInt(spec[i] & mask[i]);
      high = (high << 8n) | BigInt((last?.[i] ?? 0) & mask[i]);
    }
    if (high === 0n || high === low ? seen !== low : seen < low || seen > high) return false;
  }
  return true;
}

/** One's complement sum of 16-bit words, folded. */
function ones(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i + 1 < bytes.length; i += 2) total += be16(bytes, i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** RFC 1624, equation 3. */
function update(b: Uint8Array, at: number, before: number, after: number): void {
  let total = (~be16(b, at) & 0xffff) + (~before & 0xffff) + after;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  b[at] = (~total >> 8) & 0xff;
  b[at + 1] = ~total & 0xff;
}

/** Writes bytes at an even offset of a header and repairs the given checksums. */
function write(b: Uint8Array, at: number, value: Uint8Array, checksums: readonly { at: number; udp: boolean }[]): void {
  for (let i = 0; i < value.length; i += 2) {
    const before = be16(b, at + i);
    b.set(value.subarray(i, i + 2), at + i);
    for (const checksum of checksums) {
      if (checksum.udp && be16(b, checksum.at) === 0) continue;
      update(b, checksum.at, before, be16(b, at + i));
      if (checksum.udp && be16(b, checksum.at) === 0) b.fill(0xff, checksum.at, checksum.at + 2);
    }
  }
}

function l4Checksum(h: Headers): { at: number; udp: boolean }[] {
  if (h.l4 < 0) return [];
  if (h.protocol === 6) return [{ at: h.l4 + 16, udp: false }];
  return h.protocol === 17 ? [{ at: h.l4 + 6, udp: true }] : [];
}

const concat = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

function execute(type: ActionType, conf: Uint8Array, packet: Packet): Packet {
  const { bytes: b, outer: h } = packet;
  const ipChecksum = { at: h.ipv4 + 10, udp: false };
  switch (type) {
    case ActionType.vxlanDecap:
      return parse(b.slice(packet.vxlan + 8, h.end));
    case ActionType.vxlanEncap:
      return parse(encapsulated(b, conf));
    case ActionType.setMacDestination:
      b.set(conf, 0);
      return packet;
    case ActionType.setMacSource:
      b.set(conf, 6);
      return packet;
    case ActionType.setIpv4Source:
    case ActionType.setIpv4Destination:
      if (h.ipv4 < 0) return packet;
      write(b, h.ipv4 + (type === ActionType.setIpv4Source ? 12 : 16), conf, [ipChecksum, ...l4Checksum(h)]);
      return packet;
    case ActionType.setTpSource:
    case ActionType.setTpDestination:
      if (h.l4 < 0) return packet;
      write(b, h.l4 + (type === ActionType.setTpSource ? 0 : 2), conf, l4Checksum(h));
      return packet;
    case ActionType.setIcmpIdent:
      write(b, h.l4 + 4, conf, [{ at: h.l4 + 2, udp: false }]);
      return packet;
    case ActionType.decTtl:
      write(b, h.ipv4 + 8, Uint8Array.of(b[h.ipv4 + 8] - 1, b[h.ipv4 + 9]), [ipChecksum]);
      return packet;
    case ActionType.ofPopVlan:
      return parse(concat(b.slice(0, 12), b.slice(16)));
    case ActionType.ofPushVlan:
      return parse(concat(b.slice(0, 12), conf, Uint8Array.of(0, 0), b.slice(12)));
    case ActionType.ofSetVlanVid:
      b[h.tags[0]] = (b[h.tags[0]] & 0xf0) | (conf[0] & 0x0f);
      b[h.tags[0] + 1] = conf[1];
      return packet;
    case ActionType.rawDecap:
      return parse(b.slice(conf.length, h.end));
    case ActionType.rawEncap:
      return parse(encapsulated(b, conf));
    case ActionType.modifyField:
      return modified(conf, packet);
    default:
      throw new Error(`action ${type} is not known here`);
  }
}

/** Field numbers of rte_flow.h 22.11: where the field lies in the outermost frame, and its bytes. */
function fieldAt(
  id: number,
  { outer: h, vxlan }: Packet,
): { at: number; bytes: number; checksums: { at: number; udp: boolean }[] } {
  const ip = [{ at: h.ipv4 + 10, udp: false }];
  const l4 = (protocol: number, offset: number) => {
    return { at: h.protocol === protocol && h.l4 >= 0 ? h.l4 + offset : -1, bytes: 2, checksums: l4Checksum(h) };
  };
  switch (id) {
    case 1:
      return { at: 0, bytes: 6, checksums: [] };
    case 2:
      return { at: 6, bytes: 6, checksums: [] };
    case 7:
      return { at: h.ipv4 + 8, bytes: 1, checksums: ip };
    case 8:
      return { at: h.ipv4 + 12, bytes: 4, checksums: [...ip, ...l4Checksum(h)] };
    case 9:
      return { at: h.ipv4 + 16, bytes: 4, checksums: [...ip, ...l4Checksum(h)] };
    case 14:
      return l4(6, 0);
    case 15:
      return l4(6, 2);
    case 19:
      return l4(17, 0);
    case 20:
      return l4(17, 2);
    case 21:
      return { at: vxlan + 4, bytes: 3, checksums: [] };
    default:
      throw new Error(`field ${id} is not known here`);
  }
}

/** MODIFY_FIELD of a whole field at the outermost level, modulo its width. */
function modified(conf: Uint8Array, packet: Packet): Packet {
  const { at, bytes, checksums } = fieldAt(conf[4] | (conf[5] << 8), packet);
  if (conf[1] !== bytes * 8 || conf[2] > 1) throw new Error('only whole fields of the outermost frame are known here');
  if (at < 0) return packet;
  const b = packet.bytes;
  const number = (from: Uint8Array) => from.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  const value = number(conf.slice(8, 8 + bytes));
  const before = number(b.slice(at, at + bytes));
  const sign = [null, 1n, -1n][conf[0]];
  let after = BigInt.asUintN(bytes * 8, sign === null ? value : before + sign * value);
  // Checksums cover 16-bit words: a byte is written with its neighbour.
  const width = bytes === 1 ? 2 : bytes;
  const out = b.slice(at, at + width);
  for (let i = bytes - 1; i >= 0; i--, after >>= 8n) out[i] = Number(after & 0xffn);
  if (checksums.length > 0) write(b, at, out, checksums);
  else b.set(out, at);
  return packet;
}

function encapsulated(inner: Uint8Array, header: Uint8Array): Uint8Array {
  const frame = concat(header, inner);
  const set16 = (at: number, value: number) => frame.set([value >> 8, value & 0xff], at);
  set16(16, frame.length - 14);
  set16(38, frame.length - 34);
  set16(24, ~ones(frame.slice(14, 34)) & 0xffff);
  return frame;
}
