import { pino } from 'pino';
import { monotonicMs } from '../../src/ha/clock';
import { EpochTimes } from '../../src/ha/epoch-times';
import { PortReserve } from '../../src/ha/port-reserve';
import type { MirrorWriter } from '../../src/mirror/types';
import { Protocol } from '../../src/nat/packet';
import { EngineNode, exampleConfig } from '../mirror/engine-node';
import { closeAll, GROUP, writerOn } from '../mirror/pair';
import { RedisServer, stopAll, until } from '../mirror/redis-servers';
import { PlainTable } from '../mirror/tables';

const QUARANTINE_SECONDS = 60;

let server: RedisServer;
const reserves: PortReserve[] = [];
beforeEach(async () => {
  server = await RedisServer.start();
});
afterEach(async () => {
  for (const reserve of reserves.splice(0)) reserve.end();
  closeAll();
  await stopAll();
});

describe('when an epoch ended', () => {
  let nowMs = 0;
  const times = () => {
    nowMs = 1000;
    return new EpochTimes(() => nowMs);
  };

  test('is when a later one was first seen, not when it is asked', () => {
    const seen = times();
    seen.see(3);
    nowMs = 2000;
    seen.see(5);
    seen.see(4); // late news
    nowMs = 9000;
    expect([1, 2, 3, 4].map((epoch) => seen.endedMs(epoch))).toEqual([1000, 1000, 2000, 2000]);
  });

  test('an epoch after which none was seen lasts', () => {
    const seen = times();
    expect(seen.endedMs(7)).toBe(1000);
    seen.see(7);
    nowMs = 5000;
    expect(seen.endedMs(7)).toBe(5000);
  });

  test('of epochs that are forgotten it is no earlier than it was', () => {
    const seen = times();
    for (let epoch = 1; epoch <= 3000; epoch++) {
      nowMs = epoch;
      seen.see(epoch);
    }
    for (const epoch of [1, 1000, 1976, 2500]) expect(seen.endedMs(epoch)).toBeGreaterThanOrEqual(epoch + 1);
    expect(seen.endedMs(2500)).toBe(2501);
  });
});

interface Gateway {
  readonly node: EngineNode;
  readonly reserve: PortReserve;
}

function gateway(): Gateway {
  const node = new EngineNode(
    exampleConfig((document) => {
      const timeouts = { udp: QUARANTINE_SECONDS, icmp: QUARANTINE_SECONDS, tcpEstablished: QUARANTINE_SECONDS };
      document.nat = { maxSessions: 4000, portReuseDelay: 0, timeouts: { ...timeouts, tcpTransitory: 30 } };
      document.externalPools = [{ name: 'one', vpcs: ['red', 'blue'], ranges: ['203.0.113.16'], ports: '5001-5600' }];
    }),
  );
  node.asReplica();
  const reserve = new PortReserve({
    grants: node.engine.ownPortsByBlocks(7),
    mode: 'async',
    nat: () => node.engine.config.nat,
    toMirror: (block) => block,
    fromMirror: (block) => block,
    log: pino({ level: 'silent' }),
  });
  reserves.push(reserve);
  return { node, reserve };
}

/** A gateway's epoch begins, nothing handed over. @param agoMs How long the epochs before have been over. */
async function begin({ node, reserve }: Gateway, epoch: number, agoMs: number): Promise<MirrorWriter> {
  const writer = writerOn(server.url, new PlainTable(16));
  await writer.fence(epoch);
  node.engine.takeOver(node.now);
  await reserve.begin(writer, null, 0, () => monotonicMs() - agoMs);
  await writer.begin(epoch);
  return writer;
}

test('quarantine counts from the end of the epoch that had the block, however many came since', async () => {
  await begin(gateway(), 1, 0);
  const early = gateway();
  await begin(early, 2, (QUARANTINE_SECONDS - 30) * 1000);
  expect(early.reserve.counts().quarantined).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(early.reserve.counts().quarantined).toBeGreaterThan(0);
  early.reserve.end();
  const late = gateway();
  await begin(late, 3, (QUARANTINE_SECONDS + 1) * 1000);
  await until(() => late.reserve.counts().quarantined === 0, 'blocks of epochs long over are free');
});

test('a block in which sessions of before go on is quarantined from the end of the epoch in which they did', async () => {
  const active = gateway();
  await begin(active, 1, 0);
  const flow = { from: { vni: 100 }, protocol: Protocol.udp, source: '10.0.1.20', sourcePort: 4000 } as const;
  expect(active.node.open({ ...flow, destination: '198.51.100.1', destinationPort: 53 })).toBeGreaterThanOrEqual(0);
  const epochs = () => server.with((client) => client.hgetall(`{${GROUP}}:blocks`));
  const before = Object.keys(await epochs());
  active.node.engine.standBy();
  active.reserve.standBy();
  await begin(active, 2, 0);
  await until(async () => {
    const now = await epochs();
    return before.filter((block) => now[block] === '2').length === 1;
  }, 'the block of the session is of epoch 2, those without one are not');
  // To those who ask for a port here it is in quarantine all the same.
  expect(active.reserve.counts().quarantined).toBeGreaterThanOrEqual(before.length);
});
