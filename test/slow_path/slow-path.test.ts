import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// Each scenario is a process: EAL starts once in one. What they hold is asserted in scenarios.cjs.
const script = join(__dirname, 'scenarios.cjs');
const names = [...readFileSync(script, 'utf8').matchAll(/^ {2}([a-z_]+)\(\) \{$/gm)].map((match) => match[1]);

test.each(names)('%s', (name) => {
  const { status, signal, stderr } = spawnSync(process.execPath, [script, name], { encoding: 'utf8', timeout: 50_000 });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
});

test('every scenario was found', () => {
  expect(names.length).toBeGreaterThan(20);
});
