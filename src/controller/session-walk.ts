import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { SessionLife } from '../nat/session-table.js';
import type { GatewayController } from './gateway.js';

/** Rows asked for at a time: their queries fit into the rings beside those of timers. */
const SLICE_ROWS = 512;
/** How often the lcore is looked at until it has taken a slice's queries. */
const LOOK_MS = 1;
/** While first packets come, a walk takes one part of the thread's time and leaves so many to them. */
const PARTS_FOR_PACKETS = 4;

interface Slice {
  readonly rows: readonly number[];
  /** Row to go on with, -1 at the end. */
  readonly next: number;
  /** Tells whether the lcore has taken the queries. */
  readonly taken: () => boolean;
}

/**
 * Walks over the live sessions in the order of their rows, in slices between which packets are served. Nothing is
 * copied: a session that opens or ends meanwhile may be met or not, one that lives all the time is met once.
 *
 * Counters of a slice's sessions are not older than the walk's arrival there: the lcore is asked for them one slice
 * ahead.
 */
export class SessionWalk {
  constructor(
    private readonly controller: GatewayController,
    /** False once the gateway is closed: its tables are gone then. */
    private readonly isRunning: () => boolean,
  ) {}

  /** @param first Row to begin with. @returns Rows of sessions that live as they are handed over. */
  async *slices(first: number): AsyncGenerator<readonly number[]> {
    let slice = this.ask(first);
    let isFirst = true;
    for (;;) {
      const ahead = slice.next < 0 ? null : this.ask(slice.next);
      // The lcore takes queries before it carries them out, some microseconds that a handled slice takes too; the first
      // one was asked for just now.
      if (isFirst || !slice.taken()) {
        do await pause(LOOK_MS);
        while (this.isRunning() && !slice.taken());
      }
      isFirst = false;
      if (!this.isRunning()) return;
      const begin = performance.now();
      const missesBefore = this.controller.missesHandled;
      yield slice.rows.filter((row) => this.controller.engine.sessions.life(row) === SessionLife.live);
      if (ahead === null || !this.isRunning()) return;
      const workMs = performance.now() - begin;
      await turn();
      if (this.controller.missesHandled !== missesBefore) await pause(workMs * PARTS_FOR_PACKETS);
      slice = ahead;
    }
  }

  private ask(from: number): Slice {
    const { sessions } = this.controller.engine;
    const most = Math.min(SLICE_ROWS, this.controller.roomForTimers());
    const rows: number[] = [];
    let row = from;
    for (; row < sessions.highWater && rows.length < most; row++) {
      if (sessions.life(row) !== SessionLife.live) continue;
      this.controller.query(row);
      rows.push(row);
    }
    // Rows that were never used, or a ring without room: the walk comes here again.
    return { rows, next: row < sessions.highWater ? row : -1, taken: this.controller.decisionsTaken() };
  }
}
