import { FlowArguments } from '../../native/records.js';
import { ARGUMENT_KINDS, type FieldKind } from '../fields.js';
import type { CompileContext } from '../index.js';
import { readArgument, writeArgument } from '../instantiate.js';
import type { ArgumentName, FlowList } from '../ir.js';
import { staticRulesFor } from '../static-rules.js';
import type { Target } from '../target.js';
import type { RuleTemplate } from '../template.js';
import { interpretList } from './list-interpreter.js';
import { canBeTried, type TrialPacket, trialPackets } from './packets.js';
import { interpretRule, type RuleOutcome } from './rule-interpreter.js';

export interface Trial {
  /** Packets that hit the rule, and that did not. */
  readonly hits: number;
  readonly misses: number;
  /** Packets with which rule and list differ: what is odd about them, what should have become of them and what became. */
  readonly faults: readonly { readonly odd: string; readonly wanted: string; readonly got: string }[];
}

/**
 * Executes a compiled rule, behind its target's constant rules, on a packet of the flow and on several that just miss it, by an
 * interpreter of rte_flow's rules; and the list by an interpreter of lists. The two share nothing with the compiler or each other.
 *
 * @param row FlowArguments of one flow; null: some values.
 * @returns Null for a list of headers that no packet is made of here.
 */
export function tryRule(
  list: FlowList,
  template: RuleTemplate,
  target: Target,
  context: CompileContext,
  row: DataView | null,
): Trial | null {
  if (!canBeTried(list)) return null;
  const filled = row ?? someRow();
  const given = Object.fromEntries(
    Object.keys(ARGUMENT_KINDS).map((name) => [name, readArgument(filled, name as ArgumentName)]),
  );
  const faults: Trial['faults'][number][] = [];
  let hits = 0;
  let misses = 0;
  for (const packet of trialPackets(list, context, given)) {
    if (packet.forSoftware && target.kind === 'software') continue;
    const wanted = packet.forSoftware
      ? { fate: 'miss' as const, frame: packet.bytes }
      : interpretList(list, list.ingress, packet.bytes, given);
    const got = throughTables(list, template, target, context, packet, filled);
    if (got.fate === 'miss') misses++;
    else hits++;
    const isSame = wanted.fate === got.fate && (got.fate === 'miss' || sameBytes(wanted.frame, got.frame));
    if (!isSame) faults.push({ odd: packet.odd, wanted: said(wanted), got: said(got) });
  }
  return { hits, misses, faults };
}

/** Constant rules first, then the rule where their jump leads. What is punted is software's like what misses. */
function throughTables(
  list: FlowList,
  template: RuleTemplate,
  target: Target,
  context: CompileContext,
  { bytes }: TrialPacket,
  row: DataView,
): Pick<RuleOutcome, 'fate' | 'frame'> {
  const port = list.ingress;
  const miss = { fate: 'miss', frame: bytes } as const;
  const forwards = target.kind === 'nic' && list.actions.at(-1)?.type === 'output';
  if (forwards) {
    const constant = staticRulesFor(target, context)
      .filter(({ ingress }) => ingress === port)
      .map((rule) => ({ rule, outcome: interpretRule(rule, port, bytes) }))
      .filter(({ outcome }) => outcome.fate !== 'miss')
      .sort((a, b) => a.rule.priority - b.rule.priority);
    const first = constant[0]?.outcome;
    if (first !== undefined && first.fate !== 'jump') return miss;
    const behindJump = target.groups.static !== target.groups.nat;
    if (behindJump && first?.to !== template.group) return miss;
  }
  return interpretRule(template, port, bytes, row);
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

const said = ({ fate, frame }: Pick<RuleOutcome, 'fate' | 'frame'>): string =>
  fate === 'miss' ? 'software' : `${fate} ${Buffer.from(frame).toString('hex')}`;

const SOME: Readonly<Record<FieldKind, number>> = {
  mac: 0x0200_0000_0100,
  address: 0x0a00_0100,
  port: 20_000,
  vni: 500,
  vid: 10,
  protocol: 47,
  seconds: 300,
  number: 70,
};

/** A row in which every argument has another value. */
function someRow(): DataView {
  const row = new DataView(new ArrayBuffer(FlowArguments.size));
  Object.entries(ARGUMENT_KINDS).forEach(([name, kind], i) => {
    writeArgument(row, name as ArgumentName, kind === 'protocol' ? SOME[kind] : SOME[kind] + i);
  });
  return row;
}
