import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Release, releaseOf } from '../compiler/target.js';
import type { ValidatedConfig } from '../config/types.js';
import type { ReviewReport } from '../nat/session-review.js';
import type { Dataplane, DataplaneStatistics, NativeBinding, TapFilter } from '../native/binding.js';
import { ealArguments, ownCpus } from '../native/eal.js';
import { type GatewayCounters, gatewayCounters } from './counters.js';
import { devargsOf, isPciAddress, openDevice } from './devices.js';
import { DropHistory } from './drop-history.js';
import { FailedNics } from './failed-nics.js';
import { FlowLines } from './flow-lines.js';
import { GatewayController } from './gateway.js';
import { NatLogLines } from './nat-log-lines.js';
import { nativePorts } from './native-ports.js';
import { NicRanking } from './nic-ranking.js';
import { type CaptureEnd, capturePackets } from './packet-capture.js';
import { PollWindow } from './poll-window.js';
import { installedRules } from './rule-print.js';
import { type RepairReport, repairRules } from './rule-repair.js';
import { SessionWalk } from './session-walk.js';

const HELD_PACKETS = 8192;
const EVENT_SLOTS = 8192;
const DECISION_SLOTS = 16384;
const BURST = 32;
/** Sessions' deadlines are whole seconds; SYN waiters' are not, and may be late by this much. */
const TIMER_MS = 100;
/** Sessions that follow a change of configuration at a time: well under a millisecond, so that first packets hardly wait. */
const REVIEW_SLICE = 1024;
/** How often a neighbour without a MAC is asked for. */
const ARP_MS = 1000;
/** How often drop counters are kept, for what was dropped lately. */
const SAMPLE_MS = 1000;
/** How often a full NIC is given to the fastest sessions, at most. */
const RANKING_MS = 1000;

/** A gateway on live ports: the lcore runs the packets, this thread decides. */
export class LiveGateway {
  readonly controller: GatewayController;
  readonly startedAt = new Date();
  private readonly dataplane: Dataplane;
  private readonly drops = new DropHistory();
  private readonly ranking: NicRanking;
  private ranks = false;
  private repairs = false;
  private running = true;
  private readonly failedNics: FailedNics;
  private readonly timers: NodeJS.Timeout[] = [];
  private scheduled = false;
  private readonly window: PollWindow;
  /** Called once sessions follow the configuration. */
  private reviewed: ((report: ReviewReport | null) => void)[] = [];

  /** Starts EAL (once a process), opens the ports and starts the lcore. @throws NativeError @throws RangeError for an unknown target */
  constructor(
    config: ValidatedConfig,
    private readonly binding: NativeBinding,
    root: string,
    targetOf: (driver: string, devargs: string, release: Release) => string | null,
    private readonly log: Logger,
  ) {
    const pci = config.ports.flatMap(({ device }) => (device !== null && isPciAddress(device) ? [device] : []));
    this.window = new PollWindow(ownCpus().length, () => performance.now());
    binding.startEal(ealArguments(root, { memoryMb: 512, lcores: 2, pci }));
    const devices = config.ports.map((port) => openDevice(binding, `/ports/${port.name}/device`, port.device ?? ''));
    this.dataplane = new binding.Dataplane({
      ports: nativePorts(config, devices),
      underlay: config.underlay,
      maxSessions: config.nat.maxSessions,
      maxHeld: HELD_PACKETS,
      eventSlots: EVENT_SLOTS,
      decisionSlots: DECISION_SLOTS,
      mssClamp: config.nat.mssClampBytes ?? 0,
      silent: config.ha !== null,
      replay: false,
    });
    const drivers = devices.map((device) => binding.driverOf(device));
    const target = targetOf(drivers[0], devargsOf(config.ports[0].device ?? ''), releaseOf(binding.dpdkVersion()));
    if (target !== null) requireOneDriver(config, drivers);
    const natLog = config.nat.log === 'none' ? undefined : new NatLogLines(log, () => this.config);
    this.controller = new GatewayController(config, this.dataplane, target, true, natLog);
    this.ranking = new NicRanking(this.controller);
    this.failedNics = new FailedNics(this.controller, () => this.running, log);
    this.controller.onInstallFailure = (failure) => log.debug(failure, 'NIC rule not installed');
    this.controller.templates.probesWith((rule, message) => {
      log.warn({ rule, message }, 'the NIC refuses a rule that its table allows: this direction stays in software');
    });
    if (log.isLevelEnabled('debug')) {
      this.controller.templates.triesWith((rule, { hits, misses, faults }) => {
        if (faults.length > 0) log.error({ rule, faults }, 'a compiled rule does not do what its list says');
        else log.debug({ rule, hits, misses }, 'compiled rule tried');
      });
    }
    this.controller.templates.installStaticRules();
    log.info({ target: target ?? 'none', ...this.controller.templates.probeDirections() }, 'offload target');
  }

  /** The configuration as it is now. */
  get config(): ValidatedConfig {
    return this.controller.config;
  }

  start(): void {
    // Before the first packet: what is dropped at once was dropped lately.
    this.sampleDrops();
    this.dataplane.start(BURST, () => this.wake());
    this.askForNeighbours();
    this.timers.push(
      setInterval(() => this.runTimers(), TIMER_MS),
      setInterval(() => this.askForNeighbours(), ARP_MS),
      setInterval(() => this.sampleDrops(), SAMPLE_MS),
      setInterval(() => void this.rankForNic(), RANKING_MS),
    );
    this.wake();
  }

  /** Stops the lcore, removes the NIC's rules and closes the ports. Can be called twice. */
  close(): void {
    this.running = false;
    for (const resolve of this.reviewed.splice(0)) resolve(null);
    for (const timer of this.timers) clearInterval(timer);
    this.controller.closeGate();
    this.dataplane.stop();
    this.dataplane.close();
  }

  /**
   * Follows another configuration, sessions in slices between which packets are served.
   *
   * @param config One that immutableChanges() finds nothing in.
   * @returns What became of the sessions; null when the gateway was closed meanwhile.
   */
  reconfigure(config: ValidatedConfig): Promise<ReviewReport | null> {
    this.controller.reconfigure(config);
    this.askForNeighbours();
    this.wake();
    return new Promise((resolve) => this.reviewed.push(resolve));
  }

  /** Makes the NICs' rules those that there should be. @returns By port index, what was found; null: somebody else does it already. */
  async reconcile(): Promise<readonly RepairReport[] | null> {
    if (this.repairs) return null;
    this.repairs = true;
    try {
      const recovered = this.failedNics.takeRecovered();
      const reports = await repairRules(this.controller, () => this.running, recovered);
      const found = reports.reduce((sum, { stale, missing }) => sum + stale + missing, 0);
      if (found > 0) this.log.warn({ reports }, 'the rules of a NIC were not those that there should be');
      return reports;
    } finally {
      this.repairs = false;
    }
  }

  /** Packets as a pcapng file; one capture at a time. @param isWanted Asked now and then. */
  capture(filter: TapFilter, end: CaptureEnd, isWanted: () => boolean): AsyncGenerator<Buffer> {
    const tap = {
      tap: (one: TapFilter | null) => {
        if (this.running) this.dataplane.tap(one);
      },
      tapped: () => this.dataplane.tapped(),
    };
    return capturePackets(
      tap,
      this.config,
      filter,
      end,
      () => this.nowMs(),
      () => this.running && isWanted(),
    );
  }

  counters(): GatewayCounters {
    return gatewayCounters(this.config, this.dataplane.statistics());
  }

  statistics(): DataplaneStatistics {
    return this.dataplane.statistics();
  }

  /** Packets dropped in the last seconds, by DropReason. @param seconds 1..HISTORY_SECONDS. */
  droppedSince(seconds: number): { readonly sinceMs: number; readonly drops: readonly number[] } {
    return this.drops.since(this.nowMs(), this.dataplane.statistics().drops, seconds);
  }

  /** A walk over the live sessions, with counters as they are when it comes to them. */
  walk(): SessionWalk {
    return new SessionWalk(this.controller, () => this.running);
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
    while (this.running && !taken());
  }

  /** Ends live sessions, as the decision ring has room. @returns How many. */
  async clear(flows: readonly { readonly row: number; readonly generation: number }[]): Promise<number> {
    let ended = 0;
    for (let i = 0; i < flows.length && this.running; ) {
      if (this.controller.roomForTimers() === 0) {
        await pause(1);
        continue;
      }
      const { row, generation } = flows[i++];
      if (this.controller.engine.clear(row, generation)) ended++;
    }
    this.wake();
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

  /** Runs on the doorbell and while events keep coming; sleeps when the ring stays empty. */
  protected wake(): void {
    if (this.scheduled || !this.running) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (!this.running) return;
      // First packets come before everything else of a turn: timers and sockets, which the event loop looks after
      // between two of them, wait until what has come is answered and not until the next one comes.
      const busy = this.controller.handleEvents() > 0 || this.awaitEvents();
      if (busy) this.window.works();
      const sessionsAreDue = this.runSessionTimers();
      if (this.continueReview() || busy || sessionsAreDue || this.dataplane.armDoorbell()) this.wake();
    });
  }

  /** Looks for events for a while. @returns Whether any came, and have been handled. */
  private awaitEvents(): boolean {
    const { window, dataplane } = this;
    window.idles();
    return window.us > 0 && dataplane.awaitEvents(window.us) && this.controller.handleEvents() > 0;
  }

  /** @returns Whether sessions have yet to follow a change of configuration. */
  private continueReview(): boolean {
    if (!this.controller.engine.reviewIsPending) return false;
    const report = this.controller.reviewSessions(REVIEW_SLICE, this.binding.now()[0]);
    if (report === null) return true;
    for (const resolve of this.reviewed.splice(0)) resolve(report);
    return false;
  }

  /** Asks for the last hits of sessions that are due, as many as there is room for. @returns Whether others are due too. */
  private runSessionTimers(): boolean {
    const { engine } = this.controller;
    const due = engine.nextSessionTimer();
    if (due === Number.POSITIVE_INFINITY) return false;
    const [seconds] = this.binding.now();
    if (due > seconds) return false;
    engine.runSessionTimers(seconds, this.controller.roomForTimers());
    return engine.nextSessionTimer() <= seconds;
  }

  private runTimers(): void {
    this.failedNics.look(performance.now());
    if (!this.repairs && this.failedNics.takeLook()) void this.reconcile();
    const { engine } = this.controller;
    const [seconds, nanoseconds] = this.binding.now();
    for (let waiter = engine.nextWaiter(); waiter !== null; waiter = engine.nextWaiter()) {
      const due =
        waiter.dueSeconds < seconds || (waiter.dueSeconds === seconds && waiter.dueNanoseconds <= nanoseconds);
      if (!due || this.controller.roomForTimers() === 0) break;
      engine.runWaiter();
    }
    this.controller.retryRules(performance.now());
    this.wake();
  }

  /** One walk at a time; on a standby too, whose NIC may be the smaller one. */
  private async rankForNic(): Promise<void> {
    if (this.ranks || !this.controller.isShortOfRoom) return;
    this.ranks = true;
    const moved = await this.ranking.run(this.walk(), () => performance.now());
    this.ranks = false;
    if (moved > 0) this.wake();
  }

  private sampleDrops(): void {
    this.drops.sample(this.nowMs(), this.dataplane.statistics().drops);
  }

  private askForNeighbours(): void {
    const asked = this.controller.askForNeighbours();
    if (asked > 0) this.log.debug({ asked }, 'asked for neighbours by ARP');
  }
}

/** Rules are compiled once, for the NIC of every port. @throws Error DRIVERS with the port's path */
function requireOneDriver(config: ValidatedConfig, drivers: readonly string[]): void {
  const odd = drivers.findIndex((driver) => driver !== drivers[0]);
  if (odd < 0) return;
  throw Object.assign(
    new Error(
      `/ports/${config.ports[odd].name}/device: ${drivers[odd]} is another kind of NIC than ` +
        `${drivers[0]} of port "${config.ports[0].name}" (the same driver for both, or offload.target "software")`,
    ),
    { code: 'DRIVERS' },
  );
}
