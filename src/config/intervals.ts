import type { Ipv4Range } from './types.js';

/**
 * Finds overlapping ranges by one sweep, O(n log n).
 *
 * @param items Ranges; an earlier one is taken as the one that stood first.
 * @param group When given, only ranges of different groups count as overlapping.
 * @returns Pairs [earlier, later]. Not every pair: at least one for each range that overlaps one which begins before it.
 */
export function overlaps<T extends Ipv4Range>(items: readonly T[], group?: (item: T) => number): [T, T][] {
  const order = items.map((_, i) => i).sort((a, b) => items[a].first - items[b].first || a - b);
  const found: [T, T][] = [];
  // Of the ranges swept so far, those that reach furthest: over all, and among the groups other than that one's.
  let furthest = -1;
  let other = -1;
  for (const i of order) {
    const item = items[i];
    for (const j of furthest === other ? [furthest] : [furthest, other]) {
      if (j < 0 || items[j].last < item.first) continue;
      if (group && group(items[j]) === group(item)) continue;
      found.push(i < j ? [item, items[j]] : [items[j], item]);
      break;
    }
    const sameGroup = furthest < 0 || !group || group(items[furthest]) === group(item);
    if (furthest < 0 || item.last > items[furthest].last) {
      if (!sameGroup) other = furthest;
      furthest = i;
    } else if (!sameGroup && (other < 0 || item.last > items[other].last)) {
      other = i;
    }
  }
  return found;
}

/** Whether every address of `range` lies in one of `ranges`, which may adjoin or overlap and stand in any order. */
export function isCovered(range: Ipv4Range, ranges: readonly Ipv4Range[]): boolean {
  let next = range.first;
  for (const part of [...ranges].sort((a, b) => a.first - b.first)) {
    if (part.first > next) break;
    if (part.last >= next) next = part.last + 1;
    if (next > range.last) return true;
  }
  return false;
}
