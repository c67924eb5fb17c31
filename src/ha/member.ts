import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { HaSettings } from '../config/types.js';
import type { LiveGateway } from '../controller/live.js';
import { ClosedError, FencedError, type RedisConnector } from '../mirror/types.js';
import { announcements } from './addresses.js';
import { monotonicMs } from './clock.js';
import { DirectWay } from './direct-way.js';
import { EpochFile } from './epoch-file.js';
import { Health } from './health.js';
import { runHook } from './hook.js';
import { HandOverError, LeaseKeeper } from './lease-keeper.js';
import { MemberChecks } from './member-checks.js';
import { MemberView, type TakeoverLoss } from './member-view.js';
import { OtherMember } from './other-member.js';
import { type MirrorSides, PairSessions } from './pair-sessions.js';
import { Peer } from './peer.js';
import { EndToEndProbe, type ProbeResult } from './probe.js';
import { ProbeRounds } from './probe-rounds.js';
import { ResultFile } from './result-file.js';
import { fixedChanges, loadPairSettings, type PairSettings, watchFile } from './settings.js';
import { monitorResult, type PairStatus, readMember } from './status.js';
import { Failover, type FailoverEvent, type FailoverState, speaksIn, type Transition } from './transitions.js';

const CHECK_MS = 250;
const DRAIN_MS = 1000;
const HAND_OVER_MS = 500;
const RULES_SETTLE_MS = 1000;

export interface MemberOptions {
  readonly gateway: LiveGateway;
  readonly settings: PairSettings;
  /** They are defaults, for want of the file that should have them. */
  readonly settingsMissing?: boolean;
  readonly mirror: MirrorSides & { readonly redis: RedisConnector; readonly configHash: string };
  /** Leaves a lease that nobody ever had to the other gateway for a while. */
  readonly prefersStandby: boolean;
  readonly log: Logger;
}

export interface SwitchoverReport {
  readonly to: string;
  /** From when no new session was made here any more to when the other gateway spoke. */
  readonly tookMs: number;
}

/** This gateway as one of a pair: who it is, who leads, and what that means for packets, sessions, files and the operator. */
export class HaMember {
  readonly bootId = randomUUID();
  private settings: PairSettings;
  private readonly ha: HaSettings;
  private readonly log: Logger;
  private readonly failover = new Failover(monotonicMs);
  private readonly health = new Health();
  private readonly sessions: PairSessions;
  private readonly keeper: LeaseKeeper;
  private readonly peer: Peer;
  private readonly other: OtherMember;
  private readonly direct: DirectWay;
  private readonly checks: MemberChecks;
  private readonly view: MemberView;
  private readonly probes: ProbeRounds;
  private readonly result: ResultFile;
  private readonly epochs: EpochFile;
  /** Called for each change of state. */
  onTransition: ((transition: Transition) => void) | null = null;
  private draining = false;
  /** New sessions can be made: their ports are this gateway's. */
  private hasPorts = false;
  private stopped = false;
  private loss: TakeoverLoss = { incomplete: [], estimatedLost: 0 };
  private movedMs = -Infinity;
  private reportScheduled = false;
  private readonly timers: NodeJS.Timeout[] = [];
  private endWatch: (() => void) | null = null;

  constructor(private readonly options: MemberOptions) {
    const { gateway, settings, mirror, log } = options;
    const { ha } = gateway.config;
    if (ha === null) throw new Error('the configuration has no ha');
    this.ha = ha;
    this.settings = settings;
    this.log = log;
    this.epochs = new EpochFile(settings.epochFile, ha.group);
    this.peer = new Peer(ha.leaseMs, settings.marginMs);
    const probe = new EndToEndProbe(gateway.controller, () => this.settings.probe);
    this.probes = new ProbeRounds({
      run: (epoch) => probe.run(epoch),
      epoch: () => (announced(this.failover.state) && !this.draining ? this.keeper.epoch : null),
      isFirst: () => this.failover.state === 'DONE',
      everyMs: () => this.settings.probe.everyMs,
      saw: (result, epoch) => this.probed(result, epoch),
    });
    this.result = new ResultFile(ha.resultFile);
    this.sessions = new PairSessions(mirror, log);
    this.sessions.onFenced = (error) => void this.keeper.resign(error.message);
    this.sessions.onChange = () => this.changed();
    this.health.onChange = ({ check, ok, detail }) => {
      this.log[ok ? 'info' : 'warn']({ check, ok, detail }, 'health');
      this.changed();
    };
    this.keeper = new LeaseKeeper(
      {
        redis: mirror.redis,
        group: ha.group,
        owner: { holder: this.bootId, node: settings.node },
        leaseMs: ha.leaseMs,
        marginMs: settings.marginMs,
        renewMs: () => this.settings.renewMs,
        epochs: this.epochs,
        peer: this.peer,
        onIsolation: () => this.settings.onIsolation,
        mayTakeOver: (from) => this.mayTakeOver(from),
        highestEpoch: () => this.sessions.replay?.highestEpoch ?? 0,
        status: () => JSON.stringify(this.view.memberStatus()),
        prefersStandby: options.prefersStandby,
        log,
      },
      {
        won: (epoch, cause, from, planned) => void this.won(epoch, cause, from, planned),
        lost: (cause) => this.lost(cause),
        extended: () => this.applyLimit(),
      },
    );
    this.other = new OtherMember(
      { node: settings.node, bootId: this.bootId, leaseMs: ha.leaseMs },
      this.keeper,
      this.peer,
      () => this.settings.peer?.heartbeatMs ?? null,
    );
    this.direct = new DirectWay({
      group: ha.group,
      node: settings.node,
      bootId: this.bootId,
      keeper: this.keeper,
      peer: this.peer,
      epochs: this.epochs,
      state: () => this.failover.state,
      extended: () => this.applyLimit(),
    });
    this.checks = new MemberChecks({
      health: this.health,
      controller: gateway.controller,
      keeper: this.keeper,
      sessions: this.sessions,
      other: this.other,
      result: this.result,
      epochs: this.epochs,
      redisName: mirror.redis.name,
      directFault: () => this.direct.fault,
    });
    this.view = new MemberView({
      bootId: this.bootId,
      group: ha.group,
      pairConfigHash: mirror.configHash,
      settings: () => this.settings,
      loss: () => this.loss,
      controller: gateway.controller,
      failover: this.failover,
      health: this.health,
      sessions: this.sessions,
      keeper: this.keeper,
      epochs: this.epochs,
      other: this.other,
    });
  }

  start(): void {
    this.sessions.follow();
    this.direct.open(this.settings.peer);
    this.keeper.start();
    const look = () => {
      this.checks.look();
      this.rolesByThemselves();
    };
    this.timers.push(setInterval(look, CHECK_MS));
    if (this.ha.configFile !== null) {
      const missing = `${this.ha.configFile} is not there: defaults are in force`;
      this.health.set('config', this.options.settingsMissing !== true, missing);
      this.endWatch = watchFile(this.ha.configFile, () => this.reloadSettings());
    }
    this.probes.schedule();
    this.changed();
  }

  /** Hands over when somebody is there, and leaves. */
  async stop(): Promise<void> {
    if (this.stopped) return;
    if (this.keeper.holding) {
      await this.switchover('the gateway stops').catch((error: Error) => {
        this.log.info({ reason: error.message }, 'nobody to hand over to');
      });
    }
    await this.keeper.resign('the gateway stops');
    this.stopped = true;
    for (const timer of this.timers) clearInterval(timer);
    this.probes.stop();
    this.endWatch?.();
    this.direct.close();
    this.keeper.stop();
    this.sessions.close();
    this.report();
    await this.result.settled();
  }

  /**
   * Hands over to the other gateway without losing what it has.
   *
   * @throws HandOverError when it cannot; this gateway goes on as before.
   */
  async switchover(cause: string): Promise<SwitchoverReport> {
    if (this.draining) throw new HandOverError('this gateway hands over already');
    if (!speaksIn(this.failover.state)) {
      const holder = this.keeper.record?.node ?? '';
      const active = holder === '' || this.keeper.holding ? '' : `, ask node "${holder}", which holds the lease`;
      throw new HandOverError(`this gateway is ${this.failover.state} and has nothing to hand over${active}`);
    }
    const startedMs = monotonicMs();
    this.draining = true;
    try {
      await this.keeper.publish().catch((error: Error) => {
        throw new HandOverError(`Redis did not answer: ${error.message}`);
      });
      const successor = this.other.successor();
      this.log.info({ to: successor, cause }, 'handing over');
      this.applyLimit();
      this.options.gateway.controller.dataplane.obey();
      await this.decisionsSettled();
      await within(this.sessions.writer.drained(), DRAIN_MS, 'the mirror did not take the last sessions');
      await this.keeper.handOver(successor, HAND_OVER_MS, (text) => speaks(text));
      return { to: successor, tookMs: monotonicMs() - startedMs };
    } catch (error) {
      throw error instanceof HandOverError ? error : new HandOverError((error as Error).message);
    } finally {
      this.draining = false;
      this.applyLimit();
    }
  }

  status(): PairStatus {
    return this.view.pairStatus();
  }

  private async won(epoch: number, cause: string, from: string, planned: boolean): Promise<void> {
    // What the one before said last is all that is known of what it had not yet written.
    const estimatedLost = planned || from === '' ? 0 : this.other.unwrittenOf(from);
    this.loss = { incomplete: [], estimatedLost };
    this.move('lease-won', cause, epoch);
    try {
      const stored = this.epochs.seen(epoch).catch(() => undefined); // The check of files tells it.
      const beganMs = monotonicMs();
      const incomplete = await this.sessions.takeOver(epoch, planned);
      const appliedMs = monotonicMs() - beganMs;
      if (incomplete.length > 0) this.loss = { incomplete, estimatedLost: null };
      await stored;
      const storedMs = monotonicMs() - beganMs;
      await this.decisionsSettled();
      this.log.info({ appliedMs, storedMs, settledMs: monotonicMs() - beganMs }, 'sessions are here');
      await this.hook();
      if (this.keeper.epoch !== epoch) return;
      this.move('taken-over', 'sessions and rules are here', epoch);
      this.speak();
      const published = this.keeper.publish().catch(() => undefined); // The next renewal says it too.
      await Promise.all([published, this.sessions.reservePorts((before) => this.epochs.times.endedMs(before))]);
      if (this.keeper.epoch !== epoch) return;
      this.hasPorts = true;
      this.applyLimit();
      await this.hook();
      await this.sessions.lead(epoch);
      if (this.keeper.epoch !== epoch) return;
      this.move('announced', 'addresses are announced, sessions are written', epoch);
      await this.hook();
      await this.probes.run();
    } catch (error) {
      if (this.keeper.epoch !== epoch || error instanceof ClosedError) return;
      const fenced = error instanceof FencedError;
      this.log[fenced ? 'warn' : 'error']({ error: (error as Error).message }, 'takeover failed');
      await this.keeper.resign((error as Error).message);
    }
  }

  private lost(cause: string): void {
    this.hasPorts = false;
    this.options.gateway.controller.dataplane.limit(0, 0);
    this.move('lease-lost', cause, this.epochs.epoch);
    if (this.stopped) return;
    this.sessions.stepDown();
    void this.hook();
  }

  private move(event: FailoverEvent, cause: string, epoch: number): void {
    const transition = this.failover.happen(event, cause, epoch);
    const { from, to, afterMs } = transition;
    this.onTransition?.(transition);
    this.movedMs = monotonicMs();
    this.log.info({ from, to, cause, epoch, afterMs: Math.round(afterMs) }, 'failover state');
    this.changed();
  }

  /** Opens the way for packets and tells the neighbours. */
  private speak(): void {
    const { controller } = this.options.gateway;
    this.applyLimit();
    controller.dataplane.obey();
    const { times, intervalMs } = this.settings.announce;
    controller.dataplane.announce(announcements(controller.config), times, intervalMs);
    controller.askForNeighbours();
  }

  /** Tells the lcore until when it may speak. */
  private applyLimit(): void {
    const untilMs = speaksIn(this.failover.state) ? Math.max(0, this.keeper.untilMs) : 0;
    this.options.gateway.controller.dataplane.limit(untilMs, this.draining || !this.hasPorts ? 0 : untilMs);
  }

  private mayTakeOver(from: 'silent' | 'inviting'): boolean {
    if (this.stopped || this.failover.state !== 'INIT') return false;
    const reasons = this.view.reasons();
    return from === 'inviting' ? reasons.length === 0 : reasons.every(({ forbids }) => !forbids);
  }

  /** A gateway that cannot serve hands over; one that is asked back does, both only once roles have rested. */
  private rolesByThemselves(): void {
    if (!speaksIn(this.failover.state) || this.draining) return;
    if (monotonicMs() - this.movedMs < this.settings.holdDownMs) return;
    const { reported, reports } = this.other;
    if (!reports || reported?.member?.eligible !== true) return;
    const failed = this.settings.handOverOnFailedChecks ? this.health.failedVital() : [];
    if (failed.length === 0 && !reported.member.wants) return;
    const cause = failed.length > 0 ? `check failed: ${failed[0].check}` : `node "${reported.node}" is preferred`;
    this.switchover(cause).catch((error: Error) => this.log.warn({ error: error.message }, 'not handed over'));
  }

  private reloadSettings(): void {
    const loaded = loadPairSettings(this.options.gateway.config);
    const faults = loaded.ok ? fixedChanges(this.settings, loaded.settings) : loaded.faults;
    if (!loaded.ok || faults.length > 0) {
      const detail = faults.map(({ path, message }) => `${path} ${message}`.trim()).join('; ');
      this.log.error({ faults }, 'ha_config.json refused; the old settings stay');
      this.health.set('config', false, detail);
      return this.changed();
    }
    if (loaded.settings.hash === this.settings.hash) return this.health.set('config', true);
    const peer = JSON.stringify(this.settings.peer);
    this.settings = loaded.settings;
    if (JSON.stringify(this.settings.peer) !== peer) this.direct.open(this.settings.peer);
    this.probes.schedule();
    this.health.set('config', true);
    this.log.info({ hash: this.settings.hash }, 'ha_config.json is in force');
    this.changed();
  }

  private probed({ ok, detail }: ProbeResult, epoch: number): void {
    this.health.set('probe', ok, detail, detail);
    if (ok && this.failover.state === 'DONE') this.move('probe-passed', detail, epoch);
    else if (!ok && this.failover.state === 'E2E_CONN_DONE') this.move('probe-failed', detail, epoch);
  }

  /** Until what was decided is carried out: rules are there, sessions known. */
  private async decisionsSettled(): Promise<void> {
    const { controller } = this.options.gateway;
    const endMs = monotonicMs() + RULES_SETTLE_MS;
    while (controller.decisionsArePending() && monotonicMs() < endMs) await turn();
    await turn(); // Events that the lcore has put into its ring are handled before this comes back.
  }

  private async hook(): Promise<void> {
    const { hook } = this.settings;
    if (hook === null) return;
    const { state, role } = this.failover;
    const fault = await runHook(hook, [state, role, String(this.keeper.epoch)]);
    this.health.set('hook', fault === null, fault ?? '');
  }

  /** Something that the monitor's file shows has changed. */
  private changed(): void {
    if (this.reportScheduled || this.stopped) return;
    this.reportScheduled = true;
    setImmediate(() => {
      this.reportScheduled = false;
      if (!this.stopped) this.report();
    });
  }

  private report(): void {
    this.result.put(monitorResult(this.status()));
  }
}

/** Neighbours have been told: the probe's frames find their way. */
function announced(state: FailoverState): boolean {
  return state === 'DONE' || state === 'E2E_CONN_DONE';
}

function speaks(status: string): boolean {
  const member = readMember(status);
  return member !== null && speaksIn(member.state);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function within<T>(promise: Promise<T>, ms: number, otherwise: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new HandOverError(otherwise)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
