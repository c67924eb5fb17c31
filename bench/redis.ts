import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownCpus } from '../src/native/eal.js';

/** CPUs on which the slow path of a gateway in this process does not poll; null where there is no other one. */
export function cpusBesideLcore(): readonly number[] | null {
  const cpus = ownCpus();
  // The second lcore is the slow path's; see ealArguments().
  const others = cpus.filter((cpu) => cpu !== cpus[1]);
  return cpus.length > 1 ? others : null;
}

/**
 * Starts a Redis without persistence, which ends when this process does, however that comes.
 *
 * @param cpus That it may run on; null: all.
 */
export function startRedis(port: number, folder: string, cpus: readonly number[] | null = null): ChildProcess {
  const place = cpus === null ? [] : ['taskset', '--cpu-list', cpus.join()];
  const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
  const command = ['--pdeathsig', 'KILL', ...place, 'redis-server', ...settings];
  return spawn('setpriv', command, { stdio: 'ignore' });
}

/** A Redis of its own, without persistence. @param cpus That it may run on; null: all. */
export async function withRedis<T>(
  use: (url: string) => Promise<T>,
  cpus: readonly number[] | null = null,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  const port = await freePort();
  const child = startRedis(port, folder, cpus);
  const gone = new Promise((resolve) => child.once('close', resolve));
  try {
    return await use(`redis://127.0.0.1:${port}`);
  } finally {
    child.kill('SIGKILL');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
