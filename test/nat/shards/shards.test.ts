import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { validateConfig } from '../../../src/config/load.js';
import type { ValidatedConfig } from '../../../src/config/types.js';
import { hasPorts } from '../../../src/nat/mapping-table.js';
import { Random } from '../../../src/nat/random.js';
import { type CallOptions, endpointsOf, missOfCall, packetOf, randomCall } from './calls.js';
import { Cluster, type Fate, type Opened } from './cluster.js';

function gateway(nat: object, pool: object, limits: object): ValidatedConfig {
  const document = JSON.parse(readFileSync(join(__dirname, '../fixtures/two-gateways.json'), 'utf8'));
  document.nat = { seed: 3, maxSessions: 400, ...nat };
  document.externalPools = [{ name: 'internet', vpcs: ['red', 'blue'], ...pool }];
  document.vpcs[0].limits = limits;
  const loaded = validateConfig(document, null);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return loaded.config;
}

const WIDE = { ranges: ['203.0.113.16-203.0.113.31'] };
/** A port mapping lies in the pool: who has called it admits whoever shares its address. */
const MAPPED = { ranges: ['203.0.113.11'] };
const ONE = { ranges: ['203.0.113.16'] };
const TINY = { ranges: ['203.0.113.16'], ports: '2000-2039' };
const PORTS_ONLY = { protocols: [6, 6, 17, 1], hosts: 6, ports: 4, calls: true, callsFixed: false };
const ALL: CallOptions = { protocols: [6, 17, 1, 47], hosts: 6, ports: 4, calls: true, callsFixed: false };
const LIMITS = { sessionsPerAddress: 5, sessions: 16, newSessionsPerSecond: 1 };

const CASES: [string, ValidatedConfig, CallOptions, string[]][] = [
  ['wide pools', gateway({}, WIDE, {}), PORTS_ONLY, ['drop no-binding', 'drop not-syn', 'session hairpin']],
  ['one address', gateway({}, ONE, {}), ALL, ['told pool-exhausted', 'session hairpin']],
  ['limits', gateway({}, WIDE, LIMITS), PORTS_ONLY, ['told vpc-limit', 'told address-limit', 'told rate-limit']],
  [
    'a table of twenty',
    gateway({ maxSessions: 20 }, ONE, {}),
    { ...ALL, calls: false },
    ['told table-full', 'session hairpin'],
  ],
  [
    'filtering by address',
    gateway({ filtering: 'address-dependent' }, MAPPED, {}),
    { ...ALL, hosts: 4, ports: 2, callsFixed: true },
    ['drop filtered', 'session hairpin'],
  ],
  [
    'filtering by endpoint',
    gateway({ filtering: 'address-and-port-dependent' }, WIDE, {}),
    PORTS_ONLY,
    ['drop filtered'],
  ],
  [
    'forty ports and limits',
    gateway({}, TINY, { sessions: 12 }),
    { ...PORTS_ONLY, hosts: 12 },
    ['told vpc-limit', 'session hairpin'],
  ],
  ['forty ports', gateway({}, TINY, {}), { ...PORTS_ONLY, hosts: 12 }, ['told pool-exhausted', 'session hairpin']],
];

/** What must not depend on how many engines there are; ports do, and addresses. */
function told(fate: Fate | null): string {
  if (fate === null) return 'waits';
  if (fate.session === null) return `${fate.what} ${fate.reason}`;
  const { facts: f, shapes } = fate.session;
  const ends = [f.forwardSource, f.translatedDestination, f.protocol === 1 ? 0 : f.translatedDestinationPort];
  const mappings = [f.sourceMapping >= 0, f.destinationMapping >= 0];
  return `session ${CLASSES[f.sessionClass]} ${[f.vpc, f.destinationVpc, f.insideInitiated, ...ends, ...mappings, shapes]}`;
}

const CLASSES = ['vpc-to-vpc', 'vpc-to-external', 'external-to-vpc', 'site-to-site', 'hairpin'];

/** A live session, whatever ports it got. */
function nameOf({ facts: f }: Opened): string {
  const isCaller = f.insideInitiated && f.destinationMapping < 0;
  return [f.sessionClass, f.vpc, f.destinationVpc, f.protocol, f.forwardSource, f.forwardSourcePort]
    .concat([f.translatedDestination, f.protocol === 1 ? 0 : f.translatedDestinationPort])
    .concat(isCaller ? f.forwardDestination : 0)
    .join(' ');
}

/** Nobody has an external endpoint twice, an internal one has one, and packets of sessions are looked up where they are. */
function judge(cluster: Cluster): void {
  const insideOf = new Map<string, string>();
  const publicOf = new Map<string, string>();
  const pairs = new Map<string, number>();
  for (const session of cluster.live) {
    const { facts: f, shard } = session;
    for (const reverse of [false, true]) {
      const there = cluster.shardOf(packetOf(cluster.config, session, reverse));
      if (there !== shard)
        throw new Error(`${nameOf(session)} of ${shard}, reverse ${reverse}, is looked up in ${there}`);
    }
    if (f.sourceMapping < 0) continue;
    const scope = cluster.engines[shard].mappings.scope(f.sourceMapping);
    const inside = `${scope} ${f.vpc} ${f.forwardSource}`;
    const paired = pairs.get(inside) ?? f.translatedSource;
    if (paired !== f.translatedSource) throw new Error(`${inside} has two addresses`);
    pairs.set(inside, paired);
    if (!hasPorts(f.protocol)) continue;
    const from = `${inside} ${f.protocol} ${f.forwardSourcePort}`;
    const to = `${scope} ${f.protocol} ${f.translatedSource} ${f.translatedSourcePort}`;
    if ((insideOf.get(to) ?? from) !== from) throw new Error(`${to} is ${from}'s and ${insideOf.get(to)}'s`);
    if ((publicOf.get(from) ?? to) !== to) throw new Error(`${from} has ${to} and ${publicOf.get(from)}`);
    insideOf.set(to, from);
    publicOf.set(from, to);
  }
}

/** Everything is given back with the last session. */
function endAll(cluster: Cluster, seconds: number): void {
  for (const session of [...cluster.live]) cluster.end(session, seconds);
  cluster.settle(seconds);
  expect([cluster.sessions, cluster.mappings, cluster.sessionsCounted]).toEqual([0, 0, 0]);
  for (const { hosts } of cluster.engines) {
    const isLeft = (host: number) => [0, 1].some((vpc) => hosts.find(vpc, 0, host) >= 0);
    expect([...HOSTS].filter(isLeft)).toEqual([]);
  }
}

/** Of a pool of forty ports each can be had once all have rested. */
function fillAgain(cluster: Cluster, seconds: number): void {
  for (let port = 0; port < 40; port++) {
    const call = { context: 1, protocol: 17, source: 0x0a000250 + (port % 8), sourcePort: port + 1, tcpFlags: 0 };
    const to = { address: 0xc6336409, port: 443 };
    cluster.miss(missOfCall(cluster, { ...call, to }, 100_000 + port, seconds));
    cluster.settle(seconds);
    expect([port, cluster.takeFate(100_000 + port)?.what]).toEqual([port, 'session']);
  }
  endAll(cluster, seconds);
}

/** Private addresses that calls come from, and those beside them. */
const HOSTS = Array.from({ length: 512 }, (_, i) => 0x0a000100 + i);

describe.each(CASES)('%s', (_name, config, options, wanted) => {
  test.each([2, 4])('%i engines do what one does, each message late', (shards) => {
    const random = new Random(shards);
    const alone = new Cluster(config, 1, 1);
    const several = new Cluster(config, shards, 7);
    const reached = new Set<string>();
    const same = new Map<Opened, Opened>();
    let seconds = 1000;
    for (let hold = 1; hold <= 1000; hold++) {
      seconds += random.below(3);
      if (random.below(100) === 0) seconds += 500;
      alone.runTimers(seconds);
      several.runTimers(seconds);
      several.settle(seconds);
      if (random.below(4) === 0 && alone.live.size > 0) {
        const session = [...alone.live][random.below(alone.live.size)];
        alone.end(session, seconds);
        several.end(same.get(session) as Opened, seconds);
        several.settle(seconds);
        // That something was exhausted is remembered within the second, whatever other shards' sessions give back.
        seconds++;
      }
      const call = randomCall(random, [...endpointsOf(alone).values()], options);
      const fates = [alone, several].map((cluster) => {
        cluster.miss(missOfCall(cluster, call, hold, seconds));
        cluster.settle(seconds);
        return cluster.takeFate(hold);
      });
      if (fates[0]?.session && fates[1]?.session) same.set(fates[0].session, fates[1].session);
      const context = JSON.stringify({ hold, call });
      const [one, other] = fates.map(told);
      if (one !== other) throw new Error(`one: ${one}; ${shards}: ${other} ${context}`);
      if (alone.live.size !== several.live.size)
        throw new Error(`${alone.live.size} sessions and ${several.live.size}`);
      reached.add(one.split(' ').slice(0, 2).join(' '));
      if (hold % 20 === 0) judge(several);
    }
    expect([...reached]).toEqual(expect.arrayContaining(wanted));
    expect(several.messages).toBeGreaterThan(50);
    expect(several.engines.filter((engine) => engine.sessions.highWater > 0)).toHaveLength(shards);
    endAll(several, seconds);
    endAll(alone, seconds);
    if (config.externalPools[0].portRange.last === 2039) fillAgain(several, seconds + 200);
  });
});

test.each(CASES)('%s: engines that go on while messages are under way break no rule', (_name, config, options) => {
  for (const shards of [2, 4]) {
    const random = new Random(shards + 40);
    const several = new Cluster(config, shards, 9);
    const waiting = new Set<number>();
    const { sessions: most, sessionsPerAddress } = config.vpcs[0].limits;
    let putBy = 0;
    let seconds = 1000;
    for (let hold = 1; hold <= 1000; hold++) {
      if (random.below(10) === 0) seconds += random.below(200) === 0 ? 500 : 1;
      several.runTimers(seconds);
      if (random.below(5) === 0 && several.live.size > 0)
        several.end([...several.live][random.below(several.live.size)], seconds);
      const call = randomCall(random, [...endpointsOf(several).values()], options);
      several.miss(missOfCall(several, call, hold, seconds));
      waiting.add(hold);
      several.deliver(random.below(4), seconds);
      for (const one of waiting) if (several.takeFate(one) !== null) waiting.delete(one);
      if (waiting.size > 0) putBy++;
      if (several.live.size > config.nat.maxSessions) throw new Error('more sessions than there may be');
      const red = [...several.live].filter(({ facts }) => facts.vpc === 0);
      if (red.length > most) throw new Error(`${red.length} sessions of red`);
      const inside = (one: Opened) =>
        one.facts.insideInitiated ? one.facts.forwardSource : one.facts.translatedDestination;
      const ofHost = red.filter((one) => inside(one) === inside(red[0]));
      if (ofHost.length > sessionsPerAddress) throw new Error(`${ofHost.length} sessions of one host`);
      if (hold % 20 === 0) judge(several);
    }
    several.settle(seconds);
    // A SYN that filtering refuses waits for longer, in silence.
    several.runTimers(seconds + 10);
    for (const one of waiting) if (several.takeFate(one) !== null) waiting.delete(one);
    expect([...waiting]).toEqual([]);
    expect(putBy).toBeGreaterThan(0);
    endAll(several, seconds + 10);
  }
});

describe('a configuration that changes while messages are under way', () => {
  const nat = { portReuseDelay: 3 };
  const variants = [
    gateway(nat, WIDE, {}),
    gateway(nat, ONE, {}),
    gateway(nat, TINY, {}),
    gateway(nat, { ranges: ['203.0.113.16-203.0.113.17'], ports: '2010-2300' }, { sessions: 30 }),
    gateway(nat, MAPPED, { sessionsPerAddress: 9 }),
  ];

  test.each([2, 4])('%i engines break no rule, every packet is decided on, and all is given back', (shards) => {
    const random = new Random(shards + 7);
    const several = new Cluster(variants[0], shards, 5);
    const waiting = new Set<number>();
    const counted = { reloads: 0, sentBack: 0, elsewhere: 0, decided: 0 };
    let seconds = 1000;
    for (let hold = 1; hold <= 1500; hold++) {
      if (random.below(10) === 0) seconds += random.below(200) === 0 ? 500 : 1;
      several.runTimers(seconds);
      if (random.below(5) === 0 && several.live.size > 0)
        several.end([...several.live][random.below(several.live.size)], seconds);
      several.miss(missOfCall(several, randomCall(random, [...endpointsOf(several).values()], ALL), hold, seconds));
      waiting.add(hold);
      several.deliver(random.below(3), seconds);
      if (random.below(25) === 0) {
        counted.reloads++;
        counted.sentBack += several.reconfigure(variants[random.below(variants.length)], seconds);
      }
      for (const one of waiting) {
        if (several.takeFate(one) === null) continue;
        waiting.delete(one);
        counted.decided++;
      }
      if (hold % 10 === 0) counted.elsewhere += judgeStops(several);
    }
    several.settle(seconds);
    several.runTimers(seconds + 10);
    several.settle(seconds + 10);
    for (const one of waiting) if (several.takeFate(one) !== null) waiting.delete(one);
    expect([...waiting]).toEqual([]);
    for (const [what, count] of Object.entries(counted)) expect([what, count > 20]).toEqual([what, true]);
    endAll(several, seconds + 10);
    several.reconfigure(variants[2], seconds + 20);
    fillAgain(several, seconds + 200);
  });
});

/** Whatever configurations there were: nobody has an endpoint twice. @returns Sessions that another shard would decide on by now */
function judgeStops(cluster: Cluster): number {
  const owners = new Map<string, string>();
  let elsewhere = 0;
  for (const session of cluster.live) {
    const { facts: f, shard } = session;
    for (const reverse of [false, true]) {
      const stops = cluster.stops(packetOf(cluster.config, session, reverse));
      if (!stops.includes(shard)) throw new Error(`${nameOf(session)} of ${shard} is looked up in ${stops}`);
      if (stops.at(-1) !== shard) elsewhere++;
    }
    if (f.sourceMapping < 0 || !hasPorts(f.protocol)) continue;
    const scope = cluster.engines[shard].mappings.scope(f.sourceMapping);
    const from = `${f.vpc} ${f.forwardSource} ${f.forwardSourcePort}`;
    const to = `${scope} ${f.protocol} ${f.translatedSource} ${f.translatedSourcePort}`;
    if ((owners.get(to) ?? from) !== from) throw new Error(`${to} is ${from}'s and ${owners.get(to)}'s`);
    owners.set(to, from);
  }
  return elsewhere;
}
