import { compileFor } from './compile.js';
import { matchedFields } from './fields.js';
import type { CompileContext, Diagnostic } from './index.js';
import type { Action, FlowList, MatchItem, Value } from './ir.js';
import type { Target } from './target.js';
import type { RuleTemplate } from './template.js';

/**
 * What a NIC can do for a list, by what is left to the CPU, least first:
 *
 * 0 `full`: nothing; 1 `decapsulate`: the VXLAN header is gone and MARK holds the VNI, software does the rest as for a plain
 * frame; 2 `classify`: MARK holds the VNI (of traffic from outside {@link MARK_OUTSIDE}) and COUNT counts, the packet is
 * untouched; 3 `none`. What a partial rule hands on is right whatever the packet: fragments, options, TTL 1, SYN and ICMP go to
 * the CPU with all others.
 */
export type Offer =
  | { readonly kind: 'full'; readonly cost: 0; readonly template: RuleTemplate }
  | {
      readonly kind: 'decapsulate' | 'classify';
      readonly cost: 1 | 2;
      readonly template: RuleTemplate;
      /** What the CPU does with what the rule hands on. */
      readonly rest: FlowList;
      /** Why it is not full. */
      readonly diagnostics: readonly Diagnostic[];
    }
  | { readonly kind: 'none'; readonly cost: 3; readonly diagnostics: readonly Diagnostic[] };

/** MARK of packets that no VNI tells apart: above every VNI. */
export const MARK_OUTSIDE = 2 ** 24;

/** The cheapest that the target can do for the list. */
export function offer(list: FlowList, target: Target, context: CompileContext): Offer {
  const full = compileFor(list, target, context);
  if (full.ok) return { kind: 'full', cost: 0, template: full.template };
  const { diagnostics } = full;
  const candidates = [decapsulating(list), classifying(list, target)];
  for (const candidate of candidates) {
    if (candidate === null || list.actions.at(-1)?.type !== 'output') continue;
    const result = compileFor(candidate.rule, target, context);
    const { kind, cost, rest } = candidate;
    if (result.ok) return { kind, cost, rest, template: result.template, diagnostics };
  }
  return { kind: 'none', cost: 3, diagnostics };
}

interface Candidate {
  readonly kind: 'decapsulate' | 'classify';
  readonly cost: 1 | 2;
  readonly rule: FlowList;
  readonly rest: FlowList;
}

/** Null where the list does not begin with a tunnel, or the VNI alone does not tell whose packet it was. */
function decapsulating(list: FlowList): Candidate | null {
  const tunnel = list.match.findIndex(({ type }) => type === 'vxlan');
  const pop = list.actions.findIndex(({ type }) => type === 'pop-vxlan');
  const vni = vniOf(list.match);
  const outer = list.match.slice(0, tunnel);
  const more = outer.some((item) => item.type === 'ipv4' && matchedFields(item).length > 0);
  if (tunnel < 0 || pop < 0 || vni === null || more) return null;
  if (list.match[tunnel + 1]?.type !== 'eth') return null;
  const before = list.actions.slice(0, pop).filter((action) => action.type !== 'count' && action.type !== 'age');
  if (before.length > 0) return null;
  return {
    kind: 'decapsulate',
    cost: 1,
    rule: {
      ...list,
      name: `${list.name}-decapsulate`,
      match: list.match.slice(0, tunnel + 2),
      actions: [{ type: 'mark', id: vni }, { type: 'pop-vxlan' }, { type: 'punt', port: list.ingress }],
    },
    rest: { ...list, match: list.match.slice(tunnel + 1), actions: list.actions.filter((_, i) => i !== pop) },
  };
}

function classifying(list: FlowList, target: Target): Candidate {
  const mark: Action = { type: 'mark', id: vniOf(list.match) ?? MARK_OUTSIDE };
  const count: readonly Action[] = target.actions.count.forms.length > 0 ? [{ type: 'count' }] : [];
  return {
    kind: 'classify',
    cost: 2,
    rule: {
      ...list,
      name: `${list.name}-classify`,
      actions: [...count, mark, { type: 'punt', port: list.ingress }],
    },
    rest: list,
  };
}

function vniOf(match: readonly MatchItem[]): Value | null {
  const vxlan = match.find((item) => item.type === 'vxlan');
  const vni = vxlan?.type === 'vxlan' ? vxlan.vni : undefined;
  return typeof vni === 'number' || (typeof vni === 'object' && 'argument' in vni) ? vni : null;
}
