import { SessionCounters } from '../native/records.js';
import { FlowDump, type FlowEntry } from './flow-dump.js';
import type { FlowPredicate } from './flow-filter.js';
import { Largest } from './largest.js';
import type { RunningEngine } from './running-engine.js';

/** What a flow did in the time it was watched. */
export interface FlowRate {
  readonly flow: FlowEntry;
  readonly packetsPerSecond: number;
  /** Inner IPv4 bytes, as bits. */
  readonly bitsPerSecond: number;
}

export interface TopTalkers {
  readonly seconds: number;
  /** Of all flows that the filter admits. */
  readonly flows: number;
  readonly packetsPerSecond: number;
  readonly bitsPerSecond: number;
  readonly top: readonly FlowRate[];
}

const COUNTERS = SessionCounters.size / 8;

/** Packets and bytes of every session, both directions, as a walk met them; 0 where it met none. */
class Reading {
  readonly packets: Float64Array;
  readonly bytes: Float64Array;
  readonly generations: Uint32Array;

  constructor(rows: number) {
    this.packets = new Float64Array(rows);
    this.bytes = new Float64Array(rows);
    this.generations = new Uint32Array(rows);
  }
}

/**
 * Watches the flows for a while and says which moved most bytes. It takes 20 bytes a session while it lasts.
 *
 * @param most How many are told.
 */
export async function topTalkers(
  gateway: RunningEngine,
  admits: FlowPredicate,
  waitMs: number,
  most: number,
): Promise<TopTalkers> {
  const { controller } = gateway;
  const { sessions } = controller.engine;
  const counters = new Float64Array(controller.dataplane.counters);
  const before = new Reading(sessions.highWater);
  const beganMs = performance.now();
  for await (const rows of gateway.walk().slices(0)) {
    for (const row of rows) {
      if (row >= before.packets.length) continue;
      const at = row * COUNTERS;
      before.packets[row] = counters[at] + counters[at + 2];
      before.bytes[row] = counters[at + 1] + counters[at + 3];
      before.generations[row] = sessions.generation(row);
    }
  }
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, waitMs - (performance.now() - beganMs))));
  // Both walks take rows in the same order and time: what matters is the time from one to the other.
  const seconds = (performance.now() - beganMs) / 1000;
  const dump = new FlowDump(controller);
  const largest = new Largest<FlowRate>(most);
  let [flows, packets, bytes] = [0, 0, 0];
  for await (const rows of gateway.walk().slices(0)) {
    for (const row of rows) {
      const flow = dump.entry(row, gateway.nowMs());
      if (!admits(flow)) continue;
      const known = row < before.packets.length && before.generations[row] === sessions.generation(row);
      const morePackets = flow.forward.packets + flow.reverse.packets - (known ? before.packets[row] : 0);
      const moreBytes = flow.forward.bytes + flow.reverse.bytes - (known ? before.bytes[row] : 0);
      flows++;
      packets += morePackets;
      bytes += moreBytes;
      const rate = { flow, packetsPerSecond: morePackets / seconds, bitsPerSecond: (moreBytes * 8) / seconds };
      if (morePackets > 0) largest.add(moreBytes, rate);
    }
  }
  const top = largest.inOrder();
  return { seconds, flows, packetsPerSecond: packets / seconds, bitsPerSecond: (bytes * 8) / seconds, top };
}
