import { FlowArguments } from '../native/records.js';
import type { RuleTemplate } from './template.js';

/**
 * A template as one run of bytes, and where each byte of a flow's row goes in it: rules are made of it by copying alone.
 *
 * Layout: the specs of the items that have one, then the configurations of the actions, each in the template's order.
 */
export interface PackedTemplate {
  readonly bytes: Uint8Array;
  /** Pairs: offset in `bytes`, offset in the row. */
  readonly moves: Uint16Array;
  /** Offset of each item's spec, −1 of one without; then of each action's configuration. */
  readonly offsets: Int32Array;
}

export function packTemplate(template: RuleTemplate): PackedTemplate {
  const parts = [...template.items.map(({ spec }) => spec), ...template.actions.map(({ conf }) => conf)];
  const offsets = new Int32Array(parts.length);
  let size = 0;
  parts.forEach((part, i) => {
    offsets[i] = part === undefined ? -1 : size;
    size += part?.length ?? 0;
  });
  const bytes = new Uint8Array(size);
  parts.forEach((part, i) => {
    if (part !== undefined) bytes.set(part, offsets[i]);
  });
  const moves: number[] = [];
  for (const { target, index, offset, width, argument, bigEndian } of template.patches) {
    const at = offsets[target === 'item' ? index : template.items.length + index];
    if (at < 0) throw new Error(`${template.name}: item ${index} has no spec to patch`);
    // Rows are little-endian, MACs as on the wire: the first bytes are the low ones, or the MAC's first.
    for (let i = 0; i < width; i++)
      moves.push(at + offset + i, FlowArguments[argument] + (bigEndian ? width - 1 - i : i));
  }
  return { bytes, moves: Uint16Array.from(moves), offsets };
}

/**
 * Writes the rules of `count` rows one behind the other: 50–100 ns each.
 *
 * @param rows FlowArguments records without gaps, from `from` on.
 * @param out  At least count × template.bytes.length bytes from `to` on.
 */
export function packRules(
  { bytes, moves }: PackedTemplate,
  rows: Uint8Array,
  from: number,
  count: number,
  out: Uint8Array,
  to: number,
): void {
  let row = from;
  let at = to;
  for (let n = 0; n < count; n++) {
    out.set(bytes, at);
    for (let i = 0; i < moves.length; i += 2) out[at + moves[i]] = rows[row + moves[i + 1]];
    row += FlowArguments.size;
    at += bytes.length;
  }
}
