import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

(built ? describe : describe.skip)('a gateway on NICs that are late, small, limited, or refuse rules', () => {
  test('has after each quiet moment the rules that its sessions say, and has lost and doubled no packet', () => {
    const run = spawnSync(
      join(root, 'scripts/controller-runs.sh'),
      ['--seed', '1', '--rounds', '1', '--moments', '5', '--all-outcomes'],
      { encoding: 'utf8' },
    );
    expect({ status: run.status, said: run.status === 0 ? '' : run.stdout + run.stderr }).toEqual({
      status: 0,
      said: '',
    });
    // Every kind but the one that can do no NAT.
    expect(run.stdout).toMatch(/^12 runs on 12 NICs, 11 of which took rules; 0 with faults$/m);
  }, 180_000);
});
