import type { ValidatedConfig } from '../config/types.js';
import { type Dataplane, type NativeBinding, ReplayStatus } from '../native/binding.js';
import { ealArguments } from '../native/eal.js';
import { type GatewayCounters, gatewayCounters } from './counters.js';
import { FlowDump, type FlowEntry } from './flow-dump.js';
import { GatewayController } from './gateway.js';
import { nativePorts } from './native-ports.js';

export interface ReplayFile {
  /** Gateway port index. */
  readonly port: number;
  readonly path: string;
}

export interface ReplayOptions {
  readonly inputs: readonly ReplayFile[];
  readonly outputs: readonly ReplayFile[];
  /** Most packets that are received at once; does not change the result. */
  readonly burst: number;
}

export interface ReplayResult {
  readonly counters: GatewayCounters;
  readonly flows: readonly FlowEntry[];
  /** Captures that were cut off; what was whole in them has been replayed. */
  readonly truncated: readonly string[];
  readonly controller: GatewayController;
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

  /** Starts EAL: once a process. @param target NIC target, or null for none. @throws NativeError */
  constructor(
    private readonly config: ValidatedConfig,
    binding: NativeBinding,
    root: string,
    target: string | null,
  ) {
    binding.startEal(ealArguments(root, { memoryMb: 512, lcores: 1, pci: [] }));
    const wires = binding.createMemoryWires(config.ports.map((port) => `wire${port.index}`));
    const devices = config.ports.map((port) => `net_softflow${port.index}`);
    for (const port of config.ports) {
      binding.probeDevice(
        `${devices[port.index]},wire=${wires[port.index]},ordered=1,vxlan_port=${config.underlay.udpPort}`,
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
    this.controller = new GatewayController(config, this.dataplane, target, false);
    this.controller.templates.installStaticRules();
  }

  /** @throws NativeError CAPTURE_OPEN or CAPTURE_FORMAT, naming the file. */
  run(options: ReplayOptions): ReplayResult {
    const { dataplane, controller } = this;
    dataplane.replayOpen(options.inputs, options.outputs);
    let nowMs = 0;
    for (;;) {
      const [stopSeconds, stopNanoseconds] = this.nextTimer();
      const status = dataplane.replayRun(options.burst, stopSeconds, stopNanoseconds);
      if (status === ReplayStatus.events) {
        controller.handleEvents();
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
    const session = Math.min(engine.nextSessionTimer(), NEVER);
    const waiter = engine.nextWaiter();
    if (waiter === null || session <= waiter.dueSeconds) return [session, 0];
    return [waiter.dueSeconds, waiter.dueNanoseconds];
  }

  /** Runs what is due at or before a time, in the order of time, each at its own. */
  private runTimersUntil(seconds: number, nanoseconds: number): void {
    const { engine } = this.controller;
    for (;;) {
      const [dueSeconds, dueNanoseconds] = this.nextTimer();
      if (dueSeconds > seconds || (dueSeconds === seconds && dueNanoseconds > nanoseconds)) return;
      this.dataplane.setClock(dueSeconds, dueNanoseconds);
      const waiter = engine.nextWaiter();
      const sessionDue = engine.nextSessionTimer() <= dueSeconds && dueNanoseconds === 0;
      if (!sessionDue && waiter !== null) engine.runWaiter();
      else while (engine.runSessionTimers(dueSeconds, this.controller.roomForTimers()) > 0) this.settle(dueSeconds, 0);
      this.settle(dueSeconds, dueNanoseconds);
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
