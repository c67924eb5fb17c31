import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, RunningGateway } from '../controller/api/running-gateway.js';

const SLUICE = join(ROOT, 'bin/sluice');
const gateway = new RunningGateway();

beforeAll(() => gateway.start());
afterAll(() => gateway.stop());

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function sluice(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(SLUICE, [...args, '--socket', gateway.socket], { env: process.env }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

const shell = (command: string): Promise<Run> =>
  new Promise((resolve) => {
    execFile('bash', ['-c', command], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });

/** Without what goes on by itself. */
const still = ({ ageMs: _, idleMs: _1, expiresInMs: _2, ...flow }: Record<string, unknown>) => flow;

describe('sluice flows', () => {
  test('json is one array, jsonl a line each, of the same flows', async () => {
    const array = JSON.parse((await sluice('flows', '--format', 'json')).stdout);
    const lines = (await sluice('flows', '--format', 'jsonl')).stdout.trimEnd().split('\n');
    expect(array).toHaveLength(10);
    expect(lines.map((line) => still(JSON.parse(line)))).toEqual(array.map(still));
    expect(JSON.parse((await sluice('flows', '--format', 'json', '--filter', 'vpc grey')).stdout)).toEqual([]);
    expect((await sluice('flows', '--format', 'jsonl', '--filter', 'vpc grey')).stdout).toBe('');
  });

  test('the table has a line for each, and no colours where there is no terminal', async () => {
    const { stdout } = await sluice('flows', '--filter', 'vpc red and proto tcp');
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^ID +CLASS +VPC +PROTO +STATE +INSIDE +NAT +REMOTE +FORWARD +REVERSE +EXPIRES$/);
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row).toMatch(/ red +tcp /);
    expect(stdout).not.toContain('\u001b');
    expect((await sluice('flows', '--filter', 'vpc grey')).stdout.trimEnd()).toBe(head.replace(/ +/g, '  '));
  });

  test('on a terminal it fits, in colour unless NO_COLOR says otherwise', async () => {
    const flows = `stty cols 80; ${SLUICE} flows --socket ${gateway.socket}`;
    const { stdout } = await shell(`script -qec "${flows}" /dev/null`);
    expect(stdout).toContain('\u001b[32mnic 255');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are taken out
    const text = stdout.replace(/\u001b\[[0-9]+m|\r/g, '');
    const lines = text.trimEnd().split('\n');
    expect(lines).toHaveLength(11);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    const plain = await shell(`NO_COLOR=1 script -qec "${flows}" /dev/null`);
    expect(plain.stdout).not.toContain('\u001b');
  });

  test('--sort has the largest first, --limit no more than asked for', async () => {
    const { stdout } = await sluice('flows', '--format', 'jsonl', '--sort', 'packets', '--limit', '3');
    const packets = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map(({ forward, reverse }) => forward.packets + reverse.packets);
    expect(packets).toHaveLength(3);
    expect(packets).toEqual([...packets].sort((a, b) => b - a));
    expect(packets[0]).toBeGreaterThan(1000);
  });

  test('a filter that cannot be read is shown with the place', async () => {
    const { code, stderr } = await sluice('flows', '--filter', 'vpc red and path offload');
    expect(code).toBe(2);
    const lines = stderr.split('\n');
    expect(lines[0]).toContain('column 18: "offload" is not a path (did you mean "offloaded"?)');
    expect(lines[2].indexOf('^')).toBe(lines[1].indexOf('offload'));
  });

  test('a reader that has seen enough ends it in silence', async () => {
    const { stdout, stderr } = await shell(`set -o pipefail; ${SLUICE} flows --socket ${gateway.socket} | head -1`);
    expect(stdout.split('\n')).toHaveLength(2);
    expect(stderr).toBe('');
  });

  test('--watch tells how much moves, again and again', async () => {
    const { stdout } = await shell(`timeout 4 ${SLUICE} flows --watch --socket ${gateway.socket}`);
    expect((stdout.match(/^10 flows, 0 packet\/s, 0 bit\/s$/gm) ?? []).length).toBeGreaterThanOrEqual(2);
  });
});

describe('a newcomer’s questions', () => {
  test('who holds this endpoint?', async () => {
    const [flow] = JSON.parse((await sluice('flows', '--format', 'json', '--filter', 'vpc blue and proto tcp')).stdout);
    const { stdout } = await sluice('who', `${flow.nat.address}:${flow.nat.port}`);
    expect(stdout).toContain(`blue  ${flow.inside.address}:${flow.inside.port}`);
    expect(stdout).toContain('a dynamic mapping that 1 session uses');
    expect((await sluice('who', '203.0.113.16:1')).stdout).toBe(
      'nobody holds 203.0.113.16:1 now (an address of pool internet)\n',
    );
    expect(await sluice('who', '203.0.113.16')).toMatchObject({ code: 2 });
  });

  test('why is this flow in software?', async () => {
    const [flow] = JSON.parse((await sluice('flows', '--format', 'json', '--filter', 'path software')).stdout);
    const { stdout } = await sluice('trace', flow.id);
    expect(stdout).toContain('forward: software (icmp-in-software)');
    expect(stdout).toContain('ICMP is never offloaded');
    expect(await sluice('trace', '9999.1')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no flow 9999.1'),
    });
  });

  test('what would become of this packet?', async () => {
    const { stdout } = await sluice('trace', 'tcp', '10.0.1.7:5', '192.0.2.1:443', '--vpc', 'red', '--flags', 'ack');
    expect(stdout).toContain('dropped: not-syn');
    const missing = await sluice('trace', 'tcp', '10.0.1.7:5');
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('destination: is missing') });
  });

  test('what was dropped in the last minute?', async () => {
    const { stdout } = await sluice('drops');
    expect(stdout).toMatch(/^not-syn +1 +1$/m);
    expect(stdout).toMatch(/s {2}not-syn +red +tcp +10\.0\.1\.6:8080 +192\.0\.2\.80:55001$/m);
    const { packets } = JSON.parse((await sluice('drops', '--json', '--packets', '2')).stdout);
    expect(packets).toHaveLength(2);
  });
});
