/** Idle times shorter than this are not worth a sleep: so long events are looked for instead, microseconds. */
const LONGEST_US = 200;
/** Of events that come one after the other. */
export const LONGEST_TURN_MS = 0.5;

export interface EventSource {
  /** Handles what waits. @returns How many events. */
  handleEvents(): number;
  /** Looks for events for so long at most. @returns Whether there are any. */
  awaitEvents(us: number): boolean;
  /** Whether further events are to be handled in the same turn. */
  goesOn(): boolean;
}

/**
 * How long JavaScript looks for events before it sleeps. A thread that sleeps halts its core, and being woken costs the
 * lcore a system call and the first packets the time that the machine takes: tens of microseconds, in a virtual machine
 * now and then milliseconds. So it goes on looking where the next event came soon the last time, and sleeps at once
 * where it did not, as a guest of Linux does before it halts (Documentation/virt/guest-halt-polling.rst): a gateway with
 * little to decide takes no more of its core than before.
 */
export class PollWindow {
  private windowUs = 0;
  /** -1: not idle. (A field that is always a number takes no memory when it is set.) */
  private idleSinceMs = -1;
  private readonly longestUs: number;

  /** @param cpus That the process may run on: on a single one, looking would only keep the lcore from it. */
  constructor(
    cpus: number,
    readonly nowMs: () => number,
  ) {
    this.longestUs = cpus > 1 ? LONGEST_US : 0;
  }

  /** Microseconds to look for events before sleeping; 0: not at all. */
  get us(): number {
    return this.windowUs;
  }

  /** There is nothing to do. */
  idles(): void {
    if (this.idleSinceMs < 0) this.idleSinceMs = this.nowMs();
  }

  /** Events have come. @returns The time, milliseconds. */
  works(): number {
    const now = this.nowMs();
    if (this.idleSinceMs < 0) return now;
    const idleUs = (now - this.idleSinceMs) * 1000;
    this.idleSinceMs = -1;
    this.windowUs = idleUs < LONGEST_US ? this.longestUs : 0;
    return now;
  }

  /**
   * A turn of the event loop: those that come one by one share it, since it takes longer than a first packet and leaves
   * 400 bytes of garbage behind. Timers and sockets, which the event loop looks after between two turns, wait no longer
   * than LONGEST_TURN_MS, or than what has come takes.
   *
   * @returns Whether any came.
   */
  handleForAWhile(source: EventSource): boolean {
    const begin = this.nowMs();
    let busy = false;
    while (source.handleEvents() > 0 || this.awaitEvents(source)) {
      busy = true;
      if (this.works() - begin > LONGEST_TURN_MS || !source.goesOn()) break;
    }
    return busy;
  }

  /** @returns Whether any came, and have been handled. */
  private awaitEvents(source: EventSource): boolean {
    this.idles();
    return this.windowUs > 0 && source.awaitEvents(this.windowUs) && source.handleEvents() > 0;
  }
}
