import { readFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';

/** Repetitions of one measurement. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly runs: number;
}

/** A figure, or an object of figures; null where it cannot be measured here. */
export type Figure = number | null | { readonly [key: string]: Figure };

export interface Report {
  readonly name: string;
  /** The keys of the contract, and more. */
  readonly figures: { readonly [key: string]: Figure };
  /** For a reader: what each figure includes. */
  readonly lines: readonly { readonly label: string; readonly value: string; readonly means: string }[];
  readonly conditions: { readonly [key: string]: string | number };
  /** Why a figure is null, or not what it should be. */
  readonly remarks: readonly string[];
  /** Why the command fails all the same; absent when it does not. */
  readonly failure?: string;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, least: sorted[0], most: sorted[sorted.length - 1], runs: sorted.length };
}

/** The figures of spreads: medians under their own names, the extremes under `spread`. */
export function spreads(of: { readonly [key: string]: Spread }): { readonly [key: string]: Figure } {
  const out: { [key: string]: Figure } = {};
  for (const [key, { least, most, runs }] of Object.entries(of)) out[key] = { least, most, runs };
  return out;
}

/** `412k (398k–420k, 3 runs)` */
export function shown({ median, least, most, runs }: Spread, digits = 3): string {
  const range = runs > 1 ? ` (${short(least, digits)}–${short(most, digits)}, ${runs} runs)` : '';
  return `${short(median, digits)}${range}`;
}

export function short(value: number, digits = 3): string {
  for (const [unit, size] of [
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (Math.abs(value) >= size * 10 || (unit === 'M' && Math.abs(value) >= size)) {
      return `${Number((value / size).toPrecision(digits))}${unit}`;
    }
  }
  return String(Number(value.toPrecision(digits)));
}

/** The machine and what runs on it. */
export function machine(): { readonly [key: string]: string | number } {
  const all = cpus();
  const version = (path: string, pattern: RegExp): string => {
    try {
      return pattern.exec(readFileSync(path, 'utf8'))?.[1] ?? 'unknown';
    } catch {
      return 'unknown';
    }
  };
  const dpdk = ['RTE_VER_YEAR', 'RTE_VER_MONTH', 'RTE_VER_MINOR'].map((name) =>
    dpdkBuildConfig().replace(new RegExp(`[^]*#define ${name} (\\d+)[^]*`), '$1'),
  );
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memory: `${(Number(version('/proc/meminfo', /MemTotal:\s+(\d+)/)) / 1048576).toFixed(0)} GiB`,
    kernel: release(),
    node: process.versions.node,
    dpdk: dpdk.every((part) => /^\d+$/.test(part)) ? dpdk.join('.') : 'unknown',
    loadBefore: loadavg()[0].toFixed(2),
  };
}

function dpdkBuildConfig(): string {
  for (const folder of [
    '/usr/include/x86_64-linux-gnu/dpdk',
    '/usr/include/aarch64-linux-gnu/dpdk',
    '/usr/local/include',
  ]) {
    try {
      return readFileSync(`${folder}/rte_build_config.h`, 'utf8');
    } catch {}
  }
  return '';
}

/** The report as a person reads it. */
export function text(report: Report): string {
  const width = Math.max(...report.lines.map(({ label }) => label.length));
  const lines = [`${report.name}`, ''];
  for (const { label, value, means } of report.lines) lines.push(`  ${label.padEnd(width)}  ${value}`, `    ${means}`);
  lines.push(
    '',
    `  ${Object.entries(report.conditions)
      .map(([key, value]) => `${key}: ${value}`)
      .join(', ')}`,
  );
  for (const remark of report.remarks) lines.push(`  ! ${remark}`);
  return lines.join('\n');
}
