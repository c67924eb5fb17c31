// A live gateway whose NICs refuse each fifth rule, and ask one after the other to be reset. The last line is JSON.
import { fixture } from '../../../bench/fixture.js';
import { LcoreGateway, openFlows } from '../../../bench/gateways.js';

const FLOWS = 50;
const PATIENCE_MS = 20_000;

async function main(): Promise<object> {
  const made = fixture({ flows: FLOWS, offload: 'immediate', seed: 1, behindSoftwareNic: true, checkEvery: 1 });
  const ports = made.config.ports.map((port) => ({ ...port, device: `${port.device},fail_every=5` }));
  const gateway = new LcoreGateway({ ...made, config: { ...made.config, ports } });
  const { bench, controller } = gateway;
  /** The NICs' own word: constant rules, for no flow has come. */
  const rules = () => made.devices.map((device) => bench.installedRules(device).trimEnd().split('\n').length);
  const until = async (done: () => boolean) => {
    const end = Date.now() + PATIENCE_MS;
    while (!done() && Date.now() < end) await gateway.runFor(0.05);
    return done();
  };
  const begun = await until(() => controller.templates.constantRulesLacking === 0);
  const before = rules();
  const mended: boolean[] = [];
  for (const [i, device] of made.devices.entries()) {
    bench.wantReset(device);
    await until(() => rules()[i] < before[i]);
    mended.push(await until(() => rules().every((count, port) => count === before[port])));
  }
  const { failed } = await openFlows(gateway, {
    first: 0,
    count: FLOWS,
    window: 8,
    perSecond: 0,
    measureLatency: false,
  });
  gateway.close();
  return { begun, enough: before.every((count) => count > 5), mended, failed };
}

main().then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
