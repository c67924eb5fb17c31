import { startPair } from './pair.js';
import type { RedisServer } from './redis-servers.js';
import { startForAllTests } from './server-of-test.js';
import { random } from './tables.js';

let server: RedisServer;
startForAllTests((started) => {
  server = started;
});

test('what opens, changes and ends on the active does so on the standby', async () => {
  const pair = await startPair(server.url);
  const draw = random(7);
  for (let step = 0; step < 3000; step++) {
    const row = draw(512);
    const session = pair.table.rows[row];
    if (session === null) pair.table.open(row, { inside: row, nat: row, remote: draw(1000), tcpState: 1 });
    else if (draw(3) === 0) pair.table.end(row);
    else pair.table.change(row, 1 + draw(5));
    if (step % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await pair.same();
  expect(pair.table.live).toBeGreaterThan(100);
  expect(pair.writer.protection).toBe('PROTECTED');
  expect(pair.replay.eligibility()).toEqual({ eligible: true, reasons: [] });
});

test('a standby that comes late loads the snapshot and goes on from there', async () => {
  const pair = await startPair(server.url);
  for (let row = 0; row < 300; row++) pair.table.open(row, { inside: row, nat: row, remote: 1, tcpState: 3 });
  await pair.writer.drained();
  await pair.same();
});
