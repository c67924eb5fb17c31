import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatIpv4 } from '../../src/config/address.js';
import { validateConfig } from '../../src/config/load.js';
import { NatEngine } from '../../src/nat/engine.js';
import { emptyPacket, type MissedPacket, readMiss } from '../../src/nat/packet.js';
import { NativeRows } from '../../src/nat/session-timers.js';
import type { DecidedSession, DecisionSink } from '../../src/nat/sink.js';
import { DropReasonNames, SessionRow } from '../../src/native/records.js';
import { missRecord, random } from './random-misses.js';

const SESSIONS = 300;

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
    retryAnew: () => told('session'),
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
    expire: () => undefined,
  } as Partial<DecisionSink> as DecisionSink;
  const rows = new NativeRows(new ArrayBuffer(SESSIONS * SessionRow.size));
  return { engine: new NatEngine(loaded.config, rows, sink), config: loaded.config, done };
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
