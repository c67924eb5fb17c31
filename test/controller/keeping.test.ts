import fc from 'fast-check';
import { DropHistory, HISTORY_SECONDS } from '../../src/controller/drop-history.js';
import { Largest } from '../../src/controller/largest.js';
import { DropReason, DropReasonNames } from '../../src/native/records.js';

test('the largest are kept, as sorting all of them would tell', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5, max: 5 })), fc.nat(8), (keys, most) => {
      const largest = new Largest<number>(most);
      for (const [i, key] of keys.entries()) largest.add(key, i);
      const all = keys.map((key, i) => ({ key, i })).sort((a, b) => b.key - a.key || a.i - b.i);
      expect(largest.inOrder()).toEqual(all.slice(0, most).map(({ i }) => i));
    }),
  );
});

describe('drops of the last seconds', () => {
  /** Counters of which one reason stands at `count`. */
  const counters = (count: number) => DropReasonNames.map((_, reason) => (reason === DropReason.notSyn ? count : 0));

  test('are those since the youngest sample that is old enough', () => {
    const history = new DropHistory();
    for (let second = 0; second <= 100; second++) history.sample(second * 1000, counters(second * 10));
    const { sinceMs, drops } = history.since(100_500, counters(1005), 60);
    expect(sinceMs).toBe(40_000);
    expect(drops[DropReason.notSyn]).toBe(605);
    expect(drops[DropReason.filtered]).toBe(0);
  });

  test('are those since the start when that was later, and say so', () => {
    const history = new DropHistory();
    history.sample(5000, counters(0));
    history.sample(6000, counters(3));
    expect(history.since(6500, counters(7), 60)).toMatchObject({ sinceMs: 5000 });
    expect(history.since(6500, counters(7), 60).drops[DropReason.notSyn]).toBe(7);
  });

  test('go back as far as is promised after any time', () => {
    const history = new DropHistory();
    for (let second = 0; second <= 1234; second++) history.sample(second * 1000, counters(second));
    const { sinceMs } = history.since(1_234_000, counters(1234), HISTORY_SECONDS);
    expect(sinceMs).toBe((1234 - HISTORY_SECONDS) * 1000);
  });

  test('are none before the first sample', () => {
    expect(new DropHistory().since(1000, counters(5), 60).drops[DropReason.notSyn]).toBe(0);
  });
});
