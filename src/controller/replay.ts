import type { ValidatedConfig } from '../config/types.js';
import type { NatLog } from '../nat/nat-log.js';
import { type Dataplane, type NativeBinding, ReplayStatus } from '../native/binding.js';
import { ealArguments } from '../native/eal.js';
import { type GatewayCounters, gatewayCounters } from './counters.js';
import { FlowDump, type FlowEntry } from './flow-dump.js';
import { GatewayController } from './gateway.js';
import { nativePorts } from './native-ports.js';
import { profileArgument } from './nic-target.js';

export interface ReplayFile {
  /** Gateway port index. */
  readonly port: number;
  readonly path: string;
}

/** Another configuration, from a capture time on: packets of that very time meet the new one. */
export interface Reload {
  readonly seconds: number;
  readonly nanoseconds: number;
  /** One that immutableChanges() finds nothing in. */
  readonly config: ValidatedConfig;
}

export interface ReplayOptions {
  readonly inputs: readonly ReplayFile[];
  readonly outputs: readonly ReplayFile[];
  /** Most packets that are received at once; does not change the result. */
  readonly burst: number;
  readonly reloads?: readonly Reload[];
}

export interface ReplayResult {
  readonly counters: GatewayCounters;
  readonly flows: readonly FlowEntry[];
  /** Captures that were cut off; what was whole in them has been replayed. */
  readonly truncated: readonly string[];
  readonly controller: GatewayController;
}

function earlier(a: readonly [number, number], b: readonly [number, number]): readonly [number, number] {
  return b[0] < a[0] || (b[0] === a[0] && b[1] < a[1]) ? b : a;
}

/** A second later than any packet's. */
const NEVER = 0xffff_ffff;
const HELD_PACKETS = 4096;
const EVENT_SLOTS = 4096;
const DECISION_SLOTS = 16384;

/**
 * Runs the whole gateway over captures. Deterministic: the clock is the captures', every packet meets the state that
 * the packets and timers before it left, and the result depends neither on the burst nor on what the NIC does.
 */
export class Replay {
  readonly controller: GatewayController;
  private readonly dataplane: Dataplane;
  /** Those that are still to come, in the order of time. */
  private reloads: Reload[] = [];

  /** Starts EAL: once a process. @param target NIC target, or null for none. @throws NativeError */
  constructor(
    private readonly config: ValidatedConfig,
    binding: NativeBinding,
    root: string,
    target: string | null,
    log?: NatLog,
  ) {
    binding.startEal(ealArguments(root, { memoryMb: 512, lcores: 1, pci: [] }));
    const wires = binding.createMemoryWires(config.ports.map((port) => `wire${port.index}`));
    const devices = config.ports.map((port) => `net_softflow${port.index}`);
    for (const port of config.ports) {
      binding.probeDevice(
        `${devices[port.index]},wire=${wires[port.index]},ordered=1,vxlan_port=${config.underlay.udpPort}${profileArgument(target)}`,
      );
    }
    this.dataplane = new binding.Dataplane({
      ports: nativePorts(config, devices),
      underlay: config.underlay,
      maxSessions: config.nat.maxSessions,
      maxHeld: HELD_PACKETS,
      eventSlots: EVENT_SLOTS,
      decisionSlots: DECISION_SLOTS,
      mssClamp: config.nat.mssClampBytes ?? 0,
      replay: true,
    });
    this.controller = new GatewayController(config, this.dataplane, target, false, log);
    this.controller.templates.installStaticRules();
  }

  /** @throws NativeError CAPTURE_OPEN or CAPTURE_FORMAT, naming the file. */
  run(options: ReplayOptions): ReplayResult {
    const { dataplane, controller } = this;
    this.reloads = [...(options.reloads ?? [])].sort((a, b) => a.seconds - b.seconds || a.nanoseconds - b.nanoseconds);
    dataplane.replayOpen(options.inputs, options.outputs);
    let nowMs = 0;
    for (;;) {
      const [stopSeconds, stopNanoseconds] = this.nextTimer();
      const status = dataplane.replayRun(options.burst, stopSeconds, stopNanoseconds);
      if (status === ReplayStatus.events) {
        controller.handleEvents();
        if (controller.engine.reviewIsPending) this.review();
        continue;
      }
      const next = dataplane.replayNextTime();
      if (next === null || status !== ReplayStatus.timer) break;
      this.runTimersUntil(next[0], next[1]);
    }
    controller.engine.drain();
    this.settle(0, 0);
    for (let from = 0; from >= 0; ) {
      from = controller.queryLive(from);
      this.settle(0, 0);
    }
    const truncated = dataplane.replayClose();
    nowMs = this.lastTimeMs();
    const flows = [...new FlowDump(controller).entries(nowMs)];
    return { counters: gatewayCounters(this.config, dataplane.statistics()), flows, truncated, controller };
  }

  close(): void {
    this.dataplane.close();
  }

  private nextTimer(): readonly [number, number] {
    const { engine } = this.controller;
    let next: readonly [number, number] = [Math.min(engine.nextSessionTimer(), NEVER), 0];
    const waiter = engine.nextWaiter();
    if (waiter !== null) next = earlier(next, [waiter.dueSeconds, waiter.dueNanoseconds]);
    const reload = this.reloads.at(0);
    return reload === undefined ? next : earlier(next, [reload.seconds, reload.nanoseconds]);
  }

  /** Runs what is due at or before a time, in the order of time, each at its own; a reload after the timers of its time. */
  private runTimersUntil(seconds: number, nanoseconds: number): void {
    const { engine } = this.controller;
    for (;;) {
      const [dueSeconds, dueNanoseconds] = this.nextTimer();
      if (dueSeconds > seconds || (dueSeconds === seconds && dueNanoseconds > nanoseconds)) return;
      this.dataplane.setClock(dueSeconds, dueNanoseconds);
      const waiter = engine.nextWaiter();
      if (engine.nextSessionTimer() <= dueSeconds && dueNanoseconds === 0) {
        while (engine.runSessionTimers(dueSeconds, this.controller.roomForTimers()) > 0) this.settle(dueSeconds, 0);
      } else if (waiter !== null && waiter.dueSeconds === dueSeconds && waiter.dueNanoseconds === dueNanoseconds) {
        engine.runWaiter();
      } else {
        this.reload();
      }
      this.settle(dueSeconds, dueNanoseconds);
    }
  }

  private reload(): void {
    const reload = this.reloads.shift();
    if (reload === undefined) return;
    this.controller.reconfigure(reload.config);
    this.review();
  }

  /** Lets all sessions follow a change before the next packet. */
  private review(): void {
    const [seconds, nanoseconds] = this.dataplane.clock();
    while (this.controller.reviewSessions(Number.POSITIVE_INFINITY, seconds) === null) {
      this.settle(seconds, nanoseconds);
    }
  }

  /** Carries out what was decided, without letting a packet in. */
  private settle(seconds: number, nanoseconds: number): void {
    while (this.dataplane.replayRun(1, seconds, nanoseconds) === ReplayStatus.events) this.controller.handleEvents();
  }

  private lastTimeMs(): number {
    const [seconds, nanoseconds] = this.dataplane.clock();
    return seconds * 1000 + Math.floor(nanoseconds / 1e6);
  }
}
