import type { Logger } from 'pino';
import type { NatTimeouts } from '../config/types.js';
import type { PortBlock as MirrorBlock, MirrorMode, MirrorWriter, RememberedBlocks } from '../mirror/types.js';
import type { PortBlock } from '../nat/port-gate.js';
import type { PortGrants } from '../nat/port-grants.js';
import { monotonicMs } from './clock.js';

/** How often it is looked whether more blocks are wanted, ms. */
const LOOK_MS = 10;
/** A reservation that Redis has not answered for so long is late: without it ports are given out all the same, as traffic never waits for Redis. */
const LATE_MS = 100;
/** How often ends of quarantine are looked for, ms. */
const LIFT_MS = 1000;
/** Blocks whose ports are looked through at a time: about a millisecond. */
const LOOKED_AT_ONCE = 256;

export interface ReservedPorts {
  readonly grants: PortGrants;
  readonly mode: MirrorMode;
  /** The configuration now. */
  readonly nat: () => { readonly timeouts: NatTimeouts; readonly portReuseDelaySeconds: number };
  /** Blocks as the mirror names them: VPCs by their VNI. Null: the VPC has left the configuration. */
  readonly toMirror: (block: PortBlock) => MirrorBlock | null;
  readonly fromMirror: (block: MirrorBlock) => PortBlock | null;
  readonly log: Logger;
}

export interface PortBlockCounts {
  /** Blocks that ports are given out of. */
  readonly own: number;
  /** Blocks of earlier epochs: ports without a session there are given to nobody. */
  readonly quarantined: number;
  /** Of own, those that are in use although Redis has not acknowledged them. */
  readonly unreserved: number;
}

interface Quarantined {
  readonly block: PortBlock;
  readonly untilMs: number;
  /** It is known whether sessions have ports there. */
  looked: boolean;
}

/**
 * Public ports of the active gateway: reserved in Redis by blocks, ahead of need, in its epoch. Whoever comes after
 * leaves them alone until whatever session may have had one of them without the mirror knowing is over.
 */
export class PortReserve {
  private own = 0;
  private readonly unreserved = new Set<PortBlock>();
  private quarantined: Quarantined[] = [];
  private timer: NodeJS.Timeout | null = null;
  private liftedMs = 0;
  private lifting = false;
  private readonly late = new Set<{ readonly sinceMs: number }>();
  private turn = 0;

  constructor(private readonly ports: ReservedPorts) {}

  /**
   * The first blocks of an epoch, once the mirror is fenced.
   *
   * @param complete Epoch whose sessions are all in the mirror, since it was handed over; 0: none.
   * @param endedMs  When an earlier epoch ended at the latest, by the monotonic clock: quarantine counts from there, so
   *                 that takeovers in quick succession do not prolong what the first of them began.
   * @throws FencedError, ClosedError
   */
  async begin(
    writer: MirrorWriter,
    remembered: RememberedBlocks | null,
    complete: number,
    endedMs: (epoch: number) => number,
  ): Promise<void> {
    this.end();
    const { turn } = this;
    const { grants, fromMirror, log } = this.ports;
    const beganMs = monotonicMs();
    const foreign = (await writer.foreignBlocks(remembered)).flatMap(({ block, epoch }) => {
      const here = fromMirror(block);
      if (here === null) return [];
      return { block: here, untilMs: endedMs(epoch) + this.quarantineMs(here, epoch === complete), looked: false };
    });
    const readMs = monotonicMs() - beganMs;
    if (turn !== this.turn) return;
    this.quarantined = foreign;
    this.liftedMs = -Infinity; // some may be over already
    grants.begin(writer.epoch);
    grants.setForeign(foreign.map(({ block }) => block));
    const first = [...grants.prime(), ...grants.ask()];
    const askedMs = monotonicMs() - beganMs;
    await this.reserve(writer, first);
    if (turn !== this.turn) return;
    const reservedMs = monotonicMs() - beganMs;
    log.debug({ foreign: foreign.length, first: first.length, readMs, askedMs, reservedMs }, 'ports are reserved');
    this.timer = setInterval(() => this.look(writer), LOOK_MS);
    this.timer.unref();
  }

  /** Another gateway decides: what a takeover would have to wait for is made ready. */
  standBy(): void {
    this.end();
    this.ports.grants.prepare();
  }

  end(): void {
    this.turn++;
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.own = 0;
    this.unreserved.clear();
    this.quarantined = [];
    this.late.clear();
    this.lifting = false;
  }

  counts(): PortBlockCounts {
    return { own: this.own, quarantined: this.quarantined.length, unreserved: this.unreserved.size };
  }

  private look(writer: MirrorWriter): void {
    const asked = this.ports.grants.ask();
    if (asked.length > 0) this.reserve(writer, asked).catch(() => undefined); // Fenced or closed: the lease tells.
    this.lend();
    const nowMs = monotonicMs();
    if (nowMs - this.liftedMs < LIFT_MS || this.lifting) return;
    this.liftedMs = nowMs;
    this.lifting = true;
    const { turn } = this;
    this.lift(writer, nowMs)
      .catch(() => undefined)
      .finally(() => {
        if (turn === this.turn) this.lifting = false;
      });
  }

  private async reserve(writer: MirrorWriter, asked: readonly PortBlock[]): Promise<void> {
    const { grants, toMirror, log } = this.ports;
    const { turn } = this;
    const wanted = asked.flatMap((block) => toMirror(block) ?? []);
    const request = { sinceMs: monotonicMs() };
    this.late.add(request);
    const owner = await writer.reserveBlocks(wanted);
    if (turn !== this.turn) return;
    this.late.delete(request);
    if (owner !== null) {
      log.error({ epoch: owner, blocks: asked.length }, 'port blocks are another epoch’s');
      return grants.setForeign(asked);
    }
    for (const block of asked) if (!this.unreserved.delete(block)) this.own++;
    grants.grant(asked);
  }

  /** Ports of blocks that Redis does not answer for, where an address would have none otherwise. */
  private lend(): void {
    const { grants, mode, log } = this.ports;
    if (mode === 'defer-closed') return;
    const nowMs = monotonicMs();
    if (![...this.late].some(({ sinceMs }) => nowMs - sinceMs > LATE_MS)) return;
    const blocks = grants.starving();
    if (blocks.length === 0) return;
    for (const block of blocks) this.unreserved.add(block);
    this.own += blocks.length;
    log.warn({ blocks: blocks.length, unreserved: this.unreserved.size }, 'ports are given out unreserved');
    grants.grant(blocks);
  }

  private async lift(writer: MirrorWriter, nowMs: number): Promise<void> {
    const { grants, toMirror } = this.ports;
    const { turn } = this;
    await this.keepHeld(writer);
    if (turn !== this.turn) return;
    const over = this.quarantined.filter(({ untilMs }) => untilMs <= nowMs).map(({ block }) => block);
    if (over.length === 0) return;
    // Sessions of before still have ports there, and open others beside them: those are this epoch's from now on.
    const held = over.filter((block) => grants.holds(block));
    const empty = over.filter((block) => !held.includes(block));
    await writer.takeBlocks(held.flatMap((block) => toMirror(block) ?? []));
    await writer.releaseBlocks(empty.flatMap((block) => toMirror(block) ?? []));
    if (turn !== this.turn) return;
    this.quarantined = this.quarantined.filter(({ block }) => !over.includes(block));
    this.own += held.length;
    grants.release(over);
    grants.grant(held);
  }

  /**
   * Blocks in which sessions of before go on are used in this epoch: whoever comes after this gateway must count their
   * quarantine from its end and not from theirs.
   */
  private async keepHeld(writer: MirrorWriter): Promise<void> {
    const { grants, toMirror } = this.ports;
    const next = this.quarantined.filter(({ looked }) => !looked).slice(0, LOOKED_AT_ONCE);
    for (const one of next) one.looked = true;
    const held = next.filter(({ block }) => grants.holds(block));
    await writer.takeBlocks(held.flatMap(({ block }) => toMirror(block) ?? []));
  }

  /** As long as a session may last that nothing refreshes, and its port would have rested then. */
  private quarantineMs({ protocol }: PortBlock, isComplete: boolean): number {
    const { timeouts, portReuseDelaySeconds } = this.ports.nat();
    if (isComplete) return portReuseDelaySeconds * 1000;
    const { tcpEstablishedSeconds, tcpTransitorySeconds, udpSeconds, icmpSeconds } = timeouts;
    const tcpSeconds = Math.max(tcpEstablishedSeconds, tcpTransitorySeconds);
    const idleSeconds = protocol === 6 ? tcpSeconds : protocol === 17 ? udpSeconds : icmpSeconds;
    return (idleSeconds + portReuseDelaySeconds) * 1000;
  }
}
