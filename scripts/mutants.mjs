// Puts deliberate faults into a copy of the sources, one at a time, and tells which test notices each.
//
//   npm run mutants -- [SET] [--only ID,ID...]      SET: a file test/mutants/SET.json, nat unless given
//
// Exits 1 when a fault survives without a reason in the set, does not build, or its text no longer occurs exactly once.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const TEST_LIMIT_MS = 180_000;
/** The first build of native code is a whole one. */
const BUILD_LIMIT_MS = 900_000;
/** Not copied: node_modules is linked, of build only the binaries are needed. */
const LEFT_OUT = new Set(['node_modules', 'build', '.git']);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'string' } } });
const name = positionals[0] ?? 'nat';
const set = JSON.parse(readFileSync(join(root, 'test/mutants', `${name}.json`), 'utf8'));
const only = values.only?.split(',');
const mutants = set.mutants.filter(({ id }) => only === undefined || only.includes(id));
const unknown = only?.filter((id) => !mutants.some((mutant) => mutant.id === id)) ?? [];
if (unknown.length > 0) {
  process.stderr.write(`${name} has no mutant ${unknown.join(', ')}\n`);
  process.exit(2);
}

// Not below /tmp: EAL loads no plugins from where everyone may write.
mkdirSync(join(root, 'build'), { recursive: true });
const scratch = mkdtempSync(join(root, 'build', 'mutants-'));
let running = null;
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    stop(running);
    process.exit(130);
  });
}

function copyTree() {
  for (const entry of readdirSync(root)) {
    if (!LEFT_OUT.has(entry)) cpSync(join(root, entry), join(scratch, entry), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'));
  const native = join('build', 'native');
  mkdirSync(join(scratch, native), { recursive: true });
  for (const file of readdirSync(join(root, native))) {
    if (/\.(node|so)$/.test(file)) cpSync(join(root, native, file), join(scratch, native, file));
  }
}

/** A command's whole process group: a test runner leaves its workers behind otherwise. */
function stop(child) {
  if (child?.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** @returns 'passed', 'failed' or 'hung', with what the command printed. */
function run(command, limitMs = TEST_LIMIT_MS) {
  return new Promise((resolve) => {
    const child = spawn('bash', ['-c', command], { cwd: scratch, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    running = child;
    let output = '';
    let hung = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output = (output + data).slice(-20_000);
      });
    }
    const limit = setTimeout(() => {
      hung = true;
      stop(child);
    }, limitMs);
    child.on('close', (code) => {
      clearTimeout(limit);
      running = null;
      resolve({ outcome: hung ? 'hung' : code === 0 ? 'passed' : 'failed', output });
    });
  });
}

/** @returns What becomes of one fault: { result, isFine }. */
async function judge({ id, file, find, replace, tests = [], survives }) {
  const path = join(scratch, file);
  const source = readFileSync(path, 'utf8');
  const occurrences = source.split(find).length - 1;
  if (occurrences !== 1) return { id, result: `STALE: its text occurs ${occurrences} times`, isFine: false };
  try {
    writeFileSync(
      path,
      source.replace(find, () => replace),
    );
    if ((await run(set.build, BUILD_LIMIT_MS)).outcome !== 'passed')
      return { id, result: 'DOES NOT BUILD', isFine: false };
    for (const test of [...set.tests, ...tests]) {
      const { outcome } = await run(test);
      if (outcome !== 'passed')
        return { id, result: `${outcome === 'hung' ? 'hung in' : 'killed by'} ${test}`, isFine: true };
    }
    return { id, result: `SURVIVED${survives ? `: ${survives}` : ''}`, isFine: survives !== undefined };
  } finally {
    writeFileSync(path, source);
  }
}

copyTree();
for (const command of [set.build, ...set.tests, ...new Set(mutants.flatMap(({ tests }) => tests ?? []))]) {
  const { outcome, output } = await run(command, command === set.build ? BUILD_LIMIT_MS : TEST_LIMIT_MS);
  if (outcome === 'passed') continue;
  process.stderr.write(`${output}\n${command}: ${outcome} without any fault; nothing can be told\n`);
  process.exit(2);
}
let wrong = 0;
let killed = 0;
for (const mutant of mutants) {
  const { id, result, isFine } = await judge(mutant);
  if (!isFine) wrong++;
  if (/^(killed|hung)/.test(result)) killed++;
  process.stdout.write(`| ${id} | ${result} |\n`);
}
process.stdout.write(`${mutants.length} faults, ${killed} killed, ${wrong} that need a look\n`);
process.exitCode = wrong > 0 ? 1 : 0;
