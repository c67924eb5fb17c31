import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

jest.setTimeout(60_000);

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a bench that is killed leaves no redis-server behind', async () => {
  const module = join(__dirname, '../../dist/bench/redis.js');
  const program = `require(${JSON.stringify(module)}).withRedis(async (url) => { console.log(url); await new Promise(() => setInterval(() => 0, 1000)); })`;
  const folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  const env = { ...process.env, TMPDIR: folder };
  const bench = spawn(process.execPath, ['-e', program], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = once(bench, 'exit');
  const [url] = (await once(createInterface(bench.stdout), 'line')) as [string];
  const port = Number(new URL(url).port);
  await until(() => answers(port), 'Redis answers');
  bench.kill('SIGKILL');
  await gone;
  await until(async () => !(await answers(port)), 'Redis has ended');
  rmSync(folder, { recursive: true, force: true });
});
