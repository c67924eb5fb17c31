import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { targetNamed } from '../../src/compiler/index';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice.node')) && existsSync(join(root, 'dist/src/cli/main.js'));

/** NICs of DPDK's matrix that rewrite anything or know tunnels, and some that do neither. */
const PROFILES = [
  'mlx5-hws',
  'mlx5-sws',
  'bnxt',
  'cxgbe',
  'nfp',
  'sfc',
  'ntnic',
  'enic',
  'ice',
  'cnxk',
  'mlx5-sws@22.11',
];

interface Outcome {
  readonly captures: readonly Buffer[];
  readonly offloaded: number;
  readonly failed: number;
  readonly reasons: readonly string[];
  readonly nicPackets: number;
}

/** The example capture through the whole gateway, on software NICs that are as limited as the target. */
function replay(target: string, folder: string): Outcome {
  const config = JSON.parse(readFileSync(join(root, 'examples/gateway.json'), 'utf8'));
  config.offload = { ...config.offload, mode: 'immediate', target };
  const file = (name: string) => join(folder, `${target}-${name}`);
  writeFileSync(file('config.json'), JSON.stringify(config));
  const ports = ['fabric', 'external'];
  const captures = ports.flatMap((port) => [
    ...['--in', `${port}=${join(root, 'examples', `${port}.pcap`)}`],
    ...['--out', `${port}=${file(`${port}.pcap`)}`],
  ]);
  const results = ['--flows', file('flows.json'), '--counters', file('counters.json')];
  const run = spawnSync(
    join(root, 'bin/sluice'),
    ['replay', '--config', file('config.json'), ...captures, ...results],
    { encoding: 'utf8' },
  );
  if (run.status !== 0) throw new Error(run.stderr);
  const flows = JSON.parse(readFileSync(file('flows.json'), 'utf8')) as Record<
    string,
    { path: string; reason: string }
  >[];
  const ways = flows.flatMap(({ forward, reverse }) => [forward, reverse]);
  const count = (path: string) => ways.filter((way) => way.path === path).length;
  return {
    captures: ports.map((port) => readFileSync(file(`${port}.pcap`))),
    offloaded: count('offloaded'),
    failed: count('failed'),
    reasons: [...new Set(ways.map(({ reason }) => reason))].filter((reason) => reason !== null),
    nicPackets: JSON.parse(readFileSync(file('counters.json'), 'utf8')).nic.packets,
  };
}

(built ? describe : describe.skip)('the whole gateway on a software NIC that is as limited as', () => {
  let folder = '';
  let software: Outcome;
  beforeAll(() => {
    mkdirSync(join(root, 'build'), { recursive: true });
    folder = mkdtempSync(join(root, 'build', 'profiles-'));
    software = replay('software', folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each(PROFILES)('%s sends the same bytes, and offloads what that NIC can', (name) => {
    const outcome = replay(name, folder);
    outcome.captures.forEach((capture, i) => {
      expect(capture.length).toBeGreaterThan(1000);
      expect(capture.equals(software.captures[i])).toBe(true);
    });
    // What the compiler allows, the profile takes: both are made from one table.
    expect(outcome.failed).toBe(0);
    const whole = targetNamed(name)?.actions.age.forms.length !== 0 && /^mlx5-.ws$/.test(name);
    expect(outcome.offloaded > 0).toBe(whole);
    expect(outcome.nicPackets > 2000).toBe(whole);
    expect(outcome.reasons).toContain('icmp-in-software');
    // With software steering sessions between VPCs have rules that are two, joined by a jump.
    if (whole) expect(outcome.reasons).toEqual(['icmp-in-software']);
  });
});
