// A live gateway whose NICs refuse each fifth rule, and ask one after the other to be reset. Argument: shards. The last
// line is JSON.
import { liveGateway } from './live-gateway.js';

const FLOWS = 50;
/** What a template of the gateway needs of constant rules, and a NIC has none of its own making. */
const FEWEST = 5;

async function main(): Promise<object> {
  const gateway = await liveGateway(FLOWS, Number(process.argv[2] ?? 1), ',fail_every=5');
  const { bench, devices } = gateway;
  /** The NICs' own word: constant rules, for no flow has come. */
  const rules = () => devices.map((device) => bench.installedRules(device).trimEnd().split('\n').length);
  const begun = await gateway.until(() => gateway.constantRulesLacking() === 0);
  const before = rules();
  const mended: boolean[] = [];
  for (const [i, device] of devices.entries()) {
    bench.wantReset(device);
    await gateway.until(() => rules()[i] < before[i]);
    mended.push(await gateway.until(() => rules().every((count, port) => count === before[port])));
  }
  const failed = await gateway.send(0, FLOWS);
  await gateway.close();
  return { begun, enough: before.every((count) => count > FEWEST), mended, failed };
}

main().then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
