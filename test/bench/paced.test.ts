import { turnsOf } from '../../bench/paced-run';
import { stolenSeconds, stolenShare } from '../../bench/stolen-time';

test('turns of a quarter of a second hold everything, as evenly as can be', () => {
  expect(turnsOf(1000, 1000)).toEqual([250, 250, 250, 250]);
  expect(turnsOf(1001, 1000)).toEqual([250, 250, 250, 251]);
  expect(turnsOf(10, 1_000_000)).toEqual([10]);
  // As slow as this, a turn would hold less than one.
  expect(turnsOf(3, 1)).toEqual([1, 1, 1]);
});

test('what the host took is the eighth number of all CPUs, in hundredths of a second', () => {
  const stat = 'cpu  10 20 30 40 50 60 70 250 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\n';
  expect(stolenSeconds(stat)).toBe(2.5);
  expect(stolenSeconds('cpu  10 20 30 40\n')).toBe(0);
  expect(() => stolenSeconds('intr 5\n')).toThrow('/proc/stat has no line of all CPUs');
});

test('the share of it is of the time of all cores', () => {
  const time = { seconds: 2, stolenSeconds: 0.5 };
  expect(stolenShare([time, { seconds: 3, stolenSeconds: 0 }], 2)).toBe(0.05);
  expect(stolenShare([], 2)).toBe(0);
});
