import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { FIRST_SOURCE_PORT, REMOTE_PORT } from '../../../bench/fixture.js';
import { scarceFixture } from '../../../bench/misses.js';
import { Random } from '../../../src/nat/random.js';
import { BlockDealer } from '../../../src/nat/shards/block-dealer.js';
import type { DealerMessage, EngineMessage } from '../../../src/nat/shards/messages.js';
import { limitsMemory, SharedLimits } from '../../../src/nat/shards/shared-limits.js';
import { BlockOwners, homeOf, shardMemory } from '../../../src/nat/shards/shared-state.js';
import { SharedTable, sharedTableMemory } from '../../../src/nat/shards/shared-table.js';
import { SessionRow } from '../../../src/native/records.js';
import { missOf } from './cluster.js';

/** @returns A worker, and what it ends with. */
function start(file: string, workerData: object): { worker: Worker; ended: Promise<void> } {
  const worker = new Worker(join(__dirname, file), { workerData });
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  });
  return { worker, ended };
}

test('threads that count and claim together never have more than there is, and leave nothing', async () => {
  const { config } = scarceFixture({ addresses: 1, portsOfAddress: 64, seed: 1 });
  const maxSessions = 5;
  const limits = { sessions: 3, sessionsPerAddress: 2, newSessionsPerSecond: Number.POSITIVE_INFINITY };
  const vpcs = [0, 1].map((index) => ({ ...config.vpcs[0], index, limits }));
  const memory = limitsMemory(vpcs, maxSessions, 3);
  const table = sharedTableMemory(12, 3);
  const shared = { owners: new SharedArrayBuffer(12 * 4), live: new SharedArrayBuffer(64 * 4) };
  const data = { vpcs, maxSessions, memory, table, ...shared, rounds: 60_000 };
  await Promise.all([0, 1, 2, 3].map((index) => start('limits-thread.cjs', { ...data, index }).ended));
  expect(new SharedLimits(memory, maxSessions).sessions).toBe(0);
  expect(new SharedTable(table).count).toBe(0);
});

test.each([2, 4])('%i engines in threads of their own give out every port of a pool, each once', async (shards) => {
  const hosts = 256;
  const endpoints = 4 * 2048;
  const { config, scenario } = scarceFixture({ addresses: 4, portsOfAddress: 2048, seed: 1 });
  const memory = shardMemory(config, shards, 11);
  const { privateBase, remoteBase, vni, hostVtep } = scenario;
  const missesOf = (index: number) => {
    const misses: Int32Array[] = [];
    for (let i = 0; i < endpoints * 2; i++) {
      const source = privateBase + (i % hosts);
      if (homeOf(source, shards) !== index) continue;
      const sourcePort = FIRST_SOURCE_PORT + Math.floor(i / hosts);
      const to = { destination: remoteBase, destinationPort: REMOTE_PORT };
      const from = { port: config.fabricPort, vni, outerSource: hostVtep, source, sourcePort };
      misses.push(missOf({ hold: i, protocol: 17, seconds: 1000, ...from, ...to }));
    }
    return misses;
  };
  const all = Array.from({ length: shards }, (_, index) =>
    start('engine-thread.cjs', { config, memory, index, misses: missesOf(index), rowBytes: SessionRow.size }),
  );
  const toEngine = (shard: number, message: EngineMessage) => all[shard].worker.postMessage(message);
  const mail = { toDealer: () => undefined, toEngine };
  const dealer = new BlockDealer(config, new BlockOwners(memory.blocks), mail, new Random(1));
  const given = new Set<string>();
  let refused = 0;
  let asked = 0;
  const done = all.map(({ worker, ended }) => {
    const answered = new Promise<void>((resolve) => {
      worker.on('message', (said) => {
        if (said.kind === 'mail') {
          asked++;
          if (said.to < 0) dealer.receive(said.message as DealerMessage);
          else toEngine(said.to, said.message);
          return;
        }
        for (let i = 0; i < said.given.length; i += 2) given.add(`${said.given[i]}:${said.given[i + 1]}`);
        refused += said.refused;
        resolve();
      });
    });
    return Promise.race([answered, ended]);
  });
  await Promise.all(done);
  await Promise.all(all.map(({ worker }) => worker.terminate()));
  expect(asked).toBeGreaterThan(shards);
  expect(given.size + refused).toBe(endpoints * 2);
  expect(given.size).toBe(endpoints);
});
