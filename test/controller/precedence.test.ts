import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

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
    const has = wanted && mayHave;
    expect(told).toEqual({ engine: has, lcore: has, realTime: 0, failed: 0 });
  },
  120_000,
);
