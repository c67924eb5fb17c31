import { retryDelayMs } from './rule-states.js';

/** Sessions that can wait for another try; beyond it they stay in software. */
const MOST = 65_536;

/** Nothing was heard of a try for so long: it went well. */
const HELD_MS = 60_000;

interface Waiting {
  readonly generation: number;
  readonly tries: number;
  /** Infinity: it has been tried, and what came of it is not known. */
  dueMs: number;
  triedMs: number;
}

/** Sessions whose rules a NIC refused for a reason that may pass. */
export class RuleRetries {
  private readonly byRow = new Map<number, Waiting>();

  /** How often the session has been tried again. */
  tries(row: number, generation: number): number {
    const waiting = this.byRow.get(row);
    return waiting?.generation === generation ? waiting.tries : 0;
  }

  /** A try has failed: there will be another one. Both directions of a session are tried together. */
  add(row: number, generation: number, nowMs: number): void {
    const waiting = this.byRow.get(row);
    if (waiting?.generation === generation && waiting.dueMs !== Number.POSITIVE_INFINITY) return;
    if (waiting === undefined && this.byRow.size >= MOST) return;
    const tries = this.tries(row, generation);
    this.byRow.set(row, { generation, tries: tries + 1, dueMs: nowMs + retryDelayMs(tries), triedMs: 0 });
  }

  forget(row: number): void {
    if (this.byRow.size > 0) this.byRow.delete(row);
  }

  /** Calls `again` for sessions whose time has come, at most `most`. */
  run(nowMs: number, most: number, again: (row: number, generation: number) => void): void {
    let left = most;
    for (const [row, waiting] of this.byRow) {
      if (left === 0) return;
      if (waiting.dueMs > nowMs) {
        if (waiting.dueMs === Number.POSITIVE_INFINITY && nowMs - waiting.triedMs > HELD_MS) this.byRow.delete(row);
        continue;
      }
      left--;
      waiting.dueMs = Number.POSITIVE_INFINITY;
      waiting.triedMs = nowMs;
      again(row, waiting.generation);
    }
  }
}
