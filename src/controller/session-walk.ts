import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { SessionLife } from '../nat/session-table.js';
import { SessionRow } from '../native/records.js';
import type { GatewayController } from './gateway.js';

/** Sessions handed over at a time. Their JSON lines, of 460 bytes each, fit into what a Unix socket takes at once. */
const SLICE_SESSIONS = 384;
/** Rows looked at for them: a table may be nearly empty. */
const SLICE_ROWS = 4096;
/** How often the lcore is looked at until it has been asked for a slice's counters. */
const LOOK_MS = 1;
/** While first packets come, a walk takes one part of the thread's time and leaves so many to them. */
const PARTS_FOR_PACKETS = 6;
/**
 * The same in first packets by session, each of which costs about two: time alone says nothing of a thread that has to
 * wait for its core. Only while others wait, and no longer than so.
 */
const PACKETS_BY_SESSION = 2.5;
const MOST_PAUSE_MS = 20;
/** A slice that took longer was interrupted: the time of others is not the walk's. */
const MOST_WORK_MS = 2;

interface Slice {
  readonly rows: readonly number[];
  /** Row to go on with, -1 at the end. */
  readonly next: number;
  /** Tells whether the lcore has taken what asks for their counters. */
  readonly taken: () => boolean;
}

/**
 * Walks over the live sessions in the order of their rows, in slices between which packets are served. Nothing is
 * copied: a session that opens or ends meanwhile may be met or not, one that lives all the time is met once. Rows that
 * come into use behind the last one there was at the beginning are not walked over: otherwise a walk would not end
 * while sessions open as fast.
 *
 * Counters of a slice's sessions are not older than the walk's arrival there: the lcore is asked for them one slice
 * ahead.
 */
export class SessionWalk {
  /** When whoever got the slice had done with it; NaN: it is still at work. */
  private restsSinceMs = Number.NaN;

  constructor(
    private readonly controller: GatewayController,
    /** False once the gateway is closed: its tables are gone then. */
    private readonly isRunning: () => boolean,
  ) {}

  /** @param first Row to begin with. @returns Rows of sessions that live as they are handed over. */
  async *slices(first: number): AsyncGenerator<readonly number[]> {
    const end = this.controller.engine.sessions.highWater;
    let slice = this.ask(first, end);
    let isFirst = true;
    for (;;) {
      const ahead = slice.next < 0 ? null : this.ask(slice.next, end);
      // The lcore takes what it is asked before it carries it out, some microseconds that a handled slice takes too; for
      // the first one it was asked just now.
      if (isFirst || !slice.taken()) {
        do await pause(LOOK_MS);
        while (this.isRunning() && !slice.taken());
      }
      isFirst = false;
      if (!this.isRunning()) return;
      const begin = performance.now();
      const missesBefore = this.controller.missesHandled;
      this.restsSinceMs = Number.NaN;
      yield slice.rows.filter((row) => this.isLive(row));
      if (ahead === null || !this.isRunning()) return;
      const ended = Number.isNaN(this.restsSinceMs) ? performance.now() : this.restsSinceMs;
      const workMs = Math.min(MOST_WORK_MS, ended - begin);
      await turn();
      if (this.controller.missesHandled !== missesBefore) {
        await pause(workMs * PARTS_FOR_PACKETS);
        const wanted = missesBefore + slice.rows.length * PACKETS_BY_SESSION;
        const giveUpMs = begin + MOST_PAUSE_MS;
        while (this.packetsWait(wanted) && performance.now() < giveUpMs) await pause(LOOK_MS);
      }
      slice = ahead;
    }
  }

  /** The slice is done with: from now on its reader is waited for, which takes nothing from packets. */
  rests(): void {
    this.restsSinceMs = performance.now();
  }

  private packetsWait(wanted: number): boolean {
    const { controller } = this;
    return this.isRunning() && controller.missesHandled < wanted && controller.eventsWaiting > 0;
  }

  private ask(from: number, end: number): Slice {
    const { controller } = this;
    const last = Math.min(end, from + Math.min(SLICE_ROWS, controller.roomForRefresh()));
    const rows: number[] = [];
    let row = from;
    for (; row < last && rows.length < SLICE_SESSIONS; row++) if (this.isLive(row)) rows.push(row);
    controller.refreshCounters(from, row - from);
    // Rows that were never used, or a ring without room: the walk comes here again.
    return { rows, next: row < end ? row : -1, taken: controller.decisionsTaken() };
  }

  /** Both here and at the lcore: what waits to be installed has no counters yet, and its row still those of another. */
  private isLive(row: number): boolean {
    const { engine, rows } = this.controller;
    const { sessions } = engine;
    return (
      sessions.life(row) === SessionLife.live && rows.word(row, SessionRow.generation) === sessions.generation(row)
    );
  }
}
