// Adds to package-lock.json the optional packages of other platforms that npm left out; `--check` only tells.
//
// npm leaves them out when the registry at hand does not serve them, and `npm ci` then refuses the file everywhere
// ("Missing: … from lock file", https://github.com/npm/cli/issues/4828). They are never installed here: os, cpu and
// libc, which their names tell, keep npm from it. Run after `npm install`.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const file = join(dirname(fileURLToPath(import.meta.url)), '../package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));
const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const CPU = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];
const LIBC = { musl: 'musl', gnu: 'glibc', glibc: 'glibc', gnueabihf: 'glibc', musleabihf: 'musl' };

const added = [];
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`${path}/node_modules/${name}`] || lock.packages[`node_modules/${name}`]) continue;
    const words = name.split(/[-/]/);
    const os = words.find((word) => OS.includes(word));
    const cpu = words.find((word) => CPU.includes(word));
    const libc = words.map((word) => LIBC[word]).find(Boolean);
    if (!/^\d/.test(version) || (!os && cpu !== 'wasm32'))
      throw new Error(`${name}@${version} of ${path}: which platform?`);
    lock.packages[`node_modules/${name}`] = {
      version,
      ...(cpu && { cpu: [cpu] }),
      ...(entry.dev && { dev: true }),
      ...(libc && { libc: [libc] }),
      optional: true,
      ...(os && { os: [os] }),
    };
    added.push(name);
  }
}
if (process.argv.includes('--check')) {
  for (const name of added)
    process.stderr.write(`package-lock.json lacks ${name}: run node scripts/complete-lock.mjs\n`);
  process.exitCode = added.length > 0 ? 1 : 0;
} else if (added.length > 0) {
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
