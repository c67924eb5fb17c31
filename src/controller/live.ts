import type { Logger } from 'pino';
import type { ValidatedConfig } from '../config/types.js';
import type { ReviewReport } from '../nat/session-review.js';
import type { NativeBinding, TapFilter } from '../native/binding.js';
import { GatewayController } from './gateway.js';
import { LIVE_SIZES, openPorts, type TargetOf, targetOfPorts, watchTemplates } from './live-ports.js';
import { NatLogLines } from './nat-log-lines.js';
import { nativePorts } from './native-ports.js';
import { NicRules } from './nic-rules.js';
import { type CaptureEnd, capturePackets, tapOf } from './packet-capture.js';
import { RuleKeeper } from './rule-keeper.js';
import type { RepairReport } from './rule-repair.js';
import { ONLY_ENGINE, RunningEngine } from './running-engine.js';

/** A gateway on live ports: the lcore runs the packets, this thread decides. */
export class LiveGateway extends RunningEngine {
  private readonly nicRules: NicRules;

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
      offloads: config.offload.mode !== 'never',
      silent: config.ha !== null,
      replay: false,
    });
    const target = targetOfPorts(config, binding, devices, targetOf);
    const natLog = config.nat.log === 'none' ? undefined : new NatLogLines(log, () => controller.config);
    const controller: GatewayController = new GatewayController(config, dataplane, target, true, natLog);
    super(controller, binding, log, place);
    const isRunning = () => this.isRunning;
    this.nicRules = new NicRules({
      dataplane,
      keepers: [new RuleKeeper(this.controller, isRunning)],
      rowsOfEach: config.nat.maxSessions,
      config: () => this.config,
      isRunning,
      log,
    });
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
  reconcile(): Promise<readonly RepairReport[] | null> {
    return this.nicRules.reconcile();
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
    void this.nicRules.look(performance.now());
    super.runTimers();
  }
}
