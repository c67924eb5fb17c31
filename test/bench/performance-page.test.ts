import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '../..');

function generate(docs: string, ...args: string[]) {
  return spawnSync(process.execPath, [join(root, 'scripts/performance-page.mjs'), '--docs', docs, ...args], {
    encoding: 'utf8',
  });
}

test("the page's tables and plots are those of the kept results", () => {
  const { status, stderr } = generate(join(root, 'docs'), '--check');
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

test('a result that changes makes page and plot stale, and making them anew mends it', () => {
  const docs = mkdtempSync(join(tmpdir(), 'sluice-performance-'));
  try {
    cpSync(join(root, 'docs/performance.md'), join(docs, 'performance.md'));
    cpSync(join(root, 'docs/performance'), join(docs, 'performance'), { recursive: true });
    const path = join(docs, 'performance/results/memory.json');
    const result = JSON.parse(readFileSync(path, 'utf8'));
    result.figures.counted.softwareRules += 100;
    result.lines[0].value = 'something else';
    writeFileSync(path, JSON.stringify(result));
    const { status, stderr } = generate(docs, '--check');
    expect(status).toBe(1);
    expect(stderr).toContain('performance.md is stale');
    expect(stderr).toContain('performance/memory.svg is stale');
    expect(generate(docs).status).toBe(0);
    expect(generate(docs, '--check').status).toBe(0);
    expect(readFileSync(join(docs, 'performance.md'), 'utf8')).toContain('something else');
  } finally {
    rmSync(docs, { recursive: true, force: true });
  }
});
