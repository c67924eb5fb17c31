/**
 * As many run at once whatever the time: two milliseconds of JavaScript, between which first packets have their turns. An
 * lcore with little to do sleeps longer when they come once a second than when they come ten times.
 */
const AT_ONCE = 4096;
/** Part of a second in which its timers run; what is left of it is for those that came late to their turn. */
const SPREAD = 0.8;

/**
 * Spreads session timers over their second: all of a second are due at its begin, and where hundreds of thousands end,
 * first packets would wait behind them for half of it, and find the rings full.
 */
export class TimerPace {
  private second = 0;
  private ofSecond = 0;
  private ran = 0;

  /** @param timersOf About how many are due in a second. */
  constructor(private readonly timersOf: (second: number) => number) {}

  /**
   * @param due Second of the next timer, not after now.
   * @returns How many may run now.
   */
  most(due: number, seconds: number, nanoseconds: number): number {
    if (due < seconds) return Number.POSITIVE_INFINITY;
    if (this.second !== seconds) {
      this.second = seconds;
      this.ofSecond = this.timersOf(seconds);
      this.ran = 0;
    }
    const share = nanoseconds / (SPREAD * 1e9);
    if (share >= 1) return Number.POSITIVE_INFINITY;
    return Math.max(0, AT_ONCE + Math.floor(this.ofSecond * share) - this.ran);
  }

  /** So many have run. */
  note(count: number): void {
    this.ran += count;
  }
}
