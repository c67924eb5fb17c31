import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** As `chrt` finds out. */
function mayBeRealTime(): boolean {
  return spawnSync('chrt', ['-f', '1', 'true']).status === 0;
}

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

(built ? test : test.skip).each([true, false])(
  'threads that are kept from their CPUs while packets wait go before others: %s, and afterwards none does',
  (wanted) => {
    const file = join(root, 'test/controller/run/precedence.ts');
    const given = ['--require', join(root, 'test/model/typescript.cjs'), file, String(wanted)];
    const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8', timeout: 110_000 });
    if (status !== 0) throw new Error(stderr);
    const { mayHave, ...told } = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
    expect(told).toEqual({ engine: mayHave, lcore: mayHave, realTime: 0, failed: 0 });
    // As root on two CPUs, where this is developed and checked.
    expect(mayHave).toBe(wanted && availableParallelism() > 1 && mayBeRealTime());
  },
  120_000,
);
