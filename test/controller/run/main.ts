// Random operations on gateways with software NICs of every kind, each run in a process of its own. See README.md.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { allNics, fewNics } from './nics.js';
import type { Verdict } from './run.js';

const { values } = parseArgs({
  options: {
    /** First seed; each round over the NICs has the next. */
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    /** Rounds over the NICs at most. */
    rounds: { type: 'string', default: '1000000000' },
    /** `few`: those with limits of their own, and two profiles. `all`: every profile with every fault. */
    nics: { type: 'string', default: 'few' },
    /** One NIC by its name. */
    nic: { type: 'string' },
    /** Quiet moments of a run, at each of which it is judged. */
    moments: { type: 'string', default: '4' },
    /** Fail when something that can happen did not. */
    'all-outcomes': { type: 'boolean', default: false },
  },
});

/** Changes of state that happen somewhere; rule-states.ts. */
const TRANSITIONS = [
  ...['software>pending', 'software>offloaded', 'software>failed'],
  ...['pending>offloaded', 'pending>failed', 'pending>software'],
  ...['offloaded>software', 'offloaded>pending', 'offloaded>failed'],
  // And failed>software, by a try and an eviction in one round: seldom.
  ...['failed>pending', 'failed>offloaded'],
];

function one(nic: string, seed: number): Promise<Verdict> {
  const script = [join(__dirname, '../../model/typescript.cjs'), join(__dirname, 'one.ts')];
  return new Promise((resolve) => {
    const given = ['--require', ...script, nic, String(seed), values.moments];
    execFile(process.execPath, given, { timeout: 120_000 }, (error, stdout, stderr) => {
      const last = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (error === null && last.startsWith('{')) return resolve(JSON.parse(last));
      const ended = `the process ended: ${error?.message ?? ''}\n${stderr.slice(-3000)}`;
      resolve({ nic, seed, faults: [ended], ...NOTHING });
    });
  });
}

const NOTHING = {
  meddled: 0,
  lost: 0,
  operations: 0,
  mostOffloaded: 0,
  transitions: {},
  evictions: 0,
  retries: 0,
  refusals: {},
};

function add(sums: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + count;
}

async function main(): Promise<number> {
  const all = values.nics === 'all' ? allNics() : fewNics();
  const nics = values.nic === undefined ? all : [...fewNics(), ...allNics()].filter(({ name }) => name === values.nic);
  const end = Date.now() + Number(values.seconds) * 1000;
  const transitions: Record<string, number> = Object.fromEntries(TRANSITIONS.map((name) => [name, 0]));
  const happened: Record<string, number> = {
    operations: 0,
    evictions: 0,
    retries: 0,
    'refused -28': 0,
    'refused -5': 0,
  };
  const offloading = new Set<string>();
  let runs = 0;
  let faulty = 0;
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { name } of new Map(nics.map((nic) => [nic.name, nic])).values()) {
      if (Date.now() > end && round > 0) break;
      const verdict = await one(name, Number(values.seed) + round);
      runs++;
      if (verdict.mostOffloaded > 0) offloading.add(name);
      add(transitions, verdict.transitions);
      const { operations, evictions, retries, meddled, lost } = verdict;
      add(happened, { operations, evictions, retries, meddled, lost });
      add(
        happened,
        Object.fromEntries(Object.entries(verdict.refusals).map(([no, count]) => [`refused ${no}`, count])),
      );
      if (verdict.faults.length === 0) continue;
      faulty++;
      console.log(`${name}, seed ${verdict.seed}:\n  ${verdict.faults.join('\n  ')}`);
      console.log(`again: scripts/controller-runs.sh --nic '${name}' --seed ${verdict.seed} --rounds 1\n`);
    }
    if (Date.now() > end) break;
  }
  for (const [name, count] of Object.entries({ ...transitions, ...happened }))
    console.log(`${name.padEnd(20)} ${count}`);
  const missing = Object.entries({ ...transitions, ...happened }).flatMap(([name, count]) =>
    count === 0 ? [name] : [],
  );
  for (const name of missing) console.log(`never happened: ${name}`);
  console.log(`${runs} runs on ${nics.length} NICs, ${offloading.size} of which took rules; ${faulty} with faults`);
  return faulty > 0 || (values['all-outcomes'] && missing.length > 0) ? 1 : 0;
}

main().then((code) => {
  process.exitCode = code;
});
