import { LONGEST_TURN_MS, PollWindow } from '../../src/controller/poll-window.js';

/** A window, and what passes time: idle for so many microseconds, then an event. */
function windowOf(cpus: number): { window: PollWindow; gap(us: number): void } {
  let nowMs = 0;
  const window = new PollWindow(cpus, () => nowMs);
  const gap = (us: number) => {
    window.idles();
    nowMs += us / 1000;
    window.works();
  };
  return { window, gap };
}

test('a thread that has never been idle does not look: the first sleep tells', () => {
  expect(windowOf(2).window.us).toBe(0);
});

test('short gaps are looked through, a long one ends that', () => {
  const { window, gap } = windowOf(2);
  gap(50);
  expect(window.us).toBe(200);
  gap(199);
  expect(window.us).toBe(200);
  gap(201);
  expect(window.us).toBe(0);
  gap(10);
  expect(window.us).toBe(200);
});

test('idle time counts from its beginning, however often it is looked in between', () => {
  let nowMs = 0;
  const window = new PollWindow(2, () => nowMs);
  for (let i = 0; i < 5; i++) {
    window.idles();
    nowMs += 0.1;
  }
  window.works();
  expect(window.us).toBe(0);
});

test('on a single CPU it never looks: it would keep the lcore from it', () => {
  const { window, gap } = windowOf(1);
  gap(10);
  expect(window.us).toBe(0);
});

/** Events that come one by one, each taking a tenth of a millisecond; goes on until it has handled `stopAfter`. */
function sourceOf(events: number, stopAfter: number) {
  let nowMs = 0;
  let left = events;
  let handled = 0;
  const looks: number[] = [];
  const source = {
    handleEvents: () => {
      if (left === 0) return 0;
      nowMs += 0.1;
      left--;
      handled++;
      return 1;
    },
    awaitEvents: (us: number) => {
      looks.push(us);
      return false;
    },
    goesOn: () => handled < stopAfter,
  };
  return { source, window: new PollWindow(2, () => nowMs), handled: () => handled, looks };
}

test('what comes is handled until nothing more does, and then looked for as long as the window says', () => {
  const { source, window, handled, looks } = sourceOf(3, 100);
  expect(window.handleForAWhile(source)).toBe(true);
  expect(handled()).toBe(3);
  expect(looks).toEqual([]);
  window.works();
  expect(window.handleForAWhile(source)).toBe(false);
  expect(looks).toEqual([200]);
});

test('a turn ends when it has taken long enough, or when its source goes on no more', () => {
  const long = sourceOf(100, 100);
  expect(long.window.handleForAWhile(long.source)).toBe(true);
  expect(long.handled() * 0.1).toBeGreaterThan(LONGEST_TURN_MS);
  expect(long.handled() * 0.1).toBeLessThan(LONGEST_TURN_MS + 0.2);
  const stopped = sourceOf(100, 2);
  expect(stopped.window.handleForAWhile(stopped.source)).toBe(true);
  expect(stopped.handled()).toBe(2);
});
