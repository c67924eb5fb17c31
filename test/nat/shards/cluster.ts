import type { ValidatedConfig } from '../../../src/config/types.js';
import { SharedConfig } from '../../../src/controller/shards/shared-config.js';
import { NatEngine } from '../../../src/nat/engine.js';
import { emptyPacket, readMiss } from '../../../src/nat/packet.js';
import { Random } from '../../../src/nat/random.js';
import type { SessionFacts } from '../../../src/nat/session-table.js';
import { NativeRows } from '../../../src/nat/session-timers.js';
import { BlockDealer } from '../../../src/nat/shards/block-dealer.js';
import type { DealerMessage, EngineMessage, ShardMail } from '../../../src/nat/shards/messages.js';
import { Router } from '../../../src/nat/shards/router.js';
import type { ShardFollowing } from '../../../src/nat/shards/shard-following.js';
import { SharedLimits } from '../../../src/nat/shards/shared-limits.js';
import { BlockOwners, rowsOfShard, SharedRemotes, shardMemory } from '../../../src/nat/shards/shared-state.js';
import type { DecidedSession, DecisionSink } from '../../../src/nat/sink.js';
import { type DropReason, DropReasonNames, MissEvent, MissKind, SessionRow } from '../../../src/native/records.js';

/** A session as it was decided, and by whom. */
export interface Opened {
  readonly shard: number;
  readonly row: number;
  readonly generation: number;
  readonly facts: SessionFacts;
  readonly shapes: number;
}

/** What became of a packet. */
export interface Fate {
  readonly what: 'session' | 'drop' | 'told' | 'retry' | 'answer';
  readonly reason: string;
  readonly session: Opened | null;
}

const DEALER = -1;

/** Messages from one thread to another, in order; whose comes next is chance. */
class LateMail {
  private readonly queues = new Map<string, (() => void)[]>();
  sent = 0;

  constructor(private readonly random: Random) {}

  post(from: number, to: number, deliver: () => void): void {
    this.sent++;
    const key = `${from} ${to}`;
    const queue = this.queues.get(key);
    if (queue === undefined) this.queues.set(key, [deliver]);
    else queue.push(deliver);
  }

  /** Delivers all that is for one. */
  deliverTo(to: number): void {
    for (const [key, queue] of [...this.queues]) {
      if (!key.endsWith(` ${to}`)) continue;
      this.queues.delete(key);
      for (const deliver of queue) deliver();
    }
  }

  forgetFrom(from: number): void {
    for (const key of [...this.queues.keys()]) if (key.startsWith(`${from} `)) this.queues.delete(key);
  }

  /** @returns False: none was under way. */
  deliverOne(): boolean {
    const keys = [...this.queues.keys()];
    if (keys.length === 0) return false;
    const key = keys[this.random.below(keys.length)];
    const queue = this.queues.get(key) as (() => void)[];
    const deliver = queue.shift();
    if (queue.length === 0) this.queues.delete(key);
    deliver?.();
    return true;
  }
}

/**
 * NAT engines that are one gateway's, without lcores: their misses come where the router says, and messages between them
 * are delivered late and in random order. One engine has no others to talk to and no router.
 */
export class Cluster {
  readonly engines: NatEngine[] = [];
  /** Live sessions. */
  readonly live = new Set<Opened>();
  /** Misses that were decided on after they had been put by: their holds. */
  readonly decidedLate: number[] = [];
  private readonly fates = new Map<number, Fate>();
  private readonly sessionOf = new Map<string, Opened>();
  private readonly mail: LateMail;
  private router: Router | null = null;
  private tables: [BlockOwners, SharedRemotes] | null = null;
  private readonly queried: { shard: number; row: number; generation: number }[] = [];
  private readonly removed: { shard: number; row: number; generation: number }[] = [];
  private readonly packet = emptyPacket();

  constructor(
    public config: ValidatedConfig,
    readonly shards: number,
    seed: number,
  ) {
    this.mail = new LateMail(new Random(seed));
    const rows = () => new NativeRows(new ArrayBuffer(rowsOfShard(config.nat.maxSessions, shards) * SessionRow.size));
    if (shards === 1) {
      this.engines.push(new NatEngine(config, rows(), this.sinkOf(0)));
      return;
    }
    const memory = shardMemory(config, shards, seed);
    this.limits = new SharedLimits(memory.limits, config.nat.maxSessions);
    const blocks = new BlockOwners(memory.blocks);
    const dealer = new BlockDealer(config, blocks, this.mailOf(DEALER), new Random(seed));
    this.dealer = dealer;
    this.shared = new SharedConfig(config, memory.limits, dealer);
    this.tables = [blocks, new SharedRemotes(memory.remotes)];
    for (let index = 0; index < shards; index++) {
      const onDecided = (words: Int32Array) => void this.decidedLate.push(words[MissEvent.hold / 4]);
      const seat = { index, memory, mail: this.mailOf(index), onDecided };
      const own = { ...config, nat: { ...config.nat, seed: seed * shards + index } };
      this.engines.push(new NatEngine(own, rows(), this.sinkOf(index), undefined, undefined, seat));
    }
    this.router = new Router(config, this.engines[0].topology, shards, ...this.tables);
  }

  private readonly dealer: BlockDealer | null = null;
  private readonly shared: SharedConfig | null = null;
  private readonly missed = new Map<number, Int32Array>();
  /** Packets that a new configuration may have made another shard's. */
  private readonly sentBack: number[] = [];
  private limits: SharedLimits | null = null;

  get messages(): number {
    return this.mail.sent;
  }

  get sessions(): number {
    return this.engines.reduce((sum, engine) => sum + engine.sessions.count, 0);
  }

  /** Sessions as all engines count them together. */
  get sessionsCounted(): number {
    return this.limits?.sessions ?? 0;
  }

  get mappings(): number {
    return this.engines.reduce((sum, engine) => sum + engine.mappings.count, 0);
  }

  /** A packet that no rule serves. Its record names its hold, which no other has. */
  miss(words: Int32Array): void {
    this.missed.set(words[MissEvent.hold / 4], words);
    const shard = this.shardOf(words);
    this.engines[shard].touch(words, 0, 0);
    this.engines[shard].onMiss(words, 0, 0);
  }

  /** Which shard looks a packet up. */
  shardOf(words: Int32Array): number {
    readMiss(words, 0, this.packet);
    return this.router?.shardOf(this.packet) ?? 0;
  }

  /** Delivers as many messages. @returns Whether there were so many. */
  deliver(most: number, nowSeconds: number): boolean {
    for (let i = 0; i < most; i++) {
      if (!this.mail.deliverOne()) return false;
      this.carryOut(nowSeconds);
    }
    return true;
  }

  settle(nowSeconds: number): void {
    while (this.deliver(1000, nowSeconds));
  }

  /**
   * Follows another configuration while messages are under way, as the control thread leads it: what engines have told the
   * dealer has come to it, and what it has told them is not heard. @returns Packets that went back.
   */
  reconfigure(config: ValidatedConfig, nowSeconds: number): number {
    const { shared, engines, mail } = this;
    if (shared === null || this.tables === null) throw new Error('one engine has no others');
    const together = engines.map((engine) => engine.together as ShardFollowing);
    mail.deliverTo(DEALER);
    const changes = shared.change(
      config,
      together.map((one) => one.holdings()),
    );
    mail.forgetFrom(DEALER);
    const left = shared.keep(together.map((one, shard) => one.follow(structuredClone(changes[shard]))));
    for (const one of together) one.know(left);
    this.config = shared.config;
    this.limits = new SharedLimits(changes[0].limits, config.nat.maxSessions);
    this.router = new Router(shared.config, engines[0].topology, this.shards, ...this.tables, left);
    const back = this.sentBack.splice(0);
    for (const hold of back) this.miss(this.missed.get(hold) as Int32Array);
    for (const engine of engines) while (engine.reviewSessions(1000, nowSeconds) === null);
    this.carryOut(nowSeconds);
    return back.length;
  }

  /** Shards that look a packet up; the last one decides. */
  stops(words: Int32Array): number[] {
    readMiss(words, 0, this.packet);
    return this.router?.stops(this.packet) ?? [0];
  }

  /** What became of a packet, once; null: it waits. */
  takeFate(hold: number): Fate | null {
    const fate = this.fates.get(hold) ?? null;
    this.fates.delete(hold);
    return fate;
  }

  /** A session ends, as when somebody clears it. */
  end({ shard, row, generation }: Opened, nowSeconds: number): void {
    this.engines[shard].clear(row, generation);
    this.carryOut(nowSeconds);
  }

  /** Timers that are due, as if no session had been hit since it opened. */
  runTimers(nowSeconds: number): void {
    for (const engine of this.engines) {
      for (;;) {
        const waiter = engine.nextWaiter();
        if (waiter === null || waiter.dueSeconds > nowSeconds) break;
        engine.runWaiter();
      }
      while (engine.runSessionTimers(nowSeconds, 100) > 0) this.carryOut(nowSeconds);
    }
  }

  private carryOut(nowSeconds: number): void {
    while (this.queried.length > 0 || this.removed.length > 0) {
      for (const { shard, row, generation } of this.queried.splice(0))
        this.engines[shard].onQueried(row, generation, nowSeconds);
      for (const { shard, row, generation } of this.removed.splice(0)) {
        const session = this.sessionOf.get(`${shard} ${row}`);
        if (session !== undefined) this.live.delete(session);
        this.engines[shard].onRemoved(row, generation, nowSeconds);
      }
    }
  }

  private mailOf(from: number): ShardMail {
    return {
      toDealer: (message: DealerMessage) => this.mail.post(from, DEALER, () => this.dealer?.receive(clone(message))),
      toEngine: (shard: number, message: EngineMessage) =>
        this.mail.post(from, shard, () => this.engines[shard].receive(clone(message))),
    };
  }

  private sinkOf(shard: number): DecisionSink {
    const tell = (
      hold: number,
      what: Fate['what'],
      reason: DropReason | null = null,
      session: Opened | null = null,
    ) => {
      if (this.fates.has(hold)) throw new Error(`packet ${hold} is decided on twice`);
      this.fates.set(hold, { what, reason: reason === null ? '' : DropReasonNames[reason], session });
    };
    return {
      drop: (hold, reason) => tell(hold, 'drop', reason),
      dropAll: (hold, reason) => tell(hold, 'drop', reason),
      retry: (hold) => tell(hold, 'retry'),
      retryAnew: (hold) => this.sentBack.push(hold),
      session: (hold: number, { row, generation, facts, forwardShape, reverseShape }: DecidedSession) => {
        const opened = { shard, row, generation, facts: { ...facts }, shapes: forwardShape | (reverseShape << 16) };
        this.live.add(opened);
        this.sessionOf.set(`${shard} ${row}`, opened);
        tell(hold, 'session', null, opened);
      },
      icmpError: (hold, reason) => tell(hold, 'told', reason),
      echoReply: (hold) => tell(hold, 'answer'),
      arpReply: (hold) => tell(hold, 'answer'),
      arpRequest: () => undefined,
      update: () => undefined,
      restate: () => undefined,
      remove: (row, generation) => this.removed.push({ shard, row, generation }),
      // As idle as it is for the engine: nobody but that writes the rows here.
      expire: (row, generation) => this.removed.push({ shard, row, generation }),
      query: (row, generation) => this.queried.push({ shard, row, generation }),
    };
  }
}

/** Only plain data crosses threads. */
function clone<T>(message: T): T {
  return structuredClone(message);
}

export interface MissFacts {
  readonly hold: number;
  readonly port: number;
  readonly protocol: number;
  readonly seconds: number;
  readonly vni: number;
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly tcpFlags?: number;
  readonly icmpType?: number;
  readonly outerSource?: number;
}

export function missOf(facts: MissFacts): Int32Array {
  const view = new DataView(new ArrayBuffer(MissEvent.size));
  view.setUint8(MissEvent.kind, MissKind.ipv4);
  view.setUint8(MissEvent.port, facts.port);
  view.setUint8(MissEvent.protocol, facts.protocol);
  view.setUint32(MissEvent.hold, facts.hold, true);
  view.setUint32(MissEvent.seconds, facts.seconds, true);
  view.setUint32(MissEvent.vni, facts.vni, true);
  view.setUint32(MissEvent.outerSourceAddress, facts.outerSource ?? 0, true);
  view.setUint32(MissEvent.sourceAddress, facts.source, true);
  view.setUint32(MissEvent.destinationAddress, facts.destination, true);
  view.setUint16(MissEvent.sourcePort, facts.sourcePort, true);
  view.setUint16(MissEvent.destinationPort, facts.destinationPort, true);
  view.setUint8(MissEvent.tcpFlags, facts.tcpFlags ?? 2);
  view.setUint8(MissEvent.ttl, 64);
  view.setUint8(MissEvent.icmpType, facts.icmpType ?? 8);
  return new Int32Array(view.buffer);
}
