import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, RunningGateway, until } from '../controller/api/running-gateway.js';
import { hasRedis, RedisServer, stopAll } from '../mirror/redis-servers.js';

const IDENTITY = ['id', 'class', 'vpc', 'protocol', 'inside', 'nat', 'remote', 'underlay'] as const;

type Flow = Record<string, unknown>;

const run = (...args: string[]) => runFor(4000, ...args);

function runFor(timeout: number, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(join(ROOT, 'bin/sluice'), ['flows', ...args], { timeout }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

const identities = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Flow)
    .map((flow) => JSON.stringify(IDENTITY.map((name) => flow[name])))
    .sort();

(hasRedis ? describe : describe.skip)('sluice flows --redis, with no gateway', () => {
  const gateway = new RunningGateway();
  let url: string;
  let told: string[];

  beforeAll(async () => {
    const server = await RedisServer.start();
    url = `redis://127.0.0.1:${server.port}`;
    await gateway.start((document) => {
      document.mirror = { redis: url, mode: 'async' };
    });
    told = identities((await run('--socket', gateway.socket, '--format', 'jsonl')).stdout);
    await until(10_000, async () => {
      const { stdout } = await run('--redis', url, '--format', 'jsonl');
      return stdout !== '' && identities(stdout).length === told.length;
    });
    await gateway.stop();
  });
  afterAll(async () => {
    await gateway.stop();
    await stopAll();
  });

  test('tells the same flows, by the same filters', async () => {
    // A gateway that stops leaves its sessions to whoever comes next.
    expect(identities((await run('--redis', url, '--format', 'jsonl')).stdout)).toEqual(told);
    const blue = (await run('--redis', url, '--format', 'json', '--filter', 'vpc blue and proto udp')).stdout;
    const wanted = told.filter((flow) => flow.includes('"blue","udp"'));
    expect(JSON.parse(blue)).toHaveLength(wanted.length);
    expect(wanted.length).toBeGreaterThan(0);
  });

  test('has the table, the order and the limit', async () => {
    const { stdout } = await run('--redis', url, '--sort', 'expires', '--limit', '3');
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^ID +CLASS +VPC /);
    expect(rows).toHaveLength(3);
    const seconds = rows.map((row) => Number(/([0-9]+)s$/.exec(row)?.[1]));
    expect(seconds).toEqual([...seconds].sort((a, b) => b - a));
    expect(rows[0]).toContain('pending 0 (mirrored)');
  });

  test('is watched by what comes and goes', async () => {
    const { stdout } = await run('--redis', url, '--watch', '--limit', '2');
    expect(stdout).toMatch(/^10 flows\n\nID /);
    expect(stdout).toMatch(/\n10 flows, 0 opened and 0 ended in the last second\n/);
  });

  test('has no rules of a NIC to tell', async () => {
    const { code, stderr } = await run('--redis', url, '--format', 'testpmd');
    expect([code, stderr]).toEqual([
      1,
      '--format: rules are in a NIC, the mirror holds sessions (ask the gateway with --socket)\n',
    ]);
    // Nobody need be asked for that.
    expect((await run('--redis', 'redis://127.0.0.1:1', '--format', 'testpmd')).stderr).toBe(stderr);
  });

  describe('whatever Redis holds is told in one line with a remedy', () => {
    const GROUP = 'other';
    const about = `{${GROUP}}:about`;
    let other: RedisServer;
    beforeAll(async () => {
      other = await RedisServer.start();
    });

    test.each<[string, string[]]>([
      ['an about of another kind', ['SET', about, 'x']],
      ['a configuration that is no JSON', ['HSET', about, 'config', 'garbage', 'hash', 'h', 'shards', '8']],
      ['a configuration that is none', ['HSET', about, 'config', '{}', 'hash', 'h', 'shards', '8']],
    ])('%s', async (_what, [name, ...words]) => {
      await other.with(async (client) => {
        await client.flushall();
        await client.call(name, ...words);
      });
      const { code, stderr } = await runFor(20_000, '--redis', `redis://127.0.0.1:${other.port}`, '--group', GROUP);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^--redis: [^\n]+ \([^\n]+\)\n$/);
    });

    test.each([
      ['a user that it does not know', () => `redis://nobody:wrong@127.0.0.1:${other.port}`, 'WRONGPASS'],
      ['nobody who listens', () => 'redis://127.0.0.1:1', 'ECONNREFUSED'],
    ])('%s', async (_what, address, why) => {
      const { code, stderr } = await runFor(20_000, '--redis', address());
      expect(code).toBe(1);
      expect(stderr).toMatch(/^--redis: [^\n]+ \([^\n]+\)\n$/);
      expect(stderr).toContain(why);
    });
  });
});

test('a group is one of a mirror: without --redis it is a usage error', async () => {
  const { code, stdout, stderr } = await runFor(20_000, '--group', 'edge');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain("needs '--redis <url>'");
});
