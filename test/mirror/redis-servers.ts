import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** Real servers, each in a folder and on a port of its own. stopAll() ends them by their process and removes the folders. */
const started = new Set<RedisServer>();

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** A port whose cluster bus port (10000 above) is a valid one too. */
async function clusterPort(): Promise<number> {
  for (;;) {
    const port = await freePort();
    if (port < 55_000) return port;
    return 20_000 + (port % 20_000);
  }
}

export class RedisServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  private child: ChildProcess | null = null;

  private constructor(
    readonly port: number,
    private readonly settings: readonly string[],
    private readonly sentinel: string | null,
  ) {
    if (sentinel !== null) writeFileSync(join(this.folder, 'sentinel.conf'), sentinel);
    started.add(this);
  }

  static async start(...settings: string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), settings, null);
    await server.run();
    return server;
  }

  static async startAt(port: number, ...settings: string[]): Promise<RedisServer> {
    const server = new RedisServer(port, settings, null);
    await server.run();
    return server;
  }

  static async startSentinel(settings: readonly string[]): Promise<RedisServer> {
    const port = await freePort();
    const server = new RedisServer(port, [], [`port ${port}`, 'bind 127.0.0.1', ...settings].join('\n'));
    await server.run();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts (again), on the same port and folder. */
  async run(): Promise<void> {
    const own =
      this.sentinel === null
        ? ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder, '--save', '', '--appendonly', 'no']
        : [join(this.folder, 'sentinel.conf'), '--sentinel', '--dir', this.folder];
    this.child = spawn('redis-server', [...own, ...this.settings], { stdio: 'ignore' });
    await this.answers();
  }

  /** SIGKILL, as a crash. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.run();
  }

  /** SIGSTOP: the kernel goes on accepting connections, nobody answers. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  /** A client that waits and retries, for what the test itself does. */
  async with<T>(use: (client: Redis) => Promise<T>): Promise<T> {
    const client = new Redis(this.port, '127.0.0.1', { protocol: 2 });
    client.on('error', () => undefined);
    try {
      return await use(client);
    } finally {
      client.disconnect();
    }
  }

  async remove(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
    started.delete(this);
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill(signal);
    await gone;
    this.child = null;
  }

  private async answers(): Promise<void> {
    const client = new Redis(this.port, '127.0.0.1', {
      protocol: 2,
      retryStrategy: () => 20,
      maxRetriesPerRequest: null,
    });
    client.on('error', () => undefined);
    try {
      await client.ping();
    } finally {
      client.disconnect();
    }
  }
}

/** Ends every server that a test started. */
export async function stopAll(): Promise<void> {
  await Promise.all([...started].map((server) => server.remove()));
}

export const hasRedis = existsSync('/usr/bin/redis-server');

/** A master, a replica and three sentinels, the least that can agree on a failover. */
export async function startSentinelGroup(): Promise<{
  master: RedisServer;
  replica: RedisServer;
  sentinels: RedisServer[];
  url: string;
}> {
  const master = await RedisServer.start();
  const replica = await RedisServer.start('--replicaof', '127.0.0.1', String(master.port));
  const watch = [
    `sentinel monitor mirror 127.0.0.1 ${master.port} 2`,
    'sentinel down-after-milliseconds mirror 500',
    'sentinel failover-timeout mirror 3000',
  ];
  const sentinels = await Promise.all([0, 1, 2].map(() => RedisServer.startSentinel(watch)));
  await until(async () => {
    const known = await Promise.all(
      sentinels.map((sentinel) =>
        sentinel.with(async (client) =>
          String(await client.call('SENTINEL', 'CKQUORUM', 'mirror')).includes('3 usable'),
        ),
      ),
    ).catch(() => [false]);
    return known.every(Boolean);
  });
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return { master, replica, sentinels, url: `redis+sentinel://${hosts}/mirror` };
}

export async function startCluster(masters = 3): Promise<{ nodes: RedisServer[]; url: string }> {
  const nodes: RedisServer[] = [];
  for (let i = 0; i < masters; i++) {
    const port = await clusterPort();
    nodes.push(
      await RedisServer.startAt(
        port,
        '--cluster-enabled',
        'yes',
        '--cluster-node-timeout',
        '1000',
        '--cluster-require-full-coverage',
        'no',
      ),
    );
  }
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`);
  execFileSync('redis-cli', ['--cluster', 'create', ...hosts, '--cluster-yes', '--cluster-replicas', '0'], {
    stdio: 'ignore',
  });
  await until(async () => {
    const states = await Promise.all(nodes.map((node) => node.with((client) => client.cluster('INFO'))));
    return states.every((state) => String(state).includes('cluster_state:ok'));
  });
  return { nodes, url: `redis+cluster://${hosts.join(',')}` };
}

/** Looks every 10 ms. @throws Error when it does not become so. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what = 'what was awaited',
  ms = 20_000,
): Promise<void> {
  const end = Date.now() + ms;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
