import type { FlowArguments } from '../native/records.js';
import type { Action, ArgumentName, MatchItem, MatchValue, Value } from './ir.js';

/** What a field holds; values, arguments and text forms must be of the field's kind. */
export type FieldKind = 'mac' | 'address' | 'port' | 'vni' | 'vid' | 'protocol' | 'seconds' | 'number';

export interface FieldLayout {
  readonly kind: FieldKind;
  /** Byte offset inside the header. */
  readonly offset: number;
  /** Bytes the field stands in. */
  readonly bytes: number;
  /** Low bits of those bytes that are the field's: fewer than 8 × bytes for the VLAN identifier. */
  readonly bits: number;
  /** The field's name in testpmd's pattern grammar (DPDK app/test-pmd/cmdline_flow.c). */
  readonly testpmd: string;
}

export type ItemName = MatchItem['type'];
export type ActionName = Action['type'];

const field = (kind: FieldKind, offset: number, bytes: number, testpmd: string, bits = bytes * 8): FieldLayout => ({
  kind,
  offset,
  bytes,
  bits,
  testpmd,
});

/** Header bytes of each item (IEEE 802.3 and 802.1Q, RFC 791, 8200, 768, 9293, 792, 7348) and its matchable fields. */
export const ITEM_LAYOUTS: Record<
  Exclude<ItemName, 'integrity'>,
  { readonly bytes: number; readonly fields: Record<string, FieldLayout> }
> = {
  eth: {
    bytes: 14,
    fields: {
      source: field('mac', 6, 6, 'src'),
      destination: field('mac', 0, 6, 'dst'),
      etherType: field('number', 12, 2, 'type'),
    },
  },
  vlan: { bytes: 4, fields: { vid: field('vid', 0, 2, 'vid', 12) } },
  ipv4: {
    bytes: 20,
    fields: {
      source: field('address', 12, 4, 'src'),
      destination: field('address', 16, 4, 'dst'),
      protocol: field('protocol', 9, 1, 'proto'),
      ttl: field('number', 8, 1, 'ttl'),
      fragmentOffset: field('number', 6, 2, 'fragment_offset'),
      versionIhl: field('number', 0, 1, 'version_ihl'),
    },
  },
  ipv6: { bytes: 40, fields: {} },
  udp: { bytes: 8, fields: { source: field('port', 0, 2, 'src'), destination: field('port', 2, 2, 'dst') } },
  tcp: {
    bytes: 20,
    fields: {
      source: field('port', 0, 2, 'src'),
      destination: field('port', 2, 2, 'dst'),
      flags: field('number', 13, 1, 'flags'),
    },
  },
  icmp: {
    bytes: 8,
    fields: {
      icmpType: field('number', 0, 1, 'type'),
      icmpCode: field('number', 1, 1, 'code'),
      identifier: field('port', 4, 2, 'ident'),
    },
  },
  vxlan: { bytes: 8, fields: { vni: field('vni', 4, 3, 'vni') } },
};

/** Values that actions carry. */
export const ACTION_FIELDS: Record<ActionName, Record<string, FieldKind>> = {
  'pop-vxlan': {},
  'push-vxlan': {
    sourceMac: 'mac',
    destinationMac: 'mac',
    source: 'address',
    destination: 'address',
    udpSourcePort: 'port',
    udpDestinationPort: 'port',
    vni: 'vni',
  },
  'set-vni': { vni: 'vni' },
  'pop-vlan': {},
  'push-vlan': { vid: 'vid' },
  'set-ethernet': { source: 'mac', destination: 'mac' },
  'set-ipv4': { source: 'address', destination: 'address' },
  'set-l4': { source: 'port', destination: 'port' },
  'set-icmp-identifier': { identifier: 'port' },
  'decrement-ttl': {},
  checksum: {},
  count: {},
  age: { seconds: 'seconds' },
  mark: { id: 'number' },
  output: {},
  punt: {},
  drop: {},
  jump: {},
};

/** Largest value of an action's field of that kind. `seconds` is AGE's 24-bit timeout, `number` MARK's id. */
export const KIND_MAXIMUM: Record<FieldKind, number> = {
  mac: 2 ** 48 - 1,
  address: 2 ** 32 - 1,
  port: 2 ** 16 - 1,
  vni: 2 ** 24 - 1,
  vid: 2 ** 12 - 1,
  protocol: 255,
  seconds: 2 ** 24 - 1,
  number: 2 ** 32 - 1,
};

/** Which kind of field each argument may fill. Compiling fails here when FlowArguments changes. */
export const ARGUMENT_KINDS: Record<Exclude<keyof typeof FlowArguments, 'size'>, FieldKind> = {
  matchSourceAddress: 'address',
  matchDestinationAddress: 'address',
  matchSourcePort: 'port',
  matchDestinationPort: 'port',
  matchVni: 'vni',
  matchOuterSourceAddress: 'address',
  newSourceAddress: 'address',
  newDestinationAddress: 'address',
  newSourcePort: 'port',
  newDestinationPort: 'port',
  newVni: 'vni',
  outerDestinationAddress: 'address',
  outerDestinationMac: 'mac',
  innerDestinationMac: 'mac',
  outerUdpSourcePort: 'port',
  protocol: 'protocol',
  ageSeconds: 'seconds',
  ruleTag: 'number',
};

export const isArgument = (value: MatchValue): value is { readonly argument: ArgumentName } =>
  typeof value === 'object' && 'argument' in value;

export const isMasked = (value: MatchValue): value is { readonly value: number; readonly mask: number } =>
  typeof value === 'object' && 'value' in value;

export const isRange = (
  value: MatchValue,
): value is { readonly first: number; readonly last: number; readonly mask?: number } =>
  typeof value === 'object' && 'first' in value;

export const fullMask = (layout: FieldLayout): number => 2 ** layout.bits - 1;

/** The item's matched fields in the layout's order; integrity has none. */
export function matchedFields(item: MatchItem): { name: string; layout: FieldLayout; value: MatchValue }[] {
  if (item.type === 'integrity') return [];
  const values = item as unknown as Record<string, MatchValue | undefined>;
  const found: { name: string; layout: FieldLayout; value: MatchValue }[] = [];
  for (const [name, layout] of Object.entries(ITEM_LAYOUTS[item.type].fields)) {
    const value = values[name];
    if (value !== undefined) found.push({ name, layout, value });
  }
  return found;
}

/** The action's values, in the order of {@link ACTION_FIELDS}. */
export function actionValues(action: Action): { name: string; kind: FieldKind; value: Value }[] {
  const values = action as unknown as Record<string, Value | undefined>;
  const found: { name: string; kind: FieldKind; value: Value }[] = [];
  for (const [name, kind] of Object.entries(ACTION_FIELDS[action.type])) {
    const value = values[name];
    if (value !== undefined) found.push({ name, kind, value });
  }
  return found;
}

/** Bitwise AND of unsigned numbers up to 48 bits; JavaScript's own stops at 32. */
export function and48(a: number, b: number): number {
  const split = 2 ** 24;
  const high = (Math.floor(a / split) & Math.floor(b / split)) * split;
  return high + ((a % split) & (b % split));
}

/** Writes the low 8 × width bits of `value` in network order. */
export function writeBigEndian(bytes: Uint8Array, offset: number, width: number, value: number): void {
  let rest = value;
  for (let i = width - 1; i >= 0; i--) {
    bytes[offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

export function readBigEndian(bytes: Uint8Array, offset: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + bytes[offset + i];
  return value;
}

export function writeLittleEndian(bytes: Uint8Array, offset: number, width: number, value: number): void {
  let rest = value;
  for (let i = 0; i < width; i++) {
    bytes[offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

export function readLittleEndian(bytes: Uint8Array, offset: number, width: number): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + bytes[offset + i];
  return value;
}
