/** Epochs whose beginning is remembered: of older ones too little is known to tell more than the oldest of these does. */
const MOST_KEPT = 1024;

/** When epochs ended at the latest, as far as this process can tell, by its own monotonic clock. */
export class EpochTimes {
  /** Ascending in both. */
  private readonly seen: { readonly epoch: number; readonly atMs: number }[] = [];

  constructor(private readonly nowMs: () => number) {}

  /** An epoch has begun. */
  see(epoch: number): void {
    const last = this.seen.at(-1);
    if (epoch <= 0 || (last !== undefined && epoch <= last.epoch)) return;
    this.seen.push({ epoch, atMs: this.nowMs() });
    if (this.seen.length > MOST_KEPT) this.seen.shift();
  }

  /** @returns When a later epoch was first seen: its owner had fenced this one. Now, when none was. */
  endedMs(epoch: number): number {
    return this.seen.find((one) => one.epoch > epoch)?.atMs ?? this.nowMs();
  }
}
