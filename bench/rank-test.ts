import { short, spread } from './report.js';

/** Fewer runs of a kind than this tell nothing apart: of 3 and 3, even the clearest order comes by chance once in ten times. */
export const FEWEST_RUNS = 5;
const SIGNIFICANCE = 0.05;

/**
 * The Mann-Whitney test, two-sided and exact (H. B. Mann, D. R. Whitney, 1947), ties by midranks.
 *
 * @returns How often values that differ by chance alone lie as far apart as these, 0..1: the share of all ways of dealing
 *          the values to groups of these sizes in which the first one's ranks sum up to something at least as unusual.
 */
export function rankTest(a: readonly number[], b: readonly number[]): number {
  const all = [...a, ...b];
  // Twice the midrank, so that it is whole: those below, and those that are not above.
  const ranks = all.map(
    (value) => all.filter((one) => one < value).length + all.filter((one) => one <= value).length + 1,
  );
  const sumOf = (some: readonly number[]) => some.reduce((sum, rank) => sum + rank, 0);
  const mean = (sumOf(ranks) * a.length) / all.length;
  const observed = Math.abs(sumOf(ranks.slice(0, a.length)) - mean);
  /** By size and sum of ranks: how many choices of the values looked at so far. */
  let ways: Map<number, number>[] = [new Map([[0, 1]]), ...a.map(() => new Map<number, number>())];
  for (const rank of ranks) {
    ways = ways.map((bySum, size) => {
      const next = new Map(bySum);
      for (const [sum, count] of size > 0 ? ways[size - 1] : [])
        next.set(sum + rank, (next.get(sum + rank) ?? 0) + count);
      return next;
    });
  }
  let unusual = 0;
  let total = 0;
  for (const [sum, count] of ways[a.length]) {
    total += count;
    if (Math.abs(sum - mean) >= observed - 1e-9) unusual += count;
  }
  return unusual / total;
}

/** Runs of one kind beside runs of another, the reference. */
export interface Comparison {
  /** Of the medians, first less reference. */
  readonly difference: number;
  /** Between the least and the most run of the reference. */
  readonly noise: number;
  /** See rankTest(). */
  readonly p: number;
  /** Neither told apart by the test nor farther apart than the reference from itself; null: not to be judged. */
  readonly isWithinNoise: boolean | null;
}

export function compare(runs: readonly number[], reference: readonly number[]): Comparison {
  const { median, least, most } = spread(reference);
  const difference = spread(runs).median - median;
  const noise = most - least;
  const p = rankTest(runs, reference);
  const isEnough = Math.min(runs.length, reference.length) >= FEWEST_RUNS;
  return { difference, noise, p, isWithinNoise: isEnough ? p >= SIGNIFICANCE && Math.abs(difference) <= noise : null };
}

/** `equal within noise (+0.1; off's runs lie 0.9 apart; rank test p 0.42)` */
export function verdict({ difference, noise, p, isWithinNoise }: Comparison, reference: string): string {
  const said = isWithinNoise === null ? 'not judged' : isWithinNoise ? 'equal within noise' : 'not equal';
  const sign = difference < 0 ? '−' : '+';
  return `${said} (${sign}${short(Math.abs(difference))}; runs of ${reference} lie ${short(noise)} apart; rank test p ${p.toFixed(2)})`;
}
