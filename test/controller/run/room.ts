// A NIC of 200 rules under 2,000 flows with Zipf's rates, with a given budget of evictions a second. The last line is JSON.
import { bestShare } from '../../../bench/room.js';
import { InlineGateway } from './inline-gateway.js';

const FLOWS = 2000;
const RULES = 200;
const EXPONENT = 1.2;
const SECONDS = 10;
const ROUNDS_PER_SECOND = 300;

async function main(evictionsPerSecond: number): Promise<void> {
  const nic = { name: 'small', deviceArguments: `,max_rules=${RULES / 2 + 16}`, maxRules: RULES, evictionsPerSecond };
  const gateway = new InlineGateway(nic, FLOWS, 1, () => undefined);
  const { bench, controller } = gateway;
  gateway.send('fabric', { pattern: 'new', first: 0, count: FLOWS, window: 64 });
  const isOpen = gateway.until(() => bench.counters().external.accepted >= FLOWS);
  gateway.settle();
  const zipf = { pattern: 'zipf', first: 0, count: FLOWS, seed: 7, exponent: EXPONENT } as const;
  const shares: number[] = [];
  const evictions: number[] = [];
  for (const side of ['fabric', 'external'] as const) gateway.send(side, zipf);
  for (let second = 0; second < SECONDS; second++) {
    const before = controller.dataplane.statistics();
    const evictedBefore = controller.evictions;
    gateway.rounds(ROUNDS_PER_SECOND);
    const after = controller.dataplane.statistics();
    const inNic = after.nic.packets - before.nic.packets;
    shares.push(inNic / (inNic + after.slowPath.packets - before.slowPath.packets));
    await gateway.rank();
    evictions.push(controller.evictions - evictedBefore);
  }
  gateway.hush();
  gateway.settle();
  const { fabric, external } = bench.counters();
  const wrong = fabric.bad + external.bad + fabric.badChecksum + external.badChecksum;
  const result = { isOpen, shares, evictions, wrong, best: bestShare(EXPONENT, RULES / 2, FLOWS) };
  gateway.close();
  process.stdout.write(`${JSON.stringify({ ...result, most: controller.nicRulesMost })}\n`, () => process.exit(0));
}

void main(Number(process.argv[2]));
