import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { bashCompletion } from '../../src/cli/completion.js';
import { FILTER_TERMS } from '../../src/cli/filter-terms.js';
import { createProgram } from '../../src/cli/main.js';
import { manPage } from '../../src/cli/man-page.js';
import { FILTER_FIELDS } from '../../src/controller/flow-filter.js';

const ROOT = join(__dirname, '../..');
const FOLDER = join(ROOT, 'docs/man');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const program = createProgram();

const command = (...names: string[]): Command =>
  names.reduce((at, name) => at.commands.find((child) => child.name() === name) as Command, program);

const PAGES: readonly [string, Command][] = [
  ['sluice.1', program],
  ...program.commands.map((one) => [`sluice-${one.name()}.1`, one] as [string, Command]),
];

test.each(PAGES)('docs/man/%s is what the command says of itself; UPDATE_GOLDEN=1 writes it', (file, about) => {
  const path = join(FOLDER, file);
  const page = manPage(about, version);
  if (process.env.UPDATE_GOLDEN === '1' && process.env.CI !== 'true') {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(path, page);
  }
  if (!existsSync(path)) throw new Error('missing: UPDATE_GOLDEN=1 writes it');
  expect(page).toBe(readFileSync(path, 'utf8'));
  // No line that roff would take for a request of its own, but those that are meant.
  for (const line of page.split('\n')) {
    if (/^[.']/.test(line)) expect(line).toMatch(/^\.(TH|SH|TP|B|nf|fi)\b/);
  }
});

test('the manual has every word that a filter’s term begins with', () => {
  const told = FILTER_TERMS.map(([term]) => term).join(' ');
  for (const field of FILTER_FIELDS) expect(told).toMatch(new RegExp(`\\b${field}\\b`));
});

/** What bash offers for the last word. */
function completed(...words: string[]): string[] {
  const script = `${bashCompletion(program)}
COMP_WORDS=(sluice ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_sluice; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const text = execFileSync('bash', ['-c', script], { encoding: 'utf8' });
  return text.split('\n').filter((word) => word !== '');
}

test.each([
  [['fl'], ['flows']],
  [['flows', '--form'], ['--format']],
  [
    ['flows', '--format', ''],
    ['table', 'json', 'jsonl', 'testpmd'],
  ],
  [['flows', '--format', 'json', '--sort', 'b'], ['bytes']],
  [
    ['ha', 's'],
    ['status', 'switchover'],
  ],
  [['ha', 'status', '--j'], ['--json']],
  [
    ['completion', ''],
    ['bash', '--help'],
  ],
  [['nonsense', 'fl'], ['flows']],
])('bash completes %j by %j', (words, expected) => {
  expect(completed(...words)).toEqual(expected);
});

test('bash offers every command, and every option of each', () => {
  expect(completed('')).toEqual([...program.commands.map((one) => one.name()), '--version', '--help']);
  for (const one of program.commands) {
    const offered = completed(one.name(), '--');
    for (const { long } of one.options) expect(offered).toContain(long);
  }
});

test('files are offered where a file is wanted', () => {
  expect(command('gateway').options[0].flags).toBe('--config <file>');
  expect(completed('gateway', '--config', join(ROOT, 'README'))).toEqual([join(ROOT, 'README.md')]);
});
