// Runs random sequences beside the model: `main.ts [--seconds N] [--seed S] [--sequences N] [--json]`. Exit 1: a fault.
import { parseArgs } from 'node:util';
import { Outcomes } from './outcomes.js';
import { randomScenario, run } from './sequence.js';
import { shrunk } from './shrink.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    sequences: { type: 'string', default: '1000000000' },
    faults: { type: 'string', default: '1' },
  },
});
const seed = Number(values.seed);
const end = Date.now() + Number(values.seconds) * 1000;
const outcomes = new Outcomes();
let sequences = 0;
let packets = 0;
let faults = 0;
for (; sequences < Number(values.sequences) && Date.now() < end && faults < Number(values.faults); sequences++) {
  const scenario = randomScenario(seed + sequences);
  const verdict = run(scenario);
  outcomes.merge(verdict.outcomes);
  packets += verdict.packets;
  if (verdict.fault === null) continue;
  faults++;
  console.log(`seed ${scenario.seed}: ${verdict.fault}\n`);
  const small = shrunk(scenario, 20_000);
  const { fault, log } = run(small);
  console.log(`seed ${scenario.seed}: ${small.operations.length} operations are left\n${log.join('\n')}\n${fault}\n`);
  console.log(`configuration: ${JSON.stringify(small.document)}\n`);
}
for (const [name, count] of [...outcomes.counts].sort()) console.log(`${String(count).padStart(8)}  ${name}`);
console.log(`${sequences} sequences from seed ${seed}, ${packets} packets, ${faults} faults`);
process.exitCode = faults > 0 ? 1 : 0;
