// A live gateway whose NICs get rules that nobody made, and lose those that they had, behind its back; it is asked to
// compare them each time. Argument: shards. The last line is JSON.
import { liveGateway } from './live-gateway.js';

const FLOWS = 1000;
const FOREIGN = 7;

async function main(): Promise<object> {
  const gateway = await liveGateway(FLOWS, Number(process.argv[2] ?? 1));
  const { bench, devices } = gateway;
  const rules = () => devices.map((device) => bench.installedRules(device).trimEnd().split('\n').length);
  const isOffloaded = async () => {
    const { wanted, rules } = await gateway.count();
    return wanted === FLOWS * 2 && rules === FLOWS * 2;
  };
  const failed = await gateway.send(0, FLOWS);
  const begun = await gateway.until(isOffloaded);
  const before = rules();
  const found: (readonly object[] | null)[] = [await gateway.reconcile()];
  const mended: boolean[] = [];
  for (const meddle of [
    (device: string) => bench.addForeignRules(device, FOREIGN),
    (device: string) => bench.flushRules(device),
  ]) {
    for (const device of devices) {
      meddle(device);
      const [one, other] = await Promise.all([gateway.reconcile(), gateway.reconcile()]);
      found.push(one);
      if (other !== null) throw new Error('two repairs at once');
      mended.push(
        await gateway.until(async () => (await isOffloaded()) && rules().every((count, i) => count === before[i])),
      );
    }
  }
  found.push(await gateway.reconcile());
  const served = (await gateway.count()).packets;
  const failedAfter = await gateway.send(0, FLOWS);
  const byNic = (await gateway.count()).packets - served;
  await gateway.close();
  return { failed: failed + failedAfter, begun, constant: before.map((count) => count - FLOWS), found, mended, byNic };
}

main().then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
