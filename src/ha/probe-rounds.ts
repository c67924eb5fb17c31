import type { ProbeResult } from './probe.js';

/** Until the first probe of an epoch has passed, it is repeated at least so often, ms, whatever the settings say. */
const FIRST_RETRY_MS = 1000;

export interface ProbeAccess {
  readonly run: (epoch: number) => Promise<ProbeResult>;
  /** The epoch in which a probe may run now, or null. */
  readonly epoch: () => number | null;
  /** None has passed in this epoch, or the last one has failed. */
  readonly isFirst: () => boolean;
  /** `probe.everyMs`; 0: once one has passed, no more of them. */
  readonly everyMs: () => number;
  readonly saw: (result: ProbeResult, epoch: number) => void;
}

/** When the end-to-end probe runs: one at a time, until it passes, and from then on as often as the settings say. */
export class ProbeRounds {
  private running = false;
  private stopped = false;
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly access: ProbeAccess) {}

  /** After the settings have changed, too. */
  schedule(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const everyMs = this.waitMs();
    if (this.stopped || everyMs === 0) return;
    this.timer = setTimeout(() => void this.run(), everyMs);
  }

  /** Now. Its result counts only if the epoch in which it began lasts. */
  async run(): Promise<void> {
    const { access } = this;
    const epoch = access.epoch();
    if (!this.running && epoch !== null) {
      this.running = true;
      try {
        const result = await access.run(epoch);
        if (access.epoch() === epoch) access.saw(result, epoch);
      } finally {
        this.running = false;
      }
    }
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private waitMs(): number {
    const { access } = this;
    const everyMs = access.everyMs();
    if (access.epoch() === null || !access.isFirst()) return everyMs;
    return everyMs === 0 ? FIRST_RETRY_MS : Math.min(everyMs, FIRST_RETRY_MS);
  }
}
