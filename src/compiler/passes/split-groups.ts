import { ActionTypeNames } from '../../native/records.js';
import type { DiagnosticCollector } from '../diagnostics.js';
import { gateMatch } from '../gate.js';
import type { CompileContext } from '../index.js';
import type { Placement, Rule } from '../rule.js';
import type { Target } from '../target.js';
import { withoutKnown } from './known-conditions.js';
import type { FormedRule } from './select-forms.js';

/** Whether a list is of the kind that stands behind the target's constant rules. */
export const isForwarded = (rule: Rule, target: Target): boolean =>
  target.kind === 'nic' && rule.actions.at(-1)?.node.type === 'output';

/** Where rules of a port stand. NAT rules beside constant rules of their own group have a lower priority. */
export function placementOf(rule: Rule, target: Target): Placement {
  const { nat, perPort } = target.groups;
  return {
    group: perPort ? nat + rule.ingress : nat,
    priority: isForwarded(rule, target) && target.groups.static === nat ? 2 : 0,
    domain: target.domain,
  };
}

/**
 * Places the rule in the target's group for NAT rules, to which the static rules of a thin first group jump.
 *
 * In a group of the port's own, what the way there has matched already is not matched again.
 */
export function splitGroups(
  formed: FormedRule,
  target: Target,
  context: CompileContext,
  report: DiagnosticCollector,
): FormedRule {
  refuseExclusive(formed, target, report);
  const { rule } = formed;
  if (!target.groups.perPort || !isForwarded(rule, target)) return formed;
  const port = context.ports[rule.ingress];
  const match = withoutKnown(rule.match, gateMatch(port, target, context));
  return { ...formed, rule: { ...rule, match }, matchesPort: false };
}

function refuseExclusive(formed: FormedRule, target: Target, report: DiagnosticCollector): void {
  if (!target.exclusive) return;
  const found = new Map(formed.formed.map((action) => [ActionTypeNames[action.type], action]));
  for (const [one, other] of target.exclusive.pairs) {
    const action = found.get(other as never);
    if (!action || !found.has(one as never)) continue;
    report.action(
      action,
      'actions-exclusive',
      `${target.name} cannot execute ${other} and ${one} in one rule`,
      target.exclusive.source,
    );
  }
}
