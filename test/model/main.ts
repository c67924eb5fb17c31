// Random sequences of packets through the gateway, beside the model. See README.md in this folder.
import { parseArgs } from 'node:util';
import { KNOWN } from './known.js';
import { Outcomes } from './outcomes.js';
import { randomScenario, run, type Scenario } from './sequence.js';
import { shrunk } from './shrink.js';

const { values } = parseArgs({
  options: {
    /** First seed; each sequence has the next. */
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '30' },
    sequences: { type: 'string', default: '1000000000' },
    /** Faults after which the run ends. */
    faults: { type: 'string', default: '1' },
    /** How long a failing sequence is made shorter, seconds. */
    shrink: { type: 'string', default: '20' },
    /** Of the gateway under test; a list goes by turns: 2,4. */
    shards: { type: 'string', default: '1' },
    /** Fail when a class of outcome did not occur. */
    'all-outcomes': { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);
const shards = values.shards.split(',').map(Number);
const end = Date.now() + Number(values.seconds) * 1000;
const outcomes = new Outcomes();
let sequences = 0;
let packets = 0;
let faults = 0;
for (; sequences < Number(values.sequences) && Date.now() < end && faults < Number(values.faults); sequences++) {
  const scenario = randomScenario(seed + sequences, shards[sequences % shards.length]);
  const verdict = run(scenario);
  outcomes.merge(verdict.outcomes);
  packets += verdict.packets;
  if (verdict.fault === null) continue;
  faults++;
  console.log(`seed ${scenario.seed}: ${verdict.fault}\n`);
  report(shrunk(scenario, Number(values.shrink) * 1000));
}

const missing = values['all-outcomes'] && faults === 0 ? outcomes.missing(Math.max(...shards)) : [];
console.log(outcomes.table());
const open = Object.entries(KNOWN).flatMap(([name, state]) => (state === 'open' ? [name] : []));
if (open.length > 0) console.log(`known faults that the model follows: ${open.join(', ')} (test/model/known.ts)`);
for (const name of missing) console.log(`never occurred: ${name}`);
console.log(`${sequences} sequences from seed ${seed}, ${packets} packets, ${faults} faults`);
process.exitCode = faults > 0 || missing.length > 0 ? 1 : 0;

/** A failing sequence as short as it could be made, what it does, and how to run the long one again. */
function report(scenario: Scenario): void {
  const { fault, log } = run(scenario);
  console.log(
    `${scenario.operations.length} operations are left of seed ${scenario.seed}:\n${log.join('\n')}\n${fault}\n`,
  );
  console.log(`configuration: ${JSON.stringify(scenario.document)}`);
  console.log(`again: scripts/model.sh --seed ${scenario.seed} --sequences 1 --shards ${scenario.shards}\n`);
}
