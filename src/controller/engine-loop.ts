import type { ReviewReport } from '../nat/session-review.js';
import type { EngineMessage } from '../nat/shards/messages.js';
import type { GatewayController } from './gateway.js';
import type { EventSource, PollWindow } from './poll-window.js';
import { TimerPace } from './timer-pace.js';

const BURST = 32;
/** Sessions that follow a change of configuration at a time: well under a millisecond, so that first packets hardly wait. */
const REVIEW_SLICE = 1024;

/**
 * What an engine's thread does all its time: it runs while events come, looks for more for a while, and sleeps until the
 * doorbell rings.
 */
export class EngineLoop implements EventSource {
  private readonly pace: TimerPace;
  private running = true;
  private scheduled = false;
  /** While a configuration comes into force in all engines. */
  private standsStill = false;
  /** Events that came before it was in force. */
  private stale = 0;
  /** Called once sessions follow the configuration. */
  private reviewed: ((report: ReviewReport | null) => void)[] = [];
  /** Of others, that the decision ring had no room for. */
  private mail: EngineMessage[] = [];

  /** @param now Gateway clock, [seconds, nanoseconds]. */
  constructor(
    private readonly controller: GatewayController,
    private readonly window: PollWindow,
    private readonly now: () => readonly [number, number],
  ) {
    this.pace = new TimerPace((second) => controller.engine.sessionTimersOf(second));
  }

  get isRunning(): boolean {
    return this.running;
  }

  /** Starts the lcore. @param precedence As Dataplane.start() has it. @returns Whether the two threads may have it. */
  start(precedence: boolean): boolean {
    const has = this.controller.dataplane.start(BURST, () => this.wake(), precedence);
    this.wake();
    return has;
  }

  /** Stops the lcore. Can be called twice. */
  stop(): void {
    this.running = false;
    for (const resolve of this.reviewed.splice(0)) resolve(null);
    this.controller.closeGate();
    this.controller.dataplane.stop();
  }

  /** @returns What became of the sessions once all of them follow the configuration; null when it ends before. */
  review(): Promise<ReviewReport | null> {
    this.wake();
    return new Promise((resolve) => this.reviewed.push(resolve));
  }

  /** Nothing is decided until goOn(): one of several engines is to follow another configuration. */
  standStill(): void {
    this.standsStill = true;
  }

  /** What the dealer of ports has said by the configuration of before is not heard. */
  forgetDealer(): void {
    this.mail = this.mail.filter(({ kind }) => kind !== 'block' && kind !== 'no-block' && kind !== 'give-back');
  }

  /** Packets that came while nothing was decided go back to the lcore: they may be another shard's by now. */
  goOn(): void {
    this.standsStill = false;
    this.stale = this.controller.eventsWaiting;
    this.wake();
  }

  /** One of several is told something; in the order in which it is. */
  receive(message: EngineMessage): void {
    if (!this.running) return;
    if (!this.standsStill && this.mail.length === 0 && this.controller.hasRoomForMail) this.controller.receive(message);
    else {
      this.mail.push(message);
      this.wake();
    }
  }

  /** Runs on the doorbell and while events keep coming; sleeps when the ring stays empty. */
  wake(): void {
    if (this.scheduled || !this.running || this.standsStill) return;
    this.scheduled = true;
    setImmediate(this.turn);
  }

  private readonly turn = (): void => {
    this.scheduled = false;
    if (!this.running || this.standsStill) return;
    if (this.stale > 0) this.stale -= this.controller.handleStale(this.stale);
    if (this.stale > 0) return this.wake();
    // First packets come before everything else of a turn.
    const busy = this.window.handleForAWhile(this);
    const mailWaits = this.mail.length > 0 && this.receiveWaiting();
    const sessionsAreDue = this.runSessionTimers();
    if (this.continueReview() || busy || sessionsAreDue || mailWaits || this.controller.dataplane.armDoorbell())
      this.wake();
  };

  handleEvents(): number {
    return this.controller.handleEvents();
  }

  awaitEvents(us: number): boolean {
    return this.controller.dataplane.awaitEvents(us);
  }

  goesOn(): boolean {
    return this.running && !this.standsStill;
  }

  /** Answers SYNs that have waited long enough, and tries refused rules again. */
  runTimers(): void {
    if (this.standsStill) return;
    const { engine } = this.controller;
    const [seconds, nanoseconds] = this.now();
    for (let waiter = engine.nextWaiter(); waiter !== null; waiter = engine.nextWaiter()) {
      const due =
        waiter.dueSeconds < seconds || (waiter.dueSeconds === seconds && waiter.dueNanoseconds <= nanoseconds);
      if (!due || this.controller.roomForTimers() === 0) break;
      engine.runWaiter();
    }
    this.controller.retryRules(performance.now());
    this.wake();
  }

  /** @returns Whether some still wait. */
  private receiveWaiting(): boolean {
    const { mail, controller } = this;
    let taken = 0;
    while (taken < mail.length && controller.hasRoomForMail) controller.receive(mail[taken++]);
    mail.splice(0, taken);
    return mail.length > 0;
  }

  /** @returns Whether sessions have yet to follow a change of configuration. */
  private continueReview(): boolean {
    if (!this.controller.engine.reviewIsPending) return false;
    const report = this.controller.reviewSessions(REVIEW_SLICE, this.now()[0]);
    if (report === null) return true;
    for (const resolve of this.reviewed.splice(0)) resolve(report);
    return false;
  }

  /**
   * Has sessions that are due end, as many as there is room for, and as it is time for.
   *
   * @returns Whether others can end at once.
   */
  private runSessionTimers(): boolean {
    const { controller, pace } = this;
    const { engine } = controller;
    const due = engine.nextSessionTimer();
    if (due === Number.POSITIVE_INFINITY) return false;
    const [seconds, nanoseconds] = this.now();
    if (due > seconds) return false;
    const most = pace.most(due, seconds, nanoseconds);
    const room = controller.roomForTimers();
    pace.note(engine.runSessionTimers(seconds, Math.min(room, most)));
    // Of those whose time has not come runTimers() will remind, if no events do.
    return most > room && engine.nextSessionTimer() <= seconds;
  }
}
