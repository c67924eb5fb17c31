import { ealArguments } from '../src/native/eal.js';
import { loadBindings } from './gateways.js';
import type { ResidentResult } from './native.js';
import { shuffled } from './options.js';

const WARM_UP_SECONDS = 0.2;

export interface ResidentOptions {
  /** Rules in the table, in equal parts of eight shapes. */
  readonly count: number;
  readonly hot: number;
  readonly seconds: number;
  readonly runs: number;
  readonly seed: number;
  readonly burst: number;
  readonly bound: boolean;
}

/** Packets a second, by run; `wrong` of those that were checked, and packets that did not come out. */
export interface ResidentRates {
  readonly random: readonly number[];
  readonly hot: readonly number[];
  readonly randomCpu: readonly number[];
  readonly hotCpu: readonly number[];
  readonly wrong: number;
  readonly lost: number;
}

/** One process: net_softflow alone with rules of eight shapes, no gateway; or the bound of it on the same wires. */
export async function residentRates(options: ResidentOptions): Promise<ResidentRates> {
  const { count, hot, seconds, runs, seed, burst, bound } = options;
  const { root, binding, bench } = loadBindings();
  binding.startEal(ealArguments(root, { memoryMb: 256, lcores: 1, pci: [] }));
  const devices = bound ? (['net_shapes0', 'net_shapes1'] as const) : (['net_softflow0', 'net_softflow1'] as const);
  for (const [i, device] of devices.entries()) {
    binding.probeDevice(bound ? device : `${device},wire=net_shapes${i}`);
  }
  if (!bound) bench.installResidentRules({ devices, count });
  const run = (flows: number, time: number): ResidentResult =>
    bench.runResident({ devices, bound, seconds: time, burst, flows, count });
  const rates = { random: [] as number[], hot: [] as number[], randomCpu: [] as number[], hotCpu: [] as number[] };
  let wrong = 0;
  let lost = 0;
  const kinds = Array.from({ length: runs * 2 }, (_, i) => (i % 2 === 0 ? ('random' as const) : ('hot' as const)));
  for (const kind of shuffled(kinds, seed)) {
    const flows = kind === 'hot' ? hot : count;
    run(flows, WARM_UP_SECONDS);
    const result = run(flows, seconds);
    rates[kind].push(result.packets / result.seconds);
    rates[`${kind}Cpu`].push(result.packets / result.cpuSeconds);
    wrong += result.wrong;
    lost += result.emitted - result.packets;
  }
  return { ...rates, wrong, lost };
}
