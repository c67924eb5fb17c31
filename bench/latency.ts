/** Durations as pairs of [microseconds not exceeded, how many], ascending. Relative error below 1/64. */
export type Histogram = readonly number[];

export const SHARES = { p50: 0.5, p99: 0.99, p999: 0.999, p9999: 0.9999 } as const;
export type Percentiles = Readonly<Record<keyof typeof SHARES, number>>;

/** One histogram of all. */
export function merged(histograms: readonly Histogram[]): Histogram {
  const counts = new Map<number, number>();
  for (const histogram of histograms) {
    for (let i = 0; i < histogram.length; i += 2) {
      counts.set(histogram[i], (counts.get(histogram[i]) ?? 0) + histogram[i + 1]);
    }
  }
  return [...counts].sort(([a], [b]) => a - b).flat();
}

export function total(histogram: Histogram): number {
  let sum = 0;
  for (let i = 1; i < histogram.length; i += 2) sum += histogram[i];
  return sum;
}

/** Microseconds that a share 0..1 of the durations do not exceed; 0 of none. */
export function quantile(histogram: Histogram, share: number): number {
  const rank = Math.max(1, Math.round(share * total(histogram)));
  let seen = 0;
  for (let i = 0; i < histogram.length; i += 2) {
    seen += histogram[i + 1];
    if (seen >= rank) return histogram[i];
  }
  return 0;
}

export function percentiles(histogram: Histogram): Percentiles {
  const at = (share: number) => Number(quantile(histogram, share).toPrecision(4));
  return { p50: at(SHARES.p50), p99: at(SHARES.p99), p999: at(SHARES.p999), p9999: at(SHARES.p9999) };
}

export function longest(histogram: Histogram): number {
  return histogram.length === 0 ? 0 : histogram[histogram.length - 2];
}
