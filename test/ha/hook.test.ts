import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runHook } from '../../src/ha/hook';
import { until } from './keeper-pair';

const PATIENCE_MS = 60_000;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-ha-hook-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function hook(script: string, timeoutMs = PATIENCE_MS) {
  const command = join(folder, 'hook.sh');
  writeFileSync(command, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return { command, timeoutMs };
}

test('it_is_told_state_role_and_epoch', async () => {
  expect(await runHook(hook(`echo "$1 $2 $3" > ${folder}/said`), ['START', 'active', '7'])).toBeNull();
  expect(readFileSync(join(folder, 'said'), 'utf8')).toBe('START active 7\n');
});

test('what_it_leaves_in_the_background_is_not_waited_for', async () => {
  const pid = join(folder, 'pid');
  const script = `sh -c 'echo $$ > ${pid}; exec sleep 15' &\nwhile [ ! -s ${pid} ]; do sleep 0.01; done`;
  expect(await runHook(hook(script), [])).toBeNull();
  const background = Number(readFileSync(pid, 'utf8'));
  expect(readFileSync(`/proc/${background}/cmdline`, 'utf8')).toContain('sleep'); // A dead one has none.
  process.kill(background, 'SIGKILL');
});

test('one_that_fails_is_told_with_what_it_said', async () => {
  const failing = hook('echo "no such interface" >&2; exit 3');
  expect(await runHook(failing, [])).toBe(`${failing.command}: no such interface`);
  expect(await runHook(hook('exit 3'), [])).toBe(`${failing.command}: exit 3`);
  const missing = join(folder, 'missing');
  expect(await runHook({ command: missing, timeoutMs: PATIENCE_MS }, [])).toContain('ENOENT');
});

test('one_that_takes_too_long_is_ended', async () => {
  const slow = hook(`echo $$ > ${folder}/pid; exec sleep 60`, 1500);
  expect(await runHook(slow, [])).toBe(`${slow.command}: took longer than 1500 ms`);
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
  await until('it is gone', () => !existsSync(`/proc/${pid}`));
});
