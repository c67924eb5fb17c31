import fc from 'fast-check';
import type { FlowEntry } from '../../../src/controller/flow-dump.js';
import { FLOW_SORTS, sortKey } from '../../../src/controller/flow-sort.js';
import {
  mergeDrops,
  mergeHolders,
  mergePools,
  mergeSorted,
  mergeStatus,
  mergeTop,
  mergeVpcs,
} from '../../../src/controller/shards/merge.js';
import type { ShardMeasures } from '../../../src/controller/shards/messages.js';
import { sumMeasures } from '../../../src/controller/shards/sum-measures.js';
import type { DataplaneStatistics } from '../../../src/native/binding.js';
import { SessionClass } from '../../../src/native/records.js';

const direction = (packets: number, bytes: number) => ({ path: 'software' as const, reason: null, packets, bytes });

const flow = (id: string, bytes: number, ageMs = 0): FlowEntry => ({
  id,
  class: 'vpc-to-external',
  vpc: 'red',
  protocol: 'udp',
  state: 'active',
  inside: { address: '10.0.1.5', port: 1 },
  nat: { address: '203.0.113.16', port: 2 },
  remote: { address: '192.0.2.7', port: 3 },
  underlay: { vni: 100, vtep: null },
  forward: direction(bytes, bytes),
  reverse: direction(0, 0),
  ageMs,
  idleMs: ageMs,
  expiresInMs: 1000 - ageMs,
});

test('a sorted list of several engines is that of one engine with all flows', () => {
  const numbers = fc.integer({ min: 0, max: 6 });
  const flows = fc.array(fc.record({ bytes: numbers, ageMs: numbers, shard: fc.nat(3) }), {
    maxLength: 40,
    size: 'max',
  });
  const asked = fc.record({
    sort: fc.constantFrom(...FLOW_SORTS),
    order: fc.constantFrom('desc' as const, 'asc' as const),
    offset: fc.nat(5),
    limit: fc.integer({ min: 1, max: 12 }),
  });
  fc.assert(
    fc.property(flows, asked, (list, query) => {
      const sign = query.order === 'desc' ? -1 : 1;
      const keyOf = (one: FlowEntry) => sortKey(one, query.sort);
      const all = list.map(({ bytes, ageMs, shard }, i) => ({ shard, flow: flow(`${i}.1`, bytes, ageMs) }));
      const inOrder = (some: FlowEntry[]) => [...some].sort((a, b) => sign * (keyOf(a) - keyOf(b)));
      const lists = [0, 1, 2, 3].map((shard) =>
        inOrder(all.filter((one) => one.shard === shard).map((one) => one.flow)).slice(0, query.offset + query.limit),
      );
      const merged = mergeSorted(lists, query);
      const wanted = inOrder(all.map((one) => one.flow)).slice(query.offset, query.offset + query.limit);
      // Equals may stand in any order.
      expect(merged.map(keyOf)).toEqual(wanted.map(keyOf));
      expect(new Set(merged.map(({ id }) => id)).size).toBe(merged.length);
    }),
  );
});

test('what moves most is told of all engines, the sums are those of all flows', () => {
  const rate = (id: string, bits: number) => ({ flow: flow(id, 1), packetsPerSecond: bits / 8, bitsPerSecond: bits });
  const one = {
    seconds: 1.01,
    flows: 5,
    packetsPerSecond: 3,
    bitsPerSecond: 40,
    top: [rate('1.1', 30), rate('2.1', 8)],
  };
  const other = {
    seconds: 1.02,
    flows: 2,
    packetsPerSecond: 4,
    bitsPerSecond: 25,
    top: [rate('9.1', 20), rate('8.1', 5)],
  };
  const merged = mergeTop([one, other], 3);
  expect(merged).toMatchObject({ seconds: 1.02, flows: 7, packetsPerSecond: 7, bitsPerSecond: 65 });
  expect(merged.top.map((entry) => entry.flow.id)).toEqual(['1.1', '9.1', '2.1']);
});

test('status, VPCs, pools, holders and drops', () => {
  const status = { name: 'gw', sessions: 3, mappings: 2, nicRules: 10, sessionsMax: 700, version: '' };
  expect(mergeStatus([status, { ...status, sessions: 4, mappings: 1 }], 1000, '1.2.3')).toEqual({
    name: 'gw',
    sessions: 7,
    mappings: 3,
    nicRules: 10,
    sessionsMax: 1000,
    version: '1.2.3',
  });
  const red = { name: 'red', sessions: 1, opened: 3, ended: 2 };
  expect(mergeVpcs([[red], [{ ...red, sessions: 5, opened: 5, ended: 0 }]])).toEqual([
    { name: 'red', sessions: 6, opened: 8, ended: 2 },
  ]);
  const pool = {
    kind: 'external',
    pool: 'internet',
    towards: null,
    protocol: 'udp',
    ports: 100,
    owned: 5,
    share: 0.05,
  };
  const peering = { ...pool, kind: 'peering', pool: 'red', towards: 'blue', owned: 1 };
  expect(mergePools([[pool], [{ ...pool, owned: 20 }, peering]])).toEqual([
    { ...pool, owned: 25, share: 0.25 },
    { ...peering, share: 0.01 },
  ]);
  const fixed = { kind: 'static', inside: 1 };
  expect(mergeHolders([{ holders: [fixed] }, { holders: [{ ...fixed }, { kind: 'dynamic', inside: 2 }] }])).toEqual({
    holders: [fixed, { kind: 'dynamic', inside: 2 }],
  });
  const packet = (agoMs: number) => ({ agoMs }) as Parameters<typeof mergeDrops>[0][number]['packets'][number];
  const drops = { seconds: 9.5, last: { filtered: 1 }, total: { filtered: 3 }, packets: [packet(1), packet(50)] };
  const more = { seconds: 9.4, last: { 'not-syn': 2 }, total: { 'not-syn': 2, filtered: 1 }, packets: [packet(20)] };
  expect(mergeDrops([drops, more], 2)).toEqual({
    seconds: 9.5,
    last: { filtered: 1, 'not-syn': 2 },
    total: { filtered: 4, 'not-syn': 2 },
    packets: [{ agoMs: 1 }, { agoMs: 20 }],
  });
});

test('measures are added: sessions by VPC and class, pools by what they own, failures by errno', () => {
  const statistics = (received: number): DataplaneStatistics => ({
    ports: received === 0 ? [] : [{ received, transmitted: 2 }],
    slowPath: { packets: 5, misses: 2, bytes: 60, handedOver: 3 },
    nic: { packets: received, bytes: 0, inserts: 3 },
    firstPackets: { buckets: [1, 2], nanoseconds: 7 },
    drops: [0, 1],
    held: 1,
    nicRules: 4,
    softwareRules: 6,
    softwareTableBytes: 100,
    precedence: { engine: 3, lcore: 1 },
  });
  const { vpcToExternal, hairpin } = SessionClass;
  const pool = { kind: 'external' as const, pool: 'p', scope: 0, protocol: 17, addresses: 2, ports: 10, owned: 3 };
  const one: ShardMeasures = {
    sessions: [{ vpc: 'red', sessionClass: vpcToExternal, opened: 4, ended: 1 }],
    pools: [pool],
    mappings: 2,
    evictions: 1,
    ruleRetries: 0,
    installFailures: [[-28, 2]],
    statistics: statistics(9),
  };
  const other: ShardMeasures = {
    ...one,
    sessions: [
      { vpc: 'red', sessionClass: vpcToExternal, opened: 6, ended: 2 },
      { vpc: 'red', sessionClass: hairpin, opened: 1, ended: 0 },
    ],
    installFailures: [
      [-28, 1],
      [-5, 1],
    ],
    statistics: statistics(0),
  };
  const sum = sumMeasures([one, other]);
  expect(sum.sessions).toEqual([
    { vpc: 'red', sessionClass: vpcToExternal, opened: 10, ended: 3 },
    { vpc: 'red', sessionClass: hairpin, opened: 1, ended: 0 },
  ]);
  expect(sum.pools).toEqual([{ ...pool, owned: 6 }]);
  expect(sum).toMatchObject({ mappings: 4, evictions: 2, ruleRetries: 0 });
  expect([...sum.installFailures]).toEqual([
    [-28, 3],
    [-5, 1],
  ]);
  expect(sum.statistics).toEqual({
    ports: [{ received: 9, transmitted: 2 }],
    slowPath: { packets: 10, misses: 4, bytes: 120, handedOver: 6 },
    nic: { packets: 9, bytes: 0, inserts: 6 },
    firstPackets: { buckets: [2, 4], nanoseconds: 14 },
    drops: [0, 2],
    held: 2,
    nicRules: 8,
    softwareRules: 12,
    softwareTableBytes: 200,
    precedence: { engine: 6, lcore: 2 },
  });
});
