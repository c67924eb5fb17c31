import type { ValidatedConfig } from '../config/types.js';
import type { NatLog } from '../nat/nat-log.js';
import { type Dataplane, type NativeBinding, ReplayStatus } from '../native/binding.js';
import { ealArguments } from '../native/eal.js';
import { type GatewayCounters, gatewayCounters } from './counters.js';
import { FlowDump, type FlowEntry } from './flow-dump.js';
import { GatewayController } from './gateway.js';
import { nativePorts } from './native-ports.js';
import { profileArgument } from './nic-target.js';
import { LocalShards } from './shards/local-shards.js';

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
  /** One a shard. */
  readonly controllers: readonly GatewayController[];
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
  /** One a shard. */
  readonly controllers: readonly GatewayController[];
  private readonly shards: LocalShards;
  /** The first shard's, which runs captures for all. */
  private readonly dataplane: Dataplane;
  /** Those that are still to come, in the order of time. */
  private reloads: Reload[] = [];

  /**
   * Starts EAL: once a process.
   *
   * @param target NIC target, or null for none.
   * @param shards 1..MOST_SHARDS; more than one only where shardObstacles() finds nothing.
   * @throws NativeError
   */
  constructor(
    private readonly config: ValidatedConfig,
    binding: NativeBinding,
    root: string,
    target: string | null,
    log?: NatLog,
    shards = 1,
  ) {
    binding.startEal(ealArguments(root, { memoryMb: 512, lcores: 1, pci: [] }));
    const wires = binding.createMemoryWires(config.ports.map((port) => `wire${port.index}`));
    const devices = config.ports.map((port) => `net_softflow${port.index}`);
    for (const port of config.ports) {
      binding.probeDevice(
        `${devices[port.index]},wire=${wires[port.index]},ordered=1,vxlan_port=${config.underlay.udpPort}${profileArgument(target)}`,
      );
    }
    const options = {
      ports: nativePorts(config, devices),
      underlay: config.underlay,
      maxSessions: config.nat.maxSessions,
      maxHeld: HELD_PACKETS,
      eventSlots: EVENT_SLOTS,
      decisionSlots: DECISION_SLOTS,
      mssClamp: config.nat.mssClampBytes ?? 0,
      replay: true,
    };
    this.shards = new LocalShards(
      config,
      binding,
      options,
      shards,
      (own, dataplane, seat) => new GatewayController(own, dataplane, target, false, log, undefined, seat),
    );
    this.controllers = this.shards.controllers;
    this.dataplane = this.shards.first.dataplane;
    this.shards.first.templates.installStaticRules();
  }

  /** @throws NativeError CAPTURE_OPEN or CAPTURE_FORMAT, naming the file. */
  run(options: ReplayOptions): ReplayResult {
    const { dataplane, shards, controllers } = this;
    this.reloads = [...(options.reloads ?? [])].sort((a, b) => a.seconds - b.seconds || a.nanoseconds - b.nanoseconds);
    dataplane.replayOpen(options.inputs, options.outputs);
    for (;;) {
      const [stopSeconds, stopNanoseconds] = this.nextTimer();
      const status = dataplane.replayRun(options.burst, stopSeconds, stopNanoseconds);
      if (status === ReplayStatus.events) {
        shards.handleEvents();
        this.review();
        continue;
      }
      const next = dataplane.replayNextTime();
      if (next === null || status !== ReplayStatus.timer) break;
      this.runTimersUntil(next[0], next[1]);
    }
    for (const { engine } of controllers) engine.drain();
    this.settle(0, 0);
    for (const controller of controllers) {
      for (let from = 0; from >= 0; ) {
        from = controller.queryLive(from);
        this.settle(0, 0);
      }
    }
    const truncated = dataplane.replayClose();
    const nowMs = this.lastTimeMs();
    const flows = controllers.flatMap((controller) => [...new FlowDump(controller).entries(nowMs)]);
    return { counters: gatewayCounters(this.config, shards.statistics()), flows, truncated, controllers };
  }

  close(): void {
    this.dataplane.close();
  }

  private nextTimer(): readonly [number, number] {
    let next: readonly [number, number] = [NEVER, 0];
    for (const { engine } of this.controllers) {
      next = earlier(next, [engine.nextSessionTimer(), 0]);
      const waiter = engine.nextWaiter();
      if (waiter !== null) next = earlier(next, [waiter.dueSeconds, waiter.dueNanoseconds]);
    }
    const reload = this.reloads.at(0);
    return reload === undefined ? next : earlier(next, [reload.seconds, reload.nanoseconds]);
  }

  /** Runs what is due at or before a time, in the order of time, each at its own; a reload after the timers of its time. */
  private runTimersUntil(seconds: number, nanoseconds: number): void {
    for (;;) {
      const [dueSeconds, dueNanoseconds] = this.nextTimer();
      if (dueSeconds > seconds || (dueSeconds === seconds && dueNanoseconds > nanoseconds)) return;
      this.dataplane.setClock(dueSeconds, dueNanoseconds);
      if (!this.runTimer(dueSeconds, dueNanoseconds)) this.reload();
      this.settle(dueSeconds, dueNanoseconds);
    }
  }

  /** Runs what is due at that time, of one shard. @returns Whether anything was. */
  private runTimer(seconds: number, nanoseconds: number): boolean {
    for (const controller of this.controllers) {
      const { engine } = controller;
      if (engine.nextSessionTimer() > seconds || nanoseconds !== 0) continue;
      while (engine.runSessionTimers(seconds, controller.roomForTimers()) > 0) this.settle(seconds, 0);
      return true;
    }
    for (const { engine } of this.controllers) {
      const waiter = engine.nextWaiter();
      if (waiter === null || waiter.dueSeconds !== seconds || waiter.dueNanoseconds !== nanoseconds) continue;
      engine.runWaiter();
      return true;
    }
    return false;
  }

  private reload(): void {
    const reload = this.reloads.shift();
    if (reload === undefined) return;
    this.shards.reconfigure(reload.config);
    this.review();
  }

  /** Lets all sessions follow a change before the next packet. */
  private review(): void {
    for (const controller of this.controllers) {
      if (!controller.engine.reviewIsPending) continue;
      const [seconds, nanoseconds] = this.dataplane.clock();
      while (controller.reviewSessions(Number.POSITIVE_INFINITY, seconds) === null) this.settle(seconds, nanoseconds);
    }
  }

  /** Carries out what was decided, without letting a packet in. */
  private settle(seconds: number, nanoseconds: number): void {
    while (this.dataplane.replayRun(1, seconds, nanoseconds) === ReplayStatus.events) this.shards.handleEvents();
  }

  private lastTimeMs(): number {
    const [seconds, nanoseconds] = this.dataplane.clock();
    return seconds * 1000 + Math.floor(nanoseconds / 1e6);
  }
}
