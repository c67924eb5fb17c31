import fc from 'fast-check';
import { GrowingIndex } from '../../src/nat/growing-index.js';
import { HostTable } from '../../src/nat/host-table.js';
import { hasPorts, MappingTable, Tenure } from '../../src/nat/mapping-table.js';
import { RowPool } from '../../src/nat/row-pool.js';
import {
  emptyFacts,
  OUTSIDE_CONTEXT,
  peerContext,
  type SessionFacts,
  SessionLife,
  SessionTable,
} from '../../src/nat/session-table.js';
import { TupleIndex } from '../../src/nat/tuple-index.js';
import { SessionClass } from '../../src/native/records.js';

/** As `expect`, which takes 50 µs a call: too long for what is looked at hundreds of thousands of times. */
function check(right: boolean, otherwise: string): void {
  if (!right) throw new Error(otherwise);
}

/** Values at the edges of what a field holds, and a few between, so that keys meet. */
const ADDRESSES = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x0a00_0001];
const PORTS = [0, 1, 0x7fff, 0x8000, 0xffff];
const CONTEXTS = [0, 1, 0x7fff, peerContext(0), peerContext(5), OUTSIDE_CONTEXT];
const PROTOCOLS = [1, 6, 17, 255];
const anAddress = fc.constantFrom(...ADDRESSES);
const aPort = fc.constantFrom(...PORTS);

const someFacts: fc.Arbitrary<SessionFacts> = fc.record({
  forwardContext: fc.constantFrom(...CONTEXTS),
  forwardSource: anAddress,
  forwardDestination: anAddress,
  forwardSourcePort: aPort,
  forwardDestinationPort: aPort,
  reverseContext: fc.constantFrom(...CONTEXTS),
  translatedSource: anAddress,
  translatedDestination: anAddress,
  translatedSourcePort: aPort,
  translatedDestinationPort: aPort,
  protocol: fc.constantFrom(...PROTOCOLS),
  sessionClass: fc.constantFrom(...Object.values(SessionClass)),
  sourceMapping: fc.constantFrom(-1, 0, 0x0fff_ffff),
  destinationMapping: fc.constantFrom(-1, 0, 0x0fff_ffff),
  host: fc.constantFrom(0, 0x1fff_ffff),
  vpc: fc.constantFrom(0, 1, 0x7fff),
  destinationVpc: fc.constantFrom(-1, 0, 0x7fff),
  insideInitiated: fc.boolean(),
});

function forwardKey(f: SessionFacts): string {
  return `${f.forwardContext} ${f.protocol} ${f.forwardSource}:${f.forwardSourcePort} ${f.forwardDestination}:${f.forwardDestinationPort}`;
}

function reverseKey(f: SessionFacts): string {
  return `${f.reverseContext} ${f.protocol} ${f.translatedDestination}:${f.translatedDestinationPort} ${f.translatedSource}:${f.translatedSourcePort}`;
}

describe('SessionTable', () => {
  test('finds a session by either tuple and gives all its facts back; a row that is used again has another generation', () => {
    const seen = { inserted: 0, full: 0, reused: 0, replies: 0, missed: 0 };
    fc.assert(
      fc.property(fc.array(fc.tuple(someFacts, fc.nat(3), fc.nat()), { maxLength: 120, size: 'max' }), (steps) => {
        const capacity = 12;
        const table = new SessionTable(capacity);
        const live = new Map<number, { facts: SessionFacts; shapes: number; generation: number }>();
        const byKey = new Map<string, number>();
        const generations = new Map<number, Set<number>>();
        for (const [facts, operation, pick] of steps) {
          if (operation > 0) {
            const forward = forwardKey(facts);
            const reverse = reverseKey(facts);
            check(table.reverseIsTaken(facts) === byKey.has(reverse), `${reverse} is found wrong`);
            if (byKey.has(forward) || byKey.has(reverse) || forward === reverse) continue;
            expect(table.isFull).toBe(live.size === capacity);
            const shapes = pick & 0x7fff_ffff;
            const row = table.insert(facts, shapes);
            if (live.size === capacity) {
              expect(row).toBe(-1);
              seen.full++;
              continue;
            }
            expect(live.has(row)).toBe(false);
            const generation = table.generation(row);
            const before = generations.get(row) ?? new Set();
            expect(before.has(generation)).toBe(false);
            expect(generation).toBeGreaterThan(0);
            if (before.size > 0) seen.reused++;
            generations.set(row, before.add(generation));
            live.set(row, { facts, shapes, generation });
            byKey.set(forward, row * 2).set(reverse, row * 2 + 1);
            seen.inserted++;
          } else if (live.size > 0) {
            const [row, { facts: gone }] = [...live][pick % live.size];
            table.unlink(row);
            expect(table.life(row)).toBe(SessionLife.removing);
            const kept = emptyFacts();
            table.read(row, kept);
            expect(kept).toEqual(gone);
            table.release(row);
            expect(table.life(row)).toBe(0);
            live.delete(row);
            byKey.delete(forwardKey(gone));
            byKey.delete(reverseKey(gone));
          }
          check(table.count === live.size, 'sessions are counted wrong');
          const found = table.find(
            facts.forwardContext,
            facts.protocol,
            facts.forwardSource,
            facts.forwardDestination,
            facts.forwardSourcePort,
            facts.forwardDestinationPort,
          );
          check(found === (byKey.get(forwardKey(facts)) ?? -1), `${forwardKey(facts)} is found wrong`);
          if (found < 0) seen.missed++;
        }
        for (const [row, { facts: known, shapes, generation }] of live) {
          const read = emptyFacts();
          table.read(row, read);
          expect(read).toEqual(known);
          expect(table.life(row)).toBe(SessionLife.live);
          expect(table.shapes(row)).toBe(shapes);
          expect(table.generation(row)).toBe(generation);
          const reply = table.find(
            known.reverseContext,
            known.protocol,
            known.translatedDestination,
            known.translatedSource,
            known.translatedDestinationPort,
            known.translatedSourcePort,
          );
          expect(reply).toBe(row * 2 + 1);
          seen.replies++;
        }
      }),
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  });
});

interface KnownMapping {
  readonly vpc: number;
  readonly scope: number;
  readonly protocol: number;
  readonly inside: readonly [number, number];
  readonly external: readonly [number, number];
  readonly host: number;
  readonly tenure: number;
}

describe('MappingTable', () => {
  test('finds a mapping from both ends, one of a session alone from none, and gives all of it back', () => {
    const seen = { shared: 0, alone: 0, full: 0, removed: 0 };
    const endpoint = fc.tuple(anAddress, aPort);
    const someMapping: fc.Arbitrary<KnownMapping> = fc.record({
      vpc: fc.constantFrom(0, 0x7fff),
      scope: fc.constantFrom(0, 1, 0x8000),
      protocol: fc.constantFrom(...PROTOCOLS),
      inside: endpoint,
      external: endpoint,
      host: fc.constantFrom(0, 0x1fff_ffff),
      tenure: fc.constantFrom(Tenure.alone, Tenure.shared, Tenure.shared, Tenure.shared),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(someMapping, fc.nat(3), fc.nat()), { maxLength: 120, size: 'max' }), (steps) => {
        const capacity = 12;
        const table = new MappingTable(capacity);
        const live = new Map<number, { mapping: KnownMapping; sessions: number }>();
        const insideKey = (m: KnownMapping) => `${m.vpc} ${m.scope} ${m.protocol} ${m.inside}`;
        const outsideKey = (m: KnownMapping) => `${m.scope} ${m.protocol} ${m.external}`;
        const inside = new Map<string, number>();
        const outside = new Map<string, number>();
        for (const [m, operation, pick] of steps) {
          if (operation > 0) {
            if (m.tenure === Tenure.shared && (inside.has(insideKey(m)) || outside.has(outsideKey(m)))) continue;
            const row = table.insert(m.vpc, m.scope, m.protocol, ...m.inside, ...m.external, m.host, m.tenure);
            if (live.size === capacity) {
              expect(row).toBe(-1);
              seen.full++;
              continue;
            }
            expect(live.has(row)).toBe(false);
            live.set(row, { mapping: m, sessions: 0 });
            if (m.tenure === Tenure.alone) seen.alone++;
            else {
              seen.shared++;
              inside.set(insideKey(m), row);
              if (m.protocol !== 255) outside.set(outsideKey(m), row);
            }
          } else if (live.size > 0) {
            const [row, known] = [...live][pick % live.size];
            if (pick & 1) {
              known.sessions++;
              expect(table.addSessions(row, 1)).toBe(known.sessions);
            } else {
              seen.removed++;
              table.remove(row);
              live.delete(row);
              if (inside.get(insideKey(known.mapping)) === row) inside.delete(insideKey(known.mapping));
              if (outside.get(outsideKey(known.mapping)) === row) outside.delete(outsideKey(known.mapping));
            }
          }
          expect(table.count).toBe(live.size);
          expect(table.byInside(m.vpc, m.scope, m.protocol, ...m.inside)).toBe(inside.get(insideKey(m)) ?? -1);
          expect(table.byPublic(m.scope, m.protocol, ...m.external)).toBe(outside.get(outsideKey(m)) ?? -1);
        }
        for (const [row, { mapping, sessions }] of live) {
          const read: KnownMapping = {
            vpc: table.vpc(row),
            scope: table.scope(row),
            protocol: table.protocol(row),
            inside: [table.insideAddress(row), table.insidePort(row)],
            external: [table.publicAddress(row), table.publicPort(row)],
            host: table.host(row),
            tenure: mapping.tenure,
          };
          expect(read).toEqual(mapping);
          expect(table.ownsPort(row)).toBe(mapping.tenure === Tenure.shared && hasPorts(mapping.protocol));
          expect(table.addSessions(row, 0)).toBe(sessions);
        }
      }),
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  });

  test('a retired mapping is found by none and still owns its port', () => {
    const table = new MappingTable(2);
    const row = table.insert(0, 0, 17, 1, 1, 2, 2, 0, Tenure.shared);
    table.retire(row);
    expect([table.byInside(0, 0, 17, 1, 1), table.byPublic(0, 17, 2, 2)]).toEqual([-1, -1]);
    expect(table.ownsPort(row)).toBe(true);
    table.revive(row);
    expect([table.byInside(0, 0, 17, 1, 1), table.byPublic(0, 17, 2, 2)]).toEqual([row, row]);
    table.retire(row);
    const next = table.insert(0, 0, 17, 1, 1, 2, 3, 0, Tenure.shared);
    table.revive(row);
    expect(table.byPublic(0, 17, 2, 2)).toBe(-1);
    table.remove(row);
    expect(table.byInside(0, 0, 17, 1, 1)).toBe(next);
  });
});

describe('HostTable', () => {
  test('holds each host once, with its counts and pairing, until as many releases; across growth', () => {
    const seen = { shared: 0, ended: 0, full: 0 };
    const capacity = 9_000;
    fc.assert(
      fc.property(fc.nat(), fc.nat(11_000), (seed, most) => {
        const table = new HostTable(capacity);
        const live = new Map<string, { row: number; references: number; sessions: number; address: number }>();
        const rows = new Set<number>();
        let state = seed | 1;
        const below = (bound: number) => {
          state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39;
          return ((state >>> 0) % 0x1000_0000) % bound;
        };
        const key = (i: number) => ({ vpc: i & 1, scope: (i >> 1) & 1 ? 0x8000 : 0, address: 0xffff_ff00 - (i >> 2) });
        for (let step = 0; step < most * 8; step++) {
          const i = below(most + 1);
          const { vpc, scope, address } = key(i);
          const name = `${vpc} ${scope} ${address}`;
          const known = live.get(name);
          check(table.find(vpc, scope, address) === (known?.row ?? -1), `host ${name} is found wrong`);
          if (below(8) > 0) {
            const row = table.hold(vpc, scope, address);
            if (known !== undefined) {
              check(row === known.row, `host ${name} is in two rows`);
              known.references++;
              seen.shared++;
            } else if (live.size === capacity) {
              check(row === -1, `${capacity + 1} hosts`);
              seen.full++;
            } else {
              check(row >= 0 && !rows.has(row), `row ${row} has two hosts`);
              check(table.sessions(row) === 0 && !table.isPaired(row), `row ${row} keeps what it held before`);
              rows.add(row);
              live.set(name, { row, references: 1, sessions: i, address: (i * 2654435761) >>> 0 });
              table.addSessions(row, i);
              table.pair(row, (i * 2654435761) >>> 0);
            }
          } else if (known !== undefined) {
            table.release(known.row);
            if (--known.references === 0) {
              live.delete(name);
              rows.delete(known.row);
              seen.ended++;
            }
          }
        }
        for (const [name, { row, sessions, address }] of live) {
          const [vpc, scope, own] = name.split(' ').map(Number);
          const right =
            table.find(vpc, scope, own) === row &&
            table.sessions(row) === sessions &&
            table.isPaired(row) &&
            table.pairedAddress(row) === address;
          check(right, `host ${name} reads wrong`);
        }
      }),
      { numRuns: 6, examples: [[1, 11_000]] },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  });
});

describe('GrowingIndex', () => {
  test('agrees with a set over insertions, removals and every doubling, with few entries moved at once', () => {
    const capacity = 40_000;
    const keys = new Int32Array(capacity);
    let hashes = 0;
    const index = new GrowingIndex(
      capacity,
      (entry, a) => keys[entry] === a,
      (entry, self) => {
        hashes++;
        return self.hash(keys[entry], 0, 0, 0);
      },
    );
    const present: number[] = [];
    const absent = Array.from({ length: capacity }, (_, i) => i);
    let state = 1;
    let key = 0;
    let most = 0;
    const draw = (bound: number) => {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39;
      return (state >>> 0) % bound;
    };
    const swapOut = (list: number[]) => {
      const at = draw(list.length);
      const entry = list[at];
      list[at] = list[list.length - 1];
      list.pop();
      return entry;
    };
    const step = (insertion: boolean) => {
      hashes = 0;
      if (insertion) {
        const entry = swapOut(absent);
        keys[entry] = key++;
        check(index.find(keys[entry], 0, 0, 0) < 0, `entry ${entry} is there before`);
        index.insert(entry);
        present.push(entry);
        most = Math.max(most, hashes);
      } else {
        const entry = swapOut(present);
        check(index.remove(entry), `entry ${entry} was not there`);
        check(!index.remove(entry) && index.find(keys[entry], 0, 0, 0) < 0, `entry ${entry} stays`);
        absent.push(entry);
      }
    };
    while (absent.length > 0) {
      step(present.length === 0 || draw(4) > 0);
      const probe = present[draw(present.length || 1)];
      check(probe === undefined || index.find(keys[probe], 0, 0, 0) === probe, `entry ${probe} is lost`);
    }
    for (const entry of present) check(index.find(keys[entry], 0, 0, 0) === entry, `entry ${entry} is lost`);
    // Its own hash, and two for each of a bucket's entries that move.
    expect(most).toBeLessThanOrEqual(1 + 2 * 15);
    expect(most).toBeGreaterThan(1);
    while (present.length > 0) step(false);
  });
});

describe('TupleIndex', () => {
  test('full, and with its entries replaced over and over, a search for what is not there stays short', () => {
    const capacity = 20_000;
    const keys = new Int32Array(capacity);
    let compared = 0;
    const index = new TupleIndex(
      capacity,
      (entry, a, b) => {
        compared++;
        return keys[entry] === a && b === 7;
      },
      (entry, self) => self.hash(keys[entry], 7, 0, 0),
    );
    for (let entry = 0; entry < capacity; entry++) {
      keys[entry] = entry;
      index.insert(entry);
    }
    for (let i = 0; i < capacity * 4; i++) {
      const entry = (i * 7919) % capacity;
      check(index.remove(entry), `entry ${entry} was not there`);
      keys[entry] = capacity + i;
      index.insert(entry);
    }
    for (let entry = 0; entry < capacity; entry++) {
      check(index.find(keys[entry], 7, 0, 0) === entry, `entry ${entry} is lost`);
      check(index.mayHave(index.hash(keys[entry], 7, 0, 0)), `entry ${entry} is said not to be there`);
    }
    let said = 0;
    for (let i = 0; i < capacity; i++) said += index.mayHave(index.hash(i, 8, 0, 0)) ? 1 : 0;
    expect(said).toBeLessThan(capacity / 500);
    compared = 0;
    let hops = 0;
    // biome-ignore lint/complexity/useLiteralKeys: TypeScript lets a private member be named in no other way
    const after = index['after'].bind(index);
    // biome-ignore lint/complexity/useLiteralKeys: as above
    index['after'] = (bucket) => {
      hops++;
      return after(bucket);
    };
    for (let i = 0; i < capacity; i++) check(index.find(i, 8, 0, 0) < 0, `${i} is found`);
    // 17 bits of the hash stand beside the entry's 15: a row is looked at for nothing in one of 8,000 searches.
    expect(compared).toBeLessThan(capacity / 500);
    // Half a bucket beyond the first; without a bucket's count going down again it would be all of them.
    expect(hops).toBeLessThan(capacity);
    expect(hops).toBeGreaterThan(0);
  });

  test('buckets that were all passed over do not make a search endless', () => {
    const keys = new Int32Array(20);
    const index = new TupleIndex(
      20,
      (entry, a) => keys[entry] === a,
      (entry, self) => self.hash(keys[entry], 0, 0, 0),
    );
    expect(index.buckets).toBe(2);
    // The key is its own hash: negative ones belong to the second bucket.
    index.hash = (a) => a;
    const insert = (entry: number, key: number) => {
      keys[entry] = key;
      index.insert(entry);
    };
    for (let entry = 0; entry < 16; entry++) insert(entry, entry);
    for (let entry = 0; entry < 12; entry++) expect(index.remove(entry)).toBe(true);
    for (let entry = 0; entry < 12; entry++) insert(entry, -1 - entry);
    for (let entry = 16; entry < 20; entry++) insert(entry, -1 - entry);
    for (const missing of [100, -100]) expect(index.find(missing, 0, 0, 0)).toBe(-1);
    for (let entry = 0; entry < 20; entry++) expect(index.find(keys[entry], 0, 0, 0)).toBe(entry);
    for (let entry = 0; entry < 20; entry++) expect([index.remove(entry), index.remove(entry)]).toEqual([true, false]);
  });
});

describe('RowPool', () => {
  test('gives each row to one owner, the last one back first, and no more than there are', () => {
    const capacity = 20_000;
    const pool = new RowPool(capacity);
    const taken: number[] = [];
    for (let row = pool.take(); row >= 0; row = pool.take()) taken.push(row);
    expect(new Set(taken).size).toBe(capacity);
    expect([pool.inUse, pool.highWater]).toEqual([capacity, capacity]);
    for (const from of [0, 5000, 13_000]) {
      const back = taken.splice(from, 7000);
      for (const row of back) pool.release(row);
      expect(pool.inUse).toBe(capacity - 7000);
      for (const row of [...back].reverse()) check(pool.take() === row, `row ${row} comes at another time`);
      expect(pool.take()).toBe(-1);
      taken.push(...back);
    }
  });
});
