import { PollWindow } from '../../src/controller/poll-window.js';

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
