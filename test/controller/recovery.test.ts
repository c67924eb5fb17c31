import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const built = existsSync(join(root, 'build/native/sluice_bench.node'));

/** Runs a script of ./run. @returns What its last line says. */
function ran(script: string, shards: number): unknown {
  const file = join(root, 'test/controller/run', script);
  const given = ['--require', join(root, 'test/model/typescript.cjs'), file, String(shards)];
  const { stdout, stderr, status } = spawnSync(process.execPath, given, { encoding: 'utf8', timeout: 110_000 });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

(built ? describe : describe.skip).each([1, 2, 4])('with %i shards', (shards) => {
  test('a NIC that fails and comes back without its rules has them again, and no packet is lost meanwhile; one that asks to be reset is', () => {
    // One port after the other; in the end the NIC alone serves one packet of each flow: 3,000, and 500 of each reset.
    const round = { mended: true, lost: 0, wrong: 0 };
    expect(ran('recovery.ts', shards)).toEqual({
      failed: 0,
      begun: true,
      rounds: [round, round],
      resets: [
        { mended: true, wrong: 0 },
        { mended: true, wrong: 0 },
      ],
      byNic: 4000,
    });
  }, 120_000);

  test('constant rules that a NIC refuses after its reset are tried until all are there', () => {
    expect(ran('refused-reset.ts', shards)).toEqual({ begun: true, enough: true, mended: [true, true], failed: 0 });
  }, 120_000);

  test('rules of nobody are found and destroyed, lost ones made anew, whichever engine has them', () => {
    const told = ran('repair.ts', shards) as { constant: [number, number] };
    const [fabric, external] = told.constant.map((count) => count + 1000);
    const right = (installed: number) => ({ installed, stale: 0, missing: 0, failed: 0 });
    expect(told).toEqual({
      failed: 0,
      begun: true,
      constant: told.constant,
      found: [
        [right(fabric), right(external)],
        [{ ...right(fabric + 7), stale: 7 }, right(external)],
        [right(fabric), { ...right(external + 7), stale: 7 }],
        [{ ...right(0), missing: fabric }, right(external)],
        [right(fabric), { ...right(0), missing: external }],
        [right(fabric), right(external)],
      ],
      mended: [true, true, true, true],
      byNic: 1000,
    });
  }, 120_000);
});
