import { pino } from 'pino';
import { type Fixture, fixture } from '../../../bench/fixture.js';
import { LcoreGateway, loadBindings, openFlows, waitFor, waitUntil } from '../../../bench/gateways.js';
import type { BenchBinding } from '../../../bench/native.js';
import { nicTarget } from '../../../src/controller/nic-target.js';
import type { RepairReport } from '../../../src/controller/rule-repair.js';
import { ShardedGateway } from '../../../src/controller/shards/sharded-gateway.js';
import type { TemplateRegistry } from '../../../src/controller/templates.js';

const PATIENCE_MS = 20_000;
/** More threads may work than there are cores. */
const STALL_MS = 20_000;

/** What of a NIC's rules and packets a gateway counts, all shards together. */
export interface NicCounts {
  /** Rules of flows that sessions have or have asked for. */
  readonly wanted: number;
  /** Rules of flows that lcores have put there. */
  readonly rules: number;
  readonly packets: number;
}

/** A gateway on software NICs with made-up traffic, of one shard or several. */
export interface LiveGatewayUnderTest {
  readonly bench: BenchBinding;
  readonly devices: readonly string[];
  count(): Promise<NicCounts>;
  constantRulesLacking(): number;
  reconcile(): Promise<readonly RepairReport[] | null>;
  runFor(seconds: number): Promise<number>;
  runUntil(done: () => boolean): Promise<boolean>;
  /** Lets it work until `done`, for a while. @returns Whether it is. */
  until(done: () => boolean | Promise<boolean>): Promise<boolean>;
  /** One packet of each flow. @returns How many did not come out right. */
  send(first: number, count: number): Promise<number>;
  close(): Promise<void>;
}

/** @param more Behind the arguments of each NIC. */
export async function liveGateway(flows: number, shards: number, more = ''): Promise<LiveGatewayUnderTest> {
  const made = fixture({
    flows,
    offload: 'immediate',
    seed: 1,
    behindSoftwareNic: true,
    checkEvery: 1,
    queues: shards,
  });
  const ports = made.config.ports.map((port) => ({ ...port, device: `${port.device}${more}` }));
  const given = { ...made, config: { ...made.config, ports } };
  const own = shards > 1 ? await severalShards(given, shards) : oneShard(given);
  const until = async (done: () => boolean | Promise<boolean>) => {
    const end = Date.now() + PATIENCE_MS;
    while (!(await done()) && Date.now() < end) await own.runFor(0.05);
    return done();
  };
  const send = async (first: number, count: number) => {
    const window = 64;
    const { failed } = await openFlows(own, { first, count, window, perSecond: 0, measureLatency: false });
    return failed;
  };
  return { ...own, devices: made.devices, until, send };
}

function oneShard(made: Fixture) {
  const gateway = new LcoreGateway(made);
  const { bench, controller } = gateway;
  return {
    bench,
    count: async () => {
      const { nicRules, nic } = controller.dataplane.statistics();
      return { wanted: controller.nicRulesWanted, rules: nicRules, packets: nic.packets };
    },
    constantRulesLacking: () => controller.templates.constantRulesLacking,
    reconcile: () => gateway.gateway.reconcile(),
    runFor: (seconds: number) => gateway.runFor(seconds),
    runUntil: (done: () => boolean) => gateway.runUntil(done),
    close: async () => gateway.close(),
  };
}

async function severalShards({ config, scenario }: Fixture, shards: number) {
  const { root, binding, bench } = loadBindings();
  bench.setScenario(scenario);
  const targetOf = (driver: string) => nicTarget(config.offload.target, driver);
  const gateway = new ShardedGateway(config, binding, root, targetOf, pino({ enabled: false }), shards);
  await gateway.start();
  const { templates } = gateway as unknown as { templates: TemplateRegistry };
  return {
    bench,
    count: async () => {
      const { statistics } = await gateway.measure();
      return { wanted: gateway.nicRules.wanted, rules: statistics.nicRules, packets: statistics.nic.packets };
    },
    constantRulesLacking: () => templates.constantRulesLacking,
    reconcile: () => gateway.reconcile(),
    runFor: waitFor,
    runUntil: (done: () => boolean) => waitUntil(bench, done, STALL_MS),
    close: () => gateway.close(),
  };
}
