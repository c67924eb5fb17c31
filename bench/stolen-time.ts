import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Of /proc/stat, as of all of Linux's interfaces in ticks (proc(5)): USER_HZ is 100 on every machine that Node runs on. */
const TICK_SECONDS = 0.01;
/** Fields of the line of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal. */
const STEAL = 7;

/** Seconds for which the host ran somebody else on one of the machine's cores, since the machine began. @param stat Text of /proc/stat. */
export function stolenSeconds(stat: string): number {
  const line = /^cpu +(.*)$/m.exec(stat);
  if (line === null) throw new Error('/proc/stat has no line of all CPUs');
  // Kernels before 2.6.11 tell no steal.
  return Number(line[1].split(' ')[STEAL] ?? 0) * TICK_SECONDS;
}

/** How much of a stretch of time the host took away. */
export interface Stretch {
  readonly seconds: number;
  /** Of all cores together. */
  readonly stolenSeconds: number;
}

/** Measures the stretch of time until it is asked. */
export function stretch(): () => Stretch {
  const read = () => stolenSeconds(readFileSync('/proc/stat', 'utf8'));
  const began = performance.now();
  const before = read();
  return () => ({ seconds: (performance.now() - began) / 1000, stolenSeconds: read() - before });
}

/** @returns Share 0..1 of the cores' time that was stolen in all of them. */
export function stolenShare(stretches: readonly Stretch[], cores = cpus().length): number {
  const sum = (of: (one: Stretch) => number) => stretches.reduce((total, one) => total + of(one), 0);
  const seconds = sum((one) => one.seconds);
  return seconds === 0 ? 0 : sum((one) => one.stolenSeconds) / (seconds * cores);
}
