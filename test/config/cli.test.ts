import { execFile } from 'node:child_process';
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { document } from './fixture.js';

const program = join(__dirname, '../../bin/sluice');
const example = join(__dirname, 'fixtures/gateway.json');
const folder = mkdtempSync(join(tmpdir(), 'sluice-cli-'));

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function sluice(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

function configFile(change: (raw: ReturnType<typeof document>) => void): string {
  const raw = document();
  change(raw);
  writeFileSync(join(folder, 'gw.json'), JSON.stringify(raw));
  return 'gw.json';
}

test('check says that a valid configuration is one, from any folder', async () => {
  const run = await sluice('check', '--config', example);
  expect(run).toEqual({
    code: 0,
    stdout: expect.stringContaining(`${example}: ok (gateway gw1, 2 ports, 2 VPCs`),
    stderr: '',
  });
});

test('check reads the ha_config.json that the configuration names, if it is there', async () => {
  const file = configFile((raw) => {
    raw.ha = { group: 'g1', configFile: 'ha_config.json' };
  });
  expect(await sluice('check', '--config', file)).toMatchObject({ code: 0, stderr: '' });
  writeFileSync(join(folder, 'ha_config.json'), '{"schema":1,"renewMs":"fast","probe":{"vpc":"pink"}}');
  const run = await sluice('check', '--config', file);
  expect(run).toMatchObject({ code: 1, stdout: '' });
  expect(run.stderr).toMatch(/^\S+\/ha_config\.json\/renewMs: [^\n]+ \([^\n]+\)\n$/);
  writeFileSync(join(folder, 'ha_config.json'), '{"schema":1}');
  expect(await sluice('check', '--config', file)).toMatchObject({ code: 0, stderr: '' });
});

test('check warns of valid parts that this version refuses to run, and still exits 0', async () => {
  const run = await sluice('check', '--config', join(__dirname, 'fixtures/everything.json'));
  expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining(': ok (') });
  expect(run.stderr.split('\n')).toEqual([
    expect.stringMatching(/^warning: \/services: is valid but not supported by this version \(.+\)$/),
    expect.stringMatching(/^warning: \/twiceNatPools: /),
    expect.stringMatching(/^warning: \/dslite: /),
    '',
  ]);
});

test('a file that holds something else than an object is told what it should hold', async () => {
  writeFileSync(join(folder, 'list.json'), '[]');
  const run = await sluice('check', '--config', 'list.json');
  expect(run).toMatchObject({ code: 1, stdout: '' });
  expect(run.stderr).toMatch(
    /^list.json: must be an object, not an array \(its fields: name, underlay, ports, .+\)\n$/,
  );
});

test('a standby without a pair is told what to add', async () => {
  const file = configFile((raw) => delete raw.ha);
  const run = await sluice('standby', '--config', file);
  expect(run).toMatchObject({ code: 1, stdout: '' });
  expect(run.stderr).toBe('/ha: is missing (a standby is one of a pair: give ha and mirror, or run sluice gateway)\n');
});

test('check tells every fault in a line of its own on stderr and exits 1', async () => {
  const file = configFile((raw) => {
    raw.vpcs[1].vni = 100;
    raw.peerings[0].vpcs[1] = 'bleu';
    raw.nat.maxSession = 5;
  });
  const run = await sluice('check', '--config', file);
  expect(run).toEqual({
    code: 1,
    stdout: '',
    stderr: [
      '/vpcs/1/vni: VNI 100 is that of VPC "red" already (give each its own)',
      '/peerings/0/vpcs/1: unknown VPC "bleu" (did you mean "blue"?)',
      '/nat/maxSession: is not a known field (did you mean "maxSessions"?)',
      '',
    ].join('\n'),
  });
});

test('check names the file when the fault is in the file as a whole', async () => {
  const run = await sluice('check', '--config', 'none.json');
  expect(run).toEqual({
    code: 1,
    stdout: '',
    stderr: 'none.json: cannot be read: no such file or directory (give the path of a JSON file)\n',
  });
});

test.each([
  [['chek'], /unknown command 'chek'/],
  [['check'], /required option '--config <file>'/],
  [['check', '--config'], /argument missing/],
  [['check', '--config', example, '--loud'], /unknown option '--loud'/],
  [['check', '--config', example, 'more'], /too many arguments/],
  [[], /Usage: sluice/],
])('the usage error %j exits 2', async (args, message) => {
  const run = await sluice(...args);
  expect(run.code).toBe(2);
  expect(run.stdout).toBe('');
  expect(run.stderr).toMatch(message);
});

test.each([[['--help']], [['--version']], [['check', '--help']], [['help', 'check']]])('%j exits 0', async (args) => {
  const run = await sluice(...args);
  expect(run.code).toBe(0);
  expect(run.stdout).not.toBe('');
});

test('the program works through a symbolic link', async () => {
  symlinkSync(program, join(folder, 'sluice'));
  const run = await new Promise((resolve) =>
    execFile(join(folder, 'sluice'), ['--version'], (error) => resolve(error)),
  );
  expect(run).toBeNull();
});
