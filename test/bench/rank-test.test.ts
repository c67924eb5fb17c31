import * as fc from 'fast-check';
import { compare, rankTest } from '../../bench/rank-test';

/** All ways of choosing so many of the values, one by one. */
function choices(values: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  if (values.length < size) return [];
  const [first, ...rest] = values;
  return [...choices(rest, size - 1).map((chosen) => [first, ...chosen]), ...choices(rest, size)];
}

/** By the definition: pairs in which the first group's value is the greater one, ties half. */
function slowly(a: readonly number[], b: readonly number[]): number {
  const all = [...a, ...b];
  const u = (chosen: readonly number[]) => {
    const others = all.map((_, i) => i).filter((i) => !chosen.includes(i));
    let pairs = 0;
    for (const i of chosen) for (const j of others) pairs += all[i] > all[j] ? 1 : all[i] === all[j] ? 0.5 : 0;
    return Math.abs(pairs - (a.length * b.length) / 2);
  };
  const every = choices([...all.keys()], a.length);
  const observed = u([...a.keys()]);
  return every.filter((chosen) => u(chosen) >= observed - 1e-9).length / every.length;
}

test('the rank test counts what its definition counts, ties included', () => {
  const values = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 });
  fc.assert(fc.property(values, values, (a, b) => expect(rankTest(a, b)).toBeCloseTo(slowly(a, b), 12)));
});

test('the rank test gives what scipy.stats.mannwhitneyu gives', () => {
  expect(rankTest([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])).toBeCloseTo(2 / 252, 12);
  expect(rankTest([1, 4, 5, 9], [2, 3, 6, 7, 8, 10])).toBeCloseTo(0.6095238095238096, 12);
});

test('within noise is what neither the test nor the runs themselves tell apart', () => {
  const off = [6.1, 6.2, 6.4, 6.5, 6.7];
  expect(compare([6.2, 6.3, 6.45, 6.6, 6.8], off)).toMatchObject({ isWithinNoise: true });
  // Told apart by the test, though by less than the runs of one kind differ.
  expect(compare([6.62, 6.75, 6.76, 6.77, 6.78], off)).toMatchObject({ isWithinNoise: false });
  // Not told apart by the test: half of the runs are far out.
  expect(compare([6.0, 6.15, 9.0, 9.1, 9.2], off)).toMatchObject({ isWithinNoise: false });
  expect(compare([9, 9, 9, 9], off)).toMatchObject({ isWithinNoise: null });
});
