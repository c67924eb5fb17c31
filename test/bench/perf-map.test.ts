import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { perfMapFlags } from '../../bench/child';

test("V8's map of its code comes without a log in the working directory", () => {
  const [folder, logs] = [mkdtempSync(join(tmpdir(), 'sluice-map-')), mkdtempSync(join(tmpdir(), 'sluice-map-'))];
  try {
    const pid = execFileSync(process.execPath, [...perfMapFlags(logs), '-p', 'process.pid'], {
      cwd: folder,
      encoding: 'utf8',
    }).trim();
    expect(readdirSync('/tmp')).toContain(`perf-${pid}.map`);
    rmSync(`/tmp/perf-${pid}.map`);
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(logs)).toEqual(['v8.log']);
  } finally {
    for (const path of [folder, logs]) rmSync(path, { recursive: true });
  }
});
