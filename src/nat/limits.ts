/** New sessions a second of one VPC: a token bucket one second deep that starts full. */
export class RateLimit {
  private tokens: number;
  private lastMs = 0;

  /** Whether any number of them may be opened. */
  readonly isUnlimited: boolean;

  constructor(readonly perSecond: number) {
    this.isUnlimited = perSecond === Number.POSITIVE_INFINITY;
    this.tokens = perSecond;
  }

  /** @returns Whether a session may be opened; it costs nothing yet. */
  allows(nowMs: number): boolean {
    if (this.isUnlimited === true) return true;
    if (nowMs > this.lastMs) {
      this.tokens = Math.min(this.perSecond, this.tokens + ((nowMs - this.lastMs) / 1000) * this.perSecond);
      this.lastMs = nowMs;
    }
    return this.tokens >= 1;
  }

  spend(): void {
    if (this.isUnlimited !== true) this.tokens -= 1;
  }
}

/** Hosts that were told of a refusal less than a second ago: at most one ICMP code 13 a second and host. */
export class RefusalLimit {
  private readonly lastMs = new Map<number, number>();

  /** @param host VPC * 2^32 + address. @returns Whether the host may be told now; then the second starts. */
  allows(host: number, nowMs: number): boolean {
    const last = this.lastMs.get(host);
    if (last !== undefined && nowMs - last < 1000) return false;
    this.forgetOld(nowMs);
    // With 4096 hosts told within one second, further ones are refused in silence: memory stays bounded.
    if (this.lastMs.size >= 4096) return false;
    this.lastMs.set(host, nowMs);
    return true;
  }

  /** Entries stand in the order of time, since one that is too old is forgotten before it comes again. */
  private forgetOld(nowMs: number): void {
    for (const [host, ms] of this.lastMs) {
      if (nowMs - ms < 1000) return;
      this.lastMs.delete(host);
    }
  }
}
