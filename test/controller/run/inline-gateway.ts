import { setImmediate as turn } from 'node:timers/promises';
import { type Fixture, fixture } from '../../../bench/fixture.js';
import { loadBindings, QUIET } from '../../../bench/gateways.js';
import type { BenchBinding, Side, TrafficProgram } from '../../../bench/native.js';
import { releaseOf } from '../../../src/compiler/target.js';
import type { ValidatedConfig } from '../../../src/config/types.js';
import { GatewayController } from '../../../src/controller/gateway.js';
import { nativePorts } from '../../../src/controller/native-ports.js';
import { NicRanking } from '../../../src/controller/nic-ranking.js';
import { nicTarget } from '../../../src/controller/nic-target.js';
import { RuleKeeper } from '../../../src/controller/rule-keeper.js';
import { type RuleOwners, repairPort } from '../../../src/controller/rule-repair.js';
import { SessionWalk } from '../../../src/controller/session-walk.js';
import type { Dataplane, NativeBinding } from '../../../src/native/binding.js';
import { ealArguments } from '../../../src/native/eal.js';
import { RulePath, SessionRow } from '../../../src/native/records.js';
import type { Nic } from './nics.js';

const BURST = 32;
/** Rounds in which nothing happened: then nothing will. */
const QUIET_ROUNDS = 4;
/** Of a repair; the NIC may refuse each constant rule. */
const TRIES = 40;
/** A NIC's answers may be late by insert_latency, and time is real there. */
const PATIENCE_MS = 10_000;

export interface InlineOptions {
  readonly slots?: number;
  readonly before?: (bench: BenchBinding, devices: readonly [string, string]) => void;
}

/**
 * A gateway whose packets and decisions take turns on this thread, on a real software NIC. Its clock for what is tried
 * again is given, so that no run waits for it.
 */
export class InlineGateway {
  readonly bench: BenchBinding;
  readonly controller: GatewayController;
  readonly dataplane: Dataplane;
  readonly devices: readonly [string, string];
  readonly config: ValidatedConfig;
  /** What the NIC would not have although its table allows it. */
  readonly refused: string[] = [];
  private readonly binding: NativeBinding;
  private readonly ranking: NicRanking;
  private readonly owners: RuleOwners;
  private nowMs = 0;

  /**
   * @param observe Called after each round.
   * @param slots   Of each ring, and packets that are held at most.
   * @param before  Called when the NICs are there and no gateway has opened them.
   */
  constructor(
    nic: Nic,
    flows: number,
    seed: number,
    private readonly observe: (gateway: InlineGateway) => void,
    { slots = 1024, before = () => undefined }: InlineOptions = {},
  ) {
    const made = withNic(
      fixture({
        flows,
        offload: 'immediate',
        seed,
        behindSoftwareNic: true,
        checkEvery: 1,
        portReuseDelaySeconds: 0,
      }),
      nic,
    );
    this.config = made.config;
    this.devices = made.devices;
    const { root, binding, bench } = loadBindings();
    this.binding = binding;
    this.bench = bench;
    bench.setScenario(made.scenario);
    bench.keepLedger();
    binding.startEal(ealArguments(root, { memoryMb: 256, lcores: 1, pci: [] }));
    for (const { device } of made.config.ports) binding.probeDevice(device ?? '');
    before(bench, made.devices);
    this.dataplane = new binding.Dataplane({
      ports: nativePorts(made.config, made.devices),
      underlay: made.config.underlay,
      maxSessions: made.config.nat.maxSessions,
      maxHeld: slots,
      eventSlots: slots,
      decisionSlots: slots,
      replay: false,
    });
    const devargs = made.config.ports[0].device ?? '';
    const target = nicTarget('auto', binding.driverOf(made.devices[0]), devargs, releaseOf(binding.dpdkVersion()));
    this.controller = new GatewayController(made.config, this.dataplane, target, true, undefined, () => this.nowMs);
    this.controller.templates.probesWith((rule) => this.refused.push(rule));
    this.controller.templates.installStaticRules();
    this.ranking = new NicRanking(this.controller);
    const keepers = [new RuleKeeper(this.controller, () => true)];
    this.owners = { dataplane: this.dataplane, keepers, rowsOfEach: made.config.nat.maxSessions };
  }

  /** One turn of each. @returns Whether anything happened in software. */
  round(): boolean {
    const { controller } = this;
    const received = this.dataplane.poll(BURST);
    const events = controller.handleEvents();
    const reviews = controller.engine.reviewIsPending;
    if (reviews) controller.reviewSessions(64, this.binding.now()[0]);
    this.observe(this);
    return received > 0 || events > 0 || reviews || controller.decisionsArePending();
  }

  rounds(count: number): void {
    for (let i = 0; i < count; i++) this.round();
  }

  /** Sends packets until told otherwise. */
  send(side: Side, program: Partial<TrafficProgram>): void {
    this.bench.run(side, { ...QUIET, ...program });
  }

  hush(): void {
    this.send('fabric', {});
    this.send('external', {});
  }

  /** All that is under way has come to its end. @throws Error when it does not */
  settle(): void {
    const end = Date.now() + PATIENCE_MS;
    for (let quiet = 0; quiet < QUIET_ROUNDS; ) {
      quiet = this.round() || this.directions().some(({ path }) => path === RulePath.pending) ? 0 : quiet + 1;
      if (Date.now() > end) throw new Error('the gateway does not come to rest');
    }
  }

  /** Rounds until `done`, or nothing more comes of them. @returns Whether it is done. */
  until(done: () => boolean): boolean {
    const end = Date.now() + PATIENCE_MS;
    while (!done()) {
      this.round();
      if (Date.now() > end) return false;
    }
    return true;
  }

  /** Time passes for what waits to be tried again. */
  later(milliseconds: number): void {
    this.nowMs += milliseconds;
    this.controller.retryRules(this.nowMs);
    this.rounds(QUIET_ROUNDS);
  }

  /** One walk for a full NIC, a second after the one before. @returns Sessions that were moved. */
  async rank(): Promise<number> {
    this.nowMs += 1000;
    let isDone = false;
    const walk = new SessionWalk(this.controller, () => true);
    const moved = this.ranking
      .run(walk, () => this.nowMs)
      .finally(() => {
        isDone = true;
      });
    while (!isDone) {
      this.round();
      await turn();
    }
    this.rounds(QUIET_ROUNDS);
    return moved;
  }

  /** Until what was refused has gone well too. @returns By port: stale and missing rules, of all tries together. */
  async reconcile(): Promise<{ stale: number; missing: number }[]> {
    const sums = this.config.ports.map(() => ({ stale: 0, missing: 0 }));
    for (let i = 0; i < TRIES; i++) {
      let failures = 0;
      for (const [port, sum] of sums.entries()) {
        const { stale, missing, failed } = await repairPort(this.owners, port, false, () => true);
        sum.stale += stale;
        sum.missing += missing;
        failures += failed;
      }
      if (failures === 0) return sums;
    }
    throw new Error('constant rules cannot be made anew');
  }

  /** Live sessions, two directions each. */
  directions(): { readonly row: number; readonly isForward: boolean; readonly path: number }[] {
    const { engine, rows } = this.controller;
    const found: { row: number; isForward: boolean; path: number }[] = [];
    for (let row = 0; row < engine.sessions.highWater; row++) {
      if (engine.sessions.life(row) !== 1) continue;
      found.push({ row, isForward: true, path: rows.byte(row, SessionRow.forwardPath) });
      found.push({ row, isForward: false, path: rows.byte(row, SessionRow.reversePath) });
    }
    return found;
  }

  nowSeconds(): number {
    return this.binding.now()[0];
  }

  close(): void {
    this.dataplane.close();
  }
}

function withNic(made: Fixture, nic: Nic): Fixture {
  const ports = made.config.ports.map((port) => ({
    ...port,
    device: `${port.device?.replace(/,max_rules=[0-9]+/, '')}${nic.deviceArguments}`,
  }));
  const { offload } = made.config;
  const { maxRules = offload.maxRules, evictionsPerSecond = offload.evictionsPerSecond, afterPackets = 0 } = nic;
  const mode = nic.afterPackets === undefined ? offload.mode : 'after';
  return {
    ...made,
    config: { ...made.config, ports, offload: { ...offload, mode, maxRules, evictionsPerSecond, afterPackets } },
  };
}
