// A walk over the sessions, with packets that only the NIC has counted and sessions that open meanwhile. The last line is JSON.
import { SessionWalk } from '../../../src/controller/session-walk.js';
import { SessionCounters } from '../../../src/native/records.js';
import { InlineGateway } from './inline-gateway.js';

/** More than two slices. */
const FLOWS = 1200;
const MORE = 600;
const NUMBERS = SessionCounters.size / 8;

async function main(): Promise<object> {
  const gateway = new InlineGateway({ name: 'softflow', deviceArguments: '' }, FLOWS + MORE, 1, () => undefined);
  const { bench, controller } = gateway;
  const send = (side: 'fabric' | 'external', first: number, count: number) => {
    const other = side === 'fabric' ? 'external' : 'fabric';
    const wanted = bench.counters()[other].accepted + count;
    gateway.send(side, { pattern: 'new', first, count, window: 16 });
    if (!gateway.until(() => bench.counters()[other].accepted >= wanted)) throw new Error('packets are lost');
    gateway.hush();
  };
  send('fabric', 0, FLOWS);
  gateway.settle();
  for (const side of ['fabric', 'fabric', 'external'] as const) send(side, 0, FLOWS);
  const counters = new Float64Array(controller.dataplane.counters);
  const packets = (row: number) =>
    `${counters[row * NUMBERS]} ${counters[row * NUMBERS + SessionCounters.reversePackets / 8]}`;
  const met: number[] = [];
  const known: Record<string, number> = {};
  const before: Record<string, number> = {};
  for (let row = 0; row < FLOWS; row++) before[packets(row)] = (before[packets(row)] ?? 0) + 1;
  let slices = 0;
  let isDone = false;
  const walking = (async () => {
    for await (const rows of new SessionWalk(controller, () => true).slices(0)) {
      slices++;
      for (const row of rows) {
        met.push(row);
        known[packets(row)] = (known[packets(row)] ?? 0) + 1;
      }
      if (slices === 1) send('fabric', FLOWS, MORE);
    }
    isDone = true;
  })();
  while (!isDone) {
    gateway.round();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await walking;
  const isInOrder = met.every((row, i) => i === 0 || row > met[i - 1]);
  return { before, known, met: met.length, isInOrder, sessions: controller.engine.sessions.count };
}

main().then(
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
