/**
 * The life of one direction's rule in the NIC. Software serves the direction all the time: only where packets end up
 * first changes. The lcore keeps the state, one byte of the session's row (RulePath); this file says what it may become,
 * and what is done about a refusal.
 *
 *   software   no rule, and none is asked for: the NIC cannot execute it, it has had too few packets, or there is no room
 *   pending    given to the driver; its completion has not come. Packets may hit the rule already
 *   offloaded  the driver has said that the rule is there
 *   failed     the driver has refused it; nicError says why. By that error it is tried again, waits for room, or is left
 *
 *            wanted                    completed
 *   software ──────► pending ───────────────────────► offloaded
 *      ▲                │ refused, or completed badly     │
 *      │                ▼                                 │
 *      │              failed ───── tried again ► pending  │
 *      └──────────────────────── evicted, made anew ──────┘
 *
 * A driver without flow queues answers at once: `pending` is passed through within one call. Removal is one step of the
 * lcore too (counters asked for, rule destroyed), ordered in the flow queue before any later installation: nobody ever
 * sees `removing`. Several steps of one round are seen as one: `failed` becomes `software` when a rule is tried again and
 * evicted in it.
 */
import { RulePath } from '../native/records.js';

const AFTER: Readonly<Record<number, readonly number[]>> = {
  [RulePath.software]: [RulePath.pending, RulePath.offloaded, RulePath.failed],
  [RulePath.pending]: [RulePath.offloaded, RulePath.failed, RulePath.software],
  [RulePath.offloaded]: [RulePath.software, RulePath.pending, RulePath.failed],
  [RulePath.failed]: [RulePath.pending, RulePath.offloaded, RulePath.software],
};

/** Whether a state may follow another; several steps of one round of the lcore are seen as one. */
export function mayFollow(state: number, next: number): boolean {
  return state === next || (AFTER[state]?.includes(next) ?? false);
}

/** What is done about a refusal. */
export type Remedy =
  /** The table is full: others may have to leave first. */
  | 'room'
  /** It may go well another time. */
  | 'retry'
  /** It never will: the direction stays in software. */
  | 'none';

/** Linux: ENOMEM, ENOSPC, EDQUOT. */
const FULL: ReadonlySet<number> = new Set([12, 28, 122]);
/** Linux: EINTR, EIO (all that a failed completion says), EAGAIN, EBUSY, ETIMEDOUT. */
const PASSING: ReadonlySet<number> = new Set([4, 5, 11, 16, 110]);

/** Tries after the first one. */
export const MOST_RETRIES = 4;
const FIRST_RETRY_MS = 500;

/** @param errno Of the refusal, positive. @param tries How often it has been tried again already. */
export function remedyOf(errno: number, tries: number): Remedy {
  if (FULL.has(errno)) return 'room';
  return PASSING.has(errno) && tries < MOST_RETRIES ? 'retry' : 'none';
}

/** Whether a refusal says that the NIC is full. */
export function isFull(errno: number): boolean {
  return FULL.has(errno);
}

/** How long a direction waits before it is tried again; each time twice as long. */
export function retryDelayMs(tries: number): number {
  return FIRST_RETRY_MS * 2 ** tries;
}
