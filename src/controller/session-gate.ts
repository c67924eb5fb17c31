import { Decision as D, DropReason, NO_HOLD, RING_SLOT_BYTES } from '../native/records.js';

const SLOT_WORDS = RING_SLOT_BYTES / 4;
/** First packets that wait at most; more are let go or refused as if their time were over. */
const MOST_WAITING = 4096;
/** Room that is left in the decision ring for everything else. */
const ROOM = 256;
/** How often it is looked whose time is over while any wait, ms. */
const LOOK_MS = 2;

/** The way to the lcore, past the gate. */
export interface GatedRing {
  free(): number;
  append(decision: Int32Array): void;
  drop(hold: number, reason: DropReason): void;
}

/** Who says when a first packet may go. */
export interface GateKeeper {
  /** How long a first packet waits at most, ms. */
  readonly patienceMs: number;
  /** Whether a packet whose time is over goes all the same. */
  readonly letsGo: boolean;
}

interface Waiting {
  readonly row: number;
  readonly generation: number;
  readonly hold: number;
  readonly untilMs: number;
  readonly decision: Int32Array;
}

/**
 * Where new sessions wait until somebody else knows of them: the decision to install a session, with its first packet,
 * is kept here and goes on to the lcore later. Packets of the same flow meanwhile queue behind the first in the slow
 * path. Whatever else is decided about such a session first lets it be installed, without its packet.
 */
export class SessionGate {
  private keeper: GateKeeper | null = null;
  /** By row, the longest waiting first. */
  private readonly waiting = new Map<number, Waiting>();
  /** May go, as soon as the ring has room. */
  private ready: Waiting[] = [];
  private timer: NodeJS.Timeout | null = null;

  /**
   * @param refused Told of a session that is not installed: its packet has been dropped.
   * @param nowMs   Of a monotonic clock.
   */
  constructor(
    private readonly ring: GatedRing,
    private readonly refused: (row: number, generation: number) => void,
    private readonly nowMs: () => number,
  ) {}

  get count(): number {
    return this.waiting.size + this.ready.length;
  }

  /** From now on first packets wait; null: they do not, and those that do are dropped. */
  keepBy(keeper: GateKeeper | null): void {
    this.keeper = keeper;
    for (const row of [...this.waiting.keys()]) this.settle(row);
  }

  /**
   * @param words Of the ring. @param at First word of the decision, which the ring has not been given yet.
   * @returns Whether it waits here, or has been refused; false: it goes at once.
   */
  take(words: Int32Array, at: number): boolean {
    const { keeper } = this;
    const hold = words[at + D.hold / 4] >>> 0;
    if (keeper === null || hold === NO_HOLD) return false;
    const row = words[at + D.row / 4];
    const generation = words[at + D.generation / 4] >>> 0;
    const isFull = this.count >= MOST_WAITING;
    if (isFull && keeper.letsGo) return false;
    const decision = words.slice(at, at + SLOT_WORDS);
    const untilMs = isFull ? 0 : this.nowMs() + keeper.patienceMs;
    this.waiting.set(row, { row, generation, hold, untilMs, decision });
    this.timer ??= setInterval(() => this.look(), LOOK_MS);
    return true;
  }

  /** Whoever was waited for knows of the session. */
  admit(row: number, generation: number): void {
    const found = this.waiting.get(row);
    if (found === undefined || found.generation !== generation) return;
    this.waiting.delete(row);
    this.ready.push(found);
    this.flush();
  }

  /** Something else is decided about the row: its session is installed first. */
  settle(row: number): void {
    const found = this.waiting.get(row) ?? this.ready.find((one) => one.row === row);
    if (found === undefined) return;
    this.waiting.delete(row);
    this.ready = this.ready.filter((one) => one !== found);
    this.ring.drop(found.hold, DropReason.notMirrored);
    found.decision[D.hold / 4] = NO_HOLD;
    this.ring.append(found.decision);
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private look(): void {
    const nowMs = this.nowMs();
    for (const one of this.waiting.values()) {
      // A full gate refuses what comes last at once, but in its turn: all that is older has waited longer.
      if (one.untilMs > nowMs) break;
      if (this.ring.free() < ROOM) break;
      this.waiting.delete(one.row);
      if (this.keeper?.letsGo === true) this.ready.push(one);
      else this.refuse(one);
    }
    this.flush();
    if (this.count === 0) this.close();
  }

  private refuse({ row, generation, hold }: Waiting): void {
    this.ring.drop(hold, DropReason.notMirrored);
    this.refused(row, generation);
  }

  private flush(): void {
    let sent = 0;
    while (sent < this.ready.length && this.ring.free() >= ROOM) this.ring.append(this.ready[sent++].decision);
    if (sent > 0) this.ready = this.ready.slice(sent);
  }
}
