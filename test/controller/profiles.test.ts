import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sampleShapes } from '../../src/cli/sample-shapes';
import { compile, targets } from '../../src/compiler/index';
import { DEFAULT_CONTEXT } from '../../src/compiler/parse-list';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice.node')) && existsSync(join(root, 'dist/src/cli/main.js'));

/** Every NIC, and as of DPDK 22.11 those that translated then. */
const PROFILES = [
  ...[...targets().values()].filter(({ kind }) => kind === 'nic').map(({ name }) => name),
  ...['mlx5-hws@22.11', 'mlx5-sws@22.11', 'bnxt@22.11'],
];
/** What the NIC makes of each direction without ICMP. */
const DIRECTIONS = sampleShapes().filter(({ protocol }) => protocol !== 'icmp');

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
    const served = DIRECTIONS.filter(({ list }) => compile(list, name, DEFAULT_CONTEXT).ok).length;
    expect(outcome.offloaded > 0).toBe(served > 0);
    expect(outcome.nicPackets > 2000).toBe(served > 0);
    expect(outcome.reasons).toContain('icmp-in-software');
    if (served === DIRECTIONS.length) expect(outcome.reasons).toEqual(['icmp-in-software']);
  });
});
