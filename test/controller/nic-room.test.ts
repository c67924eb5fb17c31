import { execFile } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { chooseExchange, HYSTERESIS, type Ranked } from '../../src/controller/nic-room.js';
import { RoomLimit } from '../../src/controller/room-limit.js';
import { RuleRetries } from '../../src/controller/rule-retries.js';
import { MOST_RETRIES, mayFollow, remedyOf, retryDelayMs } from '../../src/controller/rule-states.js';
import { RulePath } from '../../src/native/records.js';

// biome-ignore lint/suspicious/noExplicitAny: what a scenario tells
function scenario(name: string): Promise<any> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [join(__dirname, 'nic-room.cjs'), name], (error, stdout, stderr) => {
      const last = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (error) reject(new Error(`${stderr.slice(-2000)}`));
      else resolve(JSON.parse(last));
    });
  });
}

describe('a NIC that refuses rules', () => {
  test.each(['every 19th refused', 'every 19th refused, late'])(
    '%s: after each quiet moment every rule is there, no packet is lost or wrong',
    async (name) => {
      const { told, lost, bad, failures, ruleRetries, steps, illegal } = await scenario(name);
      for (const now of told) {
        expect(now.nicRules).toBe(now.sessions * 2);
        expect(now).toMatchObject({ offloaded: now.nicRules, wanted: now.nicRules, failed: 0, pending: 0, lacking: 0 });
      }
      expect(told).toHaveLength(3);
      expect([lost, bad, illegal]).toEqual([0, 0, []]);
      // It has happened, and was seen.
      expect(failures[0][1]).toBeGreaterThan(50);
      expect(ruleRetries).toBeGreaterThan(20);
      const { software, failed, pending, offloaded } = RulePath;
      expect(Object.keys(steps)).toContain(name.endsWith('late') ? `${pending}>${failed}` : `${software}>${failed}`);
      expect(Object.keys(steps)).toContain(
        name.endsWith('late') ? `${pending}>${offloaded}` : `${failed}>${offloaded}`,
      );
    },
    120_000,
  );
});

describe('a NIC with room for a fifth of the flows, all of it taken by idle ones', () => {
  test.each(['room for some in the configuration', 'room for some in the NIC'])(
    '%s: the fast ones are in it within 10 s, and equals are left alone',
    async (name) => {
      const found = await scenario(name);
      const { before, after, phases } = found;
      const [some, others] = phases;
      expect([found.failed, found.bad]).toEqual([0, 0]);
      expect(before.lacking).toBeGreaterThan(1500);
      expect(some.atFirst).toBeLessThan(0.6);
      expect(others.atFirst).toBeLessThan(0.1);
      for (const { late } of phases) expect(late).toBeGreaterThan(0.9);
      expect(some.tookMs).toBeLessThanOrEqual(10_000);
      // By what they do now, and not by what they ever did.
      expect(others.tookMs).toBeLessThanOrEqual(6000);
      // As many as there are fast flows outside, and hardly more.
      expect(some.evictions).toBeGreaterThanOrEqual(90);
      expect(some.evictions).toBeLessThanOrEqual(120);
      expect(others.evictions).toBeLessThanOrEqual(230);
      expect(found.evictionsAmongEqual).toBeLessThanOrEqual(20);
      expect(after).toMatchObject({ offloaded: after.nicRules, wanted: after.nicRules, pending: 0 });
      // In software, in the NIC, evicted and in it again: to the packet.
      expect(found.counted).toBe(found.accepted);
    },
    120_000,
  );
});

describe('who should be in a full NIC', () => {
  const ranked = (first: number) =>
    fc
      .array(fc.record({ rate: fc.integer({ min: 0, max: 50 }), rules: fc.constantFrom(1, 2) }), {
        maxLength: 20,
        size: 'max',
      })
      .map((list) =>
        list.map(({ rate, rules }, i): Ranked => ({ row: first + i, generation: 1, packetsPerSecond: rate, rules })),
      );

  test('what comes in fits, is faster by far than what leaves for it, and stays in the budget', () => {
    fc.assert(
      fc.property(
        ranked(0),
        ranked(100),
        fc.nat(6),
        fc.nat(12),
        fc.nat(12),
        (outside, inside, room, evictions, offloads) => {
          const waiting = [...outside].sort((a, b) => b.packetsPerSecond - a.packetsPerSecond);
          const there = [...inside].sort((a, b) => a.packetsPerSecond - b.packetsPerSecond);
          const { evict, offload } = chooseExchange(waiting, there, room, evictions, offloads);
          const sum = (list: readonly Ranked[]) => list.reduce((total, { rules }) => total + rules, 0);
          expect(evict.length).toBeLessThanOrEqual(evictions);
          expect(offload.length).toBeLessThanOrEqual(offloads);
          expect(sum(offload)).toBeLessThanOrEqual(room + sum(evict));
          expect(evict).toEqual(there.slice(0, evict.length));
          expect(offload).toEqual(waiting.slice(0, offload.length));
          const fastestOut = evict.at(-1);
          const slowestIn = offload.at(-1);
          if (evict.length > 0) expect(slowestIn).toBeDefined();
          // The last to leave left for somebody; whoever came for free may be slower.
          const forcing = offload.filter(({ packetsPerSecond }) => packetsPerSecond > 0);
          if (fastestOut !== undefined) {
            expect(Math.max(...forcing.map(({ packetsPerSecond }) => packetsPerSecond))).toBeGreaterThanOrEqual(
              HYSTERESIS * fastestOut.packetsPerSecond,
            );
          }
          // Nobody leaves for nothing.
          if (evict.length > 0) expect(sum(offload)).toBeGreaterThan(room - 2);
        },
      ),
    );
  });

  test('room that is free is given to whoever waits, idle or not', () => {
    const idle: Ranked = { row: 1, generation: 1, packetsPerSecond: 0, rules: 2 };
    expect(chooseExchange([idle], [], 2, 10, 10)).toEqual({ evict: [], offload: [idle] });
    expect(chooseExchange([idle], [{ ...idle, row: 2 }], 0, 10, 10)).toEqual({ evict: [], offload: [] });
  });

  test('nobody leaves for one who is hardly faster', () => {
    const one = (row: number, packetsPerSecond: number): Ranked => ({ row, generation: 1, packetsPerSecond, rules: 2 });
    expect(chooseExchange([one(1, 19)], [one(2, 10)], 0, 10, 10)).toEqual({ evict: [], offload: [] });
    expect(chooseExchange([one(1, 20)], [one(2, 10)], 0, 10, 10)).toEqual({
      evict: [one(2, 10)],
      offload: [one(1, 20)],
    });
  });
});

describe('what is done about a refusal', () => {
  test.each([
    [28, 'room'],
    [12, 'room'],
    [11, 'retry'],
    [5, 'retry'],
    [16, 'retry'],
    [22, 'none'],
    [95, 'none'],
  ])('errno %i: %s', (errno, remedy) => {
    expect(remedyOf(errno, 0)).toBe(remedy);
  });

  test('after some tries it is left, each time it waits twice as long', () => {
    expect(remedyOf(11, MOST_RETRIES - 1)).toBe('retry');
    expect(remedyOf(11, MOST_RETRIES)).toBe('none');
    expect(retryDelayMs(3)).toBe(8 * retryDelayMs(0));
  });

  test('a session is tried again when its time has come, and not another one in its row', () => {
    const retries = new RuleRetries();
    const again: string[] = [];
    const run = (nowMs: number, most = 10) =>
      retries.run(nowMs, most, (row, generation) => again.push(`${row}.${generation}`));
    retries.add(7, 1, 0);
    retries.add(7, 1, 1); // the other direction
    run(retryDelayMs(0) - 1);
    expect(again).toEqual([]);
    run(retryDelayMs(0), 0);
    expect(again).toEqual([]);
    run(retryDelayMs(0));
    run(30_000);
    expect(again).toEqual(['7.1']);
    expect([retries.tries(7, 1), retries.tries(7, 2)]).toEqual([1, 0]);
    // Nothing was heard of it for a minute: it went well, and what comes then is another matter.
    run(1e9);
    expect([retries.tries(7, 1), again.length]).toEqual([0, 1]);
    retries.add(7, 2, 1e9);
    expect(retries.tries(7, 2)).toBe(1);
    retries.forget(7);
    run(2e9);
    expect(again).toEqual(['7.1']);
  });
});

describe('how many rules a NIC takes', () => {
  test('is what the configuration says, whatever it has no place for now and then', () => {
    const limit = new RoomLimit(1000);
    for (let look = 0; look < 50; look++) {
      for (let i = 0; i < 31; i++) limit.refused(500);
      limit.look();
    }
    expect(limit.most).toBe(1000);
  });

  test('is what it has when it refuses many, and grows again by and by', () => {
    const limit = new RoomLimit(1000);
    for (let i = 0; i < 32; i++) limit.refused(500);
    expect(limit.most).toBe(500);
    limit.look();
    expect(limit.most).toBe(500);
    limit.look();
    expect(limit.most).toBe(564);
    for (let i = 0; i < 5; i++) limit.look();
    expect(limit.most).toBe(1000);
  });
});

test('no state follows another but as the drawing has it', () => {
  const { software, pending, offloaded, failed, removing } = RulePath;
  expect(mayFollow(pending, offloaded)).toBe(true);
  expect(mayFollow(failed, pending)).toBe(true);
  expect(mayFollow(offloaded, software)).toBe(true);
  for (const state of [software, pending, offloaded, failed]) expect(mayFollow(state, removing)).toBe(false);
});
