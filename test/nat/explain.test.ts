import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatIpv4, parseIpv4 } from '../../src/config/address.js';
import { validateConfig } from '../../src/config/load.js';
import { NatEngine } from '../../src/nat/engine.js';
import { emptyPacket, type MissedPacket, readMiss } from '../../src/nat/packet.js';
import { NativeRows } from '../../src/nat/session-timers.js';
import type { DecidedSession, DecisionSink } from '../../src/nat/sink.js';
import { DropReasonNames, MissEvent, MissKind, NO_VNI, SessionRow } from '../../src/native/records.js';

const SESSIONS = 300;
const address = (text: string) => parseIpv4(text) as number;

/** What the engine really did with a packet. */
interface Done {
  verdict: string;
  reason: string;
  destination: string | null;
  shapes: number;
}

function gateway(nat: object, pools: object[], limits: object) {
  const document = JSON.parse(readFileSync(join(__dirname, 'fixtures/two-gateways.json'), 'utf8'));
  document.nat = { seed: 3, maxSessions: SESSIONS, ...nat };
  document.externalPools = pools;
  document.vpcs[0].limits = limits;
  const loaded = validateConfig(document, null);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  const done: Done = { verdict: '', reason: 'none', destination: null, shapes: 0 };
  const told = (verdict: string, reason = 0) => {
    done.verdict = verdict;
    done.reason = DropReasonNames[reason as never];
  };
  const sink = {
    drop: (_hold, reason) => told('drop', reason),
    icmpError: (_hold, reason) => told('drop', reason),
    retry: () => told('session'),
    echoReply: () => told('answer'),
    session: (_hold: number, { facts, forwardShape, reverseShape }: DecidedSession) => {
      told('session');
      done.destination = formatIpv4(facts.translatedDestination);
      done.shapes = forwardShape | (reverseShape << 16);
    },
    arpRequest: () => undefined,
    dropAll: () => undefined,
    remove: () => undefined,
    query: () => undefined,
  } as Partial<DecisionSink> as DecisionSink;
  const rows = new NativeRows(new ArrayBuffer(SESSIONS * SessionRow.size));
  return { engine: new NatEngine(loaded.config, rows, sink), config: loaded.config, done };
}

/** Values that meet each other often. */
const SOURCES = ['10.0.1.5', '10.0.1.6', '10.0.1.7', '10.0.2.9', '10.3.0.9', '198.51.100.9', '100.64.3.1', '10.9.9.9'];
const DESTINATIONS = [
  ...SOURCES,
  '10.0.1.1',
  '172.30.0.1',
  '203.0.113.1',
  '203.0.113.10',
  '203.0.113.11',
  '203.0.113.16',
  '203.0.113.17',
  '100.64.1.0',
  '100.64.2.9',
  '192.0.2.7',
];

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function missRecord(draw: (below: number) => number, ports: { fabric: number; external: number }, learned: number[]) {
  const view = new DataView(new ArrayBuffer(MissEvent.size));
  const pick = <T>(list: readonly T[]) => list[draw(list.length)];
  const outside = draw(3) === 0;
  const protocol = pick([6, 6, 17, 17, 1, 47]);
  view.setUint8(MissEvent.kind, MissKind.ipv4);
  view.setUint8(MissEvent.port, outside ? ports.external : ports.fabric);
  view.setUint8(MissEvent.protocol, protocol);
  view.setUint32(MissEvent.seconds, 1000, true);
  view.setUint32(MissEvent.vni, outside ? NO_VNI : pick([100, 100, 200, 200, 9000, 555]), true);
  view.setUint32(MissEvent.outerSourceAddress, address(pick(['172.30.0.11', '172.30.0.2'])), true);
  view.setUint32(MissEvent.sourceAddress, address(pick(SOURCES)), true);
  view.setUint32(MissEvent.destinationAddress, address(pick(DESTINATIONS)), true);
  const hasPorts = protocol !== 47;
  const source = hasPorts ? pick([1000, 1001, 1002, 1003]) : 0;
  view.setUint16(MissEvent.sourcePort, source, true);
  const known = learned.length > 0 && draw(2) === 0 ? pick(learned) : pick([80, 443]);
  view.setUint16(MissEvent.destinationPort, protocol === 1 ? source : hasPorts ? known : 0, true);
  view.setUint8(MissEvent.tcpFlags, pick([2, 2, 2, 16]));
  view.setUint8(MissEvent.ttl, pick([64, 64, 64, 64, 1]));
  view.setUint8(MissEvent.icmpType, pick([8, 8, 0, 13]));
  return new Int32Array(view.buffer);
}

const POOLS = [{ name: 'internet', vpcs: ['red', 'blue'], ranges: ['203.0.113.16-203.0.113.31'] }];
const TINY = [{ name: 'internet', vpcs: ['red'], ranges: ['203.0.113.16'], ports: '2000-2004' }];

describe.each<[string, object, object[], object?]>([
  ['endpoint-independent', {}, POOLS],
  ['limits', {}, POOLS, { sessionsPerAddress: 8, sessions: 20 }],
  ['address-dependent filtering', { filtering: 'address-dependent' }, POOLS],
  ['a tiny pool, none for blue', {}, TINY],
])('%s', (_name, nat, pools, limits = {}) => {
  test('what is explained is what the engine does', () => {
    const { engine, config, done } = gateway(nat, pools, limits);
    const draw = random(7);
    const packet: MissedPacket = emptyPacket();
    const reached = new Map<string, number>();
    const learned: number[] = [];
    for (let i = 0; i < 6000; i++) {
      const words = missRecord(draw, { fabric: config.fabricPort, external: config.externalPort }, learned);
      readMiss(words, 0, packet);
      const before = [engine.sessions.count, engine.mappings.count];
      const explained = engine.explain(packet);
      expect([engine.sessions.count, engine.mappings.count]).toEqual(before);
      expect(engine.explain(packet)).toEqual(explained);
      Object.assign(done, { verdict: '', destination: null });
      engine.touch(words, 0, 0);
      engine.onMiss(words, 0, 0);
      // A SYN from outside that filtering refuses is answered later, or never.
      if (done.verdict === '') Object.assign(done, { verdict: 'drop', reason: 'filtered' });
      const context = JSON.stringify({ i, packet, stages: explained.stages });
      const key = `${explained.verdict} ${DropReasonNames[explained.reason]}`;
      reached.set(key, (reached.get(key) ?? 0) + 1);
      // Two refusals are known only by trying: a paired address that is full while its pool is not, and replies that
      // another session's would look like.
      if (done.reason === 'pool-exhausted' && explained.verdict === 'session') continue;
      // A session takes packets of its tuple in software; the engine sees a repetition only, and judges it as a first one.
      if (explained.row >= 0 && done.verdict === 'drop') continue;
      expect(`${done.verdict} ${done.reason} ${context}`).toBe(`${key} ${context}`);
      if (done.destination === null) continue;
      expect(formatIpv4(explained.facts?.translatedDestination ?? 0)).toBe(done.destination);
      const mapping = engine.sessions.sourceMapping(engine.sessions.highWater - 1);
      if (mapping >= 0) learned.push(engine.mappings.publicPort(mapping));
    }
    const wanted = [
      'session none',
      'answer none',
      'drop no-binding',
      'drop not-syn',
      'drop ttl-expired',
      'drop no-peering',
    ];
    for (const key of wanted) expect([...reached.keys()]).toContain(key);
    if ('sessions' in limits)
      expect([...reached.keys()]).toEqual(expect.arrayContaining(['drop vpc-limit', 'drop address-limit']));
    if (pools === TINY) expect([...reached.keys()]).toContain('drop no-pool');
    if ('filtering' in nat) expect([...reached.keys()]).toContain('drop filtered');
  });
});
