import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../src/cli/main';
import { RELEASES, targets } from '../../src/compiler/target';

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
  test('prints templates, tables and rows; not for a NIC without template tables', async () => {
    const path = file('template.json', [fine]);
    const { code, out } = await run('compile', '--target', 'softflow', '--format', 'template', '--static', path);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^port stop 0\nflow configure 0 [\s\S]*^flow create 0 [\s\S]*^# fine\nflow pattern_template 0 /m,
    );
    expect(out.trimEnd()).toMatch(/flow push 0 queue 0\nflow pull 0 queue 0$/);
    const refused = await run('compile', '--target', 'mlx5-sws', '--format', 'template', path);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toContain('mlx5-sws has no template tables');
  });
  test('prints rules for the line that is asked for: 512 characters, longer rules as several', async () => {
    const long = {
      name: 'long',
      ingress: 'fabric',
      match: [
        ...[{ type: 'eth' }, { type: 'ipv4' }, { type: 'udp', destination: 4789 }, { type: 'vxlan', vni: 100 }],
        ...[{ type: 'eth' }, { type: 'ipv4', source: '10.0.1.5', destination: '198.51.100.7', protocol: 47 }],
      ],
      actions: [
        ...[{ type: 'pop-vxlan' }, { type: 'set-ipv4', source: '203.0.113.16' }, { type: 'decrement-ttl' }],
        ...[
          { type: 'checksum' },
          { type: 'set-ethernet', source: '02:00:00:00:e0:01', destination: '02:00:00:00:00:12' },
        ],
        ...[{ type: 'count' }, { type: 'age', seconds: 300 }, { type: 'output', port: 'external' }],
      ],
    };
    const path = file('long.json', [long, { ...long, name: 'again' }]);
    const creates = (out: string) => out.split('\n').filter((line) => line.startsWith('flow create'));
    const { code, out } = await run('compile', '--target', 'mlx5-hws', path);
    expect(code).toBe(0);
    expect(out.split('\n').filter((line) => line.length > 512)).toEqual([]);
    expect(creates(out).map((line) => /group \d+/.exec(line)?.[0])).toEqual([
      ...['group 1000', 'group 1', 'group 1001', 'group 1'],
    ]);
    const whole = await run('compile', '--target', 'mlx5-hws', '--line-length', '2048', path);
    expect(creates(whole.out).map(({ length }) => length > 512)).toEqual([true, true]);
    const templates = await run('compile', '--target', 'mlx5-hws', '--format', 'template', path);
    expect(templates.out.split('\n').filter((line) => line.length > 512)).toEqual([]);
    expect(templates.out).toContain('pattern_template_id 8 ');
    for (const wrong of ['511', '2049', 'long', '600.5']) {
      const refused = await run('compile', '--target', 'softflow', '--line-length', wrong, path);
      expect({ ...refused, err: refused.err.includes('a number from 512 to 2048') }).toEqual({
        ...{ code: 2, out: '', err: true },
      });
    }
  });
  test('prints the constant rules first when asked', async () => {
    const { out } = await run('compile', '--target', 'softflow', '--static', file('static.json', [fine]));
    expect(out).toMatch(/^# fabric-outer-fragments\n[\s\S]*# fabric-nat\n[\s\S]*# external-nat\n[\s\S]*# fine\n/);
  });
  test('tries each rule on a packet of its flow and on several that just miss it when asked', async () => {
    const { code, err } = await run('compile', '--target', 'softflow', '--trial', file('trial.json', [fine]));
    expect({ code, err }).toEqual({ code: 0, err: 'fine: tried with 2 packets, 1 hit\n' });
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
  test('shows every target, what it can of NAT with each DPDK release, and why not all', async () => {
    const { code, out } = await run('targets');
    expect(code).toBe(0);
    const row = (target: string) =>
      out
        .split('\n')
        .find((line) => line.includes(`│ ${target} `))
        ?.split('│')
        .map((cell) => cell.trim());
    for (const target of targets().keys()) expect(row(target)?.length).toBe(7);
    expect(row('softflow')?.slice(3, 6)).toEqual(['full', 'full', '']);
    expect(row('ntnic')?.slice(3, 5)).toEqual(['none', 'none (6 in part)']);
    // Partial rules are proved, not installed: nothing of NAT is in such a NIC.
    expect(row('bnxt')?.slice(3, 5)).toEqual(['none (30 in part)', 'none (30 in part)']);
    expect(row('enic')?.[5]).toBe('cannot keep fragments, options, ttl, ipv4-checksum');
  });
  test('shows each NAT direction of one, partial offload included', async () => {
    const { out } = await run('targets', 'sfc@22.11');
    const row = (direction: string) => out.split('\n').find((line) => line.includes(direction));
    expect(row('vpc-to-external, forward')).toMatch(/│ partial: decapsulate +│ sfc cannot keep options from the rule/);
    expect(row('vpc-to-external, reverse')).toMatch(/│ partial: classify +│/);
    expect(out).toContain('DPDK 22.11. Modelled from source');
    expect(out).toContain('Not before DPDK 26.07');
  });
  test('shows one in full, with the source of every line', async () => {
    const { code, out } = await run('targets', 'softflow');
    expect(code).toBe(0);
    for (const word of ['vxlan-decap', 'kIpv4Fields', 'rte_flow has no action that rewrites an ICMP', 'integrity']) {
      expect(out).toContain(word);
    }
  });
  test('are data too: every table of each release with its directions, one with its sources', async () => {
    const { code, out } = await run('targets', '--format', 'json');
    expect(code).toBe(0);
    const all: { name: string; release: string; directions: { offload: string; reasons: { code: string }[] }[] }[] =
      JSON.parse(out);
    expect(all.map(({ name, release }) => `${name}@${release}`)).toEqual(
      RELEASES.flatMap((release) => [...targets().keys()].map((name) => `${name}@${release}`)),
    );
    for (const { directions } of all) {
      expect(directions).toHaveLength(40);
      for (const { offload, reasons } of directions) expect(reasons.length === 0).toBe(offload === 'full');
    }
    const sfc = JSON.parse((await run('targets', 'sfc@22.11', '--format', 'json')).out);
    expect(sfc).toMatchObject({ name: 'sfc', release: '22.11', actions: { 'set-l4': { forms: [] } } });
    expect(sfc.directions[0]).toMatchObject({ direction: 'vpc-to-external, forward', offload: 'decapsulate', cost: 1 });
    expect(sfc).not.toHaveProperty('$schema');
  });
  test('an unknown one is a usage error', async () => {
    expect(await run('targets', 'connectx')).toMatchObject({ code: 2, out: '' });
  });
});
