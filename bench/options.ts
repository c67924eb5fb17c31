/** What the command line gives every bench. */
export interface BenchOptions {
  /** Sessions in the table while it is measured. */
  readonly resident: number;
  /** New flows that one run of `setup` makes. */
  readonly flows: number;
  readonly runs: number;
  /** Seconds of one measurement of steady traffic. */
  readonly seconds: number;
  readonly seed: number;
  /** Packets received at once from a port. */
  readonly burst: number;
  /** First packets on their way at most, where the rate is sought. */
  readonly window: number;
  /** Longer runs, more of them, and what takes many minutes. */
  readonly full: boolean;
  /** `setup`: of so many shards, beside fewer; null: of the gateway without any. */
  readonly shards: number | null;
  /** `instructions`: the figures become the baseline. */
  readonly update: boolean;
}

/** Order of the runs: drawn, so that a machine that changes with time does not favour one kind. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const out = [...items];
  let state = (seed | 0) ^ 0x9e3779b9;
  for (let i = out.length - 1; i > 0; i--) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39;
    const j = (state >>> 0) % (i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
