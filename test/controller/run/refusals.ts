// What a NIC refuses is not refused for ever, and it is asked for no more than it can take at once. Argument: the scenario's
// name. The last line is JSON.
import { RulePath } from '../../../src/native/records.js';
import { InlineGateway, type InlineOptions } from './inline-gateway.js';
import type { Nic } from './nics.js';

/** Longer than what waits to be tried again ever waits. */
const LATER_MS = 9000;
const MOST_TRIES = 100;
/** Of 40 directions: a NIC that refuses each second rule may refuse some five times, and they are given up. */
const MOST_OF_THEM = 32;

function gatewayOn(deviceArguments: string, flows: number, options?: InlineOptions): InlineGateway {
  const nic: Nic = { name: 'refusing', deviceArguments };
  return new InlineGateway(nic, flows, 1, () => undefined, options);
}

function open(gateway: InlineGateway, first: number, count: number): void {
  const { bench } = gateway;
  const wanted = bench.counters().external.accepted + count;
  gateway.send('fabric', { pattern: 'new', first, count, window: count });
  if (!gateway.until(() => bench.counters().external.accepted >= wanted)) throw new Error('first packets are lost');
  gateway.hush();
  gateway.settle();
}

function offloaded(gateway: InlineGateway): number {
  return gateway.directions().filter(({ path }) => path === RulePath.offloaded).length;
}

const refusals = (gateway: InlineGateway) =>
  [...gateway.controller.installFailures.values()].reduce((sum, count) => sum + count, 0);

/** As a live gateway does it once a second. */
async function lookForRoom(gateway: InlineGateway): Promise<void> {
  for (let i = 0; i < MOST_TRIES && gateway.controller.isShortOfRoom; i++) {
    await gateway.rank();
    gateway.settle();
  }
}

/** Sessions come while the NIC still refuses constant rules. */
async function constantRulesThatAreLate(): Promise<object> {
  const gateway = gatewayOn(',fail_every=2', 20);
  const { templates } = gateway.controller;
  open(gateway, 0, 20);
  const before = { lacking: templates.constantRulesLacking, offloaded: offloaded(gateway) };
  for (let i = 0; i < MOST_TRIES && (templates.constantRulesLacking > 0 || offloaded(gateway) < MOST_OF_THEM); i++) {
    gateway.later(LATER_MS);
    await lookForRoom(gateway);
  }
  return { before, after: { lacking: templates.constantRulesLacking, offloaded: offloaded(gateway) } };
}

/** Sessions come until the NIC has refused one; then one of the others ends. */
async function aPlaceThatComesFree(): Promise<object> {
  const gateway = gatewayOn(',max_rules=60', 100);
  const { controller } = gateway;
  const { sessions } = controller.engine;
  let flows = 0;
  while (refusals(gateway) === 0) open(gateway, flows++, 1);
  const inNic = offloaded(gateway);
  const row = gateway.directions().find(({ path }) => path === RulePath.offloaded)?.row ?? -1;
  controller.engine.clear(row, sessions.generation(row));
  gateway.settle();
  const freed = inNic - offloaded(gateway);
  await lookForRoom(gateway);
  return { flows, refusals: refusals(gateway), freed, lacking: 2 * (flows - 1) - offloaded(gateway) };
}

/** More sessions at once than a flow queue has room for, and a NIC that is slow to answer. */
async function moreThanAFlowQueueTakes(): Promise<object> {
  const flows = 3000;
  const gateway = gatewayOn(',insert_latency=200000', flows, { slots: 8192 });
  let most = 0;
  const { bench } = gateway;
  gateway.send('fabric', { pattern: 'new', first: 0, count: flows, window: flows });
  const isPending = ({ path }: { path: number }) => path === RulePath.pending;
  const isOpen = gateway.until(() => {
    most = Math.max(most, gateway.directions().filter(isPending).length);
    return bench.counters().external.accepted >= flows;
  });
  gateway.hush();
  gateway.settle();
  return { isOpen, most, refusals: refusals(gateway), offloaded: offloaded(gateway) };
}

/** The NICs still have rules of a process that was killed; they would drop what the gateway's own let through. */
async function rulesOfAnEarlierOwner(): Promise<object> {
  const made: number[] = [];
  const gateway = gatewayOn('', 20, {
    before: (bench, devices) => {
      for (const device of devices) made.push(bench.addForeignRules(device, 50));
    },
  });
  const found = await gateway.reconcile();
  open(gateway, 0, 20);
  return { made, stale: found.map(({ stale }) => stale), offloaded: offloaded(gateway) };
}

const SCENARIOS: Readonly<Record<string, () => Promise<object>>> = {
  constantRulesThatAreLate,
  aPlaceThatComesFree,
  moreThanAFlowQueueTakes,
  rulesOfAnEarlierOwner,
};

SCENARIOS[process.argv[2]]().then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
