// One run, in a process of its own: DPDK starts once. Arguments: the NIC's name, the seed, the moments. The last line is JSON.
import { allNics, fewNics } from './nics.js';
import { run } from './run.js';

const [name, seed, moments] = process.argv.slice(2);
const nic = [...fewNics(), ...allNics()].find((one) => one.name === name);
if (nic === undefined) throw new Error(`there is no NIC "${name}"`);
run(nic, Number(seed), Number(moments)).then((verdict) => {
  process.stdout.write(`${JSON.stringify(verdict)}\n`, () => process.exit(0));
});
