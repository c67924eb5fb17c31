import { formatIpv4, formatMac } from '../config/address.js';
import { ActionType, ActionTypeNames, ItemType, ItemTypeNames } from '../native/records.js';
import { type FieldKind, fullMask, ITEM_LAYOUTS, type ItemName, readBigEndian, readLittleEndian } from './fields.js';
import { ENCAP_OFFSETS } from './passes/select-forms.js';
import type { RuleTemplate, TemplateAction, TemplateItem } from './template.js';

/** A matched field as text; `<name>` where the flow's argument of that name goes. */
export interface DecodedField {
  readonly name: string;
  readonly testpmd: string;
  readonly spec: string;
  /** Null: exact. */
  readonly mask: string | null;
  readonly last: string | null;
  /** The mask of the whole field. */
  readonly whole: string;
}

export interface DecodedItem {
  readonly type: string;
  readonly fields: readonly DecodedField[];
}

export interface DecodedAction {
  readonly type: string;
  /** In testpmd's words and order. */
  readonly values: readonly (readonly [string, string])[];
}

export interface DecodedRule {
  readonly items: readonly DecodedItem[];
  readonly actions: readonly DecodedAction[];
}

type TextKind = FieldKind | 'hex';

function text(kind: TextKind, value: number, bytes: number): string {
  if (kind === 'mac') return formatMac(value);
  if (kind === 'address') return formatIpv4(value);
  return kind === 'hex' ? `0x${value.toString(16).padStart(bytes * 2, '0')}` : String(value);
}

/** Fields that people read in hexadecimal. */
const HEX_FIELDS: ReadonlySet<string> = new Set(['etherType', 'fragmentOffset', 'versionIhl', 'flags']);

/** Reads a template back from its bytes, so that what is shown is what will be installed. */
export function decode(template: RuleTemplate): DecodedRule {
  const argumentAt = new Map<string, string>();
  for (const { target, index, offset, argument } of template.patches) {
    argumentAt.set(`${target}/${index}/${offset}`, `<${argument}>`);
  }
  return {
    items: template.items.map((item, i) => decodeItem(item, (offset) => argumentAt.get(`item/${i}/${offset}`))),
    actions: template.actions.map((action, i) =>
      decodeAction(action, (offset) => argumentAt.get(`action/${i}/${offset}`)),
    ),
  };
}

type ArgumentAt = (offset: number) => string | undefined;

function decodeItem(item: TemplateItem, argumentAt: ArgumentAt): DecodedItem {
  const type = ItemTypeNames[item.type];
  const { spec, mask, last } = item;
  if (!spec || !mask) return { type, fields: [] };
  if (item.type === ItemType.representedPort) {
    const port = text('number', readLittleEndian(spec, 0, 2), 2);
    return {
      type,
      fields: [{ name: 'port', testpmd: 'ethdev_port_id', spec: port, mask: null, last: null, whole: '0xffff' }],
    };
  }
  if (item.type === ItemType.tag) {
    const data = argumentAt(0) ?? text('number', readLittleEndian(spec, 0, 4), 4);
    return {
      type,
      fields: [
        { name: 'data', testpmd: 'data', spec: data, mask: null, last: null, whole: '0xffffffff' },
        { name: 'index', testpmd: 'index', spec: String(spec[4]), mask: null, last: null, whole: '0xff' },
      ],
    };
  }
  if (item.type === ItemType.integrity) return { type, fields: integrityFields(spec, mask) };

  const fields: DecodedField[] = [];
  for (const [name, layout] of Object.entries(ITEM_LAYOUTS[type as Exclude<ItemName, 'integrity'>].fields)) {
    const { kind, offset, bytes, testpmd } = layout;
    const bits = readBigEndian(mask, offset, bytes);
    if (bits === 0) continue;
    const shown: TextKind = HEX_FIELDS.has(name) ? 'hex' : kind;
    const masked: TextKind = kind === 'mac' || kind === 'address' ? kind : 'hex';
    const end = last ? readBigEndian(last, offset, bytes) : 0;
    fields.push({
      name,
      testpmd,
      spec: argumentAt(offset) ?? text(shown, readBigEndian(spec, offset, bytes), bytes),
      mask: bits === fullMask(layout) ? null : text(masked, bits, bytes),
      whole: text(masked, fullMask(layout), bytes),
      last: end === 0 ? null : text(shown, end, bytes),
    });
  }
  return { type, fields };
}

/** Bits of rte_flow_item_integrity's `value`, by the template's (rte_flow.h). */
const INTEGRITY_VALUE_BITS = [0x04, 0x20]; // l3_ok, ipv4_csum_ok

function integrityFields(spec: Uint8Array, mask: Uint8Array): readonly DecodedField[] {
  const value = (bits: number) => INTEGRITY_VALUE_BITS.reduce((sum, bit, i) => sum + ((bits >> i) & 1) * bit, 0);
  return [
    { name: 'level', testpmd: 'level', spec: String(spec[0]), mask: null, last: null, whole: '0xffffffff' },
    {
      name: 'value',
      testpmd: 'value',
      spec: text('hex', value(spec[1]), 1),
      mask: text('hex', value(mask[1]), 1),
      whole: '0xff',
      last: null,
    },
  ];
}

interface ConfField {
  readonly testpmd: string;
  readonly offset: number;
  readonly bytes: number;
  readonly kind: TextKind;
  readonly littleEndian?: boolean;
}

const at = ENCAP_OFFSETS;
const ENCAP_FIELDS: readonly ConfField[] = [
  { testpmd: 'vni', offset: at.vni, bytes: 3, kind: 'vni' },
  { testpmd: 'udp-src', offset: at.udpSourcePort, bytes: 2, kind: 'port' },
  { testpmd: 'udp-dst', offset: at.udpDestinationPort, bytes: 2, kind: 'port' },
  { testpmd: 'ip-tos', offset: at.tos, bytes: 1, kind: 'number' },
  { testpmd: 'ip-ttl', offset: at.ttl, bytes: 1, kind: 'number' },
  { testpmd: 'ip-src', offset: at.source, bytes: 4, kind: 'address' },
  { testpmd: 'ip-dst', offset: at.destination, bytes: 4, kind: 'address' },
  { testpmd: 'eth-src', offset: at.sourceMac, bytes: 6, kind: 'mac' },
  { testpmd: 'eth-dst', offset: at.destinationMac, bytes: 6, kind: 'mac' },
];

const wire = (testpmd: string, bytes: number, kind: TextKind): readonly ConfField[] => [
  { testpmd, offset: 0, bytes, kind },
];
const host = (testpmd: string, bytes: number): readonly ConfField[] => [
  { testpmd, offset: 0, bytes, kind: 'number', littleEndian: true },
];

/** What a conf holds, in the words of testpmd's action arguments. Actions not listed carry nothing. */
const CONF_FIELDS: Partial<Record<ActionType, readonly ConfField[]>> = {
  [ActionType.age]: host('timeout', 4),
  [ActionType.jump]: host('group', 4),
  [ActionType.mark]: host('id', 4),
  [ActionType.queue]: host('index', 2),
  [ActionType.portRepresentor]: host('port_id', 2),
  [ActionType.representedPort]: host('ethdev_port_id', 2),
  [ActionType.vxlanEncap]: ENCAP_FIELDS,
  [ActionType.rawEncap]: ENCAP_FIELDS,
  [ActionType.setMacSource]: wire('mac_addr', 6, 'mac'),
  [ActionType.setMacDestination]: wire('mac_addr', 6, 'mac'),
  [ActionType.setIpv4Source]: wire('ipv4_addr', 4, 'address'),
  [ActionType.setIpv4Destination]: wire('ipv4_addr', 4, 'address'),
  [ActionType.setTpSource]: wire('port', 2, 'port'),
  [ActionType.setTpDestination]: wire('port', 2, 'port'),
  [ActionType.setTtl]: wire('ttl_value', 1, 'number'),
  [ActionType.setIcmpIdent]: wire('ident', 2, 'port'),
  [ActionType.ofPushVlan]: wire('ethertype', 2, 'hex'),
  [ActionType.ofSetVlanVid]: wire('vlan_vid', 2, 'vid'),
  [ActionType.setTag]: [
    { testpmd: 'data', offset: 0, bytes: 4, kind: 'number', littleEndian: true },
    { testpmd: 'mask', offset: 4, bytes: 4, kind: 'hex', littleEndian: true },
    { testpmd: 'index', offset: 8, bytes: 1, kind: 'number', littleEndian: true },
  ],
};

function decodeAction(action: TemplateAction, argumentAt: ArgumentAt): DecodedAction {
  const type = ActionTypeNames[action.type];
  if (action.type === ActionType.modifyField) return { type, values: modifyFieldValues(action.conf, argumentAt) };
  const values = (CONF_FIELDS[action.type] ?? []).map((field) => {
    const value = (field.littleEndian ? readLittleEndian : readBigEndian)(action.conf, field.offset, field.bytes);
    return [field.testpmd, argumentAt(field.offset) ?? text(field.kind, value, field.bytes)] as const;
  });
  return { type, values };
}

/** enum rte_flow_field_id of 22.11 in testpmd's words (cmdline_flow.c, modify_field_ids). */
const MODIFY_FIELD_NAMES: readonly string[] = [
  'start',
  'mac_dst',
  'mac_src',
  'vlan_type',
  'vlan_id',
  'mac_type',
  'ipv4_dscp',
  'ipv4_ttl',
  'ipv4_src',
  'ipv4_dst',
  'ipv6_dscp',
  'ipv6_hoplimit',
  'ipv6_src',
  'ipv6_dst',
  'tcp_port_src',
  'tcp_port_dst',
  'tcp_seq_num',
  'tcp_ack_num',
  'tcp_flags',
  'udp_port_src',
  'udp_port_dst',
  'vxlan_vni',
];
const MODIFY_OPERATIONS: readonly string[] = ['set', 'add', 'sub'];

function modifyFieldValues(conf: Uint8Array, argumentAt: ArgumentAt): readonly (readonly [string, string])[] {
  const [operation, width, level, offset] = conf;
  const bytes = Math.ceil(width / 8);
  const value = Array.from(conf.subarray(8, 8 + bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [
    ['op', MODIFY_OPERATIONS[operation]],
    ['dst_type', MODIFY_FIELD_NAMES[readLittleEndian(conf, 4, 2)]],
    ['dst_level', String(level)],
    ['dst_offset', String(offset)],
    ['src_type', 'value'],
    ['src_value', argumentAt(8) ?? value],
    ['width', String(width)],
  ];
}
