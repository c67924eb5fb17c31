import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

/** Runs a script of ./run. @returns What its last line says. */
function ran(script: string): unknown {
  const given = ['--require', join(root, 'test/model/typescript.cjs'), join(root, 'test/controller/run', script)];
  const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8', timeout: 55_000 });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

(built ? test : test.skip)(
  'a NIC that fails and comes back without its rules has them again, and no packet is lost meanwhile; one that asks to be reset is',
  () => {
    // One port after the other; in the end the NIC alone serves one packet of each flow: 3,000, and 500 of each reset.
    const round = { mended: true, lost: 0, wrong: 0 };
    expect(ran('recovery.ts')).toEqual({
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

(built ? test : test.skip)('constant rules that a NIC refuses after its reset are tried until all are there', () => {
  expect(ran('refused-reset.ts')).toEqual({ begun: true, enough: true, mended: [true, true], failed: 0 });
});
