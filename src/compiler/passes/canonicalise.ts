import type { FieldLayout } from '../fields.js';
import { actionValues, and48, fullMask, isArgument, isMasked, isRange, matchedFields } from '../fields.js';
import { framesAfter, matchedFrames } from '../headers.js';
import type { Action, MatchItem, MatchValue, Value } from '../ir.js';
import type { Located, Rule } from '../rule.js';

/**
 * Lists that mean the same become the same.
 *
 * Match: values are masked; a full mask is an exact value; a mask of nothing, or a range of everything, is no condition; a range
 * of one value is that value. Actions: a rewrite that is overwritten, popped or dropped later goes; so does one that
 * writes what the match says is there; a checksum that repairs nothing goes. Nothing is reordered.
 */
export function canonicalise(rule: Rule): Rule {
  const match = rule.match.map((at) => ({ ...at, node: canonicalItem(at.node) }));
  const seen = unseenRewritesRemoved(match, rule.actions);
  const actions = uselessChecksumsRemoved(identityRewritesRemoved(match, seen));
  return { ...rule, match, actions };
}

function canonicalItem(item: MatchItem): MatchItem {
  const fields: Record<string, MatchValue> = {};
  for (const { name, layout, value } of matchedFields(item)) {
    const canonical = canonicalValue(value, layout);
    if (canonical !== null) fields[name] = canonical;
  }
  return item.type === 'integrity' ? item : ({ type: item.type, ...fields } as MatchItem);
}

/** Null: matches everything. */
function canonicalValue(value: MatchValue, layout: FieldLayout): MatchValue | null {
  const full = fullMask(layout);
  if (isMasked(value)) {
    if (value.mask === 0) return null;
    return value.mask === full ? value.value : { value: and48(value.value, value.mask), mask: value.mask };
  }
  if (isRange(value)) {
    const mask = value.mask ?? full;
    const first = and48(value.first, mask);
    const last = and48(value.last, mask);
    if (first === last) return canonicalValue({ value: first, mask }, layout);
    if (first === 0 && last === mask) return null;
    return mask === full ? { first, last } : { first, last, mask };
  }
  return value;
}

const REWRITES: ReadonlySet<Action['type']> = new Set([
  'set-ethernet',
  'set-ipv4',
  'set-l4',
  'set-icmp-identifier',
  'set-vni',
]);

const sameValue = (a: Value, b: MatchValue | undefined): boolean => {
  if (typeof a === 'number') return a === b;
  return b !== undefined && isArgument(b) && a.argument === b.argument;
};

/** Header of a frame that an action's fields belong to, as the match items name it. */
function rewrittenItem(action: Action): MatchItem['type'] | null {
  switch (action.type) {
    case 'set-ethernet':
      return 'eth';
    case 'set-ipv4':
      return 'ipv4';
    case 'set-l4':
      return action.protocol;
    case 'set-icmp-identifier':
      return 'icmp';
    case 'set-vni':
      return 'vxlan';
    default:
      return null;
  }
}

/** `frame id/item/field` → what the match says it holds. */
function matchedValues(match: readonly Located<MatchItem>[]): ReadonlyMap<string, MatchValue> {
  const known = new Map<string, MatchValue>();
  let frame = -1;
  for (const { node } of match) {
    if (node.type === 'eth') frame++;
    for (const { name, value } of matchedFields(node)) known.set(`${frame}/${node.type}/${name}`, value);
  }
  return known;
}

/** The frame that each action acts on, by its id. */
function framesActedOn(match: readonly Located<MatchItem>[], actions: Rule['actions']): readonly number[] {
  let frames = matchedFrames(match.map((at) => at.node));
  return actions.map(({ node }) => {
    const id = frames[0]?.id ?? -1;
    frames = framesAfter(frames, node);
    return id;
  });
}

/** The rewrite with the fields that `needed` says; null when none is left. */
function narrowed(at: Located<Action>, needed: (field: string, value: Value) => boolean): Located<Action> | null {
  const fields: Record<string, Value> = {};
  for (const { name, value } of actionValues(at.node)) if (needed(name, value)) fields[name] = value;
  if (Object.keys(fields).length === 0) return null;
  const head = at.node.type === 'set-l4' ? { type: at.node.type, protocol: at.node.protocol } : { type: at.node.type };
  return { ...at, node: { ...head, ...fields } as Action };
}

/** Backwards: what is overwritten, popped or dropped later is never seen. */
function unseenRewritesRemoved(match: readonly Located<MatchItem>[], actions: Rule['actions']): Rule['actions'] {
  const frameOf = framesActedOn(match, actions);
  const dropped = actions.at(-1)?.node.type === 'drop';
  const popped = new Set<number>();
  const overwritten = new Set<string>();
  const kept: Located<Action>[] = [];
  for (let i = actions.length - 1; i >= 0; i--) {
    const at = actions[i];
    const action = at.node;
    if (action.type === 'pop-vxlan') popped.add(frameOf[i]);
    const unseen = dropped || popped.has(frameOf[i]);
    if (REWRITES.has(action.type)) {
      const left = narrowed(at, (field) => {
        const key = `${frameOf[i]}/${rewrittenItem(action)}/${field}`;
        if (unseen || overwritten.has(key)) return false;
        overwritten.add(key);
        return true;
      });
      if (left) kept.unshift(left);
    } else if (action.type !== 'decrement-ttl' || !unseen) kept.unshift(at);
  }
  return kept;
}

/** What writes the value that the match says is there. Each field is written at most once by now. */
function identityRewritesRemoved(match: readonly Located<MatchItem>[], actions: Rule['actions']): Rule['actions'] {
  const frameOf = framesActedOn(match, actions);
  const holds = matchedValues(match);
  const kept: Located<Action>[] = [];
  actions.forEach((at, i) => {
    if (!REWRITES.has(at.node.type)) kept.push(at);
    else {
      const item = rewrittenItem(at.node);
      const left = narrowed(at, (field, value) => !sameValue(value, holds.get(`${frameOf[i]}/${item}/${field}`)));
      if (left) kept.push(left);
    }
  });
  return kept;
}

function uselessChecksumsRemoved(actions: Rule['actions']): Rule['actions'] {
  let stale = false;
  return actions.filter(({ node }) => {
    if (
      node.type === 'set-ipv4' ||
      node.type === 'set-l4' ||
      node.type === 'set-icmp-identifier' ||
      node.type === 'decrement-ttl'
    )
      stale = true;
    if (node.type !== 'checksum') return true;
    const useful = stale;
    stale = false;
    return useful;
  });
}
