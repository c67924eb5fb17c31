import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

(built ? test : test.skip)(
  'a NIC that fails and comes back without its rules has them again, and no packet is lost meanwhile; one that asks to be reset is',
  () => {
    const given = ['--require', join(root, 'test/model/typescript.cjs'), join(root, 'test/controller/run/recovery.ts')];
    const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8', timeout: 55_000 });
    if (status !== 0) throw new Error(stderr);
    // One port after the other; in the end the NIC alone serves one packet of each flow: 3,000, and 500 of each reset.
    const round = { mended: true, lost: 0, wrong: 0 };
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toEqual({
      failed: 0,
      begun: true,
      rounds: [round, round],
      resets: [
        { mended: true, wrong: 0 },
        { mended: true, wrong: 0 },
      ],
      byNic: 4000,
    });
  },
);
