import fc from 'fast-check';
import { prefixMask } from '../../src/config/address.js';
import { AddressMap } from '../../src/nat/address-map.js';
import { PortSet } from '../../src/nat/port-set.js';
import { PrefixTable } from '../../src/nat/prefix-table.js';
import { Random } from '../../src/nat/random.js';
import { RangeTable } from '../../src/nat/range-table.js';
import { RestingMemory } from '../../src/nat/resting-memory.js';
import { RestingPorts } from '../../src/nat/resting-ports.js';
import { TimerWheel } from '../../src/nat/timer-wheel.js';
import { TupleIndex } from '../../src/nat/tuple-index.js';

describe('PortSet', () => {
  const memory = new RestingMemory();

  test('never gives a port to two owners, gives each port of the range, and rests what is returned', () => {
    const outcomes = { taken: 0, refused: 0, reused: 0 };
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 65000 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 0, max: 5 }),
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 2 }), fc.nat()), { maxLength: 200, size: 'max' }),
        (first, size, block, delay, steps) => {
          const withheld = (port: number) => port % 7 === 3;
          const set = new PortSet(first, first + size - 1, block, withheld, memory);
          const random = new Random(size);
          const owned: number[] = [];
          const restsUntil = new Map<number, number>();
          let now = 1000;
          for (const [take, seconds, pick] of steps) {
            now += seconds;
            if (take) {
              const free = [];
              for (let port = first; port < first + size; port++) {
                if (!withheld(port) && !owned.includes(port) && (restsUntil.get(port) ?? 0) <= now) free.push(port);
              }
              const port = set.take(now, random);
              if (port < 0) {
                expect(free).toEqual([]);
                outcomes.refused++;
              } else {
                expect(free).toContain(port);
                if (restsUntil.has(port)) outcomes.reused++;
                owned.push(port);
                outcomes.taken++;
              }
            } else if (owned.length > 0) {
              const [port] = owned.splice(pick % owned.length, 1);
              set.release(port, now + delay);
              restsUntil.set(port, now + delay);
            }
          }
        },
      ),
    );
    expect(outcomes.taken).toBeGreaterThan(0);
    expect(outcomes.refused).toBeGreaterThan(0);
    expect(outcomes.reused).toBeGreaterThan(0);
  });

  test('a range of one port works, and port 65535 can be given', () => {
    const set = new PortSet(65535, 65535, 256, () => false, new RestingMemory());
    const random = new Random(1);
    expect(set.take(0, random)).toBe(65535);
    expect(set.take(0, random)).toBe(-1);
    set.release(65535, 120);
    expect(set.take(119, random)).toBe(-1);
    expect(set.take(120, random)).toBe(65535);
  });
});

describe('RestingPorts', () => {
  test('lists that share their memory are first-in-first-out, each on its own, over many chunks', () => {
    const outcomes = { added: 0, taken: 0, waits: 0, emptied: 0, longest: 0 };
    const memory = new RestingMemory();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2), fc.boolean(), fc.integer({ min: 1, max: 90 }), fc.integer({ min: 0, max: 3 })), {
          maxLength: 120,
          size: 'max',
        }),
        (steps) => {
          const lists = [0, 1, 2].map(() => ({ resting: new RestingPorts(memory), model: [] as [number, number][] }));
          // The last second that there is comes within some of the runs.
          let now = 0xffff_ffff - 100;
          let port = 1;
          for (const [which, isAdded, many, seconds] of steps) {
            const { resting, model } = lists[which];
            now += seconds;
            for (let i = 0; i < many; i++) {
              if (isAdded) {
                const until = now + 2;
                port = (port * 75 + 74) % 65537;
                resting.add(port & 0xffff, until);
                model.push([port & 0xffff, Math.min(until, 0xffff_ffff)]);
                outcomes.added++;
              } else {
                const isDue = model.length > 0 && model[0][1] <= now;
                expect(resting.isDue(now)).toBe(isDue);
                if (!isDue) {
                  outcomes.waits++;
                  break;
                }
                expect(resting.takeFirst()).toBe(model[0][0]);
                model.shift();
                outcomes.taken++;
                if (model.length === 0) outcomes.emptied++;
              }
            }
            expect(resting.count).toBe(model.length);
            expect([...resting]).toEqual(model.map(([one]) => one));
            outcomes.longest = Math.max(outcomes.longest, model.length);
          }
          for (const { resting } of lists) while (resting.count > 0) resting.takeFirst();
        },
      ),
    );
    for (const count of [outcomes.added, outcomes.taken, outcomes.waits, outcomes.emptied])
      expect(count).toBeGreaterThan(100);
    expect(outcomes.longest).toBeGreaterThan(5 * 31);
  });

  test('what has rested makes room for what is to rest, and a second piece of memory serves as the first', () => {
    const memory = new RestingMemory();
    const [one, other] = [new RestingPorts(memory), new RestingPorts(memory)];
    const most = 150_000; // a piece has room for 126,976
    const fill = (list: RestingPorts) => {
      for (let i = 0; i < most; i++) list.add(i & 0xffff, 100);
    };
    const drain = (list: RestingPorts) => {
      for (let i = 0; i < most; i++) if (list.takeFirst() !== (i & 0xffff)) return i;
      return list.count;
    };
    const places: number[] = [];
    for (let round = 0; round < 5; round++) {
      for (const list of [one, other]) {
        fill(list);
        expect(list.isDue(99)).toBe(false);
        expect(list.isDue(100)).toBe(true);
      }
      expect(drain(other)).toBe(0);
      fill(other);
      for (const list of [other, one]) expect(drain(list)).toBe(0);
      const place = memory.take();
      places.push(place);
      memory.giveBack(place);
    }
    expect(Math.max(...places)).toBeLessThan(64 * (2 * Math.ceil(most / 31) + 2));
  });
});

describe('TupleIndex', () => {
  test('agrees with a map over random insertions, look-ups and removals', () => {
    let found = 0;
    let missed = 0;
    let deferred = 0;
    let deferredRemovals = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.nat(60)), { maxLength: 300, size: 'max' }),
        (steps) => {
          const keys: number[][] = [];
          const free: number[] = [];
          const index = new TupleIndex(
            64,
            (e, a, b, c, d) => keys[e][0] === a && keys[e][1] === b && keys[e][2] === c && keys[e][3] === d,
            (e, self) => self.hash(keys[e][0], keys[e][1], keys[e][2], keys[e][3]),
          );
          const model = new Map<number, number>();
          const key = (k: number) => [k & 3, (k >> 2) & 3, k >> 4, k];
          for (const [operation, k] of steps) {
            const [a, b, c, d] = key(k);
            const known = model.get(k);
            expect(index.find(a, b, c, d)).toBe(known ?? -1);
            if (known === undefined) missed++;
            else found++;
            if ((operation === 0 || operation === 3) && known === undefined) {
              const entry = free.pop() ?? keys.length;
              keys[entry] = key(k);
              if (operation === 0) index.insert(entry);
              else index.deferHashed(index.hash(a, b, c, d), entry);
              deferred += operation === 3 ? 1 : 0;
              model.set(k, entry);
            } else if (operation === 1 && known !== undefined) {
              index.remove(known);
              model.delete(k);
              free.push(known);
            } else if (operation === 4 && known !== undefined) {
              index.deferRemoval(index.hash(a, b, c, d), known);
              deferredRemovals++;
              model.delete(k);
              free.push(known);
            }
          }
          for (const [k, entry] of model) {
            const [a, b, c, d] = key(k);
            expect(index.find(a, b, c, d)).toBe(entry);
          }
        },
      ),
    );
    expect(found).toBeGreaterThan(0);
    expect(missed).toBeGreaterThan(0);
    expect(deferred).toBeGreaterThan(0);
    expect(deferredRemovals).toBeGreaterThan(0);
  });

  test.each([1, 4, 10, 20, 100])(
    'an index for %i entries has room for as many, however many others wait to leave it',
    (capacity) => {
      const keys = new Int32Array(capacity);
      const index = new TupleIndex(
        capacity,
        (entry, a) => keys[entry] === a,
        (entry, self) => self.hash(keys[entry], 0, 0, 0),
      );
      let key = 0;
      const put = (entry: number) => {
        keys[entry] = key++;
        if (key % 2 === 0) index.insert(entry);
        else index.deferHashed(index.hash(keys[entry], 0, 0, 0), entry);
      };
      for (let entry = 0; entry < capacity; entry++) put(entry);
      for (let i = 0; i < 5000; i++) {
        const entry = (i * 7) % capacity;
        index.deferRemoval(index.hash(keys[entry], 0, 0, 0), entry);
        put(entry);
      }
      for (let entry = 0; entry < capacity; entry++) expect(index.find(keys[entry], 0, 0, 0)).toBe(entry);
      for (let entry = 0; entry < capacity; entry++) expect(index.remove(entry)).toBe(true);
      for (let bucket = 0; bucket < index.buckets; bucket++) expect(index.anyOf(bucket)).toBe(-1);
    },
  );

  test.each([0, 1, 31, 32, 33, 200])(
    '%i entries that wait for their places are found and removed as others are',
    (count) => {
      const make = () => {
        const index = new TupleIndex(
          1024,
          (e, a) => e === a,
          (e, self) => self.hash(e, 0, 0, 0),
        );
        for (let entry = 0; entry < count; entry++) index.deferHashed(index.hash(entry, 0, 0, 0), entry);
        return index;
      };
      const searched = make();
      for (let entry = 0; entry < count; entry++) expect(searched.find(entry, 0, 0, 0)).toBe(entry);
      expect(searched.find(count, 0, 0, 0)).toBe(-1);
      const removed = make();
      for (let entry = count - 1; entry >= 0; entry--) expect(removed.remove(entry)).toBe(true);
      for (let entry = 0; entry < count; entry++) expect(removed.find(entry, 0, 0, 0)).toBe(-1);
      // Whoever walks through the buckets sees them too.
      const walked = make();
      const seen = new Set<number>();
      for (let bucket = 0; bucket < walked.buckets; bucket++) {
        for (let entry = walked.anyOf(bucket); entry >= 0; entry = walked.anyOf(bucket)) {
          seen.add(entry);
          walked.remove(entry);
        }
      }
      expect(seen.size).toBe(count);
    },
  );
});

describe('TimerWheel', () => {
  test('rows come due at their deadlines, in the order of seconds, whatever the turn of the wheel', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 90 }), fc.integer({ min: 0, max: 20 })), {
          maxLength: 80,
          size: 'max',
        }),
        (steps) => {
          const wheel = new TimerWheel(10, undefined, 16);
          const deadlines = new Map<number, number>();
          let now = 5000;
          const collect = () => {
            const due: number[] = [];
            for (let row = wheel.takeDue(now); row >= 0; row = wheel.takeDue(now)) due.push(row);
            const expected = [...deadlines].filter(([, at]) => at <= now).map(([row]) => row);
            expect([...due].sort()).toEqual([...expected].sort());
            for (let i = 1; i < due.length; i++) {
              expect(deadlines.get(due[i - 1])).toBeLessThanOrEqual(deadlines.get(due[i]) ?? 0);
            }
            for (const row of due) deadlines.delete(row);
          };
          for (const [row, after, pass] of steps) {
            expect(wheel.isArmed(row)).toBe(deadlines.has(row));
            if (after % 5 === 0) {
              wheel.disarm(row);
              deadlines.delete(row);
            } else {
              wheel.arm(row, now + after, now);
              deadlines.set(row, now + after);
              expect(wheel.deadlineOf(row)).toBe(now + after);
            }
            const next = wheel.nextDue();
            // A lower bound is enough: rows far away wait in the last slot.
            expect(next).toBeLessThanOrEqual(Math.min(...deadlines.values()));
            now += pass;
            collect();
          }
          now += 200;
          collect();
          expect(deadlines.size).toBe(0);
          expect(wheel.nextDue()).toBe(Number.POSITIVE_INFINITY);
        },
      ),
    );
  });

  test.each([false, true])('tells how many are armed for a second, anew in each turn (others later: %s)', (others) => {
    const wheel = new TimerWheel(100, undefined, 16);
    if (others) wheel.arm(99, 1_000_000, 1000);
    for (let turn = 0; turn < 4; turn++) {
      const now = 1000 + 16 * turn;
      for (let row = 0; row < 60; row++) wheel.arm(row, now + (row < 20 ? 3 : 5), now);
      expect([3, 4, 5].map((after) => wheel.armedFor(now + after))).toEqual([20, 0, 40]);
      // The last ones of a turn are taken, or none is armed any more.
      const last = now + (turn % 2 === 0 ? 5 : 15);
      while (wheel.takeDue(last) >= 0);
    }
  });
});

describe('RangeTable and PrefixTable', () => {
  test('a range table finds exactly what a walk over the ranges finds', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(500), { minLength: 2, maxLength: 40 }),
        fc.array(fc.nat(520)),
        (edges, probes) => {
          const sorted = [...edges].sort((a, b) => a - b);
          const ranges = [];
          for (let i = 0; i + 1 < sorted.length; i += 2)
            ranges.push({ first: sorted[i], last: sorted[i + 1], value: i });
          const table = new RangeTable(ranges);
          for (const probe of probes) {
            expect(table.find(probe)).toBe(ranges.find((r) => r.first <= probe && probe <= r.last)?.value ?? -1);
          }
        },
      ),
    );
  });

  test('the longest prefix wins', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.nat(32)), { maxLength: 30 }),
        fc.array(fc.integer({ min: 0, max: 0xffffffff })),
        (prefixes, probes) => {
          const entries = prefixes.map(([address, length], value) => {
            const mask = prefixMask(length);
            return { prefix: { address: (address & mask) >>> 0, length, mask }, value };
          });
          const table = new PrefixTable(entries);
          for (const probe of [...probes, ...prefixes.map(([address]) => address)]) {
            let best = -1;
            let length = -1;
            for (const { prefix, value } of entries) {
              if (((probe ^ prefix.address) & prefix.mask) === 0 && prefix.length > length) {
                best = value;
                length = prefix.length;
              }
            }
            expect(table.find(probe)).toBe(best);
          }
        },
      ),
    );
  });
});

describe('AddressMap', () => {
  test('says what a Map says, for keys of 32 bits', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 20 })),
            fc.nat(2 ** 31 - 2),
          ),
          {
            maxLength: 200,
          },
        ),
        fc.array(fc.integer({ min: 0, max: 0xffff_ffff })),
        (entries, others) => {
          const map = new AddressMap();
          const reference = new Map<number, number>();
          for (const [key, value] of entries) {
            map.set(key, value);
            reference.set(key, value);
          }
          expect(map.size).toBe(reference.size);
          for (const key of [...reference.keys(), ...others]) expect(map.get(key)).toBe(reference.get(key) ?? -1);
        },
      ),
    );
  });
});

describe('Random', () => {
  test('the same seed gives the same sequence, another seed another one', () => {
    const draw = (seed: number | null) => {
      const random = new Random(seed);
      return Array.from({ length: 8 }, () => random.next());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    expect(draw(null)).not.toEqual(draw(null));
  });

  test('below(n) reaches every value below n and no other', () => {
    const random = new Random(3);
    const seen = new Set<number>();
    for (let i = 0; i < 2000; i++) seen.add(random.below(13));
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 13 }, (_, i) => i));
  });
});
