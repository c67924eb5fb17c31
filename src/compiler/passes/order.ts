import type { Rule } from '../rule.js';
import type { Target } from '../target.js';
import { isFate } from './verify.js';

/**
 * Puts the target's leading actions first, keeps the others as listed and the fate last.
 *
 * Only `count`, `age` and `mark` may lead: they neither read nor change headers, so moving them changes no packet.
 */
export function order(rule: Rule, target: Target): Rule {
  const first = target.actionOrder.first;
  const rank = (type: string): number => {
    const at = (first as readonly string[]).indexOf(type);
    return at < 0 ? first.length : at;
  };
  const leading = rule.actions.filter((at) => rank(at.node.type) < first.length);
  leading.sort((a, b) => rank(a.node.type) - rank(b.node.type));
  const rest = rule.actions.filter((at) => rank(at.node.type) === first.length && !isFate(at.node));
  return { ...rule, actions: [...leading, ...rest, ...rule.actions.filter((at) => isFate(at.node))] };
}
