import { SessionCounters } from '../native/records.js';
import type { GatewayController } from './gateway.js';
import { Largest } from './largest.js';
import { chooseExchange, type Ranked } from './nic-room.js';
import type { SessionWalk } from './session-walk.js';

/** Sessions that one walk may put into the NIC, and take out of it: they fit into the decision ring. */
const EXCHANGES_PER_WALK = 4096;
/** A rate is half what it was and half what it is. */
const WEIGHT = 0.5;
const COUNTERS = SessionCounters.size / 8;

/** What is known of sessions since the walk before. 20 bytes a row, only while a NIC is short of room. */
class Readings {
  readonly packets: Float64Array;
  readonly rates: Float32Array;
  readonly generations: Uint32Array;

  constructor(rows: number) {
    this.packets = new Float64Array(rows);
    this.rates = new Float32Array(rows);
    this.generations = new Uint32Array(rows);
  }
}

/**
 * Gives a full NIC to the fastest sessions: walks over all of them, asks for their packets, and exchanges the slowest
 * inside for the fastest outside.
 */
export class NicRanking {
  private readings: Readings | null = null;
  private lastMs = 0;
  /** Evictions that are left of the budget: at most a second's worth of it. */
  private evictions = 0;
  private exchangedMs = 0;

  /** @param share Part of offload.evictionsPerSecond that is its own. */
  constructor(
    private readonly controller: GatewayController,
    private readonly share = 1,
  ) {}

  /**
   * One walk; the first one only reads. @param nowMs Of a clock that never goes back.
   * @returns Sessions that were moved, out and in.
   */
  async run(walk: SessionWalk, nowMs: () => number): Promise<number> {
    const { controller } = this;
    const { sessions } = controller.engine;
    const beganMs = nowMs();
    const seconds = (beganMs - this.lastMs) / 1000;
    const isFirst = this.readings === null;
    const readings = this.readings ?? new Readings(sessions.capacity);
    this.readings = readings;
    this.lastMs = beganMs;
    controller.roomLimit.look();
    const counters = new Float64Array(controller.dataplane.counters);
    const waiting = new Largest<Ranked>(EXCHANGES_PER_WALK);
    const there = new Largest<Ranked>(EXCHANGES_PER_WALK);
    let outside = 0;
    for await (const rows of walk.slices(0)) {
      for (const row of rows) {
        const generation = sessions.generation(row);
        const at = row * COUNTERS;
        const packets = counters[at] + counters[at + SessionCounters.reversePackets / 8];
        const isKnown = readings.generations[row] === generation && !isFirst;
        const rate = isKnown ? (packets - readings.packets[row]) / seconds : 0;
        readings.rates[row] = isKnown ? rate * WEIGHT + readings.rates[row] * (1 - WEIGHT) : 0;
        readings.packets[row] = packets;
        readings.generations[row] = generation;
        const packetsPerSecond = readings.rates[row];
        const lacking = controller.rulesLacking(row);
        const own = controller.rulesThere(row);
        if (lacking > 0) {
          outside++;
          waiting.add(packetsPerSecond, { row, generation, packetsPerSecond, rules: lacking });
        } else if (own > 0) there.add(-packetsPerSecond, { row, generation, packetsPerSecond, rules: own });
      }
    }
    if (outside === 0) {
      controller.roomIsFound();
      this.readings = null;
      return 0;
    }
    return isFirst ? 0 : this.exchange(waiting.inOrder(), there.inOrder(), nowMs());
  }

  private exchange(waiting: readonly Ranked[], there: readonly Ranked[], nowMs: number): number {
    const { controller } = this;
    const perSecond = controller.config.offload.evictionsPerSecond * this.share;
    this.evictions = Math.min(perSecond, this.evictions + (perSecond * (nowMs - this.exchangedMs)) / 1000);
    this.exchangedMs = nowMs;
    const room = controller.roomLimit.most - controller.nicRulesWanted;
    const most = Math.min(Math.floor(this.evictions), EXCHANGES_PER_WALK);
    const { evict, offload } = chooseExchange(waiting, there, room, most, EXCHANGES_PER_WALK);
    let evicted = 0;
    for (const { row, generation } of evict) if (controller.evict(row, generation)) evicted++;
    this.evictions -= evicted;
    let offloaded = 0;
    for (const { row, generation } of offload) {
      if (controller.roomForDecisions() === 0) break;
      if (controller.offload(row, generation)) offloaded++;
    }
    return evicted + offloaded;
  }
}
