/**
 * A set of rules of one NIC: two numbers each, the rule's handle and what it belongs to (row, generation and direction of
 * a session, as AGE carries it; 0: no session).
 */
export type RuleSet = BigUint64Array;

/** What makes a NIC's rules those that there should be. */
export interface RuleOperations {
  /** Are there, and nobody's: to be destroyed. */
  readonly stale: RuleSet;
  /** Should be there, and are not: to be made anew. */
  readonly missing: RuleSet;
}

/**
 * What is to be done so that `installed` becomes `desired`: both are in the end, and nothing else is done.
 * A rule is the same when handle and owner are: the handle of a rule that is gone may be another's by now.
 */
export function reconcile(desired: RuleSet, installed: RuleSet): RuleOperations {
  const wanted = indexOf(desired);
  const there = indexOf(installed);
  return { stale: without(installed, wanted), missing: without(desired, there) };
}

/** Owner by handle. */
function indexOf(rules: RuleSet): Map<bigint, bigint> {
  const owners = new Map<bigint, bigint>();
  for (let i = 0; i < rules.length; i += 2) owners.set(rules[i], rules[i + 1]);
  return owners;
}

function without(rules: RuleSet, known: ReadonlyMap<bigint, bigint>): RuleSet {
  const left: bigint[] = [];
  for (let i = 0; i < rules.length; i += 2) {
    if (known.get(rules[i]) !== rules[i + 1]) left.push(rules[i], rules[i + 1]);
  }
  return BigUint64Array.from(left);
}

export function joined(parts: readonly RuleSet[]): RuleSet {
  if (parts.length === 1) return parts[0];
  const all = new BigUint64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
