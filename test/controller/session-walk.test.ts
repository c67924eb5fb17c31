import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

(built ? test : test.skip)(
  'a walk meets each session once, with its packets as the NIC has them, and ends though others open',
  () => {
    const given = ['--require', join(root, 'test/model/typescript.cjs'), join(root, 'test/controller/run/walk.ts')];
    const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8', timeout: 50_000 });
    if (status !== 0) throw new Error(stderr);
    const said = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
    // Three packets out and one back of each flow, of which software saw the first and nobody had asked the NIC.
    expect(said.before).toEqual({ '1 0': 1200 });
    expect(said).toMatchObject({ known: { '3 1': 1200 }, met: 1200, isInOrder: true, sessions: 1800 });
  },
);
