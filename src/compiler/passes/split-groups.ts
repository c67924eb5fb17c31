import { ActionType, ActionTypeNames } from '../../native/records.js';
import type { DiagnosticCollector } from '../diagnostics.js';
import { gateMatch } from '../gate.js';
import type { CompileContext } from '../index.js';
import type { Placement, Rule } from '../rule.js';
import type { Target } from '../target.js';
import { withoutKnown } from './known-conditions.js';
import { type FormedRule, joinActions } from './select-forms.js';

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
  const whole = joined(formed, target);
  if (whole === formed) refuseExclusive(formed, target, report);
  return { ...whole, ...placed(formed, target, context) };
}

/** The match as far as the way to the rule has not matched it already. */
function placed(formed: FormedRule, target: Target, context: CompileContext): Pick<FormedRule, 'rule' | 'matchesPort'> {
  const { rule } = formed;
  if (!target.groups.perPort || !isForwarded(rule, target)) return { rule, matchesPort: formed.matchesPort };
  const port = context.ports[rule.ingress];
  const match = withoutKnown(rule.match, gateMatch(port, target, context));
  return { rule: { ...rule, match }, matchesPort: false };
}

const ENCAPSULATES: ReadonlySet<ActionType> = new Set([ActionType.vxlanEncap, ActionType.rawEncap]);

/**
 * A rule with a decapsulation and an encapsulation, on a NIC that does one of them in a rule, as two: the first does
 * everything up to the encapsulation, marks the packet with the flow's tag and jumps; the second finds it by the tag alone,
 * as nothing of what is left of the packet tells flows of different VPCs apart.
 *
 * Precondition: in the target's order, in which the encapsulation is last.
 */
function joined(formed: FormedRule, target: Target): FormedRule {
  const { joined: group } = target.groups;
  const actions = formed.formed;
  const at = actions.findIndex(({ type }) => ENCAPSULATES.has(type));
  const names = new Set<string>(actions.map(({ type }) => ActionTypeNames[type]));
  const apart = target.exclusive?.pairs.some((pair) => pair.every((name) => names.has(name))) ?? false;
  if (group === undefined || at < 0 || !apart) return formed;
  const fate = actions[actions.length - 1];
  return {
    ...formed,
    formed: [...actions.slice(0, at), ...joinActions(group, fate)],
    second: { group, formed: actions.slice(at) },
  };
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
