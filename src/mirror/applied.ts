import type { ShardPosition } from './types.js';

/** What a standby tells of itself: a field of `{G}:applied`, by its node's name. */
export interface AppliedReport {
  /** Grows with each report: a value that stands still comes from a node that is gone. */
  readonly beat: number;
  readonly config: string;
  readonly eligible: boolean;
  /** By shard. */
  readonly datasets: readonly string[];
  readonly positions: readonly ShardPosition[];
  /** Shards whose history broke here: a new snapshot mends them. */
  readonly broken: readonly number[];
}

export function writeApplied(report: AppliedReport): string {
  return JSON.stringify({
    ...report,
    positions: report.positions.map(({ epoch, sequence }) => `${epoch}-${sequence}`),
  });
}

/** @returns Null for what no standby of this version wrote. */
export function readApplied(text: string): AppliedReport | null {
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    const { beat, config, eligible, datasets, positions, broken } = value;
    if (typeof beat !== 'number' || typeof config !== 'string' || typeof eligible !== 'boolean') return null;
    if (!Array.isArray(datasets) || !Array.isArray(positions) || !Array.isArray(broken)) return null;
    const read = positions.map((item) => /^([0-9]+)-([0-9]+)$/.exec(String(item)));
    if (read.some((match) => match === null)) return null;
    return {
      beat,
      config,
      eligible,
      datasets: datasets.map(String),
      positions: read.map((match) => ({ epoch: Number(match?.[1]), sequence: Number(match?.[2]) })),
      broken: broken.map(Number),
    };
  } catch {
    return null;
  }
}
