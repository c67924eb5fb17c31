import { join } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { Random } from '../src/nat/random.js';
import { BlockDealer } from '../src/nat/shards/block-dealer.js';
import type { DealerMessage, EngineMessage } from '../src/nat/shards/messages.js';
import { BlockOwners, shardMemory } from '../src/nat/shards/shared-state.js';
import { scarceFixture } from './misses.js';
import { type BenchOptions, shuffled } from './options.js';
import { machine, type Report, type Spread, shown, spread, spreads } from './report.js';
import type { ThreadDone, ThreadTask } from './shards-thread.js';

export const parts = {};

const ENGINES = [1, 2, 4];
const HOSTS = 65_536;
const PORTS_OF_ADDRESS = 64_512;
/** Of the ports that there are, how many times as many as flows. */
const PORTS_A_FLOW = 1.5;

interface Together {
  /** CPU microseconds of a miss. */
  readonly micros: number;
  /** By the clock, all engines. */
  readonly perSecond: number;
  /** Of a thousand misses, how many had to ask for a block of ports. */
  readonly asked: number;
  readonly refused: number;
}

/** Engines in threads of their own, and the dealer in this one, which sleeps while nobody asks. */
async function together(shards: number, flows: number, seed: number): Promise<Together> {
  const endpoints = flows * shards * (4 / 3) * PORTS_A_FLOW;
  const { config, scenario } = scarceFixture({ addresses: Math.max(4, Math.ceil(endpoints / PORTS_OF_ADDRESS)), seed });
  const memory = shards === 1 ? null : shardMemory(config, shards, seed);
  const boxes = Array.from({ length: shards }, () => new MessageChannel());
  const toEngine = (shard: number, message: EngineMessage) => boxes[shard].port1.postMessage(message);
  const mail = { toDealer: () => undefined, toEngine };
  const dealer = memory && new BlockDealer(config, new BlockOwners(memory.blocks), mail, new Random(seed));
  const ready = new SharedArrayBuffer(4);
  const done = boxes.map(({ port2: inbox }, index) => {
    const task: ThreadTask = {
      config,
      scenario,
      shards,
      index,
      memory,
      hosts: Math.floor(HOSTS / shards),
      misses: flows,
      inbox,
      ready,
    };
    const worker = new Worker(join(__dirname, 'shards-thread.js'), { workerData: task, transferList: [inbox] });
    return new Promise<ThreadDone>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('message', (said: DealerMessage | { kind: 'done'; done: ThreadDone }) => {
        if (said.kind === 'done') resolve(said.done);
        else dealer?.receive(said);
      });
    });
  });
  const all = await Promise.all(done);
  for (const { port1 } of boxes) port1.close();
  const sum = (of: (one: ThreadDone) => number) => all.reduce((total, one) => total + of(one), 0);
  const misses = sum(({ opened, refused }) => opened + refused);
  return {
    micros: (sum(({ cpuSeconds }) => cpuSeconds) / misses) * 1e6,
    perSecond: misses / Math.max(...all.map(({ seconds }) => seconds)),
    asked: (sum(({ asked }) => asked) / misses) * 1000,
    refused: sum(({ refused }) => refused),
  };
}

/** What the engines of a gateway with several cost, which lcores are not there for yet. */
export async function measure({ flows, runs, seed }: BenchOptions): Promise<Report> {
  const conditions = machine();
  const taken = new Map<number, Together[]>(ENGINES.map((shards) => [shards, []]));
  for (const shards of shuffled(Array.from({ length: runs }, () => ENGINES).flat(), seed)) {
    taken.get(shards)?.push(await together(shards, flows, seed));
  }
  const of = (shards: number, key: keyof Together): Spread =>
    spread((taken.get(shards) as Together[]).map((one) => one[key]));
  const byEngines = (key: keyof Together, digits: number) =>
    Object.fromEntries(ENGINES.map((shards) => [shards, Number(of(shards, key).median.toFixed(digits))]));
  const names = (shards: number) => (shards === 1 ? 'one engine' : `${shards} engines`);
  return {
    name: 'shards',
    figures: {
      cpuMicrosAMiss: byEngines('micros', 3),
      missesPerSecond: byEngines('perSecond', 0),
      blocksAskedAThousand: byEngines('asked', 2),
      refused: ENGINES.reduce((sum, shards) => sum + of(shards, 'refused').most, 0),
      spread: spreads(Object.fromEntries(ENGINES.map((shards) => [`${shards}`, of(shards, 'micros')]))),
    },
    lines: ENGINES.map((shards) => ({
      label: `${names(shards)}, CPU µs a miss`,
      value: `${shown(of(shards, 'micros'))}; ${shown(of(shards, 'perSecond'))} misses/s by the clock`,
      means:
        shards === 1
          ? 'decided on by an engine that is alone: classification, limits, mapping, session'
          : `each in a thread of its own with ${flows} flows; ports dealt in blocks by another thread`,
    })),
    conditions: { ...conditions, seed, runs, flows },
    remarks:
      Number(conditions.cores) > Math.max(...ENGINES)
        ? []
        : ['engines share the cores that there are: what is more of them shows in CPU time, not by the clock'],
  };
}
