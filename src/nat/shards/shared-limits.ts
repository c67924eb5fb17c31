import type { Vpc } from '../../config/types.js';
import { MOST_SHARDS } from '../../native/binding.js';
import { DropReason } from '../../native/records.js';
import { SharedTable, sharedTableMemory } from './shared-table.js';

const WORDS_OF_VPC = 2;
const LOCK = 0;
const SESSIONS = 1;
const DOUBLES_OF_VPC = 2;
const TOKENS = 0;
const LAST_MS = 1;
/** Hosts that are remembered to have been told of a refusal less than a second ago. */
const MOST_TOLD = 4096;
const SECOND = 1000;
const MOST_COUNTED = 2 ** 31 - 1;
/** How often those that were told longer ago are looked for, once there are so many. */
const SWEEP_MS = 100;

/** What all shards count together. */
export interface LimitsMemory {
  /** The sessions of all, then WORDS_OF_VPC a VPC. */
  readonly counts: SharedArrayBuffer;
  /** DOUBLES_OF_VPC a VPC. */
  readonly buckets: SharedArrayBuffer;
  readonly addresses: SharedArrayBuffer;
  readonly told: SharedArrayBuffer;
}

export function limitsMemory(vpcs: readonly Vpc[], maxSessions: number, seed: number): LimitsMemory {
  const buckets = new SharedArrayBuffer(vpcs.length * DOUBLES_OF_VPC * 8);
  const doubles = new Float64Array(buckets);
  for (const { index, limits } of vpcs) doubles[index * DOUBLES_OF_VPC + TOKENS] = limits.newSessionsPerSecond;
  // Each shard may count one more that the table of sessions has no room for.
  const counted = vpcs.some(({ limits }) => limits.sessionsPerAddress !== Number.POSITIVE_INFINITY);
  return {
    counts: new SharedArrayBuffer((1 + vpcs.length * WORDS_OF_VPC) * 4),
    buckets,
    addresses: sharedTableMemory(counted ? maxSessions + MOST_SHARDS : 0, seed),
    told: sharedTableMemory(MOST_TOLD, seed),
  };
}

/** Whether anybody counts the sessions of a VPC; those of all are counted in any case. */
function isLimited({ limits }: Vpc): boolean {
  return limits.sessions !== Number.POSITIVE_INFINITY;
}

/**
 * Memory for the limits of another configuration, in which no session is counted yet. A VPC whose rate stays has what is
 * left of it.
 *
 * @param before VPCs of the configuration that `memory` was for, by the same indexes.
 */
export function nextLimits(
  memory: LimitsMemory,
  before: readonly Vpc[],
  vpcs: readonly Vpc[],
  maxSessions: number,
  seed: number,
): LimitsMemory {
  const next = { ...limitsMemory(vpcs, maxSessions, seed), told: memory.told };
  const [from, to] = [new Float64Array(memory.buckets), new Float64Array(next.buckets)];
  for (const { index, limits } of vpcs) {
    if (before[index]?.limits.newSessionsPerSecond !== limits.newSessionsPerSecond) continue;
    const at = index * DOUBLES_OF_VPC;
    to.set(from.subarray(at, at + DOUBLES_OF_VPC), at);
  }
  return next;
}

/**
 * Limits that hold for all shards together. A session is counted before it opens and given back when it does not, so that
 * two shards never both take what was the last one.
 */
export class SharedLimits {
  private readonly counts: Int32Array;
  private readonly buckets: Float64Array;
  /** Sessions by VPC and private address, of VPCs that limit them. */
  private readonly addresses: SharedTable;
  /** By VPC and address: the millisecond of the last code 13, its low 32 bits. */
  private readonly told: SharedTable;
  private sweptMs = 0;

  constructor(
    memory: LimitsMemory,
    private readonly maxSessions: number,
  ) {
    this.counts = new Int32Array(memory.counts);
    this.buckets = new Float64Array(memory.buckets);
    this.addresses = new SharedTable(memory.addresses);
    this.told = new SharedTable(memory.told);
  }

  /** Live sessions of all shards. */
  get sessions(): number {
    return Atomics.load(this.counts, 0);
  }

  /** Counts a session that is about to open. @returns Why it may not, or `none`; then giveBack() ends it. */
  take(vpc: Vpc, address: number, nowMs: number): DropReason {
    const { limits } = vpc;
    const at = 1 + vpc.index * WORDS_OF_VPC;
    if (isLimited(vpc) && !this.addBelow(at + SESSIONS, limits.sessions)) return DropReason.vpcLimit;
    if (!this.takeOfAddress(vpc, address)) return this.refuse(vpc, DropReason.addressLimit);
    let reason: DropReason = DropReason.none;
    if (!this.takeToken(vpc, nowMs, 1)) reason = DropReason.rateLimit;
    else if (!this.addBelow(0, this.maxSessions)) {
      this.takeToken(vpc, nowMs, -1);
      reason = DropReason.tableFull;
    }
    if (reason === DropReason.none) return reason;
    this.leaveAddress(vpc, address);
    return this.refuse(vpc, reason);
  }

  /** What take() would say. Counts nothing. */
  judge(vpc: Vpc, address: number, nowMs: number): DropReason {
    const { limits, index } = vpc;
    const sessions = Atomics.load(this.counts, 1 + index * WORDS_OF_VPC + SESSIONS);
    if (sessions >= limits.sessions) return DropReason.vpcLimit;
    const isCounted = limits.sessionsPerAddress !== Number.POSITIVE_INFINITY;
    if (isCounted && this.addresses.get(index, address, 0) >= limits.sessionsPerAddress) return DropReason.addressLimit;
    if (!this.takeToken(vpc, nowMs, 0)) return DropReason.rateLimit;
    return this.sessions >= this.maxSessions ? DropReason.tableFull : DropReason.none;
  }

  /** Counts a session that there is already, whatever the limits are now. */
  count(vpc: Vpc, address: number): void {
    Atomics.add(this.counts, 0, 1);
    if (isLimited(vpc)) Atomics.add(this.counts, 1 + vpc.index * WORDS_OF_VPC + SESSIONS, 1);
    if (vpc.limits.sessionsPerAddress !== Number.POSITIVE_INFINITY)
      this.addresses.increment(vpc.index, address, 0, MOST_COUNTED);
  }

  /** A session has ended. */
  giveBack(vpc: Vpc, address: number): void {
    Atomics.sub(this.counts, 0, 1);
    if (isLimited(vpc)) Atomics.sub(this.counts, 1 + vpc.index * WORDS_OF_VPC + SESSIONS, 1);
    this.leaveAddress(vpc, address);
  }

  /** A session that was counted did not open. */
  undo(vpc: Vpc, address: number, nowMs: number): void {
    this.giveBack(vpc, address);
    this.takeToken(vpc, nowMs, -1);
  }

  /** As RefusalLimit.allows(): at most one code 13 a second and host, whichever shards refuse it. */
  mayTell(vpc: number, address: number, nowMs: number): boolean {
    const isRecent = (last: number) => Math.abs((Math.floor(nowMs) - last) | 0) < SECOND;
    const last = this.told.get(vpc, address, 0);
    if (last !== 0 && isRecent(last)) return false;
    if (this.told.count >= MOST_TOLD) {
      // A look at all of them costs some 20 µs, and there may be a million refusals a second.
      if (Math.abs(nowMs - this.sweptMs) < SWEEP_MS) return false;
      this.sweptMs = nowMs;
      this.told.sweep((ms) => !isRecent(ms));
      if (this.told.count >= MOST_TOLD) return false;
    }
    return this.told.set(vpc, address, 0, Math.ceil(nowMs) | 0 || 1);
  }

  /** Adds 1 to a count that is less than `most`: nobody ever sees it above. @returns Whether it was. */
  private addBelow(at: number, most: number): boolean {
    // Read as any word, which costs a tenth: when it is another by now, the exchange says so.
    let count = this.counts[at];
    if (count >= most) count = Atomics.load(this.counts, at);
    while (count < most) {
      const seen = Atomics.compareExchange(this.counts, at, count, count + 1);
      if (seen === count) return true;
      count = seen;
    }
    return false;
  }

  private refuse(vpc: Vpc, reason: DropReason): DropReason {
    if (isLimited(vpc)) Atomics.sub(this.counts, 1 + vpc.index * WORDS_OF_VPC + SESSIONS, 1);
    return reason;
  }

  private takeOfAddress({ index, limits }: Vpc, address: number): boolean {
    if (limits.sessionsPerAddress === Number.POSITIVE_INFINITY) return true;
    return this.addresses.increment(index, address, 0, limits.sessionsPerAddress);
  }

  private leaveAddress({ index, limits }: Vpc, address: number): void {
    if (limits.sessionsPerAddress !== Number.POSITIVE_INFINITY) this.addresses.decrement(index, address, 0);
  }

  /** As RateLimit, under the VPC's lock. @param count 1: takes a token, -1: gives one back, 0: looks. */
  private takeToken({ index, limits }: Vpc, nowMs: number, count: number): boolean {
    const perSecond = limits.newSessionsPerSecond;
    if (perSecond === Number.POSITIVE_INFINITY) return true;
    const { counts, buckets } = this;
    const lock = 1 + index * WORDS_OF_VPC + LOCK;
    const at = index * DOUBLES_OF_VPC;
    while (Atomics.compareExchange(counts, lock, 0, 1) !== 0) {
      // Its holder is a few instructions from the end.
    }
    const passed = nowMs - buckets[at + LAST_MS];
    if (passed > 0) {
      buckets[at + TOKENS] = Math.min(perSecond, buckets[at + TOKENS] + (passed / SECOND) * perSecond);
      buckets[at + LAST_MS] = nowMs;
    }
    const allows = buckets[at + TOKENS] >= 1;
    if (allows || count < 0) buckets[at + TOKENS] -= count;
    Atomics.store(counts, lock, 0);
    return allows;
  }
}
