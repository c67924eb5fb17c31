import { matchedFields } from '../fields.js';
import type { MatchItem } from '../ir.js';
import type { Rule } from '../rule.js';

/**
 * Conditions without those that every packet which comes this way is known to fulfil.
 *
 * @param known Items in the order of the rule's own, for as long as their types agree.
 */
export function withoutKnown(match: Rule['match'], known: readonly MatchItem[]): Rule['match'] {
  let agrees = true;
  return match.map((at, i) => {
    const before = known[i];
    agrees &&= before !== undefined && before.type === at.node.type;
    if (!agrees || at.node.type === 'integrity') return at;
    const held = new Map(matchedFields(before).map(({ name, value }) => [name, JSON.stringify(value)]));
    const left = matchedFields(at.node).filter(({ name, value }) => held.get(name) !== JSON.stringify(value));
    const node = { type: at.node.type, ...Object.fromEntries(left.map(({ name, value }) => [name, value])) };
    return { ...at, node: node as MatchItem };
  });
}
