import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ActionType } from '../../src/native/records';
import type { Result } from './nic-bytes-run';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice.node'));

/** @param fault What is done wrong, @param link and how long chains are: see the script. */
function run(target: string, seed: number, fault: ActionType | 'one-group' | '' = '', link?: number): Result {
  const script = join(__dirname, 'nic-bytes-run.ts');
  const more = link === undefined ? [String(fault)] : [String(fault), String(link)];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--require', join(root, 'test/model/typescript.cjs'), script, target, String(seed), ...more],
    { encoding: 'utf8', cwd: root, maxBuffer: 1 << 26 },
  );
  if (status !== 0) throw new Error(`${target}, seed ${seed}: ${stderr}`);
  return JSON.parse(stdout) as Result;
}

/** NICs that translate whole directions. */
const TRANSLATING = ['softflow', 'mlx5-hws', 'mlx5-sws'];
/** NICs that rewrite and may forward, but no IPv4: they cannot keep from a rule what only software may serve. */
const LINK_ONLY = ['bnxt', 'sfc'];

(built ? describe : describe.skip)('compiled rules in net_softflow, as limited as', () => {
  test.each([
    ...TRANSLATING.flatMap((target) => [1, 2].map((seed) => [target, seed] as const)),
    // 32 second halves: the index of their table is being emptied into a larger one.
    ['mlx5-sws', 25] as const,
  ])('%s send the bytes that the interpreter of lists sends, and nothing else (seed %i)', (target, seed) => {
    const result = run(target, seed);
    expect(result.differences).toEqual([]);
    expect(result.rules).toBeGreaterThan(120);
    expect(result.forwarded).toBe(600);
    expect(result.kept).toBeGreaterThan(1000);
  });
  test.each(TRANSLATING)('%s send the same as chains of two actions each', (target) => {
    const result = run(target, 1, '', 2);
    expect(result.differences).toEqual([]);
    expect(result.rules).toBeGreaterThan(600);
    expect(result.forwarded).toBe(600);
    expect(result.kept).toBeGreaterThan(1000);
  });
  test('chains that have their groups together are not for one NIC', () => {
    expect(() => run('mlx5-hws', 1, 'one-group', 2)).toThrow('a rule with this pattern exists in the group');
  });
  test.each(LINK_ONLY)('%s send frames without IPv4 as the interpreter does', (target) => {
    const result = run(target, 1);
    expect(result).toMatchObject({ differences: [], forwarded: result.rules, kept: 2 * result.rules });
    expect(result.rules).toBeGreaterThanOrEqual(3);
  });
  test.each(TRANSLATING)('rules of %s that lack their encapsulation are found out', (target) => {
    expect(run(target, 1, ActionType.vxlanEncap).differences.length).toBeGreaterThan(100);
  });
});
