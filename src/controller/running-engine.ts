import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { ValidatedConfig } from '../config/types.js';
import type { ReviewReport } from '../nat/session-review.js';
import type { LeftOver, ShardChange, ShardHoldings } from '../nat/shards/following.js';
import type { EngineMessage } from '../nat/shards/messages.js';
import type { DataplaneStatistics, NativeBinding } from '../native/binding.js';
import { type GatewayCounters, gatewayCounters } from './counters.js';
import { DropHistory } from './drop-history.js';
import { EngineLoop } from './engine-loop.js';
import { FlowLines } from './flow-lines.js';
import type { GatewayController } from './gateway.js';
import { NicRanking } from './nic-ranking.js';
import { PollWindow } from './poll-window.js';
import { installedRules } from './rule-print.js';
import { SessionWalk } from './session-walk.js';
import { togetherOf } from './together.js';

/** Sessions' deadlines are whole seconds; SYN waiters' are not, and may be late by this much. */
const TIMER_MS = 100;
/** How often a neighbour without a MAC is asked for. */
const ARP_MS = 1000;
/** How often drop counters are kept, for what was dropped lately. */
const SAMPLE_MS = 1000;
/** How often a full NIC is given to the fastest sessions, at most. */
const RANKING_MS = 1000;

/** Which engine it is. */
export interface EnginePlace {
  /** One of so many of a gateway. */
  readonly engines: number;
  readonly asksForNeighbours: boolean;
  /** Whether its threads go before others where packets wait for them, if they may and each has a CPU. */
  readonly wantsPrecedence: boolean;
}

export const ONLY_ENGINE: EnginePlace = { engines: 1, asksForNeighbours: true, wantsPrecedence: true };

/** An engine and its lcore at work in this thread, and what can be asked of them. */
export class RunningEngine {
  readonly startedAt = new Date();
  protected readonly loop: EngineLoop;
  private readonly drops = new DropHistory();
  private readonly ranking: NicRanking;
  private readonly hasCpus: boolean;
  private mayGoFirst = false;
  private ranks = false;
  private readonly timers: NodeJS.Timeout[] = [];

  constructor(
    readonly controller: GatewayController,
    protected readonly binding: Pick<NativeBinding, 'cpus' | 'now' | 'formatFlowLines'>,
    protected readonly log: Logger,
    private readonly place: EnginePlace,
  ) {
    const cpus = Math.floor(binding.cpus().length / place.engines);
    this.hasCpus = cpus > 1;
    const window = new PollWindow(cpus, () => performance.now());
    this.loop = new EngineLoop(controller, window, () => binding.now());
    this.ranking = new NicRanking(controller, 1 / place.engines);
    controller.onInstallFailure = (failure) => log.debug(failure, 'NIC rule not installed');
  }

  /** The configuration as it is now. */
  get config(): ValidatedConfig {
    return this.controller.config;
  }

  /** Whether its threads go before others that keep them from their CPUs. */
  get hasPrecedence(): boolean {
    return this.mayGoFirst;
  }

  get isRunning(): boolean {
    return this.loop.isRunning;
  }

  start(): void {
    // Before the first packet: what is dropped at once was dropped lately.
    this.sampleDrops();
    this.startLoop();
    this.askForNeighbours();
    this.timers.push(
      setInterval(() => this.runTimers(), TIMER_MS),
      setInterval(() => this.askForNeighbours(), ARP_MS),
      setInterval(() => this.sampleDrops(), SAMPLE_MS),
      setInterval(() => void this.rankForNic(), RANKING_MS),
    );
  }

  protected startLoop(): void {
    const asked = this.place.wantsPrecedence && this.hasCpus;
    this.mayGoFirst = this.loop.start(asked);
    if (this.mayGoFirst !== asked) {
      this.log.info(
        'threads that packets wait for cannot go before others: they may not be real-time (CAP_SYS_NICE), or have a policy of their own',
      );
    }
  }

  /** Stops the lcore and closes the dataplane. Can be called twice. */
  close(): void {
    for (const timer of this.timers) clearInterval(timer);
    this.loop.stop();
    this.controller.dataplane.close();
  }

  /** One of several is told something, by another or by the dealer of ports. */
  receive(message: EngineMessage): void {
    this.loop.receive(message);
  }

  /** One of several decides nothing from now on. */
  standStill(): ShardHoldings {
    this.loop.standStill();
    return togetherOf(this.controller.engine).holdings();
  }

  /** The configuration that all follow while they stand still. */
  followTogether(change: ShardChange): LeftOver {
    this.loop.forgetDealer();
    return this.controller.followTogether(change);
  }

  /** @param leftOver Of all; null: the configuration stays as it was. @returns What became of the sessions; null when it ends before. */
  goOn(leftOver: LeftOver | null): Promise<ReviewReport | null> {
    if (leftOver !== null) togetherOf(this.controller.engine).know(leftOver);
    this.loop.goOn();
    this.askForNeighbours();
    return this.loop.review();
  }

  /** Another one has seen an ARP sender. */
  learn(port: number, address: number, mac: number): void {
    if (!this.isRunning) return;
    this.controller.engine.onNeighbour(port, address, mac);
    this.loop.wake();
  }

  counters(): GatewayCounters {
    return gatewayCounters(this.config, this.statistics());
  }

  statistics(): DataplaneStatistics {
    return this.controller.dataplane.statistics();
  }

  /** Packets dropped in the last seconds, by DropReason. @param seconds 1..HISTORY_SECONDS. */
  droppedSince(seconds: number): { readonly sinceMs: number; readonly drops: readonly number[] } {
    return this.drops.since(this.nowMs(), this.statistics().drops, seconds);
  }

  /** A walk over the live sessions, with counters as they are when it comes to them. */
  walk(): SessionWalk {
    return new SessionWalk(this.controller, () => this.isRunning);
  }

  /** What writes flows as JSON lines. */
  flowLines(): FlowLines {
    return new FlowLines(this.controller, this.binding);
  }

  /** Brings a session's counters up to date. */
  async refresh(row: number): Promise<void> {
    if (this.controller.roomForRefresh() === 0) return;
    this.controller.refreshCounters(row, 1);
    const taken = this.controller.decisionsTaken();
    do await pause(1);
    while (this.isRunning && !taken());
  }

  /** Ends live sessions, as the decision ring has room. @returns How many. */
  async clear(flows: readonly { readonly row: number; readonly generation: number }[]): Promise<number> {
    let ended = 0;
    for (let i = 0; i < flows.length && this.isRunning; ) {
      if (this.controller.roomForTimers() === 0) {
        await pause(1);
        continue;
      }
      const { row, generation } = flows[i++];
      if (this.controller.engine.clear(row, generation)) ended++;
    }
    this.loop.wake();
    return ended;
  }

  /** testpmd lines of every rule in the NIC that belongs to a session. */
  rules(): string[] {
    const { sessions } = this.controller.engine;
    const lines: string[] = [];
    for (let row = 0; row < sessions.highWater; row++) {
      if (sessions.life(row) === 1) lines.push(...installedRules(this.controller, row));
    }
    return lines;
  }

  /** Gateway clock, whole seconds. */
  nowSeconds(): number {
    return this.binding.now()[0];
  }

  /** Gateway clock, milliseconds. */
  nowMs(): number {
    const [seconds, nanoseconds] = this.binding.now();
    return seconds * 1000 + Math.floor(nanoseconds / 1e6);
  }

  protected runTimers(): void {
    this.loop.runTimers();
  }

  protected askForNeighbours(): void {
    if (!this.place.asksForNeighbours) return;
    const asked = this.controller.askForNeighbours();
    if (asked > 0) this.log.debug({ asked }, 'asked for neighbours by ARP');
  }

  /** One walk at a time; on a standby too, whose NIC may be the smaller one. */
  private async rankForNic(): Promise<void> {
    if (this.ranks || !this.controller.isShortOfRoom) return;
    this.ranks = true;
    const moved = await this.ranking.run(this.walk(), () => performance.now());
    this.ranks = false;
    if (moved > 0) this.loop.wake();
  }

  private sampleDrops(): void {
    this.drops.sample(this.nowMs(), this.statistics().drops);
  }
}
