import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { citedReports } from '../../src/compiler/probe-reports';
import { targets } from '../../src/compiler/target';
import type { ProbeReport } from '../../src/controller/nic-probe';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice.node')) && existsSync(join(root, 'dist/src/cli/main.js'));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(join(root, 'bin/sluice'), ['targets', ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  return { status, stdout, stderr };
}

const reportOf = (...args: string[]): ProbeReport => JSON.parse(run(...args, '--format', 'json').stdout);
const device = (profile?: string) =>
  `net_softflow0,wire=net_null0${profile === undefined ? '' : `,profile=${profile}`}`;

/** What net_softflow cannot be a model of: it writes no VNI, and sends to ports in the transfer domain alone. */
const BEYOND_THE_MODEL: ReadonlySet<string> = new Set(['set-vni as modify-field', 'output as represented-port']);

const nics = [...targets().values()].filter(({ kind }) => kind === 'nic').map(({ name }) => name);

(built ? describe : describe.skip)('sluice targets --probe', () => {
  test.each(nics)('the table of %s is what net_softflow takes and refuses with that profile', (name) => {
    const report = reportOf('--probe', device(name === 'softflow' ? undefined : name));
    expect(report).toMatchObject({ target: name, driver: 'net_softflow' });
    expect(report.tried).toBe(report.rules.length);
    expect(report.tried).toBeGreaterThan(50);
    const differing = report.rules.filter(({ agrees }) => !agrees).map((rule) => rule.name);
    expect(differing.filter((rule) => !BEYOND_THE_MODEL.has(rule))).toEqual([]);
    expect(report.agree).toBe(report.tried - differing.length);
    const taken = report.rules.filter((rule) => rule.device === 'takes');
    expect(taken.length > 10).toBe(targets().get(name)?.items.eth !== undefined);
    for (const rule of report.rules) expect(rule.error !== undefined).toBe(rule.device === 'refuses');
  });

  test('a device that is another than the table tells both that it refuses and that it takes more', () => {
    const report = reportOf('bnxt', '--probe', device('mlx5-sws'));
    const differing = report.rules.filter(({ agrees }) => !agrees);
    expect(differing.some(({ table, device: said }) => table === 'takes' && said === 'refuses')).toBe(true);
    expect(differing.some(({ table, device: said }) => table === 'refuses' && said === 'takes')).toBe(true);
  });

  test('in words: what differs with the rule as testpmd has it, and exit 1', () => {
    const { status, stdout, stderr } = run('mlx5-sws', '--probe', device('enic'));
    expect(status).toBe(1);
    expect(stdout).toMatch(/^net_softflow0,wire=net_null0,profile=enic: driver net_softflow, DPDK/);
    expect(stdout).toMatch(/^action decrement-ttl as dec-ttl: the table takes it, the device refuses it: \S/m);
    expect(stdout).toMatch(/^ {4}flow create 0 /m);
    expect(stderr).toMatch(/^\d+ of \d+ rules are not as the table says$/m);
    expect(run('--probe', device('mlx5-sws'))).toMatchObject({ status: 0, stderr: '' });
  });

  test('two devices: what the second direction sends goes out of the other one', () => {
    const report = reportOf('--probe', device('mlx5-sws'), 'net_softflow1,wire=net_null1,profile=mlx5-sws');
    expect(report.agree).toBe(report.tried);
    expect(report.rules.some(({ testpmd }) => testpmd.some((line) => line.startsWith('flow create 1 ')))).toBe(true);
  });

  test('a device that is none, and a driver without a table, are told', () => {
    expect(run('--probe', 'net_nothing0')).toMatchObject({ status: 1, stdout: '' });
    expect(run('--probe', 'net_null0').stderr).toContain('no table is of the driver net_null (name one');
  });

  test('the report of net_softflow that its table cites is what it says now', () => {
    const stored = JSON.parse(readFileSync(join(root, 'schemas/target-reports/softflow.json'), 'utf8')) as ProbeReport;
    expect(stored.rules).toEqual(reportOf('--probe', device()).rules);
    expect(run('softflow').stdout).toContain(`${stored.agree} of ${stored.tried} rules as the table says`);
    expect(run('sfc').stdout).toContain('Modelled from source: no report');
  });

  test('a report of a profile is none of the NIC, and something else is no report', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-reports-'));
    try {
      const path = join(folder, 'x.json');
      writeFileSync(path, JSON.stringify({ ...reportOf('--probe', device('sfc')), rules: [] }));
      expect(() => citedReports(folder)).toThrow(/^x\.json: net_softflow with a profile/);
      writeFileSync(path, '{"target": "sfc"}');
      expect(() => citedReports(folder)).toThrow(/^x\.json: is no report/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

(built ? describe : describe.skip)('at its start a gateway tries a rule of every direction', () => {
  const start = (target: string, profile?: string) => {
    const script = join(__dirname, 'nic-probe.cjs');
    const { stdout, stderr } = spawnSync(process.execPath, [script, target, ...(profile ? [profile] : [])], {
      encoding: 'utf8',
    });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  };

  test.each([
    ['softflow', undefined, 25],
    ['mlx5-hws', 'mlx5-hws', 20],
    ['mlx5-sws', 'mlx5-sws', 25],
  ] as const)('%s takes them all, and keeps none', (target, profile, tried) => {
    const { start: said, left, told, reasons } = start(target, profile);
    expect([said, left, told]).toEqual([{ tried, refused: 0 }, 0, []]);
    expect(reasons.filter((reason: string) => reason === 'offloaded')).toHaveLength(tried);
    expect(reasons).not.toContain('nic-refused');
  });

  test('a NIC that has no such rewrite is told once a rule, and those directions stay in software', () => {
    const { start: said, toldByStart, told, reasons } = start('mlx5-hws', 'mlx5-sws');
    expect(said).toEqual({ tried: 20, refused: 20 });
    expect([toldByStart, told.length]).toEqual([20, 20]);
    expect(told[0].message).toMatch(/MODIFY_FIELD/);
    expect(reasons).not.toContain('offloaded');
    expect(reasons.filter((reason: string) => reason === 'nic-refused')).toHaveLength(20);
  });
});
