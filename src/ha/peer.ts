import { randomUUID } from 'node:crypto';
import type { PeerMessage } from './peer-link.js';

/** Heartbeats that may be missed before the other gateway counts as gone. */
const MISSED = 3;

/**
 * What is known of the other gateway over the direct way, and the promises that keep roles as they are while Redis is
 * down: the standby promises not to take over for a lease's time, and the active one may speak until shortly before
 * that. The promise is dated from when it was asked for here and from when it was given there, which is later: so the
 * silence comes before the end of the promise, whatever the way takes.
 */
export class Peer {
  private last: PeerMessage | null = null;
  private heardMs = -Infinity;
  private promisedUntilMs = -Infinity;
  private grantedUntilMs = -Infinity;
  private readonly asked = new Map<string, number>();
  /** Of this boot: what was promised to one before it must not look like an answer to this one. */
  private readonly name = randomUUID();
  private tokens = 0;

  constructor(
    private readonly leaseMs: number,
    private readonly marginMs: number,
  ) {}

  heard(message: PeerMessage, nowMs: number): void {
    this.last = message;
    this.heardMs = nowMs;
    const askedMs = this.asked.get(message.promise);
    if (askedMs !== undefined) {
      this.grantedUntilMs = Math.max(this.grantedUntilMs, askedMs + this.leaseMs - this.marginMs);
    }
    for (const [token, atMs] of this.asked) if (nowMs - atMs > this.leaseMs) this.asked.delete(token);
  }

  /** The last message; null: none, or the other gateway is not heard any more. */
  alive(nowMs: number, heartbeatMs: number): PeerMessage | null {
    return nowMs - this.heardMs <= MISSED * heartbeatMs ? this.last : null;
  }

  /** A token to ask for a promise with. */
  ask(nowMs: number): string {
    const token = `${this.name}.${this.tokens++}`;
    this.asked.set(token, nowMs);
    return token;
  }

  /** Until when the other gateway's promise lets this one speak. */
  get speakUntilMs(): number {
    return this.grantedUntilMs;
  }

  /** Promises not to take over for a lease's time. */
  promise(nowMs: number): void {
    this.promisedUntilMs = nowMs + this.leaseMs;
  }

  /** Whether a promise forbids taking over. */
  isBound(nowMs: number): boolean {
    return nowMs < this.promisedUntilMs;
  }

  /** Roles were settled by Redis again: what was granted before counts no more. */
  forget(): void {
    this.grantedUntilMs = -Infinity;
    this.asked.clear();
  }
}
