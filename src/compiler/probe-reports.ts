import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../config/package-root.js';

/** What a report of `sluice targets --probe` says, as far as a table cites it. */
export interface CitedReport {
  /** Of schemas/target-reports. */
  readonly file: string;
  readonly target: string;
  readonly device: string;
  readonly driver: string;
  readonly dpdk: string;
  readonly tried: number;
  readonly agree: number;
}

const SOFTWARE_NIC = 'net_softflow';

/** Reports of devices, which the tables cite. @throws Error naming the file, on one that is no report or of no NIC */
export function citedReports(folder = join(packageRoot(), 'schemas', 'target-reports')): readonly CitedReport[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => read(folder, file));
}

function read(folder: string, file: string): CitedReport {
  const found = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Readonly<Record<string, unknown>>;
  const { target, device, driver, dpdk, tried, agree } = found;
  const texts = [target, device, driver, dpdk];
  if (!texts.every((text) => typeof text === 'string') || typeof tried !== 'number' || typeof agree !== 'number') {
    throw new Error(`${file}: is no report of sluice targets --probe --format json`);
  }
  if (driver === SOFTWARE_NIC && target !== 'softflow') {
    throw new Error(
      `${file}: net_softflow with a profile is made from the table of ${target}, and proves nothing of it`,
    );
  }
  const [name, at, from, version] = texts as string[];
  return { file, target: name, device: at, driver: from, dpdk: version, tried, agree };
}
