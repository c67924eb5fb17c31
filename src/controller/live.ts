import type { Logger } from 'pino';
import type { ValidatedConfig } from '../config/types.js';
import type { ReviewReport } from '../nat/session-review.js';
import type { NativeBinding, TapFilter } from '../native/binding.js';
import { FailedNics } from './failed-nics.js';
import { GatewayController } from './gateway.js';
import { LIVE_SIZES, openPorts, type TargetOf, targetOfPorts, watchTemplates } from './live-ports.js';
import { NatLogLines } from './nat-log-lines.js';
import { nativePorts } from './native-ports.js';
import { type CaptureEnd, capturePackets, tapOf } from './packet-capture.js';
import { type RepairReport, repairRules } from './rule-repair.js';
import { ONLY_ENGINE, RunningEngine } from './running-engine.js';

/** A gateway on live ports: the lcore runs the packets, this thread decides. */
export class LiveGateway extends RunningEngine {
  private repairs = false;
  private readonly failedNics: FailedNics;

  /** Starts EAL (once a process), opens the ports and starts the lcore. @throws NativeError @throws RangeError for an unknown target */
  constructor(
    config: ValidatedConfig,
    binding: NativeBinding,
    root: string,
    targetOf: TargetOf,
    log: Logger,
    place = ONLY_ENGINE,
  ) {
    const devices = openPorts(config, binding, root, 1);
    const dataplane = new binding.Dataplane({
      ports: nativePorts(config, devices),
      underlay: config.underlay,
      maxSessions: config.nat.maxSessions,
      ...LIVE_SIZES,
      mssClamp: config.nat.mssClampBytes ?? 0,
      silent: config.ha !== null,
      replay: false,
    });
    const target = targetOfPorts(config, binding, devices, targetOf);
    const natLog = config.nat.log === 'none' ? undefined : new NatLogLines(log, () => controller.config);
    const controller: GatewayController = new GatewayController(config, dataplane, target, true, natLog);
    super(controller, binding, log, place);
    this.failedNics = new FailedNics(this.controller, () => this.isRunning, log);
    const { templates } = this.controller;
    watchTemplates(templates, log);
    templates.installStaticRules();
    log.info({ target: target ?? 'none', ...templates.probeDirections() }, 'offload target');
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
    return this.loop.review();
  }

  /** Makes the NICs' rules those that there should be. @returns By port index, what was found; null: somebody else does it already. */
  async reconcile(): Promise<readonly RepairReport[] | null> {
    if (this.repairs) return null;
    this.repairs = true;
    try {
      const recovered = this.failedNics.takeRecovered();
      const reports = await repairRules(this.controller, () => this.isRunning, recovered);
      const found = reports.reduce((sum, { stale, missing }) => sum + stale + missing, 0);
      if (found > 0) this.log.warn({ reports }, 'the rules of a NIC were not those that there should be');
      return reports;
    } finally {
      this.repairs = false;
    }
  }

  /** Packets as a pcapng file; one capture at a time. @param isWanted Asked now and then. */
  capture(filter: TapFilter, end: CaptureEnd, isWanted: () => boolean): AsyncGenerator<Buffer> {
    return capturePackets(
      tapOf(this.controller.dataplane, () => this.isRunning),
      this.config,
      filter,
      end,
      () => this.nowMs(),
      () => this.isRunning && isWanted(),
    );
  }

  protected override runTimers(): void {
    this.failedNics.look(performance.now());
    if (!this.repairs && this.failedNics.takeLook()) void this.reconcile();
    super.runTimers();
  }
}
