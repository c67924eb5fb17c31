import { DropReasonNames } from '../native/records.js';

/** Seconds that can be looked back. */
export const HISTORY_SECONDS = 300;

/** Drop counters of each of the last seconds, so that what was dropped lately can be told from what ever was. */
export class DropHistory {
  private readonly samples = new Float64Array((HISTORY_SECONDS + 1) * DropReasonNames.length);
  private readonly times = new Float64Array(HISTORY_SECONDS + 1).fill(Number.NEGATIVE_INFINITY);
  private next = 0;

  /** Takes the counters, once a second. @param nowMs Gateway clock. @param drops By DropReason. */
  sample(nowMs: number, drops: readonly number[]): void {
    this.times[this.next] = nowMs;
    this.samples.set(drops, this.next * DropReasonNames.length);
    this.next = (this.next + 1) % this.times.length;
  }

  /**
   * @param drops Counters now. @param seconds 1..HISTORY_SECONDS.
   * @returns By DropReason what was dropped since, and since when: later than asked for if the history is shorter.
   */
  since(nowMs: number, drops: readonly number[], seconds: number): { sinceMs: number; drops: readonly number[] } {
    const wanted = nowMs - seconds * 1000;
    // The youngest sample that is old enough; else the oldest one.
    let best = -1;
    for (let i = 0; i < this.times.length; i++) {
      if (this.times[i] === Number.NEGATIVE_INFINITY) continue;
      if (best < 0) best = i;
      else if (this.times[best] <= wanted)
        best = this.times[i] <= wanted && this.times[i] > this.times[best] ? i : best;
      else if (this.times[i] < this.times[best]) best = i;
    }
    if (best < 0) return { sinceMs: nowMs, drops: drops.map(() => 0) };
    const at = best * DropReasonNames.length;
    return { sinceMs: this.times[best], drops: drops.map((count, reason) => count - this.samples[at + reason]) };
  }
}
