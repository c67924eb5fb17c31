import { decode } from './decode.js';
import { instantiate } from './instantiate.js';
import type { RuleTemplate } from './template.js';

type Spec = string | { readonly spec: string; readonly mask?: string; readonly last?: string };

/** A rule as `--format json` shows it: rte_flow's words, values as text, `<name>` where a flow's argument goes. */
export interface PrintedRule {
  readonly name: string;
  readonly group: number;
  readonly priority: number;
  readonly domain: 'transfer' | 'ingress';
  readonly pattern: readonly { readonly type: string; readonly fields: Readonly<Record<string, Spec>> }[];
  readonly actions: readonly { readonly type: string; readonly conf: Readonly<Record<string, string>> }[];
  /** Per-flow values, in the order they are written. */
  readonly arguments: readonly string[];
  /** The second half of a rule that is two, joined by `ruleTag`. */
  readonly second?: PrintedRule;
}

/** @param row FlowArguments of one flow; without it, arguments stand as `<name>`. */
export function printJson(template: RuleTemplate, row?: DataView): PrintedRule {
  const rule = decode(row ? instantiate(template, row) : template);
  return {
    name: template.name,
    group: template.group,
    priority: template.priority,
    domain: template.domain,
    pattern: rule.items.map(({ type, fields }) => ({
      type,
      fields: Object.fromEntries(
        fields.map(({ name, spec, mask, last }) => [
          name,
          mask === null && last === null
            ? spec
            : { spec, ...(last === null ? {} : { last }), ...(mask === null ? {} : { mask }) },
        ]),
      ),
    })),
    actions: rule.actions.map(({ type, values }) => ({ type, conf: Object.fromEntries(values) })),
    arguments: [...new Set(template.patches.map((patch) => patch.argument))],
    ...(template.second === undefined ? {} : { second: printJson(template.second, row) }),
  };
}
