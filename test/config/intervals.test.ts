import fc from 'fast-check';
import { isCovered, overlaps } from '../../src/config/intervals.js';

const range = fc
  .tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 3 }))
  .map(([first, size, group]) => ({ first, last: first + size, group }));
type Item = { first: number; last: number; group: number };
const touch = (a: Item, b: Item) => a.first <= b.last && b.first <= a.last;

/** Every pair, the obvious way. */
function allPairs(items: readonly Item[], differ: boolean): [number, number][] {
  return items.flatMap((a, i) =>
    items.flatMap((b, j) =>
      i < j && touch(a, b) && !(differ && a.group === b.group) ? [[i, j] as [number, number]] : [],
    ),
  );
}

test.each([false, true])('the sweep finds an overlap exactly when there is one (between groups only: %s)', (differ) => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), (items) => {
      const found = overlaps(items, differ ? (item) => item.group : undefined).map(([a, b]) => [
        items.indexOf(a),
        items.indexOf(b),
      ]);
      const all = allPairs(items, differ);
      for (const pair of found) expect(all).toContainEqual(pair);
      // Each range that overlaps one beginning before it is reported at least once.
      for (const [i, j] of all) {
        const later = items[i].first < items[j].first ? j : i;
        if (items[i].first !== items[j].first) expect(found.some((pair) => pair.includes(later))).toBe(true);
      }
      expect(found.length > 0).toBe(all.length > 0);
    }),
    { numRuns: 1000 },
  );
});

test('a range is covered when each of its addresses is', () => {
  fc.assert(
    fc.property(range, fc.array(range, { maxLength: 6 }), (wanted, parts) => {
      let covered = true;
      for (let i = wanted.first; i <= wanted.last; i++)
        covered &&= parts.some((part) => part.first <= i && i <= part.last);
      expect(isCovered(wanted, parts)).toBe(covered);
    }),
    { numRuns: 1000 },
  );
});
