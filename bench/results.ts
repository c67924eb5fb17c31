import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Report } from './report.js';

/** A report as it is kept: what docs/performance.md's tables and plots are made of. */
export interface SavedReport extends Omit<Report, 'failure'> {
  /** Command that made it. */
  readonly command: string;
  /** Day, UTC. */
  readonly taken: string;
  /** Commit that was measured, with `+` when files had changed since; `unknown` outside a checkout. */
  readonly commit: string;
}

/** Where a report goes when nothing else is said. */
export function usualPath(root: string, name: string): string {
  return join(root, 'build/bench', `${name}.json`);
}

export function save(root: string, path: string, report: Report, argv: readonly string[]): void {
  const { name, figures, lines, conditions, remarks } = report;
  const given = argv.filter((argument, i) => !argument.startsWith('--save') && argv[i - 1] !== '--save');
  const saved: SavedReport = {
    name,
    command: `npm run bench -- ${given.filter((argument) => argument !== '--json').join(' ')}`,
    taken: new Date().toISOString().slice(0, 10),
    commit: commitOf(root),
    figures,
    lines,
    conditions,
    remarks,
  };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(saved, null, 2)}\n`);
}

function commitOf(root: string): string {
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short=12', 'HEAD')}${changed ? '+' : ''}`;
  } catch {
    return 'unknown';
  }
}
