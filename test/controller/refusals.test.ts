import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

/** One scenario in a process of its own: DPDK starts once. */
function run<Result>(scenario: string): Result {
  const loader = join(root, 'test/model/typescript.cjs');
  const given = ['--require', loader, join(root, 'test/controller/run/refusals.ts'), scenario];
  const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8', timeout: 50_000 });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

interface State {
  readonly lacking: number;
  readonly offloaded: number;
}

(built ? describe : describe.skip)('what a NIC refuses', () => {
  test('constant rules that come late: sessions that were there before get their rules too', () => {
    const { before, after } = run<{ before: State; after: State }>('constantRulesThatAreLate');
    expect(before.lacking).toBeGreaterThan(0);
    expect(before.offloaded).toBe(0);
    expect(after.lacking).toBe(0);
    // Of 20 sessions; some rules are given up, for each second one is refused.
    expect(after.offloaded).toBeGreaterThanOrEqual(32);
  });

  test('a place that comes free is given to the one session that the full NIC had refused', () => {
    // The gateway knows nothing of the room beforehand: a refused rule is the only sign.
    const said = run<{ refusals: number; freed: number; lacking: number }>('aPlaceThatComesFree');
    expect(said).toMatchObject({ refusals: 1, freed: 2, lacking: 0 });
  });

  test('more sessions at once than a flow queue has room for: no rule is refused for it', () => {
    const said = run<{ isOpen: boolean; most: number; refusals: number; offloaded: number }>('moreThanAFlowQueueTakes');
    expect(said).toMatchObject({ isOpen: true, refusals: 0, offloaded: 6000 });
    // The NIC was slow enough: both ports' queues, 1024 operations each, were full but for a decision's room.
    expect(said.most).toBeGreaterThan(1500);
  });

  test('rules that a NIC has kept of an earlier owner of its port are gone once the gateway has opened it', () => {
    const said = run<{ made: number[]; stale: number[]; offloaded: number }>('rulesOfAnEarlierOwner');
    expect(said).toEqual({ made: [50, 50], stale: [0, 0], offloaded: 40 });
  });
});
