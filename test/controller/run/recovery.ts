// A live gateway whose NICs fail and come back without rules, one after the other, while packets come; then they ask one
// after the other to be reset, while new flows come too. The last line is JSON.
import { fixture } from '../../../bench/fixture.js';
import { LcoreGateway, openFlows, QUIET } from '../../../bench/gateways.js';

const FLOWS = 3000;
/** That come around each reset. */
const MORE = 500;
const PATIENCE_MS = 20_000;

async function main(): Promise<object> {
  const made = fixture({
    flows: FLOWS + 2 * MORE,
    offload: 'immediate',
    seed: 1,
    behindSoftwareNic: true,
    checkEvery: 1,
  });
  const gateway = new LcoreGateway(made);
  const { bench, controller } = gateway;
  /** The NICs' own word. */
  const rules = () => made.devices.map((device) => bench.installedRules(device).trimEnd().split('\n').length);
  let flows = FLOWS;
  const isOffloaded = () =>
    controller.nicRulesWanted === flows * 2 && controller.dataplane.statistics().nicRules === flows * 2;
  const until = async (done: () => boolean) => {
    const end = Date.now() + PATIENCE_MS;
    while (!done() && Date.now() < end) await gateway.runFor(0.05);
    return done();
  };
  const opened = await openFlows(gateway, { first: 0, count: FLOWS, window: 64, perSecond: 0, measureLatency: false });
  const begun = await until(isOffloaded);
  const before = rules();
  const rounds: object[] = [];
  for (const device of made.devices) {
    bench.resetCounters();
    bench.run('fabric', { ...QUIET, pattern: 'random', first: 0, count: FLOWS, perSecond: 20_000 });
    bench.recoverPort(device);
    const isThere = () => isOffloaded() && rules().every((count, i) => count === before[i]);
    const mended = await until(isThere);
    bench.run('fabric', QUIET);
    await gateway.runFor(0.2);
    const { fabric, external } = bench.counters();
    rounds.push({ mended, lost: fabric.emitted - external.accepted, wrong: external.bad + external.badChecksum });
  }
  const resets: object[] = [];
  for (const device of made.devices) {
    bench.resetCounters();
    bench.run('fabric', { ...QUIET, pattern: 'random', first: 0, count: flows, perSecond: 20_000 });
    await gateway.runFor(0.05);
    // Sessions come while the NIC does nothing, while its port is closed, and afterwards.
    bench.run('fabric', { ...QUIET, pattern: 'new', first: flows, count: MORE, perSecond: 2000 });
    bench.wantReset(device);
    flows += MORE;
    const isThere = () => isOffloaded() && rules().every((count, i) => count === before[i] + flows - FLOWS);
    const mended = await until(isThere);
    bench.run('fabric', QUIET);
    await gateway.runFor(0.2);
    const { external } = bench.counters();
    resets.push({ mended, wrong: external.bad + external.badChecksum });
  }
  const served = controller.dataplane.statistics().nic.packets;
  const last = await openFlows(gateway, { first: 0, count: flows, window: 64, perSecond: 0, measureLatency: false });
  const byNic = controller.dataplane.statistics().nic.packets - served;
  gateway.close();
  return { failed: opened.failed + last.failed, begun, rounds, resets, byNic };
}

main().then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
