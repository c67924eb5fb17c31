import { ActionTypeNames } from '../native/records.js';
import { compileFor } from './compile.js';
import type { ActionName, ItemName } from './fields.js';
import { fullMask, ITEM_LAYOUTS } from './fields.js';
import type { CompileContext } from './index.js';
import type { Action, FlowList, MatchItem, MatchValue } from './ir.js';
import type { Placement } from './rule.js';
import { singleActions } from './single-actions.js';
import type { ActionForm, MatchForm, RewrittenField, Target } from './target.js';
import { targets } from './target.js';
import type { RuleTemplate } from './template.js';

/** One line of a target table as a rule that a device takes or refuses. */
export interface ProbeLine {
  /** Which part of the table it stands in. */
  readonly part: 'item' | 'action';
  /** `ipv4.ttl exact`, `set-ipv4 as modify-field`. */
  readonly name: string;
  /** What the table says of it. */
  readonly isInTable: boolean;
  readonly rule: RuleTemplate;
}

/** Every form of an action that the compiler can emit and rte_flow has an action for. */
const FORMS: Readonly<Partial<Record<ActionName, readonly ActionForm[]>>> = {
  'pop-vxlan': ['vxlan-decap', 'raw-decap'],
  'push-vxlan': ['vxlan-encap', 'raw-encap'],
  'set-vni': ['modify-field'],
  'pop-vlan': ['of-pop-vlan'],
  'push-vlan': ['of-push-vlan'],
  'set-ethernet': ['set-mac', 'modify-field'],
  'set-ipv4': ['set-ipv4', 'modify-field'],
  'set-l4': ['set-tp', 'modify-field'],
  'decrement-ttl': ['dec-ttl', 'modify-add', 'modify-sub'],
  count: ['count'],
  age: ['age'],
  mark: ['mark'],
  output: ['represented-port'],
  punt: ['port-representor', 'queue'],
  drop: ['drop'],
  jump: ['jump'],
};

/** Items below one, so that its headers stand where they can. */
const BELOW: Readonly<Record<ItemName, readonly MatchItem[]>> = {
  eth: [],
  vlan: [{ type: 'eth' }],
  ipv4: [{ type: 'eth' }],
  ipv6: [{ type: 'eth' }],
  udp: [{ type: 'eth' }, { type: 'ipv4' }],
  tcp: [{ type: 'eth' }, { type: 'ipv4' }],
  icmp: [{ type: 'eth' }, { type: 'ipv4' }],
  vxlan: [{ type: 'eth' }, { type: 'ipv4' }, { type: 'udp' }],
  integrity: [{ type: 'eth' }, { type: 'ipv4' }],
};

/**
 * Every item, field and action form that the compiler knows, each as the smallest rule that needs it, what the table lacks
 * included: a table can be too careful as well as too hopeful.
 *
 * Left out: what could only be tried together with something that the table excludes. Nothing for a target without any fate.
 */
export function probeLines(target: Target, context: CompileContext): readonly ProbeLine[] {
  const fate = (['drop', 'punt', 'jump'] as const).find((name) => target.actions[name].forms.length > 0);
  if (fate === undefined) return [];
  return [...itemLines(target, context, fate), ...actionLines(target, context)];
}

const placementOf = (target: Target): Placement => ({
  group: target.groups.nat,
  priority: 0,
  domain: target.domain,
});

/** A table that allows everything, with the target's domain, level and forms of what is not tried. */
function permissive(target: Target, tried?: { readonly action: ActionName; readonly form: ActionForm }): Target {
  const all = targets().get('software') as Target;
  const actions = Object.entries(all.actions).map(([name, capability]) => {
    const own = target.actions[name as ActionName].forms;
    const forms = tried?.action === name ? [tried.form] : own.length > 0 ? own : capability.forms;
    return [name, { ...capability, forms }];
  });
  return {
    ...all,
    name: target.name,
    domain: target.domain,
    groups: target.groups,
    actionOrder: { ...target.actionOrder, strict: false },
    actions: Object.fromEntries(actions) as Target['actions'],
    ...(target.modifyField ? { modifyField: target.modifyField } : {}),
  };
}

function ruleOf(
  list: FlowList,
  target: Target,
  context: CompileContext,
  tried?: { action: ActionName; form: ActionForm },
): RuleTemplate {
  const result = compileFor(list, permissive(target, tried), context, placementOf(target));
  if (!result.ok) throw new Error(`${list.name}: ${result.diagnostics[0].message}`);
  return result.template;
}

/** The actions, with rewrites that a NIC knows only in sets widened to the smallest of its sets with one of theirs. */
function inSets(actions: readonly Action[], target: Target): readonly Action[] {
  const [rewrite, ...rest] = actions;
  const own: readonly RewrittenField[] =
    rewrite.type === 'set-ipv4' ? ['source', 'destination'] : rewrite.type === 'set-l4' ? ['sport', 'dport'] : [];
  const fitting = (target.rewriteSets?.sets ?? []).filter((set) => own.some((field) => set.includes(field)));
  if (fitting.length === 0) return actions;
  const set = fitting.reduce((least, each) => (each.length < least.length ? each : least));
  const addresses = {
    ...(set.includes('source') ? { source: 11 } : {}),
    ...(set.includes('destination') ? { destination: 12 } : {}),
  };
  const ports = {
    ...(set.includes('sport') ? { source: 13 } : {}),
    ...(set.includes('dport') ? { destination: 14 } : {}),
  };
  const all: Action[] = [];
  if (Object.keys(addresses).length > 0) all.push({ type: 'set-ipv4', ...addresses });
  if (Object.keys(ports).length > 0) all.push({ type: 'set-l4', protocol: 'udp', ...ports });
  return [...all, ...rest];
}

function actionLines(target: Target, context: CompileContext): ProbeLine[] {
  return singleActions(target).flatMap((single) => {
    const list = { ...single, actions: inSets(single.actions, target) };
    const action = list.name as ActionName;
    // What is rewritten and then dropped is not rewritten: the rule would not have the action.
    if (UNSEEN_WHEN_DROPPED.has(action) && list.actions.at(-1)?.type === 'drop') return [];
    const itemsKnown = list.match.every(({ type }) => target.items[type] !== undefined);
    return (FORMS[action] ?? []).flatMap((form): ProbeLine[] => {
      const rule = ruleOf({ ...list, name: `${action}-${form}` }, target, context, { action, form });
      if (isExclusive(rule, target)) return [];
      const isInTable = itemsKnown && target.actions[action].forms.includes(form);
      return [{ part: 'action', name: `${action} as ${form}`, isInTable, rule }];
    });
  });
}

const UNSEEN_WHEN_DROPPED: ReadonlySet<ActionName> = new Set([
  'set-vni',
  'set-ethernet',
  'set-ipv4',
  'set-l4',
  'decrement-ttl',
]);

/** Whether the table says that the action and its fate cannot stand in one rule: then nothing is told about the action. */
function isExclusive(rule: RuleTemplate, target: Target): boolean {
  const names = new Set<string>(rule.actions.map(({ type }) => ActionTypeNames[type]));
  return target.exclusive?.pairs.some((pair) => pair.every((name) => names.has(name))) ?? false;
}

function itemLines(target: Target, context: CompileContext, fate: 'drop' | 'punt' | 'jump'): ProbeLine[] {
  const actions = singleActions(target).find(({ name }) => name === fate)?.actions as readonly Action[];
  const lines: ProbeLine[] = [];
  const add = (name: string, item: MatchItem, isInTable: boolean) => {
    const match = [...BELOW[item.type], item];
    const belowKnown = match.every(({ type }) => target.items[type] !== undefined);
    const list: FlowList = { name: name.replace(/[ .]/g, '-'), ingress: 0, match, actions };
    lines.push({ part: 'item', name, isInTable: belowKnown && isInTable, rule: ruleOf(list, target, context) });
  };
  for (const [type, { fields }] of Object.entries(ITEM_LAYOUTS)) {
    const item = type as Exclude<ItemName, 'integrity'>;
    const known = target.items[item];
    add(item, { type: item } as MatchItem, known !== undefined);
    for (const [field, layout] of Object.entries(fields)) {
      const forms = known?.fields[field] ?? [];
      // Ranges only where the table has them: no NIC's driver of the matrix takes any.
      const tried: readonly MatchForm[] = forms.length === 0 ? ['exact'] : forms;
      for (const form of tried) {
        add(
          `${item}.${field} ${form}`,
          { type: item, [field]: sampleValue(form, fullMask(layout)) } as MatchItem,
          forms.length > 0,
        );
      }
    }
  }
  add(
    'integrity',
    { type: 'integrity', layer: 1, ipv4ChecksumOk: true } as MatchItem,
    target.items.integrity !== undefined,
  );
  return lines;
}

/** A value that is not 0 and, masked, leaves bits free. */
function sampleValue(form: MatchForm, full: number): MatchValue {
  if (form === 'exact') return full === 0xff ? 0x45 : 1;
  return form === 'mask' ? { value: 1, mask: 1 } : { first: 1, last: 2 };
}
