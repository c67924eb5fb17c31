/**
 * The lease's argument, away from sockets: two gateways whose clocks run apart, a Redis whose clock jumps and which may
 * lose its data, and messages that take any time. Whatever is drawn, never do both speak at one moment of true time.
 */
import fc from 'fast-check';
import type { LeaseRecord } from '../../src/ha/lease-store';
import { Peer } from '../../src/ha/peer';
import { HolderSilence } from '../../src/ha/silence';

const LEASE_MS = 1000;
const MARGIN_MS = 100;
/** Clocks of two machines may differ in rate by this much; a margin of a tenth bears ten times as much as crystals do. */
const DRIFT = 0.02;

const EMPTY: LeaseRecord = { holder: '', node: '', epoch: 0, beat: '', leftMs: 0, successor: '' };

interface Step {
  readonly afterMs: number;
  readonly who: number;
  readonly thereMs: number;
  readonly backMs: number;
  readonly kind: string;
  readonly jumpMs: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  afterMs: fc.integer({ min: 1, max: 120 }),
  who: fc.integer({ min: 0, max: 1 }),
  thereMs: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 50 }) }, fc.integer({ min: 0, max: 4000 })),
  backMs: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 50 }) }, fc.integer({ min: 0, max: 4000 })),
  kind: fc.constantFrom('turn', 'turn', 'turn', 'turn', 'turn', 'turn', 'jump', 'interrupted', 'pause'),
  jumpMs: fc.integer({ min: -3_600_000, max: 3_600_000 }),
});

/** A gateway's clock runs at its own rate from its own beginning. */
class Clock {
  constructor(
    private readonly rate: number,
    private readonly offsetMs: number,
  ) {}
  at(trueMs: number): number {
    return trueMs * this.rate + this.offsetMs;
  }
  trueTime(clockMs: number): number {
    return (clockMs - this.offsetMs) / this.rate;
  }
}

interface Gateway {
  readonly name: string;
  readonly clock: Clock;
  readonly silence: HolderSilence;
  /** 0: not holding. */
  epoch: number;
  known: number;
  untilTrueMs: number;
  beats: number;
  watching: boolean;
  pausedUntilMs: number;
  /** True time in which it spoke. */
  readonly spoke: [number, number][];
}

const OUTCOMES = { renewed: 0, fenced: 0, taken: 0, changed: 0, waited: 0, ended: 0 };
type Outcomes = Record<keyof typeof OUTCOMES, number>;

/** What a watcher judges by: how long the holder has been silent, or (the negative control) the deadline by Redis' clock. */
type Judge = 'silence' | 'redis-clock';

/** Messages take their time; each step is one gateway's turn to ask. @returns Most true time in which both spoke. */
function play(
  steps: readonly Step[],
  judge: Judge,
  rates: readonly [number, number],
): { both: number; outcomes: Outcomes } {
  const outcomes: Outcomes = { ...OUTCOMES };
  const gateways = (['a', 'b'] as const).map(
    (name, i): Gateway => ({
      name,
      clock: new Clock(rates[i], i * 3e5),
      silence: new HolderSilence(LEASE_MS),
      epoch: 0,
      known: 0,
      untilTrueMs: -Infinity,
      beats: 0,
      watching: false,
      pausedUntilMs: 0,
      spoke: [],
    }),
  );
  let record = EMPTY;
  let deadlineMs = 0;
  let redisOffsetMs = 0;
  const events: { atMs: number; order: number; run: () => void }[] = [];
  const at = (atMs: number, run: () => void) => {
    events.push({ atMs, order: events.length, run });
  };
  const hold = (me: Gateway, epoch: number, nowMs: number) => {
    record = { ...EMPTY, holder: me.name, node: me.name, epoch, beat: `${me.name}${++me.beats}` };
    deadlineMs = nowMs + redisOffsetMs + LEASE_MS;
  };
  const extend = (me: Gateway, askedMs: number, nowMs: number) => {
    const until = me.clock.trueTime(me.clock.at(askedMs) + LEASE_MS - MARGIN_MS);
    me.untilTrueMs = Math.max(me.untilTrueMs, until);
    if (until > nowMs) me.spoke.push([nowMs, until]);
  };
  const end = (me: Gateway, nowMs: number) => {
    me.epoch = 0;
    me.untilTrueMs = -Infinity;
    me.silence.interrupted();
    for (const interval of me.spoke) interval[1] = Math.min(interval[1], nowMs);
  };

  const renew = (me: Gateway, askedMs: number, { thereMs, backMs }: Step) => {
    const { epoch } = me;
    let fenced = false;
    at(askedMs + thereMs, () => {
      fenced = record.epoch > epoch || (record.epoch === epoch && record.holder !== me.name);
      if (!fenced) hold(me, epoch, askedMs + thereMs);
      else outcomes.fenced++;
    });
    at(askedMs + thereMs + backMs, () => {
      if (me.epoch !== epoch) return;
      if (fenced) return end(me, askedMs + thereMs + backMs);
      outcomes.renewed++;
      extend(me, askedMs, askedMs + thereMs + backMs);
    });
  };
  const acquire = (me: Gateway, seen: LeaseRecord, askedMs: number, { thereMs, backMs }: Step) => {
    let won = 0;
    at(askedMs + thereMs, () => {
      const epoch = Math.max(me.known, seen.epoch) + 1;
      const expired = judge === 'silence' || askedMs + thereMs + redisOffsetMs >= deadlineMs;
      const same = judge === 'redis-clock' || (seen.beat === record.beat && seen.epoch === record.epoch);
      if (!same || epoch <= record.epoch) outcomes.changed++;
      else if (expired) {
        won = epoch;
        hold(me, epoch, askedMs + thereMs);
      }
    });
    at(askedMs + thereMs + backMs, () => {
      me.watching = false;
      if (won === 0) return;
      outcomes.taken++;
      me.epoch = me.known = won;
      me.untilTrueMs = -Infinity;
      extend(me, askedMs, askedMs + thereMs + backMs);
    });
  };
  const observe = (me: Gateway, askedMs: number, { thereMs, backMs }: Step) => {
    let found = EMPTY;
    at(askedMs + thereMs, () => {
      found = record;
    });
    at(askedMs + thereMs + backMs, () => {
      outcomes.waited++;
      me.watching = false;
      me.known = Math.max(me.known, found.epoch);
      if (me.epoch === 0) me.silence.observed(found, me.clock.at(askedMs + thereMs + backMs));
    });
  };

  let askMs = 0;
  for (const one of steps) {
    askMs += one.afterMs;
    const nowMs = askMs;
    const me = gateways[one.who];
    at(nowMs, () => {
      if (one.kind === 'jump') redisOffsetMs = one.jumpMs;
      else if (one.kind === 'interrupted') me.silence.interrupted();
      else if (one.kind === 'pause') me.pausedUntilMs = nowMs + one.thereMs * 2;
      else if (nowMs < me.pausedUntilMs) return;
      else if (me.epoch > 0 && nowMs >= me.untilTrueMs) {
        outcomes.ended++;
        end(me, nowMs);
      } else if (me.epoch > 0) renew(me, nowMs, one);
      else if (!me.watching) {
        me.watching = true;
        const seen = me.silence.record;
        const free =
          judge === 'silence' ? me.silence.leftMs(me.clock.at(nowMs)) === 0 : nowMs + redisOffsetMs >= deadlineMs;
        if (seen !== null && free) acquire(me, seen, nowMs, one);
        else observe(me, nowMs, one);
      }
    });
  }
  while (events.length > 0) {
    let first = 0;
    for (let i = 1; i < events.length; i++) {
      const [a, b] = [events[i], events[first]];
      if (a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)) first = i;
    }
    events.splice(first, 1)[0].run();
  }
  let both = 0;
  for (const [from, until] of gateways[0].spoke) {
    for (const [otherFrom, otherUntil] of gateways[1].spoke) {
      both = Math.max(both, Math.min(until, otherUntil) - Math.max(from, otherFrom));
    }
  }
  return { both, outcomes };
}

const histories = fc.tuple(
  fc.array(step, { minLength: 100, maxLength: 300, size: 'max' }),
  fc.tuple(
    fc.double({ min: 1 - DRIFT, max: 1 + DRIFT, noNaN: true }),
    fc.double({ min: 1 - DRIFT, max: 1 + DRIFT, noNaN: true }),
  ),
);

test('two_gateways_never_speak_at_once_whatever_clocks_and_delays_do', () => {
  const total: Outcomes = { ...OUTCOMES };
  fc.assert(
    fc.property(histories, ([steps, rates]) => {
      const { both, outcomes } = play(steps, 'silence', rates);
      for (const key of Object.keys(total) as (keyof Outcomes)[]) total[key] += outcomes[key];
      expect(both).toBeLessThanOrEqual(0);
    }),
    { numRuns: 1500 },
  );
  for (const [outcome, count] of Object.entries(total)) expect([outcome, count > 5]).toEqual([outcome, true]);
});

test('a_watcher_that_trusts_redis_clock_is_caught_by_the_same_histories', () => {
  const found = fc.check(
    fc.property(histories, ([steps, rates]) => play(steps, 'redis-clock', rates).both <= 0),
    { numRuns: 3000 },
  );
  expect(found.failed).toBe(true);
});

test('a_promise_ends_after_the_silence_that_it_allows_for_whatever_the_way_takes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 5000 }), (thereMs, backMs) => {
      const active = new Peer(LEASE_MS, MARGIN_MS);
      const standby = new Peer(LEASE_MS, MARGIN_MS);
      const token = active.ask(0);
      standby.promise(thereMs);
      active.heard(
        { group: 'g', node: 'b', boot: 'b', state: 'INIT', epoch: 1, redis: false, ask: '', promise: token },
        thereMs + backMs,
      );
      expect(standby.isBound(active.speakUntilMs)).toBe(true);
      expect(standby.isBound(thereMs + LEASE_MS)).toBe(false);
    }),
  );
});
