import { GatewayController } from '../src/controller/gateway.js';
import { LIVE_SIZES } from '../src/controller/live-ports.js';
import { nativePorts } from '../src/controller/native-ports.js';
import { nicTarget } from '../src/controller/nic-target.js';
import { LocalShards } from '../src/controller/shards/local-shards.js';
import { ealArguments } from '../src/native/eal.js';
import type { Fixture } from './fixture.js';
import { loadBindings, MEMORY_MB } from './gateways.js';
import type { BenchBinding } from './native.js';

/** A gateway of one shard or several, all of it on this thread: lcores and engines take turns, and none waits for another. */
export class TurnsGateway {
  readonly bench: BenchBinding;
  readonly local: LocalShards;
  private readonly now: () => readonly [number, number];

  /** @param fixture With a queue a shard. */
  constructor(
    { config, devices }: Fixture,
    readonly shards: number,
    private readonly burst: number,
  ) {
    const { root, binding, bench } = loadBindings();
    this.bench = bench;
    this.now = () => binding.now();
    binding.startEal(ealArguments(root, { memoryMb: MEMORY_MB * shards, lcores: 1, pci: [] }));
    for (const port of config.ports) binding.probeDevice(port.device ?? '');
    const target = nicTarget(config.offload.target, devices[0].replace(/[0-9]+$/, ''));
    const options = {
      ports: nativePorts(config, devices),
      underlay: config.underlay,
      maxSessions: config.nat.maxSessions,
      ...LIVE_SIZES,
      replay: false,
    };
    this.local = new LocalShards(config, binding, options, shards, (own, dataplane, seat) => {
      const clock = () => performance.now();
      return new GatewayController(own, dataplane, target, true, undefined, clock, seat ?? undefined);
    });
    const { first, controllers } = this.local;
    first.templates.installStaticRules();
    for (const controller of controllers) if (controller !== first) controller.adoptNic(first.templates.known);
  }

  /** Live sessions of all. */
  get sessions(): number {
    return this.local.controllers.reduce((sum, { engine }) => sum + engine.sessions.count, 0);
  }

  /** So many rounds of everybody, whatever comes of them. */
  rounds(count: number): void {
    const { controllers } = this.local;
    for (let i = 0; i < count; i++) {
      for (let shard = 0; shard < controllers.length; shard++) controllers[shard].dataplane.poll(this.burst);
      this.local.handleEvents();
    }
  }

  /** Asks after sessions whose time is up, so many at most; idle ones end in the rounds that follow. @returns How many. */
  runTimers(most: number): number {
    const [seconds] = this.now();
    let asked = 0;
    for (const controller of this.local.controllers)
      asked += controller.engine.runSessionTimers(seconds, Math.min(most - asked, controller.roomForTimers()));
    return asked;
  }

  close(): void {
    this.local.first.dataplane.close();
  }
}
