import type { Logger } from 'pino';
import { faultOf } from '../mirror/connect.js';
import type { RedisConnection, RedisConnector } from '../mirror/types.js';
import { monotonicMs } from './clock.js';
import type { EpochFile } from './epoch-file.js';
import {
  type LeaseOwner,
  type LeaseRecord,
  type LeaseReply,
  LeaseStore,
  leaseChannel,
  type MemberEntry,
} from './lease-store.js';
import type { Peer } from './peer.js';
import { HolderSilence } from './silence.js';

/** Renewals that may be on their way at once: a slow Redis is asked on, a stopped one is not asked for ever. */
const MOST_IN_FLIGHT = 8;
/** Renewal times without an answer after which Redis counts as gone. */
const QUIET_RENEWALS = 1.5;
/** How often the successor is looked for during a hand-over, ms. */
const HAND_OVER_POLL_MS = 3;
/** A gateway that prefers to stand by leaves a lease that nobody ever had to the other one for this many leases. */
const FIRST_BOOT_LEASES = 3;

/** Of ioredis, where nothing is queued. */
const NOT_CONNECTED = /enableOfflineQueue/;

export interface KeeperOptions {
  readonly redis: RedisConnector;
  readonly group: string;
  readonly owner: LeaseOwner;
  readonly leaseMs: number;
  readonly marginMs: number;
  readonly renewMs: () => number;
  readonly epochs: EpochFile;
  readonly peer: Peer;
  /** What an active gateway does that nobody lets speak any more. */
  readonly onIsolation: () => 'fence' | 'continue';
  /** Whether this gateway may take over: from one that is silent, or from one that invites it. */
  readonly mayTakeOver: (from: 'silent' | 'inviting') => boolean;
  /** Epochs that are known from elsewhere. */
  readonly highestEpoch: () => number;
  readonly status: () => string;
  readonly prefersStandby: boolean;
  readonly log: Logger;
}

export interface KeeperEvents {
  /** The lease is ours. @param from Node that had it before, empty: nobody. @param planned Whether it had let it go. */
  won(epoch: number, cause: string, from: string, planned: boolean): void;
  /** It is not ours any more. */
  lost(cause: string): void;
  /** How long this gateway may speak has changed. */
  extended(untilMs: number): void;
}

/** A hand-over that did not happen; the gateway goes on as before. */
export class HandOverError extends Error {
  override readonly name = 'HandOverError';
  readonly code = 'HAND_OVER';
}

/**
 * Holds the lease, or watches who does.
 *
 * The holder's own limit is the time at which it asked for the last renewal that succeeded, plus the lease, minus a
 * margin: by its own clock alone. A watcher takes over once the holder has been silent for a whole lease by the
 * watcher's clock (silence.ts).
 */
export class LeaseKeeper {
  private readonly connection: RedisConnection;
  private readonly store: LeaseStore;
  private readonly silence: HolderSilence;
  private subscription: RedisConnection | null = null;
  private timer: NodeJS.Timeout | null = null;
  private stopped = false;
  private beats = 0;
  private inFlight = 0;
  private observing = false;
  private acquiring = false;
  private repliedMs = -Infinity;
  private leaseUntilMs = -Infinity;
  private ownEpoch = 0;
  private handingOver = false;
  private lastMembers: readonly MemberEntry[] = [];
  private lastFault: string | null = null;

  constructor(
    private readonly options: KeeperOptions,
    private readonly events: KeeperEvents,
  ) {
    this.connection = options.redis.connect('lease', (error) => this.failed(error));
    this.store = new LeaseStore(this.connection, options.group, options.owner, options.leaseMs);
    this.silence = new HolderSilence(options.leaseMs);
  }

  start(): void {
    this.subscription = this.options.redis.connect('lease');
    this.subscription.on('message', () => this.poke());
    this.subscription.on('ready', () => {
      this.subscription?.subscribe(leaseChannel(this.options.group)).catch(() => undefined); // Polling finds it too.
    });
    this.poke();
  }

  stop(): void {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.connection.disconnect();
    this.subscription?.disconnect();
  }

  /** Whether the lease is ours. */
  get holding(): boolean {
    return this.ownEpoch > 0;
  }

  /** 0: not holding. */
  get epoch(): number {
    return this.ownEpoch;
  }

  /** Until when this gateway may speak. */
  get untilMs(): number {
    return Math.max(this.leaseUntilMs, this.options.peer.speakUntilMs);
  }

  /** Who holds the lease, as last seen; null: unknown. */
  get record(): LeaseRecord | null {
    return this.silence.record;
  }

  /** Whether the holder has not renewed for a whole lease, by this gateway's clock. */
  get holderIsSilent(): boolean {
    return this.silence.leftMs(monotonicMs()) === 0;
  }

  get members(): readonly MemberEntry[] {
    return this.lastMembers;
  }

  /** Whether Redis has answered lately. */
  get redisAnswers(): boolean {
    return monotonicMs() - this.repliedMs <= Math.max(QUIET_RENEWALS * this.options.renewMs(), 50);
  }

  /** Why the last call of Redis failed; null: it did not. */
  get fault(): string | null {
    return this.lastFault;
  }

  /** Whether a promise not to take over can be kept: no attempt is on its way. */
  get canPromise(): boolean {
    return !this.holding && !this.acquiring && !this.redisAnswers;
  }

  /** Looks at once. */
  poke(): void {
    if (this.stopped) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    void this.step();
  }

  /** Says in Redis how this gateway is, now. */
  async publish(): Promise<void> {
    this.took(await this.store.observe(this.options.status()), monotonicMs());
  }

  private async step(): Promise<void> {
    if (!this.handingOver) {
      if (this.holding) this.renewOrEnd();
      else await this.watch();
    }
    if (this.stopped || this.timer !== null) return;
    const { leaseMs, renewMs } = this.options;
    let pause = this.holding ? renewMs() : Math.max(5, Math.min(50, leaseMs / 20));
    if (!this.holding) pause = Math.min(pause, Math.max(1, Math.ceil(this.silence.leftMs(monotonicMs()))));
    this.timer = setTimeout(() => {
      this.timer = null;
      void this.step();
    }, pause);
  }

  private renewOrEnd(): void {
    const nowMs = monotonicMs();
    if (this.isolatedBut('continue')) this.leaseUntilMs = nowMs + this.options.leaseMs;
    if (nowMs >= this.untilMs) return this.end('the lease was not renewed in time');
    this.events.extended(this.untilMs);
    if (this.inFlight < MOST_IN_FLIGHT) void this.renew();
  }

  private isolatedBut(choice: 'fence' | 'continue'): boolean {
    return this.options.onIsolation() === choice && !this.redisAnswers;
  }

  private async renew(): Promise<void> {
    const epoch = this.ownEpoch;
    this.inFlight++;
    const sentMs = monotonicMs();
    try {
      const reply = await this.limited(this.store.renew(epoch, this.nextBeat(), this.options.status()));
      this.took(reply, monotonicMs());
      if (this.ownEpoch !== epoch) return;
      if (reply.code === 'FENCED') {
        this.end(`node "${reply.record.node}" holds the lease in epoch ${reply.record.epoch}`);
      } else if (!this.handingOver) {
        if (reply.code === 'RESTORED') this.options.log.warn({ epoch }, 'Redis had lost the lease; it has it again');
        this.renewed(sentMs);
      }
    } catch (error) {
      this.failed(error as Error);
    } finally {
      this.inFlight--;
    }
  }

  private renewed(sentMs: number): void {
    const { leaseMs, marginMs, peer } = this.options;
    this.leaseUntilMs = Math.max(this.leaseUntilMs, sentMs + leaseMs - marginMs);
    peer.forget();
    this.events.extended(this.untilMs);
  }

  private async watch(): Promise<void> {
    if (this.observing) return;
    this.observing = true;
    try {
      this.took(await this.limited(this.store.observe(this.options.status())), monotonicMs());
      if (!this.stopped) await this.takeOverIfFree();
    } catch (error) {
      this.failed(error as Error);
    } finally {
      this.observing = false;
    }
  }

  private async takeOverIfFree(): Promise<void> {
    const { options } = this;
    const { record } = this.silence;
    const nowMs = monotonicMs();
    if (record === null || options.peer.isBound(nowMs)) return;
    const { successor, holder } = record;
    const invited = (successor === options.owner.node || successor === '*') && holder !== options.owner.holder;
    const extra = record.epoch === 0 && options.prefersStandby ? (FIRST_BOOT_LEASES - 1) * options.leaseMs : 0;
    const silent = this.silence.silentMs(nowMs) >= options.leaseMs + extra;
    if (!(invited && options.mayTakeOver('inviting')) && !(silent && options.mayTakeOver('silent'))) return;
    const epoch = Math.max(record.epoch, options.epochs.epoch, options.highestEpoch()) + 1;
    this.acquiring = true;
    const sentMs = nowMs;
    try {
      const reply = await this.limited(this.store.acquire(epoch, this.nextBeat(), record, silent, options.status()));
      this.took(reply, monotonicMs());
      if (reply.code !== 'OK' || this.stopped) return;
      this.ownEpoch = epoch;
      this.renewed(sentMs);
      const silence = record.node === '' ? 'nobody held the lease' : `node "${record.node}" was silent`;
      this.events.won(epoch, invited ? `node "${record.node}" handed over` : silence, record.node, invited);
    } finally {
      this.acquiring = false;
    }
  }

  /**
   * Lets a node have the lease, and goes on speaking until it speaks.
   *
   * @param speaks Whether a member's status says that it speaks. @throws HandOverError; the lease is ours as before then
   */
  async handOver(successor: string, patienceMs: number, speaks: (status: string) => boolean): Promise<void> {
    const epoch = this.ownEpoch;
    this.handingOver = true;
    try {
      const reply = await this.limited(this.store.release(epoch, successor, this.options.status()));
      this.took(reply, monotonicMs());
      if (reply.code === 'FENCED') return this.end('another gateway holds the lease');
      const takenBy = monotonicMs() + patienceMs;
      while (monotonicMs() < this.leaseUntilMs) {
        const seen = await this.limited(this.store.observe(this.options.status()));
        this.took(seen, monotonicMs());
        const taken = seen.record.epoch > epoch;
        const member = seen.members.find(({ node }) => node === successor);
        if (taken && member !== undefined && speaks(member.status)) break;
        if (!taken && monotonicMs() > takenBy) return await this.takeBack(epoch, successor);
        await pause(HAND_OVER_POLL_MS);
      }
      this.end(`handed over to node "${successor}"`);
    } catch (error) {
      if (error instanceof HandOverError) throw error;
      // Whether the successor has it cannot be known: nothing is renewed any more, so it ends or is taken back.
      this.failed(error as Error);
      throw new HandOverError(`Redis did not answer: ${(error as Error).message}`);
    } finally {
      this.handingOver = false;
      this.poke();
    }
  }

  private async takeBack(epoch: number, successor: string): Promise<void> {
    const sentMs = monotonicMs();
    const reply = await this.limited(this.store.renew(epoch, this.nextBeat(), this.options.status()));
    this.took(reply, monotonicMs());
    if (reply.code === 'FENCED') return this.end(`handed over to node "${successor}"`);
    this.renewed(sentMs);
    throw new HandOverError(`node "${successor}" did not take the lease`);
  }

  /** Gives the lease up without being asked: fenced by the mirror, or the process ends. */
  async resign(cause: string): Promise<void> {
    const epoch = this.ownEpoch;
    if (epoch === 0) return;
    this.end(cause);
    await this.limited(this.store.release(epoch, '*', this.options.status())).catch(() => undefined);
  }

  /** The lease is over, whoever says so. */
  end(cause: string): void {
    if (this.ownEpoch === 0) return;
    this.ownEpoch = 0;
    this.leaseUntilMs = -Infinity;
    this.options.peer.forget();
    this.silence.interrupted();
    this.events.lost(cause);
  }

  private took(reply: LeaseReply, atMs: number): void {
    this.repliedMs = atMs;
    this.lastFault = null;
    this.silence.observed(reply.record, atMs);
    this.lastMembers = reply.members;
    this.options.epochs.seen(reply.record.epoch).catch((error: Error) => {
      this.options.log.error({ error: error.message }, 'the epoch cannot be kept on disk');
    });
  }

  private failed(error: Error): void {
    // Without a connection nothing can be sent; what says more is why there is none.
    const says = NOT_CONNECTED.test(error.message) ? (this.lastFault ?? 'no connection') : faultOf(error);
    const isNew = this.lastFault !== says;
    this.lastFault = says;
    this.options.log[isNew ? 'warn' : 'debug']({ error: says }, 'lease: Redis did not answer');
    this.interrupted();
  }

  private interrupted(): void {
    this.repliedMs = -Infinity;
    this.silence.interrupted();
  }

  /** A reply that comes after a whole lease is worth nothing. */
  private limited<T>(reply: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no answer within the lease')), this.options.leaseMs);
      reply.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  private nextBeat(): string {
    return `${this.options.owner.holder}.${++this.beats}`;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
