import { Fate, type ReviewCause, type SessionJudge } from './session-judge.js';
import { SessionLife, type SessionTable } from './session-table.js';

/** What a change of configuration did to the sessions there were. */
export interface ReviewReport {
  /** Sessions that live on, with those updated. */
  kept: number;
  /** Sessions whose way changed: their rules were made anew. */
  updated: number;
  ended: number;
}

interface Review {
  /** Row to go on with. */
  next: number;
  readonly cause: ReviewCause;
  readonly report: ReviewReport;
}

const NOTHING_REVIEWED: ReviewReport = { kept: 0, updated: 0, ended: 0 };

/** The walk over all sessions that follows a change, in portions between which packets are served. */
export class SessionReview {
  /** Null while nothing has changed that sessions do not know. */
  private review: Review | null = null;

  constructor(private readonly sessions: SessionTable) {}

  get isPending(): boolean {
    return this.review !== null;
  }

  begin(cause: ReviewCause): void {
    // Sessions that the last walk did not reach have missed its change too: all ways may differ.
    const both = this.review !== null;
    this.review = {
      next: 0,
      cause: both ? { previous: null, neighbour: null } : cause,
      report: { kept: 0, updated: 0, ended: 0 },
    };
  }

  /**
   * @param most  Rows to look at.
   * @param carry Carries a live session's fate out.
   * @returns What became of all sessions once none is left, null while some are.
   */
  run(judge: SessionJudge, most: number, carry: (row: number, fate: number) => void): ReviewReport | null {
    const { review, sessions } = this;
    if (review === null) return NOTHING_REVIEWED;
    const { report } = review;
    const end = Math.min(review.next + most, sessions.highWater);
    for (; review.next < end; review.next++) {
      const row = review.next;
      if (sessions.life(row) !== SessionLife.live) continue;
      const fate = judge.judge(row, review.cause);
      if (fate === Fate.end) report.ended++;
      else report.kept++;
      if (fate === Fate.update) report.updated++;
      carry(row, fate);
    }
    if (review.next < sessions.highWater) return null;
    this.review = null;
    return report;
  }
}
