import { Redis } from 'ioredis';
import { blockText } from '../../src/mirror/port-block-text.js';
import type { PortBlock } from '../../src/mirror/types.js';
import { Protocol } from '../../src/nat/packet.js';
import type { PortGrants } from '../../src/nat/port-grants.js';
import { SessionLife } from '../../src/nat/session-table.js';
import { EngineNode, exampleConfig } from './engine-node.js';
import { GROUP, replayOn, writerOn } from './pair.js';
import { RedisServer, until } from './redis-servers.js';
import { endWithEachTest } from './server-of-test.js';
import { PlainReplica, PlainTable, random } from './tables.js';

endWithEachTest();

describe('ports of a pair, engine by engine', () => {
  const POOL = { name: 'one', vpcs: ['red', 'blue'], ranges: ['203.0.113.16-203.0.113.17'], ports: '5001-5600' };
  const forms = [
    ['ports in common', {}],
    ['port blocks of subscribers', { log: 'blocks' }],
    ['ports in common among sessions to different remotes', { mapping: 'address-and-port-dependent' }],
  ] as const;

  interface Member {
    readonly node: EngineNode;
    readonly grants: PortGrants;
    readonly own: PortBlock[];
  }

  /** Another gateway without anything; `isGuarded` false: the protection is off. */
  function member(nat: object, isGuarded: boolean): Member {
    const config = exampleConfig((document) => {
      document.nat = { maxSessions: 4000, portReuseDelay: 0, portBlockSize: 8, ...nat };
      document.externalPools = [POOL];
    });
    const node = new EngineNode(config);
    node.asReplica();
    const grants = node.engine.ownPortsByBlocks(7);
    if (!isGuarded) Object.assign(grants, { setForeign: () => undefined, begin: () => undefined });
    return { node, grants, own: [] };
  }

  function decide({ node, grants, own }: Member, epoch: number, foreign: readonly PortBlock[]): void {
    node.engine.standBy();
    grants.begin(epoch);
    grants.setForeign(foreign);
    node.engine.takeOver(node.now);
    const first = [...grants.prime(), ...grants.ask()];
    own.push(...first);
    grants.grant(first);
  }

  const endpointsOf = ({ engine }: EngineNode): string[] =>
    Array.from(engine.mappings.rowsInUse(), (row) => {
      const { mappings } = engine;
      return `${mappings.protocol(row)} ${mappings.publicAddress(row)} ${mappings.publicPort(row)}`;
    });

  /** Opens sessions at random and ends some; blocks are reserved as they are wanted. */
  function live(one: Member, draw: (below: number) => number, steps: number): number {
    const { node, grants, own } = one;
    let opened = 0;
    for (let step = 0; step < steps; step++) {
      const row = node.open({
        from: { vni: 100 },
        protocol: draw(2) === 0 ? Protocol.tcp : Protocol.udp,
        source: `10.0.1.${20 + draw(40)}`,
        sourcePort: 1 + draw(60000),
        destination: `198.51.100.${draw(3)}`,
        destinationPort: 80,
      });
      if (row >= 0) opened++;
      if (row >= 0 && draw(4) === 0 && node.engine.sessions.life(row) === SessionLife.live) node.end(row);
      const asked = grants.ask();
      own.push(...asked);
      grants.grant(asked);
    }
    return opened;
  }

  /** An epoch whose sessions nobody else ever hears of, and the one after it. @returns endpoints that both gave out */
  function givenTwice(
    nat: object,
    isGuarded: boolean,
    seed: number,
    isKnown = true,
  ): { twice: number; opened: number } {
    const draw = random(seed);
    const [lost, next] = [member(nat, isGuarded), member(nat, isGuarded)];
    decide(lost, 1, []);
    live(lost, draw, 80);
    const before = new Set(endpointsOf(lost.node));
    decide(next, isKnown ? 3 : 2, isKnown ? lost.own : []);
    const opened = live(next, draw, 150);
    const twice = endpointsOf(next.node).filter((endpoint) => before.has(endpoint)).length;
    // What every block has at most: they were asked for at random, and none twice.
    if (isGuarded) expect(next.own.filter((block) => lost.own.some((other) => overlap(block, other)))).toEqual([]);
    return { twice, opened };
  }

  const overlap = (a: PortBlock, b: PortBlock) =>
    a.scope === b.scope &&
    a.protocol === b.protocol &&
    a.address === b.address &&
    a.firstPort <= b.lastPort &&
    b.firstPort <= a.lastPort;

  test.each(forms)('%s: what one gave out last the next one leaves alone, unless nobody guards it', (_, nat) => {
    let unguarded = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const guarded = givenTwice(nat, true, seed);
      expect(guarded.twice).toBe(0);
      expect(guarded.opened).toBeGreaterThan(0);
      expect(givenTwice(nat, true, seed, false).twice).toBe(0); // Unreserved ones too, in the very next epoch.
      unguarded += givenTwice(nat, false, seed).twice;
    }
    expect(unguarded).toBeGreaterThan(0);
  });

  test.each(forms)('%s: once their quarantine is over blocks serve again', (_, nat) => {
    const one = member(nat, true);
    const everything: PortBlock[] = [16, 17].flatMap((host) =>
      [1, 6, 17].map((protocol) => ({
        scope: 0,
        protocol,
        address: ((203 << 24) | (113 << 8) | host) >>> 0,
        firstPort: 5001,
        lastPort: 5600,
      })),
    );
    decide(one, 1, everything);
    expect(live(one, random(1), 20)).toBe(0);
    one.node.now += 2;
    one.grants.release(everything);
    live(one, random(1), 5);
    expect(live(one, random(1), 20)).toBeGreaterThan(10);
  });

  test('a session that was adopted keeps its port in a block of another epoch, which others get only with the block', () => {
    const lost = member({}, true);
    decide(lost, 1, []);
    const { node } = lost;
    const frame = { from: { vni: 100 }, protocol: 17, source: '10.0.1.20', destination: '198.51.100.7' } as const;
    const row = node.open({ ...frame, sourcePort: 7, destinationPort: 9 });
    expect(row).toBeGreaterThanOrEqual(0);
    const port = node.engine.mappings.publicPort(0);
    const block = lost.own.find(
      ({ protocol, firstPort, lastPort }) => protocol === 17 && port >= firstPort && port <= lastPort,
    ) as PortBlock;
    // It loses the lease, and is active again in the next epoch.
    decide(lost, 3, [...lost.own.splice(0)]);
    expect(node.engine.mappings.publicPort(0)).toBe(port);
    expect(lost.grants.holds(block)).toBe(true);
    live(lost, random(3), 100);
    const others = endpointsOf(node).filter((endpoint) => endpoint === `17 ${block.address} ${port}`);
    expect(others).toHaveLength(1);
    node.end(row);
    expect(lost.grants.holds(block)).toBe(true); // It rests.
  });
});

describe('port blocks in Redis', () => {
  const block = (firstPort: number): PortBlock => ({
    scope: 0,
    protocol: 17,
    address: 0xcb007110,
    firstPort,
    lastPort: firstPort + 511,
  });
  const texts = (...first: number[]) => first.map((port) => blockText(block(port))).sort();

  async function stored(server: RedisServer): Promise<Record<string, string>> {
    const client = new Redis(server.url);
    const found = await client.hgetall(`{${GROUP}}:blocks`);
    client.disconnect();
    return found;
  }

  async function active(server: RedisServer) {
    const writer = writerOn(server.url, new PlainTable(64));
    await writer.begin(1);
    await writer.seeded();
    expect(await writer.foreignBlocks(null)).toEqual([]);
    expect(await writer.reserveBlocks([block(1024), block(2048)])).toBeNull();
    return writer;
  }

  test('the next epoch is told of them, cannot reserve them, and the one before can reserve nothing any more', async () => {
    const server = await RedisServer.start();
    const before = await active(server);
    const next = writerOn(server.url, new PlainTable(64));
    await next.fence(2);
    const foreign = await next.foreignBlocks(null);
    expect(foreign.map((one) => blockText(one.block)).sort()).toEqual(texts(1024, 2048));
    expect(foreign.map(({ epoch }) => epoch)).toEqual([1, 1]);
    expect(await next.reserveBlocks([block(4096), block(2048)])).toBe(1);
    await expect(before.reserveBlocks([block(8192)])).rejects.toThrow('epoch 2');
    await next.takeBlocks([block(1024)]);
    await next.releaseBlocks([block(2048)]);
    expect(await next.reserveBlocks([block(2048)])).toBeNull();
    expect(await stored(server)).toEqual(Object.fromEntries(texts(1024, 2048).map((text) => [text, '2'])));
  });

  test('a Redis that forgets them gets them again, also from the standby that takes over first', async () => {
    const server = await RedisServer.start();
    const writer = await active(server);
    const standby = replayOn(server.url, new PlainReplica(64));
    await until(() => standby.blocks?.epochs.size === 2, 'the standby has seen them');
    const client = new Redis(server.url);
    await client.flushall();
    client.disconnect();
    let found = {};
    for (let i = 0; i < 200 && Object.keys(found).length < 2; i++) {
      found = await stored(server);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(Object.keys(found).sort()).toEqual(texts(1024, 2048));

    // Forgotten again, and the writer is gone: who takes over remembers.
    writer.close();
    const again = new Redis(server.url);
    await again.flushall();
    again.disconnect();
    const next = writerOn(server.url, new PlainTable(64));
    await next.fence(2);
    expect(await next.foreignBlocks(null)).toEqual([]);
    const remembered = await next.foreignBlocks(standby.blocks);
    expect(remembered.map((one) => blockText(one.block)).sort()).toEqual(texts(1024, 2048));
    expect(Object.keys(await stored(server)).sort()).toEqual(texts(1024, 2048));
  });
});
