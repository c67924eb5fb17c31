// A live gateway whose NICs fail and come back without rules, one after the other, while packets come; then they ask one
// after the other to be reset, while new flows come too. Argument: shards. The last line is JSON.
import { QUIET } from '../../../bench/gateways.js';
import { liveGateway } from './live-gateway.js';

const FLOWS = 3000;
/** That come around each reset. */
const MORE = 500;

async function main(): Promise<object> {
  const shards = Number(process.argv[2] ?? 1);
  const gateway = await liveGateway(FLOWS + 2 * MORE, shards);
  const { bench, devices } = gateway;
  /** The NICs' own word. */
  const rules = () => devices.map((device) => bench.installedRules(device).trimEnd().split('\n').length);
  /** As much as one lcore takes. Frames of other shards wait in rings, which a flood would fill: those come at a rate, over and over. */
  const flood = () => {
    const flows = { ...QUIET, first: 0, count: FLOWS, perSecond: 20_000 };
    bench.run('fabric', { ...flows, pattern: shards > 1 ? 'new' : 'random' });
  };
  let flows = FLOWS;
  const isOffloaded = async () => {
    const { wanted, rules } = await gateway.count();
    return wanted === flows * 2 && rules === flows * 2;
  };
  const failedBefore = await gateway.send(0, FLOWS);
  const begun = await gateway.until(isOffloaded);
  const before = rules();
  const rounds: object[] = [];
  for (const device of devices) {
    bench.resetCounters();
    flood();
    bench.recoverPort(device);
    const isThere = async () => {
      flood();
      return (await isOffloaded()) && rules().every((count, i) => count === before[i]);
    };
    const mended = await gateway.until(isThere);
    bench.run('fabric', QUIET);
    await gateway.runFor(0.2);
    const { fabric, external } = bench.counters();
    rounds.push({ mended, lost: fabric.emitted - external.accepted, wrong: external.bad + external.badChecksum });
  }
  const resets: object[] = [];
  for (const device of devices) {
    bench.resetCounters();
    bench.run('fabric', { ...QUIET, pattern: 'random', first: 0, count: flows, perSecond: 20_000 });
    await gateway.runFor(0.05);
    // Sessions come while the NIC does nothing, while its port is closed, and afterwards.
    bench.run('fabric', { ...QUIET, pattern: 'new', first: flows, count: MORE, perSecond: 2000 });
    bench.wantReset(device);
    flows += MORE;
    const isThere = async () =>
      (await isOffloaded()) && rules().every((count, i) => count === before[i] + flows - FLOWS);
    const mended = await gateway.until(isThere);
    bench.run('fabric', QUIET);
    await gateway.runFor(0.2);
    const { external } = bench.counters();
    resets.push({ mended, wrong: external.bad + external.badChecksum });
  }
  const served = (await gateway.count()).packets;
  const failedAfter = await gateway.send(0, flows);
  const byNic = (await gateway.count()).packets - served;
  await gateway.close();
  return { failed: failedBefore + failedAfter, begun, rounds, resets, byNic };
}

main().then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
