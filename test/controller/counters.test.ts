import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice.node'));

interface Round {
  readonly name: string;
  readonly nicPackets: number;
  readonly sessions: number;
  /** Where what left in the captures is not what is counted. */
  readonly wrong: readonly string[];
}

(built ? describe : describe.skip)('packets and bytes of each session are those that left in the captures', () => {
  // Five of the 45 sessions are ICMP's.
  const inReach = 40;
  test.each(['softflow', 'mlx5-hws', 'mlx5-sws'])(
    'on %s, after offload, eviction and offload again',
    (target) => {
      const loader = join(root, 'test/model/typescript.cjs');
      const given = ['--require', loader, join(root, 'test/controller/run/counters.ts'), target];
      const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
      const { rounds, evicted, again } = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      expect(rounds.flatMap(({ wrong }: Round) => wrong)).toEqual([]);
      expect([rounds.length, rounds.at(-1).sessions, evicted, again]).toEqual([10, 45, inReach, inReach]);
      const inNic = (name: string) => rounds.filter((round: Round) => round.name === name)[0].nicPackets;
      expect(inNic('evicted')).toBe(0);
      expect(Math.min(inNic('offloaded'), inNic('offloaded again'), inNic('some evicted'))).toBeGreaterThan(50);
    },
    60_000,
  );
});
