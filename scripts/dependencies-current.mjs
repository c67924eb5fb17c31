// Exits 0 when node_modules holds what package-lock.json says, 1 when `npm ci` is needed.
// npm writes node_modules/.package-lock.json last, so an interrupted installation counts as none.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const packagesOf = (file) => {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  } catch {
    return {};
  }
};
const wanted = packagesOf('package-lock.json');
const installed = packagesOf('node_modules/.package-lock.json');
const isCurrent = Object.entries(wanted).every(
  ([path, { version, optional }]) =>
    path === '' || installed[path]?.version === version || (optional && !installed[path]),
);
process.exitCode = isCurrent ? 0 : 1;
