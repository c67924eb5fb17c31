import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

interface Outcome {
  readonly isOpen: boolean;
  /** Of the packets of each second, the part that the NIC translated. */
  readonly shares: readonly number[];
  readonly evictions: readonly number[];
  readonly wrong: number;
  /** What the 100 fastest of 2,000 flows have. */
  readonly best: number;
  readonly most: number;
}

function run(evictionsPerSecond: number): Outcome {
  const loader = join(root, 'test/model/typescript.cjs');
  const given = ['--require', loader, join(root, 'test/controller/run/room.ts'), String(evictionsPerSecond)];
  const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

(built ? describe : describe.skip)('a NIC of 200 rules under 2,000 flows with Zipf rates', () => {
  test('translates at least nine tenths of what it could at best after 10 s, within its budget of evictions', () => {
    const { isOpen, shares, evictions, wrong, best, most } = run(30);
    expect([isOpen, wrong]).toEqual([true, 0]);
    expect(most).toBeLessThanOrEqual(200);
    expect(shares[0]).toBeLessThan(0.5 * best);
    expect(shares.at(-1)).toBeGreaterThan(0.9 * best);
    // The first walk only reads.
    expect(evictions[0]).toBe(0);
    for (const count of evictions) expect(count).toBeLessThanOrEqual(30);
    expect(Math.max(...evictions)).toBe(30);
  });

  test('lets nobody go when its budget is none', () => {
    const { shares, evictions, best } = run(0);
    expect(evictions).toEqual(new Array(10).fill(0));
    expect(shares.at(-1)).toBeLessThan(0.5 * best);
  });
});
