import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../src/cli/main';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-compile-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command line in this process. */
async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' };
  const stdout = jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    written.out += text;
    return true;
  });
  const stderr = jest.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written.err += text;
    return true;
  });
  const code = await main(argv);
  stdout.mockRestore();
  stderr.mockRestore();
  return { code, ...written };
}

function file(name: string, document: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof document === 'string' ? document : JSON.stringify(document));
  return path;
}

const fine = {
  name: 'fine',
  ingress: 'fabric',
  match: [{ type: 'eth' }, { type: 'ipv4', protocol: 47 }],
  actions: [{ type: 'count' }, { type: 'drop' }],
};
const ping = {
  name: 'ping',
  ingress: 'external',
  match: [{ type: 'eth' }, { type: 'ipv4' }, { type: 'icmp' }],
  actions: [{ type: 'output', port: 'fabric' }],
};

describe('sluice compile', () => {
  test('prints rules as testpmd commands on stdout', async () => {
    const { code, out, err } = await run('compile', '--target', 'softflow', file('fine.json', [fine]));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toBe(
      '# fine\nflow create 0 group 1 transfer pattern represented_port ethdev_port_id is 0 / eth / ipv4 proto is 47 / end ' +
        'actions count / drop / end\n',
    );
  });
  test('prints what is accepted, tells what is refused on stderr, and exits 1', async () => {
    const path = file('both.json', { lists: [ping, fine] });
    const { code, out, err } = await run('compile', '--target', 'softflow', path);
    expect(code).toBe(1);
    expect(out).toContain('# fine\n');
    expect(out).not.toContain('ping');
    expect(err).toMatch(/^\S+both\.json#\/lists\/0\/match\/2: ping: icmp-in-software: .*\(.*\)\n$/);
  });
  test('prints JSON', async () => {
    const { code, out } = await run(
      'compile',
      '--target',
      'software',
      '--format',
      'json',
      file('json.json', [fine, ping]),
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      target: 'software',
      rules: [{ name: 'fine' }, { name: 'ping', group: 0 }],
    });
  });
  test('prints the constant rules first when asked', async () => {
    const { out } = await run('compile', '--target', 'softflow', '--static', file('static.json', [fine]));
    expect(out).toMatch(/^# fabric-outer-fragments\n[\s\S]*# fabric-nat\n[\s\S]*# external-nat\n[\s\S]*# fine\n/);
  });
  test('tells every fault of a file at its place and exits 1', async () => {
    const bad = [{ ...fine, ingress: 'inside', match: [{ type: 'eth' }, { type: 'ip' }] }];
    const { code, out, err } = await run('compile', '--target', 'softflow', file('bad.json', bad));
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err.split('\n').map((line) => line.replace(/^[^#]*/, '').split(':')[0])).toEqual([
      '#/0/ingress',
      '#/0/match/1/type',
      '',
    ]);
  });
  test.each([
    ['a file that is not there', ['compile', '--target', 'softflow', '/nowhere/lists.json'], 1],
    ['no target', ['compile', 'lists.json'], 2],
    ['an unknown target', ['compile', '--target', 'connectx', 'lists.json'], 2],
    ['an unknown format', ['compile', '--target', 'softflow', '--format', 'xml', 'lists.json'], 2],
    ['no file', ['compile', '--target', 'softflow'], 2],
  ])('%s: one line on stderr, nothing on stdout', async (_, argv, exit) => {
    const { code, out, err } = await run(...argv);
    expect({ code, out }).toEqual({ code: exit, out: '' });
    expect(err.trim().split('\n').length).toBe(1);
  });
});

describe('sluice targets', () => {
  test('shows every NAT direction of every target', async () => {
    const { code, out } = await run('targets');
    expect(code).toBe(0);
    const row = (direction: string, protocol: string) =>
      out
        .split('\n')
        .find((line) => line.includes(direction) && line.includes(` ${protocol} `))
        ?.split('│')
        .map((cell) => cell.trim());
    expect(row('vpc-to-external, forward', 'udp')).toEqual(['', 'vpc-to-external, forward', 'udp', 'full', 'full', '']);
    expect(row('vpc-to-vpc, reverse', 'icmp')?.slice(3, 5)).toEqual(['none: icmp-in-software', 'full']);
  });
  test('shows one in full, with the source of every line', async () => {
    const { code, out } = await run('targets', 'softflow');
    expect(code).toBe(0);
    for (const word of [
      'vxlan-decap',
      'kIpv4Fields',
      'rte_flow has no action that rewrites an ICMP identifier',
      'integrity',
    ]) {
      expect(out).toContain(word);
    }
  });
  test('an unknown one is a usage error', async () => {
    expect(await run('targets', 'connectx')).toMatchObject({ code: 2, out: '' });
  });
});
