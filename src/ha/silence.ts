import type { LeaseRecord } from './lease-store.js';

/**
 * How long the lease's holder has been silent, by this node's own clock.
 *
 * A renewal that was seen at t was carried out by t, and its holder asked for it before: when the record is the same at
 * t + L, the holder's own limit (time of asking + L - margin) has passed. No clock but this node's is in that argument, so
 * a jump of Redis' clock or of the machine's harms nothing. What does harm it is a Redis that goes back in time: a record
 * of an old dump would look as if nothing had come since. So silence counts anew whenever the connection was lost.
 */
export class HolderSilence {
  private seen: LeaseRecord | null = null;
  private sinceMs = 0;

  constructor(private readonly leaseMs: number) {}

  /** @param atMs When the reply came. */
  observed(record: LeaseRecord, atMs: number): void {
    const { seen } = this;
    const same =
      seen !== null && seen.holder === record.holder && seen.epoch === record.epoch && seen.beat === record.beat;
    if (!same) this.sinceMs = atMs;
    this.seen = record;
  }

  /** The connection was lost: what it says now may be another history. */
  interrupted(): void {
    this.seen = null;
  }

  get record(): LeaseRecord | null {
    return this.seen;
  }

  /** Milliseconds; 0 when it cannot be told. */
  silentMs(nowMs: number): number {
    return this.seen === null ? 0 : nowMs - this.sinceMs;
  }

  /** Milliseconds until the holder has been silent for a whole lease; Infinity when it cannot be told. */
  leftMs(nowMs: number): number {
    return this.seen === null ? Infinity : Math.max(0, this.sinceMs + this.leaseMs - nowMs);
  }
}
