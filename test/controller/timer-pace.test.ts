import { TimerPace } from '../../src/controller/timer-pace.js';

/** Runs what the pace allows at so many moments of a second. @returns How many had run after each. */
function runSecond(pace: TimerPace, second: number, due: number, moments: number): number[] {
  let left = due;
  return Array.from({ length: moments }, (_, i) => {
    if (left > 0) {
      const count = Math.min(left, pace.most(second, second, Math.floor((i / moments) * 1e9)));
      pace.note(count);
      left -= count;
    }
    return due - left;
  });
}

test('timers of a second are spread over it, and all have run before its end', () => {
  const pace = new TimerPace(() => 400_000);
  for (const second of [100, 101, 102]) {
    const ran = runSecond(pace, second, 400_000, 100);
    for (const [i, count] of ran.entries()) {
      const evenly = Math.min(400_000, (400_000 * i) / 80);
      expect(count).toBeGreaterThanOrEqual(Math.floor(evenly));
      expect(count).toBeLessThanOrEqual(evenly + 4096);
    }
    expect(ran[80]).toBe(400_000);
  }
});

test('few run at once, those of seconds before too, and more than were foreseen in the last part of the second', () => {
  const pace = new TimerPace(() => 1000);
  expect(runSecond(pace, 5, 1000, 1)).toEqual([1000]);
  expect(pace.most(5, 6, 0)).toBe(Number.POSITIVE_INFINITY);
  expect(runSecond(pace, 7, 50_000, 10)).toEqual([4096, 4221, 4346, 4471, 4596, 4721, 4846, 4971, 50_000, 50_000]);
});
