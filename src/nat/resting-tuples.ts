import type { SessionFacts } from './session-table.js';

/**
 * Ended sessions of address-and-port-dependent mapping: their public endpoint may serve other remotes at once, but the
 * same remote only after the rest (RFC 6888 REQ-8, per destination as RFC 7857 section 3 reuses ports).
 */
export class RestingTuples {
  private readonly untilSeconds = new Map<string, number>();

  /** @param most Tuples that rest at once; beyond that the oldest rests no more. */
  constructor(private readonly most: number) {}

  /** Ends come in the order of time. */
  add(facts: SessionFacts, untilSeconds: number): void {
    const key = keyOf(facts);
    // A Map keeps the order of insertion: the first entry rests longest.
    this.untilSeconds.delete(key);
    if (this.untilSeconds.size >= this.most) this.forgetFirst();
    this.untilSeconds.set(key, untilSeconds);
  }

  /** Whether a session with this translated tuple would come too early. */
  has(facts: SessionFacts, nowSeconds: number): boolean {
    const until = this.untilSeconds.get(keyOf(facts));
    return until !== undefined && until > nowSeconds;
  }

  /** Forgets what has rested enough. */
  expire(nowSeconds: number): void {
    for (const [key, until] of this.untilSeconds) {
      if (until > nowSeconds) return;
      this.untilSeconds.delete(key);
    }
  }

  private forgetFirst(): void {
    for (const key of this.untilSeconds.keys()) {
      this.untilSeconds.delete(key);
      return;
    }
  }
}

function keyOf(f: SessionFacts): string {
  const endpoint = f.translatedSource * 65536 + f.translatedSourcePort;
  const remote = f.translatedDestination * 65536 + f.translatedDestinationPort;
  return `${f.reverseContext} ${f.protocol} ${endpoint} ${remote}`;
}
