import type { Placement, Rule } from '../rule.js';
import type { Target } from '../target.js';

export interface PlacedRule {
  readonly rule: Rule;
  readonly placement: Placement;
}

/**
 * Places the rule in the target's group for NAT rules; the static rules of a thin first group jump there.
 *
 * Every target of today executes a whole list in one rule. One that cannot decapsulate and modify in one gets two here,
 * joined by a jump.
 */
export function splitGroups(rule: Rule, target: Target): PlacedRule {
  return { rule, placement: { group: target.groups.nat, priority: 0, domain: target.domain } };
}
