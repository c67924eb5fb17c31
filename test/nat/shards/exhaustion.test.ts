import { FIRST_SOURCE_PORT, REMOTE_PORT } from '../../../bench/fixture.js';
import { scarceFixture } from '../../../bench/misses.js';
import { homeOf } from '../../../src/nat/shards/shared-state.js';
import { Cluster, missOf } from './cluster.js';

const ADDRESSES = 4;
const PORTS_OF_ADDRESS = 2048;
const ENDPOINTS = ADDRESSES * PORTS_OF_ADDRESS;
const HOSTS = 1000;
const FIRST_PORT = 1024;
const BEGIN = 1000;

test.each([1, 2, 4])('%i engines share a pool to the last port, and again once all have rested', (shards) => {
  const { config, scenario } = scarceFixture({ addresses: ADDRESSES, portsOfAddress: PORTS_OF_ADDRESS, seed: 1 });
  const cluster = new Cluster(config, shards, 5);
  const owned = new Uint8Array(ENDPOINTS);
  const addressOf = new Int32Array(HOSTS).fill(-1);
  let hold = 0;

  const open = (host: number, flow: number, seconds: number): string => {
    hold++;
    const { privateBase, remoteBase, vni, hostVtep } = scenario;
    cluster.miss(
      missOf({
        hold,
        port: config.fabricPort,
        protocol: 17,
        seconds,
        vni,
        outerSource: hostVtep,
        source: privateBase + host,
        destination: remoteBase + ((host + flow * 257) & 0xffff),
        sourcePort: FIRST_SOURCE_PORT + flow,
        destinationPort: REMOTE_PORT,
      }),
    );
    cluster.settle(seconds);
    const fate = cluster.takeFate(hold);
    if (fate === null || fate.session === null) return fate?.reason ?? 'waits';
    const { translatedSource, translatedSourcePort } = fate.session.facts;
    const address = translatedSource - scenario.poolFirst;
    const endpoint = address * PORTS_OF_ADDRESS + translatedSourcePort - FIRST_PORT;
    if (owned[endpoint] !== 0) throw new Error(`endpoint ${endpoint} has two sessions`);
    owned[endpoint] = 1;
    if (addressOf[host] < 0) addressOf[host] = address;
    if (addressOf[host] !== address) throw new Error(`host ${host} has two addresses`);
    return '';
  };

  /** Each host one flow after the other, until every endpoint is owned. @returns The reasons of those that got none. */
  const fill = (seconds: number): Set<string> => {
    const refused = new Set<string>();
    for (let i = 0; cluster.live.size < ENDPOINTS; i++) {
      if (i === HOSTS * 64) throw new Error(`${ENDPOINTS - cluster.live.size} ports stay that nobody gets`);
      refused.add(open((i * 7919) % HOSTS, Math.floor(i / HOSTS), seconds));
    }
    return refused;
  };

  // Six of each host: three quarters of all ports. Nobody is refused, and all addresses are used alike.
  for (let i = 0; i < HOSTS * 6; i++) expect(open((i * 7919) % HOSTS, Math.floor(i / HOSTS), BEGIN)).toBe('');
  const hostsOf = Array.from({ length: ADDRESSES }, (_, address) => addressOf.filter((one) => one === address).length);
  expect(Math.min(...hostsOf)).toBeGreaterThan(HOSTS / ADDRESSES / 1.1);

  for (const reason of fill(BEGIN + 1)) expect(['', 'pool-exhausted']).toContain(reason);
  const messages = cluster.messages;
  for (let host = 0; host < HOSTS; host++) expect(open(host, 63, BEGIN + 2)).toBe('pool-exhausted');
  // That an address has nothing left is asked for once a second, however many hosts want it.
  expect(cluster.messages - messages).toBeLessThanOrEqual(shards * ADDRESSES * (2 + 2 * shards));

  const end = BEGIN + 4000;
  cluster.runTimers(end);
  cluster.settle(end);
  expect(cluster.sessions).toBe(0);
  const rested = end + config.nat.portReuseDelaySeconds;
  expect(open(3, 0, rested - 1)).toBe('pool-exhausted');
  owned.fill(0);
  addressOf.fill(-1);
  fill(rested);
  expect(owned.every((taken) => taken === 1)).toBe(true);
});

test.each([2, 4])('with %i engines a pool ends although static bindings withhold a whole block of it', (shards) => {
  const { config, scenario } = scarceFixture({ addresses: 1, portsOfAddress: 8, seed: 1 });
  const { privateBase, remoteBase, vni, hostVtep, poolFirst } = scenario;
  const of = (address: number) => ({ first: address, last: address });
  const bound = { vpc: config.vpcs[0].index, side: 'external' as const, protocol: 17 as const, privatePort: 80 };
  const staticBindings = [0, 3].map((port, index) => ({
    ...bound,
    index,
    private: of(privateBase + 900),
    public: of(poolFirst),
    publicPort: FIRST_PORT + port,
  }));
  const cluster = new Cluster({ ...config, staticBindings }, shards, 3);
  // All of one shard: nobody else answers who is asked for blocks.
  const sources = Array.from({ length: 200 }, (_, host) => privateBase + host).filter(
    (one) => homeOf(one, shards) === 1,
  );
  const fates = sources.slice(0, 12).map((source, host) => {
    const ends = { source, destination: remoteBase, destinationPort: REMOTE_PORT };
    const way = { port: config.fabricPort, vni, outerSource: hostVtep, protocol: 17 };
    cluster.miss(missOf({ ...way, ...ends, hold: host + 1, seconds: BEGIN, sourcePort: FIRST_SOURCE_PORT }));
    if (cluster.deliver(5000, BEGIN)) throw new Error('engines and dealer talk without an end');
    return cluster.takeFate(host + 1)?.what;
  });
  expect(fates).toEqual([...Array(6).fill('session'), ...Array(6).fill('told')]);
});

test('a block that is dealt has as many ports as nat.portBlockSize says', () => {
  const { config, scenario } = scarceFixture({ addresses: 1, portsOfAddress: 8192, seed: 1 });
  const { privateBase: source, remoteBase: destination, vni, hostVtep: outerSource } = scenario;
  const cluster = new Cluster({ ...config, nat: { ...config.nat, portBlockSize: 64 } }, 2, 3);
  const ports = Array.from({ length: 64 }, (_, flow) => {
    const way = { port: config.fabricPort, vni, outerSource, protocol: 17, source, destination };
    const sourcePort = FIRST_SOURCE_PORT + flow;
    cluster.miss(missOf({ ...way, hold: flow + 1, seconds: BEGIN, sourcePort, destinationPort: REMOTE_PORT }));
    cluster.settle(BEGIN);
    return cluster.takeFate(flow + 1)?.session?.facts.translatedSourcePort ?? 0;
  });
  expect(new Set(ports).size).toBe(64);
  expect(Math.max(...ports) - Math.min(...ports)).toBe(63);
});

test('a miss that was put by is told of once, when it is decided on, refused or not', () => {
  const { config, scenario } = scarceFixture({ addresses: 1, portsOfAddress: 8, seed: 1 });
  const cluster = new Cluster(config, 2, 5);
  const fates: string[] = [];
  for (let hold = 1; hold <= 64; hold++) {
    const { privateBase, remoteBase, vni, hostVtep } = scenario;
    cluster.miss(
      missOf({
        hold,
        port: config.fabricPort,
        protocol: 17,
        seconds: BEGIN,
        vni,
        outerSource: hostVtep,
        source: privateBase + hold,
        destination: remoteBase,
        sourcePort: FIRST_SOURCE_PORT,
        destinationPort: REMOTE_PORT,
      }),
    );
    const isPutBy = cluster.takeFate(hold) === null;
    const before = cluster.decidedLate.length;
    cluster.settle(BEGIN);
    expect(cluster.decidedLate.slice(before)).toEqual(isPutBy ? [hold] : []);
    if (isPutBy) fates.push(cluster.takeFate(hold)?.what ?? 'waits');
  }
  expect(new Set(fates)).toEqual(new Set(['session', 'told']));
});
