import { EngineLoop } from '../../src/controller/engine-loop.js';
import type { GatewayController } from '../../src/controller/gateway.js';
import { LONGEST_TURN_MS, PollWindow } from '../../src/controller/poll-window.js';

/** An engine's loop over events that come one by one, each a tenth of a millisecond after the one before. */
function loopOver(events: number) {
  let nowMs = 0;
  let left = events;
  let looks = 0;
  const take = () => {
    nowMs += 0.1;
    if (left === 0) return 0;
    left--;
    return 1;
  };
  const handledAt: number[] = [];
  const controller = {
    handleEvents: () => {
      const handled = take();
      if (handled > 0) handledAt.push(turns);
      return handled;
    },
    engine: { nextSessionTimer: () => Number.POSITIVE_INFINITY, reviewIsPending: false },
    dataplane: {
      awaitEvents: () => {
        looks++;
        return left > 0;
      },
      armDoorbell: () => false,
    },
  } as unknown as GatewayController;
  let turns = 0;
  const count = () => {
    turns++;
    if (left > 0) setImmediate(count);
  };
  const loop = new EngineLoop(controller, new PollWindow(2, () => nowMs), () => [0, 0]);
  return { loop, count, handledAt, looks: () => looks };
}

const immediate = () => new Promise((resolve) => setImmediate(resolve));

test('events that come one by one share a turn of the event loop, and others get theirs after half a millisecond', async () => {
  const { loop, count, handledAt } = loopOver(100);
  loop.wake();
  count();
  while (handledAt.length < 100) await immediate();
  const perTurn = handledAt.filter((turn) => turn === handledAt[0]).length;
  const most = LONGEST_TURN_MS / 0.1 + 2;
  expect(perTurn).toBeGreaterThan(2);
  expect(perTurn).toBeLessThanOrEqual(most);
  expect(new Set(handledAt).size).toBeGreaterThanOrEqual(100 / most);
});

test('a loop without events neither stays in its turn nor wakes again', async () => {
  const { loop, handledAt, looks } = loopOver(0);
  loop.wake();
  await immediate();
  await immediate();
  expect(handledAt).toEqual([]);
  expect(looks()).toBe(0);
});

/** An engine's loop with timers that are due now and take a moment each, of which so many can run at a time. */
function loopWithTimers(due: number, room: number, second: () => readonly [number, number] = () => [100, 0]) {
  let left = due;
  const runs: number[] = [];
  const controller = {
    handleEvents: () => 0,
    roomForTimers: () => room,
    engine: {
      nextSessionTimer: () => (left > 0 ? 100 : Number.POSITIVE_INFINITY),
      sessionTimersOf: () => due,
      runSessionTimers: (_second: number, most: number) => {
        const count = Math.min(left, most);
        left -= count;
        runs.push(count);
        return count;
      },
      nextWaiter: () => null,
      reviewIsPending: false,
    },
    retryRules: () => undefined,
    dataplane: { awaitEvents: () => false, armDoorbell: () => false },
  } as unknown as GatewayController;
  return { loop: new EngineLoop(controller, new PollWindow(2, () => 0), second), runs };
}

test('timers that are due run turn by turn, as there is room for them', async () => {
  const { loop, runs } = loopWithTimers(2000, 512);
  loop.wake();
  for (let i = 0; i < 20; i++) await immediate();
  expect(runs).toEqual([512, 512, 512, 464]);
});

test('a loop whose timers are not to run yet sleeps until it is reminded of them', async () => {
  let nanoseconds = 0;
  const { loop, runs } = loopWithTimers(80_000, 100_000, () => [100, nanoseconds]);
  loop.wake();
  for (let i = 0; i < 20; i++) await immediate();
  expect(runs).toEqual([4096]);
  for (const tenth of [1, 2, 9]) {
    nanoseconds = tenth * 1e8;
    loop.runTimers();
    for (let i = 0; i < 20; i++) await immediate();
  }
  expect(runs).toEqual([4096, 10_000, 10_000, 55_904]);
});
