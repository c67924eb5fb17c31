import { FlowArguments } from '../native/records.js';
import {
  ARGUMENT_KINDS,
  type FieldKind,
  readBigEndian,
  readLittleEndian,
  writeBigEndian,
  writeLittleEndian,
} from './fields.js';
import type { ArgumentName } from './ir.js';
import { packRules, packTemplate } from './packed-template.js';
import type { RuleTemplate } from './template.js';

const STORED_BYTES: Record<FieldKind, number> = {
  mac: 6,
  address: 4,
  port: 2,
  vni: 4,
  vid: 2,
  protocol: 1,
  seconds: 4,
  number: 4,
};

/** The argument's value in a FlowArguments row: little-endian, MACs as on the wire. */
export function readArgument(row: DataView, argument: ArgumentName): number {
  const bytes = new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
  const kind = ARGUMENT_KINDS[argument];
  if (kind === 'mac') return readBigEndian(bytes, FlowArguments[argument], 6);
  return readLittleEndian(bytes, FlowArguments[argument], STORED_BYTES[kind]);
}

/** Writes one argument of a row. For rows made by hand; the NAT engine packs its own. */
export function writeArgument(row: DataView, argument: ArgumentName, value: number): void {
  const bytes = new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
  const kind = ARGUMENT_KINDS[argument];
  if (kind === 'mac') writeBigEndian(bytes, FlowArguments[argument], 6, value);
  else writeLittleEndian(bytes, FlowArguments[argument], STORED_BYTES[kind], value);
}

/** The rule of one flow: the template with the row's values in place of its patches. */
export function instantiate(template: RuleTemplate, row: DataView): RuleTemplate {
  const packed = packTemplate(template);
  const out = new Uint8Array(packed.bytes.length);
  packRules(packed, new Uint8Array(row.buffer, row.byteOffset, row.byteLength), 0, 1, out, 0);
  const part = (index: number, length: number) => out.subarray(packed.offsets[index], packed.offsets[index] + length);
  return {
    ...template,
    items: template.items.map((item, i) => (item.spec ? { ...item, spec: part(i, item.spec.length) } : item)),
    actions: template.actions.map((action, i) => {
      return { ...action, conf: part(template.items.length + i, action.conf.length) };
    }),
    patches: [],
    ...(template.second === undefined ? {} : { second: instantiate(template.second, row) }),
  };
}
