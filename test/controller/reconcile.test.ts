import fc from 'fast-check';
import { type RuleSet, reconcile } from '../../src/controller/reconcile.js';

/** Handles are few, so that sets overlap; a handle is in a set once. */
const rules = fc
  .uniqueArray(fc.tuple(fc.bigInt(1n, 30n), fc.bigInt(0n, 3n)), {
    selector: ([handle]) => handle,
    maxLength: 25,
    size: 'max',
  })
  .map((pairs) => BigUint64Array.from(pairs.flat()));

const pairs = (set: RuleSet): string[] => {
  const out: string[] = [];
  for (let i = 0; i < set.length; i += 2) out.push(`${set[i]} of ${set[i + 1]}`);
  return out;
};

const without = (set: readonly string[], others: readonly string[]) => set.filter((rule) => !others.includes(rule));

describe('reconcile', () => {
  test('what it says, done to what is there, makes what should be there', () => {
    fc.assert(
      fc.property(rules, rules, (desired, installed) => {
        const { stale, missing } = reconcile(desired, installed);
        const after = [...without(pairs(installed), pairs(stale)), ...pairs(missing)];
        expect(after.sort()).toEqual(pairs(desired).sort());
      }),
    );
  });

  test('it says nothing that need not be done', () => {
    fc.assert(
      fc.property(rules, rules, (desired, installed) => {
        const { stale, missing } = reconcile(desired, installed);
        expect(pairs(stale)).toEqual(without(pairs(installed), pairs(desired)));
        expect(pairs(missing)).toEqual(without(pairs(desired), pairs(installed)));
        expect(reconcile(desired, desired)).toEqual({ stale: new BigUint64Array(), missing: new BigUint64Array() });
      }),
    );
  });

  test('a handle that another session has now is both: its rule is stale, and the one that was is missing', () => {
    const { stale, missing } = reconcile(BigUint64Array.of(7n, 1n), BigUint64Array.of(7n, 2n));
    expect([pairs(stale), pairs(missing)]).toEqual([['7 of 2'], ['7 of 1']]);
  });
});
