import type { ValidatedConfig } from '../src/config/types.js';
import { type EventSource, PollWindow } from '../src/controller/poll-window.js';
import { DecisionRing, EventRing } from '../src/controller/rings.js';
import { ownCpus } from '../src/native/eal.js';
import { DropReason, MissEvent } from '../src/native/records.js';
import type { Histogram } from './latency.js';
import type { BenchBinding } from './native.js';

/** As many as the gateway takes at a time. */
const TOGETHER = 32;
const LOOK_MS = 5;

export interface PacedWakeupResult {
  /** From when the lcore made the record, and from when it was due, to its answer. */
  readonly made: Histogram;
  readonly due: Histogram;
  /** Found no room in the ring. */
  readonly lost: number;
}

/**
 * Empty wake-ups as a gateway's first packets come: evenly paced whether or not anybody keeps up, through an event ring to
 * this thread, which looks, sleeps and is woken as the gateway's does, and answers each through a decision ring.
 */
export class PacedWakeups implements EventSource {
  private readonly events: EventRing;
  private readonly decisions: DecisionRing;
  private readonly window: PollWindow;
  private running = false;
  private scheduled = false;

  constructor(
    private readonly bench: BenchBinding,
    config: ValidatedConfig,
  ) {
    const rings = bench.pacedRings();
    this.events = new EventRing(rings.events);
    const noSession = () => {
      throw new Error('a wake-up opens no session');
    };
    this.decisions = new DecisionRing(rings.decisions, config, noSession, false);
    this.window = new PollWindow(ownCpus().length, () => performance.now());
  }

  async run(count: number, perSecond: number): Promise<PacedWakeupResult> {
    const { bench } = this;
    this.running = true;
    bench.startPacedWakeups(count, perSecond, () => this.wake());
    this.wake();
    let lost = bench.pacedWakeupsLost();
    while (lost === null) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      lost = bench.pacedWakeupsLost();
    }
    this.running = false;
    return { made: bench.histogram('paced-wakeup'), due: bench.histogram('paced-wakeup-due'), lost };
  }

  /** As EngineLoop wakes. */
  private wake(): void {
    if (this.scheduled || !this.running) return;
    this.scheduled = true;
    setImmediate(this.turn);
  }

  private readonly turn = (): void => {
    this.scheduled = false;
    if (!this.running) return;
    if (this.window.handleForAWhile(this) || this.bench.armPacedWakeups()) this.wake();
  };

  awaitEvents(us: number): boolean {
    return this.bench.awaitPacedWakeups(us);
  }

  goesOn(): boolean {
    return this.running;
  }

  /** Answers what waits. @returns How many. */
  handleEvents(): number {
    const { events, decisions } = this;
    const waiting = events.available();
    for (let done = 0; done < waiting; ) {
      const count = Math.min(TOGETHER, waiting - done);
      decisions.hold();
      for (let i = 0; i < count; i++) {
        decisions.drop(events.words[(events.at(i) + MissEvent.hold) >>> 2], DropReason.local);
      }
      events.release(count);
      decisions.show();
      done += count;
    }
    return waiting;
  }
}
