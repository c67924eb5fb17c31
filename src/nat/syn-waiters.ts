/** An unsolicited inbound SYN that filtering refused: its packet stays held for six seconds (RFC 5382 REQ-4). */
export interface SynWaiter {
  readonly hold: number;
  readonly dueSeconds: number;
  readonly dueNanoseconds: number;
  /** Tuple as received from outside. */
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const WAIT_SECONDS = 6;
const MOST_WAITERS = 256;

/** All wait equally long, so they are due in the order of arrival. */
export class SynWaiters {
  private waiting: SynWaiter[] = [];

  get count(): number {
    return this.waiting.length;
  }

  /** @returns Whether the SYN waits; false when it already does or too many do. */
  add(waiter: Omit<SynWaiter, 'dueSeconds' | 'dueNanoseconds'>, seconds: number, nanoseconds: number): boolean {
    if (this.waiting.length >= MOST_WAITERS) return false;
    if (this.waiting.some((w) => sameTuple(w, waiter))) return false;
    this.waiting.push({ ...waiter, dueSeconds: seconds + WAIT_SECONDS, dueNanoseconds: nanoseconds });
    return true;
  }

  /** Removes the waiter whose tuple an outbound SYN answers. */
  answered(tuple: Pick<SynWaiter, 'source' | 'destination' | 'sourcePort' | 'destinationPort'>): SynWaiter | null {
    const index = this.waiting.findIndex((w) => sameTuple(w, tuple));
    return index < 0 ? null : this.waiting.splice(index, 1)[0];
  }

  first(): SynWaiter | null {
    return this.waiting[0] ?? null;
  }

  takeFirst(): SynWaiter | null {
    return this.waiting.shift() ?? null;
  }
}

function sameTuple(
  a: Pick<SynWaiter, 'source' | 'destination' | 'sourcePort' | 'destinationPort'>,
  b: Pick<SynWaiter, 'source' | 'destination' | 'sourcePort' | 'destinationPort'>,
): boolean {
  return (
    a.source === b.source &&
    a.destination === b.destination &&
    a.sourcePort === b.sourcePort &&
    a.destinationPort === b.destinationPort
  );
}
