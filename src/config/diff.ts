import { isDeepStrictEqual } from 'node:util';
import { pointer } from './faults.js';
import { isObject } from './field.js';

/** One difference between two documents. */
export interface DocumentChange {
  readonly op: 'add' | 'remove' | 'replace';
  /** JSON Pointer: into the old document for `remove`, into the new one otherwise. */
  readonly path: string;
  /** What stood there; absent for `add`. */
  readonly from?: unknown;
  /** What stands there now; absent for `remove`. */
  readonly to?: unknown;
}

type Step = string | number;

/** What an element of a list is known by, the first that all elements have, each its own. */
const NAMES = ['name', 'prefix', 'address'] as const;

/**
 * What differs between two JSON documents. Elements of a list are matched by what they are known by, so that one that
 * is put in front changes none of the others; a mere change of order is no difference.
 */
export function documentChanges(old: unknown, next: unknown): readonly DocumentChange[] {
  const changes: DocumentChange[] = [];
  compare(old, next, [], [], changes);
  return changes;
}

function compare(old: unknown, next: unknown, at: readonly Step[], from: readonly Step[], into: DocumentChange[]) {
  if (isDeepStrictEqual(old, next)) return;
  if (Array.isArray(old) && Array.isArray(next)) return compareLists(old, next, at, from, into);
  if (!isObject(old) || !isObject(next)) {
    into.push({ op: 'replace', path: pointer(at), from: old, to: next });
    return;
  }
  for (const name of Object.keys(old)) {
    if (Object.hasOwn(next, name)) compare(old[name], next[name], [...at, name], [...from, name], into);
    else into.push({ op: 'remove', path: pointer([...from, name]), from: old[name] });
  }
  for (const name of Object.keys(next)) {
    if (!Object.hasOwn(old, name)) into.push({ op: 'add', path: pointer([...at, name]), to: next[name] });
  }
}

function compareLists(
  old: readonly unknown[],
  next: readonly unknown[],
  at: readonly Step[],
  from: readonly Step[],
  into: DocumentChange[],
): void {
  const name = NAMES.find((candidate) => isNameOf(candidate, old) && isNameOf(candidate, next));
  const keyOf = (element: unknown) =>
    name === undefined ? JSON.stringify(element) : String((element as Record<string, unknown>)[name]);
  // Equal elements may stand several times in a list without names: each is matched once.
  const places = new Map<string, number[]>();
  for (const [i, element] of next.entries()) {
    const key = keyOf(element);
    const known = places.get(key);
    if (known === undefined) places.set(key, [i]);
    else known.push(i);
  }
  for (const [i, element] of old.entries()) {
    const place = places.get(keyOf(element))?.shift();
    if (place === undefined) into.push({ op: 'remove', path: pointer([...from, i]), from: element });
    else compare(element, next[place], [...at, place], [...from, i], into);
  }
  for (const place of [...places.values()].flat().sort((a, b) => a - b)) {
    into.push({ op: 'add', path: pointer([...at, place]), to: next[place] });
  }
}

function isNameOf(name: string, list: readonly unknown[]): boolean {
  const values = list.map((element) => (isObject(element) ? element[name] : undefined));
  return values.every((value) => typeof value === 'string') && new Set(values).size === values.length;
}
